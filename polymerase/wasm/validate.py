"""Whether a decoded module is valid (spec 3): indices, limits, constant expressions, then every body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from polymerase.errors import InvalidError, LocatedError, UnsupportedError, Where, quote
from polymerase.wasm.instrs import unsupported
from polymerase.wasm.module import ConstExpr, Module
from polymerase.wasm.ops import OPS
from polymerase.wasm.types import FUNCREF, I32, Limits, MemoryType, TableType, ValType
from polymerase.wasm.validate_body import (
    FLOOR,
    MAX_PARAMS,
    MAX_RESULTS,
    Context,
    mismatch,
    take,
    take_all,
    unknown,
    validate_body,
)

MAX_PAGES: Final = 1 << 16  # of a memory, 64 KiB each
MAX_ELEMENTS: Final = (1 << 32) - 1  # of a table

# Instructions of constant expressions (spec 3.3.10), extended ones included, that the row types completely.
_CONST_OPS: Final = frozenset(
    row.code
    for row in OPS.values()
    if row.kind == "const"
    or row.name in ("v128.const", "i32.add", "i32.sub", "i32.mul", "i64.add", "i64.sub", "i64.mul")
)
_REF_NULL: Final = 0xD0
_REF_FUNC: Final = 0xD2
_GLOBAL_GET: Final = 0x23


def validate(module: Module, progress: Callable[[int, int], None] | None = None) -> None:
    """Check the whole module, bodies included. `progress` is told how many of how many bytes of bodies are done.

    Raises InvalidError; MalformedError where a body's bytes are no instructions; UnsupportedError for what may be valid
    but is beyond the implementation.
    """
    try:
        _Validator(module).declarations()
        context = Context.of(module, _declared_refs(module))
    except LocatedError as error:
        error.locate(module.file)
        raise
    first = module.codes[0].at if module.codes else 0
    total = module.codes[-1].end - first if module.codes else 0
    for i, code in enumerate(module.codes):
        try:
            validate_body(context, i)
        except LocatedError as error:
            func = module.imported_funcs + i
            error.locate(module.file, func, module.names.funcs.get(func))
            raise
        if progress is not None:
            progress(code.end - first, total)


def _declared_refs(module: Module) -> frozenset[int]:
    """The functions that occur outside bodies: the ones that `ref.func` may name (spec 3.4.10)."""
    refs = {e.index for e in module.exports if e.kind == "func"}
    exprs: list[ConstExpr] = [g.init for g in module.globals]
    exprs += [t.init for t in module.tables if t.init is not None]
    for elem in module.elems:
        exprs += elem.init
    refs.update(instr[1] for expr in exprs for instr in expr if instr[0] == _REF_FUNC)
    return frozenset(refs)


class _Validator:
    """All of a module but the bodies (spec 3.2 and 3.4)."""

    def __init__(self, module: Module) -> None:
        self.m = module

    def declarations(self) -> None:
        """Every section but the bodies, in the binary's order."""
        m = self.m
        starts = {section.id: section.start for section in m.sections}
        self._types(starts.get(1, 0))
        for i in m.func_types:
            if i >= len(m.types):
                unknown("type", i, starts.get(3, 0))
        self._limits()
        self._inits()
        self._exports()
        if m.start is not None:
            self._start(m.start, starts.get(8, 0))
        self._elems()
        self._datas()

    def _types(self, at: int) -> None:
        for i, t in enumerate(self.m.types):
            if len(t.params) > MAX_PARAMS or len(t.results) > MAX_RESULTS:
                raise UnsupportedError(
                    f"type {i} has {len(t.params)} parameters and {len(t.results)} results, "
                    f"at most {MAX_PARAMS} and {MAX_RESULTS} are supported (implementation limit)",
                    Where(at=at),
                )

    def _limits(self) -> None:
        """Tables and memories, imported and defined (spec 3.2.1 to 3.2.12)."""
        m = self.m
        memories = [(i.type, i.at) for i in m.imports if isinstance(i.type, MemoryType)]
        memories += [(memory.type, memory.at) for memory in m.memories]
        for memory, at in memories:
            if max(memory.limits.min, memory.limits.max or 0) > MAX_PAGES:
                raise InvalidError(f"memory size must be at most {MAX_PAGES} pages (4 GiB)", Where(at=at))
            _ordered(memory.limits, at)
        if len(memories) > 1:
            # The index spaces are laid out for it, the rest of the pipeline is not yet.
            unsupported("multi-memory", "a second memory", memories[1][1])
        tables = [(i.type, i.at) for i in m.imports if isinstance(i.type, TableType)]
        tables += [(table.type, table.at) for table in m.tables]
        for table, at in tables:
            if max(table.limits.min, table.limits.max or 0) > MAX_ELEMENTS:
                raise InvalidError(f"table size must be at most {MAX_ELEMENTS}", Where(at=at))
            _ordered(table.limits, at)

    def _inits(self) -> None:
        """First values of tables and globals, each of which may use the globals before it (spec 3.4.14)."""
        m = self.m
        for table in m.tables:
            if table.init is not None:
                self._const(table.init, table.type.element, m.imported_globals, table.at)
        for i, g in enumerate(m.globals):
            self._const(g.init, g.type.type, m.imported_globals + i, g.at)

    def _exports(self) -> None:
        m = self.m
        spaces = {
            "func": ("function", len(m.func_types)),
            "table": ("table", len(m.table_types)),
            "memory": ("memory", len(m.memory_types)),
            "global": ("global", len(m.global_types)),
        }
        seen: set[str] = set()
        for export in m.exports:
            space, size = spaces[export.kind]
            if export.index >= size:
                unknown(space, export.index, export.at)
            if export.name in seen:
                raise InvalidError(f"duplicate export name {quote(export.name)}", Where(at=export.at))
            seen.add(export.name)

    def _start(self, i: int, at: int) -> None:
        if i >= len(self.m.func_types):
            unknown("function", i, at)
        t = self.m.func_type(i)
        if t.params or t.results:
            raise InvalidError(f"start function {i} must have type [] -> [], has {t}", Where(at=at))

    def _elems(self) -> None:
        m = self.m
        for elem in m.elems:
            if elem.offset is not None:
                if elem.table >= len(m.table_types):
                    unknown("table", elem.table, elem.at)
                table = m.table_types[elem.table]
                if table.element is not elem.type:
                    mismatch("element segment", (table.element,), (elem.type,), elem.at)
                self._const(elem.offset, I32, len(m.global_types), elem.at)
            for expr in elem.init:
                self._const(expr, elem.type, len(m.global_types), elem.at)

    def _datas(self) -> None:
        m = self.m
        for data in m.datas:
            if data.offset is not None:
                if data.memory >= len(m.memory_types):
                    unknown("memory", data.memory, data.at)
                self._const(data.offset, I32, len(m.global_types), data.at)

    def _const(self, expr: ConstExpr, expected: ValType, visible: int, at: int) -> None:
        """A constant expression of one result (spec 3.3.10); it may read the first `visible` globals."""
        m = self.m
        stack: list[ValType] = [FLOOR]
        for op, imm, at in expr:
            if op == _REF_FUNC:
                if imm >= len(m.func_types):
                    unknown("function", imm, at)
                stack.append(FUNCREF)
            elif op == _GLOBAL_GET:
                if imm >= visible:
                    unknown("global", imm, at)
                if m.global_types[imm].mutable:
                    raise InvalidError(f"constant expression required: global {imm} is mutable", Where(at=at))
                stack.append(m.global_types[imm].type)
            elif op == _REF_NULL:
                stack.append(imm)
            elif op in _CONST_OPS:
                row = OPS[op]
                take(stack, row.params, row.name, at)
                stack += row.results
            else:
                raise InvalidError(f"constant expression required, not {OPS[op].name}", Where(at=at))
        take_all(stack, (expected,), "constant expression", at)


def _ordered(limits: Limits, at: int) -> None:
    if limits.max is not None and limits.min > limits.max:
        raise InvalidError(f"size minimum must not be greater than maximum: {limits.min} > {limits.max}", Where(at=at))
