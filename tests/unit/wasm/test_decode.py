"""Sections and bodies: what the decoded module says, and where malformed ones are faulted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from polymerase.errors import InvalidError, MalformedError, UnsupportedError, Where
from polymerase.wasm.decode import decode, decode_body
from polymerase.wasm.module import Code, Data, Elem, Export
from polymerase.wasm.types import (
    EXTERNREF,
    FUNCREF,
    I32,
    I64,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
)
from polymerase.wasm.validate import validate
from tests.unit.wasm.binary import HEADER, body, custom, leb, module, section, vec

Wat = Callable[[str], bytes]


def test_sections(wat: Wat) -> None:
    m = decode(
        wat("""(module
              (import "a" "f" (func (param i32) (result i64)))
              (import "a" "t" (table 1 2 externref))
              (import "a" "m" (memory 1 3))
              (import "a" "g" (global (mut i64)))
              (table 5 funcref)
              (global i32 (i32.const 7))
              (func (export "g") (local i32 i32 i64))
              (start 1)
              (elem (table 1) (i32.const 2) func 0 1)
              (elem externref (ref.null extern))
              (elem declare func 1)
              (data (i32.const 3) "xyz")
              (data "passive"))"""),
        "a.wasm",
    )
    t = FuncType((I32,), (I64,))
    assert [("a", "f", "func", t, 0)] == [(i.module, i.name, i.kind, i.type, i.type_index) for i in m.imports[:1]]
    assert [TableType(EXTERNREF, Limits(1, 2)), TableType(FUNCREF, Limits(5))] == m.table_types
    assert [MemoryType(Limits(1, 3))] == m.memory_types
    assert [GlobalType(I64, True), GlobalType(I32, False)] == m.global_types
    assert (1, 1, 1, 1) == (m.imported_funcs, m.imported_tables, m.imported_memories, m.imported_globals)
    assert [0, 1] == m.func_types
    assert t == m.func_type(0)
    assert 1 == m.start
    assert ["g"] == [e.name for e in m.exports]
    assert ((0x41, 7),) == tuple(instr[:2] for instr in m.globals[0].init)
    modes = [(e.mode, e.table, e.type, len(e.init)) for e in m.elems]
    assert [("active", 1, FUNCREF, 2), ("passive", 0, EXTERNREF, 1), ("declarative", 0, FUNCREF, 1)] == modes
    assert [b"xyz", b"passive"] == [m.data[d.start : d.end] for d in m.datas]
    assert ["active", "passive"] == [d.mode for d in m.datas]
    assert (2, I32) == m.codes[0].locals[0]
    assert m.data[m.codes[0].start : m.codes[0].end] == b"\x0b"


def test_instructions_have_offsets_in_the_file() -> None:
    data = module(b"\x41\x2a\x1a\x01")
    instrs = decode_body(decode(data), 0)
    assert [(0x41, 42), (0x1A, None), (0x01, None), (0x0B, None)] == [instr[:2] for instr in instrs]
    assert [instr[0] for instr in instrs] == [data[instr[2]] for instr in instrs]


def test_block_types_are_resolved() -> None:
    types = (b"\x60\0\0", b"\x60\1\x7f\1\x7e")
    instrs = decode_body(decode(module(b"\2\x40\x0b\2\x7e\x0b\2\1\x0b\2\x81\0\x0b", types)), 0)
    blocks = [imm for op, imm, _ in instrs if op == 0x02]
    assert [FuncType((), ()), FuncType((), (I64,)), FuncType((I32,), (I64,)), FuncType((I32,), (I64,))] == blocks


def test_an_unknown_block_type_is_invalid() -> None:
    with pytest.raises(InvalidError, match="func 0: unknown type 5"):
        decode_body(decode(module(b"\2\5\x0b")), 0)


def test_long_forms_of_integers() -> None:
    instrs = decode_body(
        decode(module(b"\x41\xff\xff\xff\xff\x7f\x42\x80\x7f\x0c\x80\0\x28\x82\0\xff\xff\xff\xff\x0f")), 0
    )
    assert [0xFFFFFFFF, 2**64 - 128, 0, (2, 2**32 - 1, 0), None] == [instr[1] for instr in instrs]


def test_a_memory_index_in_an_access() -> None:
    assert (2, 8, 3) == decode_body(decode(module(b"\x28\x42\3\x08")), 0)[0][1]


def test_br_table_with_wide_labels() -> None:
    data = module(b"\x0e\3\0\x80\1\x7f\5")
    assert (0, 128, 127, 5) == decode_body(decode(data), 0)[0][1]


def test_a_body_of_several_pieces() -> None:
    instrs = decode_body(decode(module(b"\2\x40" + b"\x41\x80\x01\x1a" * 40_000 + b"\x0b")), 0)
    assert 80_003 == len(instrs)
    assert 2 == [instr[0] for instr in instrs].count(0x0B)
    assert instrs[-1][2] == instrs[-2][2] + 1


def test_table_with_initial_value() -> None:
    m = decode(HEADER + section(4, b"\1\x40\0\x70\0\5\xd0\x70\x0b"))
    assert [TableType(FUNCREF, Limits(5))] == m.table_types
    assert m.tables[0].init is not None and (0xD0, FUNCREF) == m.tables[0].init[0][:2]


def test_data_as_spans() -> None:
    data = HEADER + section(5, b"\1\0\1") + section(11, b"\2\0\x41\0\x0b\3abc\2\0\x41\1\x0b\1d")
    a, b = decode(data).datas
    assert isinstance(a, Data)
    assert (b"abc", b"d") == (data[a.start : a.end], data[b.start : b.end])


def test_exports_and_elements_of_every_flag() -> None:
    segments = [
        b"\0\x41\0\x0b\1\0",
        b"\1\0\1\0",
        b"\2\0\x41\0\x0b\0\1\0",
        b"\3\0\1\0",
        b"\4\x41\0\x0b\1\xd2\0\x0b",
        b"\5\x70\1\xd2\0\x0b",
        b"\6\0\x41\0\x0b\x70\1\xd2\0\x0b",
        b"\7\x70\1\xd2\0\x0b",
    ]
    between = section(4, b"\1\x70\0\1") + section(7, b"\1\1f\0\0") + section(9, vec(segments))
    m = decode(module(between=between))
    modes = ["active", "passive", "active", "declarative"] * 2
    assert modes == [e.mode for e in m.elems]
    assert all(isinstance(e, Elem) and [(0xD2, 0)] == [i[:2] for i in e.init[0]] for e in m.elems)
    assert [("f", "func", 0)] == [(e.name, e.kind, e.index) for e in m.exports if isinstance(e, Export)]
    validate(m)


def test_locals_stay_runs() -> None:
    code = decode(module(locals=b"\2\x80\x80\x80\x80\x04\x7f\1\x7e")).codes[0]
    assert isinstance(code, Code)
    assert ((2**30, I32), (1, I64)) == code.locals


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "unexpected end"),
        (b"\0as", "unexpected end"),
        (b"\0asn", "magic header not detected"),
        (b"\0asm\1\0\0", "unexpected end"),
        (b"\0asm\2\0\0\0", "unknown binary version"),
        (HEADER + b"\x0e\0", "malformed section id"),
        (HEADER + b"\1", "unexpected end of section or function"),
        (HEADER + b"\1\5\0", "length out of bounds"),
        (HEADER + section(1, b"\0\0"), "section size mismatch"),
        (HEADER + section(1, b"\1\x40\0\0"), "malformed definition type"),
        (HEADER + section(1, b"\1\x60\1\x60\0"), "malformed value type"),
        (HEADER + section(1, b"\0") * 2, "unexpected content after last section"),
        (HEADER + section(3, b"\0") + section(1, b"\0"), "unexpected content after last section"),
        (HEADER + section(3, b"\1\0"), "function and code section have inconsistent lengths"),
        (HEADER + section(12, b"\1"), "data count and data section have inconsistent lengths"),
        (HEADER + section(2, b"\1\0\0\5"), "malformed import kind"),
        (HEADER + section(4, b"\1\x7f\0\0"), "malformed reference type"),
        (HEADER + section(5, b"\1\x08\0"), "malformed limits flags"),
        (HEADER + section(6, b"\1\x7f\2\x41\0\x0b"), "malformed mutability"),
        (HEADER + section(6, b"\1\x7f\0\x41\0"), "unexpected end"),
        (HEADER + section(7, b"\1\0\5\0"), "malformed export kind"),
        (HEADER + section(9, b"\1\x08"), "malformed elements segment kind"),
        (HEADER + section(9, b"\1\1\1\0"), "malformed element kind"),
        (HEADER + section(11, b"\1\3"), "malformed data segment kind"),
        (HEADER + custom(b"\xff"), "malformed UTF-8 encoding"),
        (HEADER + b"\0\1\5hello", "unexpected end of section or function"),
        (module(locals=b"\2\xff\xff\xff\xff\x0f\x7f\1\x7f"), "too many locals"),
    ],
)
def test_malformed_sections(data: bytes, message: str) -> None:
    with pytest.raises(MalformedError) as info:
        decode(data, "x.wasm")
    assert info.value.message.startswith(message)
    assert "x.wasm" == info.value.where.file
    assert info.value.where.at is not None and 0 <= info.value.where.at <= len(data)


@pytest.mark.parametrize(
    "instrs, message",
    [
        (b"\xff", "illegal opcode ff"),
        (b"\xfc\x20", "illegal opcode fc 20"),
        (b"\xfd\xff\x7f", "illegal opcode fd 3fff"),
        (b"\x05", "END opcode expected"),
        (b"\2\x40\x05\x0b", "END opcode expected"),
        (b"\x04\x40\x05\x05\x0b", "END opcode expected"),
        (b"\x0b\x01", "section size mismatch"),
        (b"\2\x40", "unexpected end of section or function"),
        (b"\x41", "unexpected end of section or function"),
        (b"\x0e\xff\xff\xff\xff\x0f", "length out of bounds"),
        (b"\x0e\2\0", "unexpected end of section or function"),
        (b"\x44\0\0\0", "unexpected end of section or function"),
        (b"\2\x7a\x0b", "malformed block type"),
        (b"\x28\x80\1\0", "malformed memop flags"),
        (b"\x20\x80\x80\x80\x80\x80\0", "integer representation too long"),
        (b"\x41\xff\xff\xff\xff\x0f", "integer too large"),
        (b"\xd0\x7f", "malformed heap type"),
        (b"\xfc\x09\0", "data count section required"),
        (b"\xfc\x08\0\0", "data count section required"),
    ],
)
def test_malformed_bodies(instrs: bytes, message: str) -> None:
    with pytest.raises(MalformedError) as info:
        decode_body(decode(module([b"", instrs]), "x.wasm"), 1)
    assert info.value.message.startswith(message)
    assert ("x.wasm", 1) == (info.value.where.file, info.value.where.func)


@pytest.mark.parametrize(
    "data, feature",
    [
        (HEADER + section(1, b"\1\x5f\0"), "garbage collection"),
        (HEADER + section(1, b"\1\x60\1\x64\x70\0"), "typed function references"),
        (HEADER + section(1, b"\1\x60\1\x6e\0"), "garbage collection"),
        (HEADER + section(5, b"\1\4\0"), "memory64"),
        (HEADER + section(5, b"\1\3\0\1"), "threads"),
        (HEADER + section(13, b"\1\0\0"), "exception handling"),
        (HEADER + section(5, b"\2\0\0\0\0"), "multi-memory"),
        (module(b"\x14\0"), "typed function references"),
        (module(b"\x08\0"), "exception handling"),
        (module(b"\xfb\0\0"), "garbage collection"),
        (module(b"\xfe\x10\2\0"), "threads"),
        (module(b"\xd0\x6e"), "garbage collection"),
    ],
)
def test_later_proposals_are_named(data: bytes, feature: str) -> None:
    with pytest.raises(UnsupportedError, match=f"needs the proposal {feature}") as info:
        validate(decode(data))
    assert feature == info.value.feature
    assert info.value.where.at is not None


def test_nullable_references_in_their_long_form() -> None:
    assert (FUNCREF, EXTERNREF) == decode(HEADER + section(1, b"\1\x60\2\x63\x70\x63\x6f\0")).types[0].params


def test_the_first_fault_is_told() -> None:
    """The fault in the body comes before the one that ends the sections."""
    with pytest.raises(MalformedError, match="illegal opcode ff"):
        decode(module(b"\xff", after=b"\x7f"))


def test_an_error_names_file_function_and_offset() -> None:
    names = custom(b"name", b"\1" + leb(6) + b"\1\0\3fac")
    data = module(b"\xff", after=names)
    with pytest.raises(MalformedError) as info:
        validate(decode(data, "fib.wasm"))
    at = data.index(b"\xff")
    assert Where("fib.wasm", 0, "fac", at) == info.value.where
    assert f'fib.wasm:{at:#x}: func 0 "fac": illegal opcode ff' == str(info.value)


def test_bodies_do_not_share_bytes() -> None:
    """An immediate may not be read from behind the body."""
    first = b"\3\0\x41\x0b"  # size, no locals, i32.const that takes the final end as its number
    data = HEADER + section(1, b"\1\x60\0\0") + section(3, b"\2\0\0") + section(10, b"\2" + first + body(b""))
    with pytest.raises(MalformedError):
        decode_body(decode(data), 0)


def test_an_expression_without_end_is_not_read_on_in_the_next_section() -> None:
    globals_ = section(6, b"\x01\x7f\x00\x41\x00")  # i32.const 0, then the next section's id, an opcode of 3.0
    with pytest.raises(MalformedError, match="unexpected end of section or function: instructions without end"):
        decode(HEADER + globals_ + section(10, b"\x00"))
