"""Imports: from what the host gives to what the module asks for (spec 4.5.4, 3.4.x matching).

`imports` is one of these, or a sequence of them, of which the first that has an import gives it:
- a mapping of a module's name to what it offers: a mapping, an Instance, or the exports of one;
- a callable `(module, name, type) -> object`, called once for each import, in the module's order. None, or raising
  LookupError, means that there is none; `type` is a FuncType, MemoryType, TableType or GlobalType.
What is offered may be a Func, Memory, Table or Global, a Python callable, a HostFunc, or for an immutable global a
plain Python value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, Union

from .func import Caller, Func, HostFunc
from .globals import Global
from .memory import Memory
from .table import Table
from .traps import LinkError, quoted
from .types import ExternType, FuncType, GlobalType, ImportType, SizeLimits
from .values import show

if TYPE_CHECKING:
    from .instance import Instance
    from .wasi import Wasi

__all__ = ["Caller", "HostFunc", "ImportSource", "Imports", "Resolver", "resolve", "sources"]

KINDS = {Func: "func", Memory: "memory", Table: "table", Global: "global"}


Resolver = Callable[[str, str, ExternType], object]
ImportSource = Union[Mapping[str, Any], Resolver]
Imports = Union[ImportSource, Sequence[ImportSource]]


def sources(imports: Imports | None, wasi: Wasi | None) -> list[ImportSource]:
    """Where to look for imports, in this order. TypeError."""
    if imports is None:
        given: list[Any] = []
    elif isinstance(imports, (list, tuple)):
        given = list(imports)
    else:
        given = [imports]
    for source in given:
        if hasattr(source, "exports"):
            raise TypeError(
                f'imports: {show(source)} is an instance: say for which module it stands, as in {{"env": instance}}'
            )
        if not isinstance(source, Mapping) and not callable(source):
            raise TypeError(
                "imports: expected a mapping of module names, a callable (module, name, type), or a sequence of these, "
                f"got {show(source)}"
            )
    return given if wasi is None else [*given, wasi.imports()]


def resolve(wanted: ImportType, sources: list[ImportSource], instance: Instance) -> Any:
    """The Func, Memory, Table or Global for one import of `instance`. LinkError naming it, and what a resolver
    raises."""
    found: Any = _NOTHING
    for source in sources:
        found = _find(source, wanted)
        if found is not _NOTHING:
            break
    where = name_of(wanted)
    if found is _NOTHING:
        raise LinkError(f"unknown import: {where}: {describe(wanted.type)}")
    value, fault = _fit(wanted, found, instance)
    if fault:
        raise LinkError(f"incompatible import type: {where}: expected {describe(wanted.type)}, got {fault}")
    return value


def name_of(wanted: ImportType) -> str:
    """`"env"."log"`, from hostile names."""
    return f"{quoted(wanted.module)}.{quoted(wanted.name)}"


def describe(t: Any) -> str:
    """A type with its kind."""
    return f"func {t}" if isinstance(t, FuncType) else f"global {t}" if isinstance(t, GlobalType) else str(t)


_NOTHING = object()


def _find(imports: ImportSource, wanted: ImportType) -> Any:
    if not isinstance(imports, Mapping):
        try:
            found = imports(wanted.module, wanted.name, wanted.type)
        except LookupError:
            found = None
        return _NOTHING if found is None else found
    try:
        offered = imports[wanted.module]
    except KeyError:
        return _NOTHING
    if not isinstance(offered, Mapping):
        offered = getattr(offered, "exports", offered)  # an Instance
    if not isinstance(offered, Mapping):
        raise TypeError(f"imports[{show(wanted.module)}]: expected a mapping or an instance, got {show(offered)}")
    try:
        return offered[wanted.name]
    except KeyError:
        return _NOTHING


def _fit(wanted: ImportType, found: Any, instance: Instance) -> tuple[Any, str]:
    """`found` as what the import wants, and what is wrong with it, or nothing."""
    t: Any = wanted.type
    kind = KINDS.get(type(found)) or ("func" if isinstance(found, Func) else None)
    if wanted.kind == "func":
        if kind is None and (callable(found) or isinstance(found, HostFunc)):
            host = found if isinstance(found, HostFunc) else HostFunc(None, found)
            if host.type is not None and host.type != t:
                return None, describe(host.type)
            takes = host.cannot_take(len(t.params))
            if takes:
                return None, f"{show(host.fn)}, which takes {takes}"
            return host.bind(t, f"import {name_of(wanted)}", instance), ""
    elif wanted.kind == "global" and kind is None and not t.mutable:
        try:
            return Global(GlobalType(t.type, False), found), ""
        except (TypeError, OverflowError):
            return None, show(found)
    if kind != wanted.kind:
        return None, show(found) if kind is None else describe(found.type)
    got = found.type
    if kind in ("func", "global"):
        fits = got == t
    else:
        fits = _within(got.limits, t.limits) and (kind == "memory" or got.element == t.element)
    return found, "" if fits else describe(got)


def _within(got: SizeLimits, wanted: SizeLimits) -> bool:
    """Whether limits match (spec 3.4.5)."""
    return got.min >= wanted.min and (wanted.max is None or got.max is not None and got.max <= wanted.max)
