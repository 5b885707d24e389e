"""Bytes to Module, and one function body's bytes to instructions (spec 5).

`decode` reads the sections and leaves bodies as spans; `decode_body` reads one body. Between them they find everything
that is malformed about a module; that its indices and types fit is for `validate` (a bad type index that stands where
the decoded module holds the type itself is the exception, and an InvalidError right here). What a module asks for is
checked against the bytes that are left before anything is allocated for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from polymerase.errors import InvalidError, LocatedError, MalformedError, UnsupportedError, Where
from polymerase.wasm.instrs import InstrSpan, ref_type, unsupported, value_type
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
from polymerase.wasm.reader import UNEXPECTED_END, Reader, fail
from polymerase.wasm.types import FUNCREF, ExternType, FuncType, GlobalType, Limits, MemoryType, TableType, ValType

_UNSUPPORTED_FORMS: Final = frozenset((0x4E, 0x4F, 0x50, 0x5E, 0x5F))  # rec, sub final, sub, array, struct

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
        try:
            for chunk in span.chunks():
                instrs += chunk
        except (InvalidError, UnsupportedError) as error:
            end = self.m.sections[-1].end
            if error.where.at is not None and error.where.at >= end:  # said of what is no part of the expression
                fail(f"{UNEXPECTED_END}: instructions without end", end)
            raise
        self.pos = span.pos
        instrs.pop()
        return tuple(instrs)
