"""Bytes to Module, and one function body's bytes to instructions (spec 5).

`decode` reads the sections and leaves bodies as spans; `decode_body` reads one body. Between them they find everything
that is malformed about a module; that its indices and types fit is for `validate` (a bad type index that stands where
the decoded module holds the type itself is the exception, and an InvalidError right here). What a module asks for is
checked against the bytes that are left before anything is allocated for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NoReturn

from polymerase.errors import InvalidError, LocatedError, MalformedError, UnsupportedError, Where
from polymerase.wasm.module import (
    Code,
    ConstExpr,
    Data,
    Elem,
    Export,
    Global,
    Import,
    Instr,
    Memory,
    Module,
    Section,
    Table,
)
from polymerase.wasm.names import decode_names
from polymerase.wasm.ops import OPS, UNSUPPORTED, UNSUPPORTED_PREFIXES
from polymerase.wasm.reader import UNEXPECTED_END, Reader, fail, read_signed, read_u32, read_u64
from polymerase.wasm.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    ExternType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    TableType,
    ValType,
)

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
_UNSUPPORTED_FORMS: Final = frozenset((0x4E, 0x4F, 0x50, 0x5E, 0x5F))  # rec, sub final, sub, array, struct

_EMPTY: Final = FuncType((), ())
# Block types of one byte (spec 5.4.1).
BLOCK_TYPES: Final[dict[int, FuncType]] = {
    0x40: _EMPTY,
    **{byte: FuncType((), (t,)) for byte, t in VALUE_TYPES.items()},
}

SECTION_NAMES: Final = {
    0: "custom",
    1: "type",
    2: "import",
    3: "function",
    4: "table",
    5: "memory",
    6: "global",
    7: "export",
    8: "start",
    9: "element",
    10: "code",
    11: "data",
    12: "data count",
    13: "tag",
}
_SECTION_ORDER: Final = (1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11)  # spec 5.5.2: ids do not follow the order

EXTERN_KINDS: Final = ("func", "table", "memory", "global")

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


def decode(data: bytes, file: str = "<module>") -> Module:
    """The module in `data`; `file` is its name in messages.

    Raises MalformedError; InvalidError for an unknown type that the decoded form would have to hold; UnsupportedError
    for types, limits and sections of proposals that have no rows yet. Bodies are not looked into.
    """
    module = Module(data, file)
    try:
        _Decoder(module).module()
    except MalformedError as error:
        _first_fault(module)
        error.locate(file)
        raise
    except LocatedError as error:
        error.locate(file)
        raise
    return module


def _first_fault(module: Module) -> None:
    """Raise what is malformed in the bodies read so far: it comes before the fault that ended the sections."""
    for i in range(len(module.codes)):
        try:
            for _ in iter_body(module, i):
                pass
        except MalformedError:
            raise
        except LocatedError:
            return


def decode_body(module: Module, i: int) -> list[Instr]:
    """The instructions of defined function number `i` (an index into `module.codes`), the final `end` included.

    Raises MalformedError; InvalidError for an unknown type in a block type; UnsupportedError for instructions that have
    no row yet.
    """
    instrs: list[Instr] = []
    for chunk in iter_body(module, i):
        instrs += chunk
    return instrs


def iter_body(module: Module, i: int) -> Iterator[list[Instr]]:
    """As `decode_body`, in pieces: a body of megabytes need not be held as instructions all at once."""
    code = module.codes[i]
    span = InstrSpan(module, code.start, code.end)
    try:
        yield from span.chunks()
        if span.pos != code.end:
            fail("section size mismatch: bytes after the body's final end", span.pos)
    except LocatedError as error:
        func = module.imported_funcs + i
        error.locate(module.file, func, module.names.funcs.get(func))
        raise


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


class _Decoder(Reader):
    """The sections of one module (spec 5.5). A section may be read beyond its end, never beyond the data; afterwards
    it is compared with its size, as in the reference interpreter."""

    def __init__(self, module: Module) -> None:
        super().__init__(module.data, 0, len(module.data))
        self.m = module

    def module(self) -> None:
        """The whole module."""
        data = self.data
        if len(data) < 4:
            fail("unexpected end", len(data))
        if data[:4] != b"\0asm":
            fail("magic header not detected", 0)
        if len(data) < 8:
            fail("unexpected end", len(data))
        if data[4:8] != b"\1\0\0\0":
            fail("unknown binary version", 4)
        self.pos = 8
        order = {id: k for k, id in enumerate(_SECTION_ORDER)}
        readers = {
            1: self._types,
            2: self._imports,
            3: self._funcs,
            4: self._tables,
            5: self._memories,
            6: self._globals,
            7: self._exports,
            8: self._start,
            9: self._elems,
            10: self._codes,
            11: self._datas,
            12: self._data_count,
        }
        names: Section | None = None
        funcs_at = len(data)
        last = -1
        total = len(data)
        while self.pos < total:
            at = self.pos
            id = self.byte()
            if id not in SECTION_NAMES:
                fail(f"malformed section id {id}", at)
            start, end = self.span()
            if id == 0:
                name = self.name()
                if self.pos > end:
                    fail(f"{UNEXPECTED_END}: custom section's name", start)
                section = Section(0, name, self.pos, end)
                if name == "name" and names is None:
                    names = section
                self.m.sections.append(section)
                self.pos = end
                continue
            if order[id] <= last:
                fail(f"unexpected content after last section: {SECTION_NAMES[id]} section", at)
            last = order[id]
            self.m.sections.append(Section(id, SECTION_NAMES[id], start, end))
            if id == 13:
                unsupported("exception handling", "tag section", at)
            if id == 3:
                funcs_at = at
            readers[id]()
            if self.pos != end:
                fail(f"section size mismatch: {SECTION_NAMES[id]} section", min(self.pos, end))
        m = self.m
        if len(m.func_types) - m.imported_funcs != len(m.codes):
            fail(
                "function and code section have inconsistent lengths: "
                f"{len(m.func_types) - m.imported_funcs} functions, {len(m.codes)} bodies",
                min(funcs_at, total),
            )
        if m.data_count is not None and m.data_count != len(m.datas):
            fail(
                f"data count and data section have inconsistent lengths: {m.data_count} and {len(m.datas)}",
                total,
            )
        if names is not None:
            m.names = decode_names(data, names.start, names.end)

    # --- Types (5.3)

    def _types(self) -> None:
        types = self.m.types
        for _ in range(self.count()):
            at = self.pos
            form = self.byte()
            if form > 0x7F:  # a signed LEB128 of 7 bits
                fail("integer representation too long", at)
            if form in _UNSUPPORTED_FORMS:
                unsupported("garbage collection", f"type form {form:#x}", at)
            if form != 0x60:
                fail("malformed definition type", at)
            types.append(FuncType(self._value_types(), self._value_types()))

    def _value_types(self) -> tuple[ValType, ...]:
        return tuple([value_type(self) for _ in range(self.count())])

    def _type_index(self) -> int:
        at = self.pos
        n = self.u32()
        if n >= len(self.m.types):
            raise InvalidError(f"unknown type {n}", Where(at=at))
        return n

    def _limits(self) -> Limits:
        """Limits (5.3.9 to 5.3.11): bit 0 a maximum, 1 shared, 2 64-bit addresses. In 3.0 the numbers have 64 bits
        in any case, and what a 32-bit address type allows is for validation."""
        at = self.pos
        flags = self.byte()
        if flags > 0x07:
            fail("malformed limits flags", at)
        if flags & 0x04:
            unsupported("memory64", "64-bit address type", at)
        if flags & 0x02:
            unsupported("threads", "shared memory", at)
        return Limits(self.u64(), self.u64() if flags & 0x01 else None)

    def _table_type(self) -> TableType:
        return TableType(ref_type(self), self._limits())

    def _global_type(self) -> GlobalType:
        t = value_type(self)
        at = self.pos
        mutable = self.byte()
        if mutable > 1:
            fail("malformed mutability", at)
        return GlobalType(t, mutable == 1)

    # --- Sections (5.5)

    def _imports(self) -> None:
        m = self.m
        for _ in range(self.count()):
            at = self.pos
            module = self.name()
            name = self.name()
            kind_at = self.pos
            kind = self.byte()
            type_index = None
            t: ExternType
            if kind == 0:
                type_index = self._type_index()
                t = m.types[type_index]
                m.func_types.append(type_index)
                m.imported_funcs += 1
            elif kind == 1:
                t = self._table_type()
                m.table_types.append(t)
                m.imported_tables += 1
            elif kind == 2:
                t = MemoryType(self._limits())
                m.memory_types.append(t)
                m.imported_memories += 1
            elif kind == 3:
                t = self._global_type()
                m.global_types.append(t)
                m.imported_globals += 1
            elif kind == 4:
                unsupported("exception handling", "imported tag", kind_at)
            else:
                fail("malformed import kind", kind_at)
            m.imports.append(Import(module, name, EXTERN_KINDS[kind], t, type_index, at))

    def _funcs(self) -> None:
        # Unknown type indices are the validator's to find.
        self.m.func_types += [self.u32() for _ in range(self.count())]

    def _tables(self) -> None:
        for _ in range(self.count()):
            at = self.pos
            init = None
            if self.data[at : at + 2] == b"\x40\x00":  # a table with an initial value (3.0)
                self.pos += 2
                t = self._table_type()
                init = self._const_expr()
            else:
                t = self._table_type()
            self.m.tables.append(Table(t, init, at))
            self.m.table_types.append(t)

    def _memories(self) -> None:
        for _ in range(self.count()):
            at = self.pos
            t = MemoryType(self._limits())
            self.m.memories.append(Memory(t, at))
            self.m.memory_types.append(t)

    def _globals(self) -> None:
        for _ in range(self.count()):
            at = self.pos
            t = self._global_type()
            self.m.globals.append(Global(t, self._const_expr(), at))
            self.m.global_types.append(t)

    def _exports(self) -> None:
        for _ in range(self.count()):
            at = self.pos
            name = self.name()
            kind_at = self.pos
            kind = self.byte()
            if kind == 4:
                unsupported("exception handling", "exported tag", kind_at)
            if kind > 4:
                fail("malformed export kind", kind_at)
            self.m.exports.append(Export(name, EXTERN_KINDS[kind], self.u32(), at))

    def _start(self) -> None:
        self.m.start = self.u32()

    def _elems(self) -> None:
        """Element segments (5.5.12). Flags: bit 0 not active, bit 1 a table index (active) or declarative (not
        active), bit 2 expressions rather than function indices."""
        for _ in range(self.count()):
            at = self.pos
            flags = self.u32()
            if flags > 7:
                fail("malformed elements segment kind", at)
            table, offset = 0, None
            if flags & 1:
                mode = "declarative" if flags & 2 else "passive"
            else:
                mode = "active"
                if flags & 2:
                    table = self.u32()
                offset = self._const_expr()
            t = FUNCREF
            if flags & 3:  # else the abbreviation: functions in table 0
                if flags & 4:
                    t = ref_type(self)
                else:
                    kind_at = self.pos
                    if self.byte() != 0:
                        fail("malformed element kind", kind_at)
            init: tuple[ConstExpr, ...]
            if flags & 4:
                init = tuple([self._const_expr() for _ in range(self.count())])
            else:
                init = tuple([self._ref_func() for _ in range(self.count())])
            self.m.elems.append(Elem(mode, table, offset, t, init, at))

    def _ref_func(self) -> ConstExpr:
        at = self.pos
        return ((0xD2, self.u32(), at),)

    def _data_count(self) -> None:
        self.m.data_count = self.u32()

    def _codes(self) -> None:
        for _ in range(self.count()):
            at = self.pos
            start, end = self.span()
            runs = self._locals()
            if self.pos > end:
                fail("section size mismatch: locals of a body", start)
            self.m.codes.append(Code(runs, self.pos, end, at))
            self.pos = end

    def _locals(self) -> tuple[tuple[int, ValType], ...]:
        runs = []
        total = 0
        for _ in range(self.count()):
            at = self.pos
            n = self.u32()
            total += n
            if total > 0xFFFFFFFF:
                fail(f"too many locals: {total}", at)
            runs.append((n, value_type(self)))
        return tuple(runs)

    def _datas(self) -> None:
        for _ in range(self.count()):
            at = self.pos
            flags = self.u32()
            if flags > 2:
                fail("malformed data segment kind", at)
            memory, offset = 0, None
            if flags != 1:
                if flags == 2:
                    memory = self.u32()
                offset = self._const_expr()
            start, self.pos = self.span()
            self.m.datas.append(Data("passive" if flags == 1 else "active", memory, offset, start, self.pos, at))

    def _const_expr(self) -> ConstExpr:
        """An expression that `validate` will want constant, without its `end`."""
        span = InstrSpan(self.m, self.pos, self.end)
        instrs: list[Instr] = []
        for chunk in span.chunks():
            instrs += chunk
        self.pos = span.pos
        instrs.pop()
        return tuple(instrs)
