"""LEB128 integers, vectors and names."""

from __future__ import annotations

import pytest

from polymerase.errors import MalformedError
from polymerase.wasm.reader import Reader, read_signed, read_u32, read_u64


@pytest.mark.parametrize(
    "data, value",
    [
        (b"\x00", 0),
        (b"\x7f", 127),
        (b"\xe5\x8e\x26", 624485),
        (b"\x80\x80\x80\x80\x00", 0),
        (b"\xff\xff\xff\xff\x0f", 2**32 - 1),
    ],
)
def test_u32(data: bytes, value: int) -> None:
    assert (value, len(data)) == read_u32(data, 0)
    assert (value, len(data)) == read_u64(data, 0)


def test_u64_has_ten_bytes_at_most() -> None:
    assert (2**64 - 1, 10) == read_u64(b"\xff" * 9 + b"\x01", 0)
    with pytest.raises(MalformedError, match="integer too large"):
        read_u64(b"\xff" * 9 + b"\x02", 0)
    with pytest.raises(MalformedError, match="integer representation too long"):
        read_u64(b"\xff" * 9 + b"\x80\x00", 0)


@pytest.mark.parametrize(
    "data, bits, value",
    [
        (b"\x7f", 32, -1),
        (b"\x40", 32, -64),
        (b"\x3f", 32, 63),
        (b"\xff\x00", 32, 127),
        (b"\x80\x80\x80\x80\x78", 32, -(2**31)),
        (b"\xff\xff\xff\xff\x07", 32, 2**31 - 1),
        (b"\xff\xff\xff\xff\x0f", 33, 2**32 - 1),
        (b"\x80\x80\x80\x80\x70", 33, -(2**32)),
        (b"\x80" * 9 + b"\x7f", 64, -(2**63)),
        (b"\xff" * 9 + b"\x00", 64, 2**63 - 1),
    ],
)
def test_signed(data: bytes, bits: int, value: int) -> None:
    assert (value, len(data)) == read_signed(data, 0, bits)


@pytest.mark.parametrize(
    "data, bits", [(b"\xff\xff\xff\xff\x0f", 32), (b"\x80\x80\x80\x80\x70", 32), (b"\x80" * 9 + b"\x01", 64)]
)
def test_unused_bits_repeat_the_sign(data: bytes, bits: int) -> None:
    with pytest.raises(MalformedError, match="integer too large"):
        read_signed(data, 0, bits)


def test_too_long() -> None:
    for read in (read_u32, lambda data, i: read_signed(data, i, 32)):
        with pytest.raises(MalformedError, match="integer representation too long"):
            read(b"\x80\x80\x80\x80\x80\x00", 0)


def test_reader_stops_at_its_end() -> None:
    reader = Reader(b"\x01\x82\x03", 0, 2)
    assert 1 == reader.u32()
    with pytest.raises(MalformedError, match="unexpected end"):
        reader.u32()
    with pytest.raises(MalformedError, match="unexpected end"):
        Reader(b"\x01", 0, 0).byte()


def test_a_count_is_checked_against_the_bytes_left() -> None:
    with pytest.raises(MalformedError, match="length out of bounds"):
        Reader(b"\xff\xff\xff\xff\x0f\0", 0, 6).count()
    with pytest.raises(MalformedError, match="unexpected end"):
        Reader(b"\x02\0", 0, 2).bytes()


@pytest.mark.parametrize(
    "data", [b"\x01\x80", b"\x02\xc0\x80", b"\x03\xed\xa0\x80", b"\x04\xf4\x90\x80\x80", b"\1\xff"]
)
def test_names_are_utf_8(data: bytes) -> None:
    with pytest.raises(MalformedError, match="malformed UTF-8 encoding"):
        Reader(data, 0, len(data)).name()
