"""Bytes to instructions: function bodies and constant expressions, and the types that stand in them (spec 5.3, 5.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NoReturn

from polymerase.errors import InvalidError, UnsupportedError, Where
from polymerase.wasm.module import Instr, Module
from polymerase.wasm.ops import OPS, UNSUPPORTED, UNSUPPORTED_PREFIXES
from polymerase.wasm.reader import UNEXPECTED_END, Reader, fail, read_signed, read_u32, read_u64
from polymerase.wasm.types import EXTERNREF, F32, F64, FUNCREF, I32, I64, V128, FuncType, RefType, ValType

VALUE_TYPES: Final[dict[int, ValType]] = {
    0x7F: I32,
    0x7E: I64,
    0x7D: F32,
    0x7C: F64,
    0x7B: V128,
    0x70: FUNCREF,
    0x6F: EXTERNREF,
}
REF_TYPES: Final[dict[int, RefType]] = {0x70: FUNCREF, 0x6F: EXTERNREF}

# First bytes of value and heap types that belong to a proposal without rows yet (spec 5.3.3 to 5.3.5 of 3.0).
_UNSUPPORTED_TYPES: Final[dict[int, str]] = {
    0x63: "typed function references",
    0x64: "typed function references",
    0x69: "exception handling",
    0x6A: "garbage collection",
    0x6B: "garbage collection",
    0x6C: "garbage collection",
    0x6D: "garbage collection",
    0x6E: "garbage collection",
    0x71: "garbage collection",
    0x72: "garbage collection",
    0x73: "garbage collection",
    0x74: "exception handling",
}

_EMPTY: Final = FuncType((), ())
# Block types of one byte (spec 5.4.1).
BLOCK_TYPES: Final[dict[int, FuncType]] = {
    0x40: _EMPTY,
    **{byte: FuncType((), (t,)) for byte, t in VALUE_TYPES.items()},
}

# Bytes of a body between two looks at whether it is over: bounds what validating one huge body holds in memory.
_CHUNK: Final = 1 << 16

# What follows a one-byte opcode, as a small int for the decoding loop: the frequent ones first.
_INDEX, _NONE, _MEMARG, _I32, _CONTROL, _OTHER = range(6)
_SHAPE_OF_IMM: Final = {
    "none": _NONE,
    "label": _INDEX,
    "func": _INDEX,
    "local": _INDEX,
    "global": _INDEX,
    "table": _INDEX,
    "memory": _INDEX,
    "memarg": _MEMARG,
    "i32": _I32,
    "block": _CONTROL,
}
_SHAPES: Final = tuple(
    (
        _CONTROL
        if code in (0x05, 0x0B)  # else and end close something
        else _SHAPE_OF_IMM.get(OPS[code].imm, _OTHER) if code in OPS else _OTHER
    )
    for code in range(256)
)


def unsupported(feature: str, what: str, at: int) -> NoReturn:
    """Raise UnsupportedError for `what`, which the proposal `feature` brought."""
    raise UnsupportedError(f"{what} needs the proposal {feature}, which is not supported", Where(at=at), feature)


class InstrSpan:
    """A sequence of instructions with its final `end` (spec 5.4), starting at `pos` and lying before `limit`."""

    def __init__(self, module: Module, pos: int, limit: int) -> None:
        self.module = module
        self.pos = pos  # after `chunks` is exhausted: past the final `end`
        self.limit = limit

    def chunks(self) -> Iterator[list[Instr]]:
        """The instructions, in lists.

        The hot loop of the front end: immediates of one byte are read in place, position and tables are locals, and the
        position is compared with the limit after the fact (what lies behind the limit is read in vain, never used).
        """
        data = self.module.data
        limit = self.limit
        i = self.pos
        shapes = _SHAPES
        openers = [0x02]  # of the blocks that are open, the sequence itself first
        try:
            while openers:
                if i >= limit:
                    self._no_end()
                stop = min(i + _CHUNK, limit)
                chunk: list[Instr] = []
                push = chunk.append
                while i < stop:
                    at = i
                    op = data[i]
                    shape = shapes[op]
                    i += 1
                    if shape == _INDEX:
                        n = data[i]
                        i += 1
                        if n > 0x7F:
                            n, i = read_u32(data, i - 1)
                        push((op, n, at))
                    elif shape == _NONE:
                        push((op, None, at))
                    elif shape == _MEMARG:
                        align = data[i]
                        offset = data[i + 1]
                        if align < 0x40 and offset < 0x80:
                            i += 2
                            push((op, (align, offset, 0), at))
                        else:
                            memarg, i = _read_memarg(data, i)
                            push((op, memarg, at))
                    elif shape == _I32:
                        n = data[i]
                        i += 1
                        if n > 0x3F:
                            if n < 0x80:
                                n += 0xFFFFFF80
                            else:
                                n, i = read_signed(data, i - 1, 32)
                                n &= 0xFFFFFFFF
                        push((op, n, at))
                    elif shape == _CONTROL:
                        if op == 0x0B:  # end
                            push((op, None, at))
                            openers.pop()
                            if not openers:
                                break
                        elif op == 0x05:  # else
                            if openers[-1] != 0x04:
                                fail("END opcode expected: else without if", at)
                            openers[-1] = 0x05
                            push((op, None, at))
                        else:
                            openers.append(op)
                            block_type = BLOCK_TYPES.get(data[i])
                            if block_type is None:
                                block_type, i = self._block_type(i)
                            else:
                                i += 1
                            push((op, block_type, at))
                    else:
                        instr, i = self._other(op, i)
                        push(instr)
                if i > limit:
                    fail(UNEXPECTED_END, limit)
                self.pos = i
                yield chunk
        except IndexError:
            fail(UNEXPECTED_END, len(data))

    def _no_end(self) -> NoReturn:
        """The span is over, its `end` missing. The official words are what the reference interpreter finds when it
        reads on."""
        following = self.module.data[self.limit : self.limit + 1]
        words = {b"": UNEXPECTED_END, b"\x0b": "section size mismatch"}.get(following, "END opcode expected")
        fail(f"{words}: instructions without end", self.limit)

    def _block_type(self, i: int) -> tuple[FuncType, int]:
        """A block type that is a type index (spec 5.4.1)."""
        n, end = read_signed(self.module.data, i, 33)
        if n < 0:
            feature = _UNSUPPORTED_TYPES.get(self.module.data[i])
            if feature is not None:
                t, end = self._value_type(i)
                return FuncType((), (t,)), end
            fail("malformed block type", i)
        if n >= len(self.module.types):
            raise InvalidError(f"unknown type {n}", Where(at=i))
        return self.module.types[n], end

    def _value_type(self, i: int) -> tuple[ValType, int]:
        reader = Reader(self.module.data, i, self.limit)
        return value_type(reader), reader.pos

    def _other(self, op: int, i: int) -> tuple[Instr, int]:
        """The rarer instructions; `i` is the position after the opcode byte."""
        data = self.module.data
        at = i - 1
        if 0xFB <= op <= 0xFE:
            sub, i = read_u32(data, i)
            code = op << 16 | sub
            shown = f"{op:02x} {sub:02x}"
        else:
            sub, code, shown = 0, op, f"{op:02x}"
        row = OPS.get(code) if sub < 0x10000 else None
        if row is None:
            _illegal(op, sub, code, shown, at)
        imm: object = None
        match row.imm:
            case "none":
                pass
            case "i64":
                n, i = read_signed(data, i, 64)
                imm = n & 0xFFFFFFFFFFFFFFFF
            case "f32":
                imm = int.from_bytes(data[i : i + 4], "little")
                i += 4
            case "f64":
                imm = int.from_bytes(data[i : i + 8], "little")
                i += 8
            case "i128":
                imm = int.from_bytes(data[i : i + 16], "little")
                i += 16
            case "labels":
                imm, i = self._labels(i)
            case "memarg":
                imm, i = _read_memarg(data, i)
            case "memarg_lane":
                memarg, i = _read_memarg(data, i)
                imm = (*memarg, data[i])
                i += 1
            case "lane":
                imm = data[i]
                i += 1
            case "shuffle":
                imm = tuple(data[i : i + 16])
                i += 16
            case "types":
                reader = Reader(data, i, self.limit)
                imm = tuple(value_type(reader) for _ in range(reader.count()))
                i = reader.pos
            case "heap":
                reader = Reader(data, i, self.limit)
                imm = heap_type(reader)
                i = reader.pos
            case "type_table" | "elem_table" | "memory_memory" | "table_table" | "data_memory":
                a, i = read_u32(data, i)
                b, i = read_u32(data, i)
                imm = (a, b)
            case _:  # one index
                imm, i = read_u32(data, i)
        if row.imm in ("data", "data_memory") and self.module.data_count is None:
            fail(f"data count section required by {row.name}", at)
        return (code, imm, at), i

    def _labels(self, i: int) -> tuple[tuple[int, ...], int]:
        """The labels of a br_table, the default last."""
        data = self.module.data
        at = i
        n, i = read_u32(data, i)
        if n >= self.limit - i:  # the default is one more
            fail("length out of bounds" if n > len(data) - at else UNEXPECTED_END, at)
        labels = data[i : i + n + 1]
        if max(labels) < 0x80:
            return tuple(labels), i + n + 1
        wide = []
        for _ in range(n + 1):
            label, i = read_u32(data, i)
            wide.append(label)
        return tuple(wide), i


def _illegal(op: int, sub: int, code: int, shown: str, at: int) -> NoReturn:
    if code in UNSUPPORTED:
        name, feature = UNSUPPORTED[code]
        unsupported(feature, name, at)
    if op in UNSUPPORTED_PREFIXES:
        feature, count = UNSUPPORTED_PREFIXES[op]
        if sub < count:
            unsupported(feature, f"opcode {shown}", at)
    fail(f"illegal opcode {shown}", at)


def _read_memarg(data: bytes, i: int) -> tuple[tuple[int, int, int], int]:
    """Alignment exponent, offset and memory of an access; bit 6 says that a memory index follows (spec 5.4.6)."""
    at = i
    memory = 0
    align, i = read_u32(data, i)
    if align >= 0x80:
        fail("malformed memop flags", at)
    if align >= 0x40:
        align -= 0x40
        memory, i = read_u32(data, i)
    offset, i = read_u64(data, i)
    return (align, offset, memory), i


def value_type(reader: Reader) -> ValType:
    """A value type (spec 5.3.4)."""
    at = reader.pos
    byte = reader.byte()
    t = VALUE_TYPES.get(byte)
    if t is not None:
        return t
    if byte in _UNSUPPORTED_TYPES:
        return _long_ref_type(reader, byte, at)
    fail("malformed value type", at)


def ref_type(reader: Reader) -> RefType:
    """A reference type (spec 5.3.3)."""
    at = reader.pos
    byte = reader.byte()
    if byte in REF_TYPES:
        return REF_TYPES[byte]
    if byte in _UNSUPPORTED_TYPES:
        return _long_ref_type(reader, byte, at)
    fail("malformed reference type", at)


def _long_ref_type(reader: Reader, byte: int, at: int) -> RefType:
    """A reference type that 2.0 does not know, but for `(ref null func)` and `(ref null extern)` in their long form."""
    if byte == 0x63:
        return heap_type(reader)
    unsupported(_UNSUPPORTED_TYPES[byte], f"reference type {byte:#x}", at)


def heap_type(reader: Reader) -> RefType:
    """A heap type (spec 5.3.2), as the nullable reference to it."""
    at = reader.pos
    n = reader.s33()
    if n >= 0:
        unsupported("typed function references", f"reference to type {n}", at)
    byte = n & 0x7F
    if n >= -64 and byte in REF_TYPES:
        return REF_TYPES[byte]
    if n >= -64 and byte in _UNSUPPORTED_TYPES:
        unsupported(_UNSUPPORTED_TYPES[byte], f"heap type {byte:#x}", at)
    fail("malformed heap type", at)
