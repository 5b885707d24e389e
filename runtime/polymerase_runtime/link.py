"""Imports: from what the host gives to what the module asks for (spec 4.5.4, 3.4.x matching).

`imports` maps a module's name to what it offers: a mapping, an Instance, or the exports of one. What it offers may be
a Func, Memory, Table or Global, a Python callable, a HostFunc, or for an immutable global a plain Python value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .func import Caller, Func, HostFunc
from .globals import Global
from .memory import Memory
from .table import Table
from .traps import LinkError, quoted
from .types import FuncType, GlobalType, ImportType, SizeLimits
from .values import show

if TYPE_CHECKING:
    from .instance import Instance

__all__ = ["Caller", "HostFunc", "resolve"]

KINDS = {Func: "func", Memory: "memory", Table: "table", Global: "global"}


def resolve(wanted: ImportType, imports: Mapping[str, Any], wasi: Mapping[str, Any], instance: Instance) -> Any:
    """The Func, Memory, Table or Global for one import of `instance`. LinkError naming it."""
    found = _find(imports, wanted)
    if found is _NOTHING:
        found = _find(wasi, wanted)
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


def _find(imports: Mapping[str, Any], wanted: ImportType) -> Any:
    if not isinstance(imports, Mapping):
        raise TypeError(f"imports: expected a mapping of module names, got {show(imports)}")
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
