"""Does a module use floating point? For embedders that want none of it (`Limits.floats`)."""

from __future__ import annotations

from collections.abc import Iterable

from polymerase.errors import UnsupportedError, Where
from polymerase.wasm.decode import decode_body
from polymerase.wasm.module import Module
from polymerase.wasm.ops import OPS, ROWS, OpRow
from polymerase.wasm.types import F32, F64, FuncType, ValType

FEATURE = "floating point"


def refuse(module: Module) -> None:
    """Raises UnsupportedError naming the first function and offset, or type, that holds floating point."""
    for i, t in enumerate(module.types):
        if _floats((*t.params, *t.results)):
            raise _error(module, f"type {i} is {t}")
    for i, g in enumerate(module.global_types):
        if _floats((g.type,)):
            raise _error(module, f"global {i} is {g.type}")
    for n, code in enumerate(module.codes):
        i = module.imported_funcs + n
        where = Where(module.file, i, module.names.funcs.get(i), code.at)
        if _floats(t for _, t in code.locals):
            raise UnsupportedError(f"{FEATURE} is not allowed: a local is {_first(code.locals)}", where, FEATURE)
        for op, imm, at in decode_body(module, n):
            if op in _FLOAT_OPS or isinstance(imm, FuncType) and _floats((*imm.params, *imm.results)):
                where = Where(module.file, i, module.names.funcs.get(i), at)
                raise UnsupportedError(f"{FEATURE} is not allowed: {OPS[op].name}", where, FEATURE)


def _error(module: Module, fault: str) -> UnsupportedError:
    return UnsupportedError(f"{FEATURE} is not allowed: {fault}", Where(module.file), FEATURE)


def _floats(types: Iterable[ValType]) -> bool:
    return any(t is F32 or t is F64 for t in types)


def _first(locals_: Iterable[tuple[int, ValType]]) -> ValType:
    return next(t for _, t in locals_ if _floats((t,)))


def _is_float(row: OpRow) -> bool:
    return _floats((*row.params, *row.results)) or "f32x4" in row.name or "f64x2" in row.name


_FLOAT_OPS = frozenset(row.code for row in ROWS if _is_float(row))
