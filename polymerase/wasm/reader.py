"""Reading bytes: LEB128 integers, names, sized parts (spec 5.1, 5.2).

The functions take the data and a position and return a value and the next position: the body decoder inlines their
one-byte case and calls them for the rest. They may read past the end of the part at hand, never past the data, and
whoever calls checks the position afterwards. `Reader` wraps them for the sections, where speed matters less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from polymerase.errors import MalformedError, Where

UNEXPECTED_END = "unexpected end of section or function"


def fail(message: str, at: int) -> NoReturn:
    """Raise MalformedError; whoever knows the file and the function adds them."""
    raise MalformedError(message, Where(at=at))


def read_u32(data: bytes, i: int) -> tuple[int, int]:
    """An unsigned 32-bit LEB128 at `i`, at most 5 bytes (spec 5.2.2); IndexError where the data ends."""
    at = i
    value = shift = 0
    while True:
        byte = data[i]
        i += 1
        if shift == 28 and byte > 0x0F:
            fail("integer representation too long" if byte > 0x7F else "integer too large", at)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, i
        shift += 7


def read_u64(data: bytes, i: int) -> tuple[int, int]:
    """An unsigned 64-bit LEB128 at `i`, at most 10 bytes; IndexError where the data ends."""
    at = i
    value = shift = 0
    while True:
        byte = data[i]
        i += 1
        if shift == 63 and byte > 0x01:
            fail("integer representation too long" if byte > 0x7F else "integer too large", at)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, i
        shift += 7


def read_signed(data: bytes, i: int, bits: int) -> tuple[int, int]:
    """A signed LEB128 of `bits` (32, 33 or 64) bits at `i`, as a signed int; IndexError where the data ends."""
    at = i
    value = shift = 0
    last = bits - bits % 7  # the shift of the last byte that may follow
    while True:
        byte = data[i]
        i += 1
        if shift == last:
            if byte > 0x7F:
                fail("integer representation too long", at)
            unused = byte >> (bits - last - 1)  # the sign bit and what must repeat it
            if unused != 0 and unused != 0x7F >> (bits - last - 1):
                fail("integer too large", at)
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value - (1 << shift) if byte & 0x40 else value, i


class Reader:
    """A position in the data and the end of the part that is being read. Reading past the end is a MalformedError."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes, pos: int, end: int) -> None:
        self.data = data
        self.pos = pos
        self.end = end

    def byte(self) -> int:
        """The next byte."""
        pos = self.pos
        if pos >= self.end:
            fail(UNEXPECTED_END, self.end)
        self.pos = pos + 1
        return self.data[pos]

    def u32(self) -> int:
        """An unsigned 32-bit integer."""
        pos = self.pos
        if pos < self.end:
            byte = self.data[pos]
            if byte < 0x80:
                self.pos = pos + 1
                return byte
        return self._leb(read_u32)

    def u64(self) -> int:
        """An unsigned 64-bit integer."""
        return self._leb(read_u64)

    def s33(self) -> int:
        """A signed 33-bit integer."""
        return self._leb(lambda data, pos: read_signed(data, pos, 33))

    def _leb(self, read: Callable[[bytes, int], tuple[int, int]]) -> int:
        try:
            value, pos = read(self.data, self.pos)
        except IndexError:
            fail(UNEXPECTED_END, self.end)
        if pos > self.end:
            fail(UNEXPECTED_END, self.end)
        self.pos = pos
        return value

    def count(self) -> int:
        """The number of items of a vector: each takes a byte at least, so never more than bytes are left. (Like the
        reference interpreter, this counts the number itself as left: its words depend on it.)"""
        at = self.pos
        n = self.u32()
        if n > self.end - at:
            fail("length out of bounds", at)
        return n

    def bytes(self) -> bytes:
        """A vector of bytes."""
        start, self.pos = self.span()
        return self.data[start : self.pos]

    def span(self) -> tuple[int, int]:
        """Where a vector of bytes starts and ends; the position is its start."""
        n = self.count()
        start = self.pos
        if n > self.end - start:
            fail(UNEXPECTED_END, self.end)
        return start, start + n

    def name(self) -> str:
        """A name: UTF-8 (spec 5.2.4)."""
        at = self.pos
        data = self.bytes()
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            fail("malformed UTF-8 encoding", at)
