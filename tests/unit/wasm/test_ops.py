"""The instruction table: its form, and that decoder and validator know every row."""

from __future__ import annotations

import pytest

from polymerase.errors import InvalidError
from polymerase.wasm.decode import decode, decode_body
from polymerase.wasm.ops import BY_NAME, IMMEDIATES, OPS, ROWS, UNSUPPORTED, OpRow
from polymerase.wasm.types import F32, I32, I64, V128
from polymerase.wasm.validate import validate
from tests.unit.wasm.binary import leb, module, section

KINDS = set("control call parametric variable memory load store const numeric reference table simd".split())

# The bytes after the opcode, for each kind of immediate, and what the decoder makes of them.
IMMEDIATE_BYTES: dict[str, tuple[bytes, object]] = {
    "none": (b"", None),
    "label": (b"\x00", 0),
    "labels": (b"\x01\x00\x00", (0, 0)),
    "func": (b"\x00", 0),
    "type_table": (b"\x00\x00", (0, 0)),
    "types": (b"\x01\x7f", (I32,)),
    "local": (b"\x00", 0),
    "global": (b"\x00", 0),
    "table": (b"\x00", 0),
    "memory": (b"\x00", 0),
    "elem": (b"\x00", 0),
    "data": (b"\x00", 0),
    "data_memory": (b"\x00\x00", (0, 0)),
    "memory_memory": (b"\x00\x00", (0, 0)),
    "elem_table": (b"\x00\x00", (0, 0)),
    "table_table": (b"\x00\x00", (0, 0)),
    "memarg": (b"\x00\x05", (0, 5, 0)),
    "memarg_lane": (b"\x00\x05\x01", (0, 5, 0, 1)),
    "i32": (b"\x7f", 0xFFFFFFFF),
    "i64": (b"\x7f", 0xFFFFFFFFFFFFFFFF),
    "f32": (b"\1\2\3\4", 0x04030201),
    "f64": (b"\1\2\3\4\5\6\7\x08", 0x0807060504030201),
    "i128": (b"\xff" + b"\0" * 14 + b"\1", 0xFF | 1 << 120),
    "lane": (b"\x01", 1),
    "shuffle": (bytes(range(16)), tuple(range(16))),
}

# One function of type 0 with a local, a table, a memory, a mutable global, an element and a data segment.
AROUND = section(4, b"\1\x70\0\1") + section(5, b"\1\0\1") + section(6, b"\1\x7f\1\x41\0\x0b")
AROUND += section(7, b"\1\1f\0\0") + section(9, b"\1\1\0\1\0") + section(12, b"\1")
DATA = section(11, b"\1\1\0")


def opcode(row: OpRow) -> bytes:
    return bytes([row.code]) if row.code < 0x100 else bytes([row.code >> 16]) + leb(row.code & 0xFFFF)


def plain_rows() -> list[OpRow]:
    """Rows that can stand alone in a body, all but those that open or close a block."""
    return [row for row in ROWS if row.imm in IMMEDIATE_BYTES and row.name not in ("else", "end")]


def test_codes_and_names_are_unique() -> None:
    assert len(ROWS) == len(OPS) == len(BY_NAME) == len({row.ident for row in ROWS})


def test_rows_are_in_the_order_of_their_codes() -> None:
    assert sorted(OPS) == [row.code for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.name))
def test_row_is_well_formed(row: OpRow) -> None:
    assert row.kind in KINDS
    assert row.imm in IMMEDIATES
    assert row.ident.isidentifier()
    assert row.code < 0x100 or row.code >> 16 in (0xFC, 0xFD)


def test_all_of_2_0_is_there() -> None:
    features = [row.feature for row in ROWS]
    assert 236 == features.count("simd")
    assert 20 == features.count("relaxed-simd")
    assert 5 == features.count("sign-extension")
    assert 8 == features.count("saturating-float-to-int")
    assert 2 == features.count("tail-call")
    assert 172 == features.count("mvp")
    assert not set(OPS) & set(UNSUPPORTED)


@pytest.mark.parametrize(
    "name, params, results",
    [
        ("i32.add", (I32, I32), (I32,)),
        ("i64.eqz", (I64,), (I32,)),
        ("f32.convert_i64_u", (I64,), (F32,)),
        ("i64.store8", (I32, I64), ()),
        ("i64x2.shl", (V128, I32), (V128,)),
        ("f32x4.extract_lane", (V128,), (F32,)),
        ("memory.fill", (I32, I32, I32), ()),
    ],
)
def test_signatures(name: str, params: object, results: object) -> None:
    assert (params, results) == (BY_NAME[name].params, BY_NAME[name].results)


@pytest.mark.parametrize("row", plain_rows(), ids=lambda row: str(row.name))
def test_decoder_delivers_the_immediate(row: OpRow) -> None:
    encoded, delivered = IMMEDIATE_BYTES[row.imm]
    data = module(opcode(row) + encoded, locals=b"\1\1\x7f", between=AROUND, after=DATA)
    first, *rest = decode_body(decode(data), 0)
    assert (row.code, delivered) == first[:2]
    assert [0x0B] == [instr[0] for instr in rest]


@pytest.mark.parametrize("row", plain_rows(), ids=lambda row: str(row.name))
def test_validator_knows_the_row(row: OpRow) -> None:
    """In unreachable code every row is valid, operands dropped; after a wrong operand none that takes operands is."""
    encoded, _ = IMMEDIATE_BYTES[row.imm]
    instr = opcode(row) + encoded
    around = {"locals": b"\1\1\x7f", "between": AROUND, "after": DATA}
    validate(decode(module(b"\0" + instr + b"\0", **around)))
    if row.params:
        wrong = b"\x41\0" if row.params[-1] is not I32 else b"\x42\0"
        with pytest.raises(InvalidError, match="type mismatch"):
            validate(decode(module(b"\0" + wrong + instr + b"\0", **around)))
        with pytest.raises(InvalidError, match="type mismatch"):
            validate(decode(module(instr + b"\0", **around)))
