"""Writes a module as a Python package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from polymerase.errors import UnsupportedError
from polymerase.ir.nodes import Func
from polymerase.options import Options
from polymerase.wasm.module import Module

Progress = Callable[[int, int], None]  # (functions done, of how many)


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written: counts of functions, lines of Python and bytes of all files, and the seconds it took."""

    functions: int
    lines: int
    bytes: int
    seconds: float


def write_package(
    module: Module, lowered: Callable[[int], Func], out: Path, options: Options, progress: Progress | None = None
) -> Summary:
    """Write the package `out`; `lowered(n)` is the IR of defined function number `n`."""
    raise UnsupportedError("packages are not written yet")
