"""Validation: the rules one by one, unreachable code, and what the messages say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from polymerase.errors import InvalidError, UnsupportedError
from polymerase.wasm.decode import decode
from polymerase.wasm.validate import validate
from tests.unit.wasm.binary import HEADER, leb, module, section, vec

Wat = Callable[[str], bytes]

VALID = {
    "a function type for a block": "(func (result i32) (i32.const 1) (block (param i32) (result i32)))",
    "several results": "(func $f (result i32 i64) (i32.const 1) (i64.const 2)) (func (drop (drop (call $f))))",
    "loop parameters": "(func (i32.const 1) (loop (param i32) (br_if 0 (i32.const 0)) drop))",
    "if without else passes parameters": "(func (result i32) i32.const 1 i32.const 0 if (param i32) (result i32) end)",
    "operands in unreachable code": "(func (result i64) unreachable i32.add drop select i64.add)",
    "unknown operands": "(func unreachable select i32.eqz drop)",
    "unknown then known": "(func (result f32) unreachable (f32.const 0) (i32.const 0) select)",
    "ref.is_null of unknown": "(func (result i32) unreachable ref.is_null)",
    "branch out of nested blocks": "(func (result i32) (block (result i32) (block (result i64) (br 1 (i32.const 1)))"
    " drop (i32.const 0)))",
    "br_table in unreachable code": "(func (block (result f32) (block (result i64) unreachable (br_table 0 1 1"
    " (i32.const 0))) drop (f32.const 0)) drop)",
    "tail calls": "(table 1 funcref) (func $f (result i32) (return_call $f))"
    " (func (result i32) (return_call_indirect (result i32) (i32.const 0)))",
    "select of references": "(func (param funcref) (result funcref)"
    " (select (result funcref) (local.get 0) (local.get 0) (i32.const 1)))",
    "extended constants": '(import "a" "g" (global i32)) (global $h i32 (i32.add (global.get 0) (i32.const 1)))'
    " (global i32 (i32.mul (global.get $h) (i32.sub (i32.const 3) (global.get 0))))"
    " (global i64 (i64.add (i64.const 1) (i64.mul (i64.const 2) (i64.const 3)))) (memory 1)"
    ' (data (i32.add (global.get $h) (i32.const 1)) "a")',
    "vectors": "(memory 1) (func (result i32) (i8x16.extract_lane_s 15 (v128.load16_lane 7 (i32.const 0)"
    " (v128.const i32x4 0 0 0 0))))",
    "a relaxed vector operation": "(func (param v128) (result v128)"
    " (f32x4.relaxed_madd (local.get 0) (local.get 0) (local.get 0)))",
    "bulk operations": '(memory 1) (data "a") (table 1 externref) (elem externref) (func'
    " (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)) (data.drop 0)"
    " (table.init 0 (i32.const 0) (i32.const 0) (i32.const 0)) (elem.drop 0)"
    " (table.fill (i32.const 0) (ref.null extern) (i32.const 0))"
    " (drop (table.grow (ref.null extern) (i32.const 1))))",
    "after return": "(func (param i32) (result i32) (return (local.get 0)) drop drop)",
    "the largest memory": "(memory 65536 65536)",
}

INVALID = {
    "too few operands": ("(func i32.add drop)", "type mismatch in i32.add: expected [i32 i32], got []"),
    "wrong operand": (
        "(func (i32.add (i32.const 0) (i64.const 0)) drop)",
        "type mismatch in i32.add: expected [i32 i32], got [i32 i64]",
    ),
    "operands of the block around": (
        "(func (result i32) (i32.const 0) (block (drop)) )",
        "type mismatch in drop: expected a value, got []",
    ),
    "left over": ("(func (i32.const 0))", "type mismatch in end: expected [], got [i32]"),
    "left over in unreachable code": ("(func unreachable i32.const 0)", "type mismatch in end: expected [], got [i32]"),
    "no result": ("(func (result i32))", "type mismatch in end: expected [i32], got []"),
    "wrong in unreachable code": ("(func unreachable i64.const 0 i32.eqz drop)", "type mismatch in i32.eqz"),
    "if without else": (
        "(func (result i32) i32.const 0 if (result i32) i32.const 1 end)",
        "type mismatch in if without",
    ),
    "branches of if": (
        "(func i32.const 0 if (result i32) i64.const 1 else i32.const 0 end drop)",
        "type mismatch in else",
    ),
    "set of another type": ("(func (local i32) (local.set 0 (i64.const 0)))", "type mismatch in local.set"),
    "tee": ("(func (local i32) (drop (local.tee 0 (f32.const 0))))", "type mismatch in local.tee"),
    "select of two types": (
        "(func (drop (select (i32.const 0) (i64.const 0) (i32.const 0))))",
        "type mismatch in select",
    ),
    "select of references": (
        "(func (param funcref) (drop (select (local.get 0) (local.get 0) (i32.const 0))))",
        "type mismatch in select: expected a number or vector, got [funcref]",
    ),
    "arity of br_table": (
        "(func (block (result i32) (block (br_table 0 1 (i32.const 0))) (i32.const 0)) drop)",
        "type mismatch in br_table",
    ),
    "loop takes parameters": ("(func (loop (result i32) (br 0) ) drop (loop (param i32)))", "type mismatch in loop"),
    "br": ("(func (block (result i32) (br 0)) drop)", "type mismatch in br: expected [i32], got []"),
    "br_if": ("(func (block (result i32) (br_if 0 (i64.const 0) (i32.const 0))) drop)", "type mismatch in br_if"),
    "call": ("(func $f (param i32 i64)) (func (call $f (i32.const 0) (i32.const 0)))", "type mismatch in call"),
    "call_indirect of externref": (
        "(table 1 externref) (func (call_indirect (i32.const 0)))",
        "type mismatch in table of call_indirect: expected [funcref], got [externref]",
    ),
    "tail call results": (
        "(func $f (result i32) (return_call $g)) (func $g)",
        "type mismatch in results of return_call",
    ),
    "return": ("(func (result i32) (return))", "type mismatch in return"),
    "unknown local": ("(func (local.get 1) drop)", "unknown local 1"),
    "unknown label": ("(func (br 1))", "unknown label 1"),
    "unknown function": ("(func (call 1))", "unknown function 1"),
    "unknown global": ("(func (global.get 0) drop)", "unknown global 0"),
    "unknown table": ("(func (drop (table.get 0 (i32.const 0))))", "unknown table 0"),
    "unknown memory": ("(func (drop (i32.load (i32.const 0))))", "unknown memory 0"),
    "unknown data segment": (
        '(memory 1) (data "a") (func (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 0)))',
        "unknown data segment 1",
    ),
    "unknown elem segment": ("(func (elem.drop 3))", "unknown elem segment 3"),
    "unknown start function": ("(start 0)", "unknown function 0"),
    "start function": ("(func (param i32)) (start 0)", "start function 0 must have type [] -> [], has [i32] -> []"),
    "exports of one name": ('(func (export "a")) (memory (export "a") 1)', 'duplicate export name "a"'),
    "immutable global": ("(global i32 (i32.const 0)) (func (global.set 0 (i32.const 0)))", "immutable global 0"),
    "alignment": (
        "(memory 1) (func (drop (i32.load16_u align=4 (i32.const 0))))",
        "alignment must not be larger than natural: i32.load16_u has 2**2, at most 2",
    ),
    "lane": ("(func (param v128) (drop (i64x2.extract_lane 2 (local.get 0))))", "invalid lane index 2, there are 2"),
    "memory size": ("(memory 65537)", "memory size must be at most 65536 pages (4 GiB)"),
    "limits": ("(table 3 2 funcref)", "size minimum must not be greater than maximum: 3 > 2"),
    "later global in a constant": (
        "(global i32 (global.get 1)) (global i32 (i32.const 0))",
        "unknown global 1",
    ),
    "mutable global in a constant": (
        "(global (mut i32) (i32.const 0)) (global i32 (global.get 0))",
        "constant expression required: global 0 is mutable",
    ),
    "no constant": ("(global i32 (i32.eqz (i32.const 0)))", "constant expression required, not i32.eqz"),
    "constant of another type": ("(global i32 (i64.const 0))", "type mismatch in constant expression"),
    "two constants": ("(global i32 (i32.const 0) (i32.const 0))", "type mismatch in constant expression"),
    "no constant at all": ("(global i32)", "type mismatch in constant expression"),
    "undeclared reference": ("(func $f) (func (drop (ref.func $f)))", "undeclared function reference 0"),
    "element of another type": (
        "(table 1 externref) (elem (i32.const 0) funcref (ref.null func))",
        "type mismatch in element segment",
    ),
    "segment without memory": ('(data (i32.const 0) "a")', "unknown memory 0"),
}


@pytest.mark.parametrize("name", VALID)
def test_valid(name: str, wat: Wat) -> None:
    validate(decode(wat(f"(module {VALID[name]})")))


@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str, wat: Wat) -> None:
    text, message = INVALID[name]
    with pytest.raises(InvalidError) as info:
        validate(decode(wat(f"(module {text})"), "x.wasm"))
    assert info.value.message.startswith(message)
    assert "x.wasm" == info.value.where.file
    assert info.value.where.at


def test_message_names_file_offset_and_function(wat: Wat) -> None:
    data = wat('(module (import "a" "b" (func)) (func $ok) (func $bad (i32.add (i32.const 0) (i64.const 0)) drop))')
    with pytest.raises(InvalidError) as info:
        validate(decode(data, "fib.wasm"))
    at = data.index(b"\x41\0\x42\0\x6a") + 4
    expected = f'fib.wasm:{at:#x}: func 2 "bad": type mismatch in i32.add: expected [i32 i32], got [i32 i64]'
    assert expected == str(info.value)


def test_an_offset_beyond_32_bits_is_out_of_range() -> None:
    memory = section(5, b"\1\0\1")
    with pytest.raises(InvalidError, match="offset out of range: 0x100000000"):
        validate(decode(module(b"\x41\0\x28\0\x80\x80\x80\x80\x10\x1a", between=memory)))


def test_select_has_one_type() -> None:
    with pytest.raises(InvalidError, match="invalid result arity"):
        validate(decode(module(b"\0\x1c\2\x7f\x7f\0")))


def test_progress_counts_bytes_up_to_all_of_them() -> None:
    calls: list[tuple[int, int]] = []
    validate(decode(module([b"\1", b"", b"\1\1"])), lambda done, total: calls.append((done, total)))
    assert 3 == len(calls)
    assert sorted(calls) == calls
    assert calls[-1][0] == calls[-1][1]


def test_progress_of_a_module_without_bodies() -> None:
    validate(decode(HEADER), lambda done, total: pytest.fail("nothing to report"))


@pytest.mark.parametrize("params, results, fits", [(1000, 1000, True), (1001, 0, False), (0, 1001, False)])
def test_limits_of_types(params: int, results: int, fits: bool) -> None:
    t = b"\x60" + vec([b"\x7f"] * params) + vec([b"\x7f"] * results)
    data = module(b"\0", (t,))
    if fits:
        validate(decode(data))
    else:
        with pytest.raises(UnsupportedError, match="implementation limit"):
            validate(decode(data))


@pytest.mark.parametrize("count, fits", [(50_000, True), (50_001, False), (2**32 - 1, False)])
def test_limit_of_locals(count: int, fits: bool) -> None:
    data = module(b"\x20" + leb(min(count, 50_000) - 1) + b"\x1a", locals=b"\1" + leb(count) + b"\x7f")
    if fits:
        validate(decode(data))
        with pytest.raises(InvalidError, match="unknown local 50000"):
            validate(decode(module(b"\x20" + leb(count) + b"\x1a", locals=b"\1" + leb(count) + b"\x7f")))
    else:
        with pytest.raises(UnsupportedError, match=f"too many locals: {count}, at most 50000"):
            validate(decode(data))


def test_locals_in_runs_and_expanded_are_typed_alike() -> None:
    """A function whose bytes do not pay for its locals keeps them as runs."""
    t = b"\x60\2\x7e\x7d\0"
    locals = b"\4" + b"\0\x7c" + leb(20_000) + b"\x7f" + b"\0\x7c" + leb(5) + b"\x7e"
    checks = b"".join(
        b"\x20" + leb(i) + b"\x21" + leb(j) for i, j in ((0, 20_002), (20_006, 0), (2, 20_001), (1, 1), (20_001, 2))
    )
    for padding in (0, 4_000):
        validate(decode(module(checks + b"\1" * padding, (t,), locals)))
        for i, j in ((2, 0), (1, 2), (20_001, 20_002)):
            with pytest.raises(InvalidError, match="type mismatch in local.set"):
                validate(decode(module(b"\x20" + leb(i) + b"\x21" + leb(j) + b"\1" * padding, (t,), locals)))
        with pytest.raises(InvalidError, match="unknown local 20007"):
            validate(decode(module(b"\x20" + leb(20_007) + b"\x1a" + b"\1" * padding, (t,), locals)))
