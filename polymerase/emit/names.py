"""Python names for what a module calls its functions and globals. The names of a module are hostile text: only
`[A-Za-z0-9_]` of one is ever written into source, and the kind and index before it make it unique.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from polymerase.wasm.module import Module

MAX_NAME = 48  # characters kept of a module's own name
_OTHER = re.compile(r"[^A-Za-z0-9]+")


def mangle(kind: str, i: int, name: str | None) -> str:
    """`func3_fac` of kind "func", index 3 and name "fac"; `func3` where nothing of the name can be kept."""
    # Cut first: a name of megabytes must not be searched whole. Four characters for each one that may be kept.
    kept = _OTHER.sub("_", (name or "")[: 4 * MAX_NAME]).strip("_")[:MAX_NAME].rstrip("_")
    return f"{kind}{i}_{kept}" if kept else f"{kind}{i}"


def known_names(module: Module, kind: str, named: dict[int, str], imports: Iterable[str]) -> dict[int, str]:
    """The best original name of each index of `kind`: by name section, else export, else import."""
    names = dict(enumerate(imports))
    exported: set[int] = set()
    for export in module.exports:
        if export.kind == kind and export.index not in exported:  # of several exports the first
            exported.add(export.index)
            names[export.index] = export.name
    names.update((i, name) for i, name in named.items() if name)
    return names


def func_names(module: Module) -> tuple[str, ...]:
    """The Python name of every function, in index order."""
    imports = [f"{i.module}_{i.name}" for i in module.imports if i.kind == "func"]
    known = known_names(module, "func", module.names.funcs, imports)
    return tuple(mangle("func", i, known.get(i)) for i in range(len(module.func_types)))


def global_names(module: Module) -> tuple[str, ...]:
    """The Python name of every global, in index order."""
    imports = [f"{i.module}_{i.name}" for i in module.imports if i.kind == "global"]
    known = known_names(module, "global", module.names.globals, imports)
    return tuple(mangle("g", i, known.get(i)) for i in range(len(module.global_types)))


def original_names(module: Module) -> dict[int, str]:
    """What to call a function when telling people about it, by index; hostile text."""
    imports = [f"{i.module}.{i.name}" for i in module.imports if i.kind == "func"]
    return known_names(module, "func", module.names.funcs, imports)


def suffix(memory: int) -> str:
    """What follows the name of a view of memory `memory`."""
    return f"_m{memory}" if memory else ""
