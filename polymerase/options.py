"""Every knob of a compilation, with its default."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Literal

Target = Literal["cpython", "pypy", "both"]
TARGETS: tuple[Target, ...] = ("cpython", "pypy", "both")
OPT_LEVELS = (0, 1, 2)


def running_target() -> Target:
    """The target that suits the Python that runs: "pypy" on PyPy, else "cpython"."""
    return "pypy" if sys.implementation.name == "pypy" else "cpython"


@dataclass(frozen=True, slots=True)
class Options:
    """What to compile for and how. The same module and the same options give the same bytes.

    `target`: which Python the code is spelled for; "both" (packages only) emits two spellings, picked at import.
    `opt_level`: 0 runs no pass, 1 the cheap ones, 2 all. `disabled`: names of passes not to run at any level.
    `standalone`: copy the runtime into the package. `format`: run black over the package.
    `force`: replace an output folder that polymerase did not make.
    """

    target: Target = field(default_factory=running_target)
    opt_level: int = 2
    disabled: frozenset[str] = frozenset()
    standalone: bool = False
    format: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"target is one of {', '.join(TARGETS)}, not {self.target!r}")
        if self.opt_level not in OPT_LEVELS:
            raise ValueError(f"opt_level is 0, 1 or 2, not {self.opt_level!r}")
