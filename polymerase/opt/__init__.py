"""The optimiser: passes from IR to better IR. PASSES states their order, the only place that does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from polymerase.errors import InternalError, Where
from polymerase.ir.nodes import Func
from polymerase.opt.constants import constants
from polymerase.opt.dead_stores import dead_stores
from polymerase.options import Options
from polymerase.wasm.module import Module


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: its name (in `dump --after` and `Options.disabled`), the lowest level that runs it, its function."""

    name: str
    level: int
    run: Callable[[Func, Module], Func]


PASSES: tuple[Pass, ...] = (Pass("constants", 1, constants), Pass("dead_stores", 1, dead_stores))


def run(f: Func, module: Module, options: Options, after: str | None = None) -> Func:
    """`f` through the passes that `options` ask for, in order; stop after the pass named `after`, if any.

    Raises InternalError when a pass fails, naming it and the function.
    """
    for p in PASSES:
        if p.level <= options.opt_level and p.name not in options.disabled:
            try:
                f = p.run(f, module)
            except Exception as e:
                where = Where(module.file, f.i, module.names.funcs.get(f.i), f.at)
                raise InternalError(p.name, f"{type(e).__name__}: {e}", where) from e
        if p.name == after:
            break
    return f
