"""Every knob of a compilation, with its default; and what a compilation reports."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Target = Literal["cpython", "pypy", "both"]
TARGETS: tuple[Target, ...] = ("cpython", "pypy", "both")
OPT_LEVELS = (0, 1, 2)
Fallback = Literal["error", "warn", "silent"]
Engine = Literal["interp", "aot", "auto"]
ENGINES: tuple[Engine, ...] = ("interp", "aot", "auto")
FALLBACKS: tuple[Fallback, ...] = ("error", "warn", "silent")


def running_target() -> Target:
    """The target that suits the Python that runs: "pypy" on PyPy, else "cpython"."""
    return "pypy" if sys.implementation.name == "pypy" else "cpython"


@dataclass(frozen=True, slots=True)
class Controls:
    """What compiled code does for whoever embeds it (see polymerase_runtime.limits): each costs time, so each is only
    compiled in when asked for. `code.controls_for` makes them of Limits.

    `fuel`: charge for basic blocks; what each instruction costs, by its name in the text format, sorted, none missing;
    None: not metered. `polls`: loops and functions that may recurse look whether they were interrupted. `depth`:
    functions count frames and value slots. `deterministic`: NaNs are canonical. `floats`: False refuses modules that
    use floating point.
    """

    fuel: tuple[tuple[str, int], ...] | None = None
    polls: bool = False
    depth: bool = False
    deterministic: bool = False
    floats: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are on, sorted: what `ModuleInfo.controls` says."""
        chosen = {
            "depth": self.depth,
            "deterministic": self.deterministic,
            "fuel": self.fuel is not None,
            "no_floats": not self.floats,
            "polls": self.polls,
        }
        return tuple(name for name, on in chosen.items() if on)


UNCONTROLLED = Controls()


@dataclass(frozen=True, slots=True)
class Options:
    """What to compile for and how. The same module and the same options give the same bytes.

    `target`: which Python the code is spelled for; "both" (packages only) emits two spellings, picked at import.
    `opt_level`: 0 runs no pass, 1 the cheap ones, 2 all. `disabled`: names of passes not to run at any level.
    `standalone`: copy the runtime into the package. `format`: run black over the package.
    `force`: replace an output folder that polymerase did not make. `controls`: what the code does for its embedder.
    `fallback`: what happens to a function that cannot be compiled: "error", or it is interpreted, with a warning
    ("warn") or without ("silent"). None: "error" for packages, "warn" in memory.
    `interpret`: functions to interpret whatever happens: their names or indices, "*" for all.
    """

    target: Target = field(default_factory=running_target)
    opt_level: int = 2
    disabled: frozenset[str] = frozenset()
    standalone: bool = False
    format: bool = False
    force: bool = False
    controls: Controls = UNCONTROLLED
    fallback: Fallback | None = None
    interpret: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"target is one of {', '.join(TARGETS)}, not {self.target!r}")
        if self.opt_level not in OPT_LEVELS:
            raise ValueError(f"opt_level is 0, 1 or 2, not {self.opt_level!r}")
        if self.fallback not in (None, *FALLBACKS):
            raise ValueError(f"fallback is one of {', '.join(FALLBACKS)}, not {self.fallback!r}")


Progress = Callable[[int, int], None]  # (done, total), in a unit of the caller's choice


class Summary(NamedTuple):
    """What was written: counts of functions, lines of Python and bytes of all files, and the seconds it took.
    `interpreted`: functions that are not compiled; `fallbacks` says of those that cannot be which and why."""

    functions: int
    lines: int
    bytes: int
    seconds: float
    interpreted: int = 0
    fallbacks: tuple[str, ...] = ()
