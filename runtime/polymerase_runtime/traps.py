"""Errors of the running guest, and the base of all errors of polymerase."""

from __future__ import annotations

import os
from types import TracebackType
from typing import NamedTuple, NoReturn

__polymerase_helper__ = True  # frames of this module may be the guest's innermost ones (see border.py)

OUT_OF_BOUNDS_MEMORY = "out of bounds memory access"
OUT_OF_BOUNDS_TABLE = "out of bounds table access"
UNDEFINED_ELEMENT = "undefined element"
UNINITIALIZED_ELEMENT = "uninitialized element"
INDIRECT_CALL_TYPE = "indirect call type mismatch"
DIVIDE_BY_ZERO = "integer divide by zero"
INTEGER_OVERFLOW = "integer overflow"
INVALID_CONVERSION = "invalid conversion to integer"
STACK_EXHAUSTED = "call stack exhausted"

KEPT_FRAMES = 50  # of a deep stack, this many frames at either end


class PolymeraseError(Exception):
    """The base of all errors that polymerase raises about a module and what it is asked to do with it. What the guest
    does, Trap and Exit, is none."""


class LinkError(PolymeraseError):
    """An import is missing or does not have the type that the module asks for (spec 4.5.4), or an export that was asked
    for is not there. The text names it."""


class SnapshotError(PolymeraseError):
    """A snapshot is damaged or another module's, or holds what cannot be restored here; or an instance cannot be saved:
    the text says what and where."""


class BusyError(PolymeraseError):
    """An instance was called in one thread while a call was running in another. Nothing of the call has happened."""


class Frame(NamedTuple):
    """One guest function in a trap's stack: its index, known name and the byte offset in the module; in a package also
    the file and line of the Python that ran."""

    func: int
    name: str | None
    offset: int | None
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        name = "" if self.name is None else f" {quoted(self.name)}"
        offset = "" if self.offset is None else f" at {self.offset:#x}"
        place = "" if self.file is None else f" ({os.path.basename(self.file)}:{self.line})"
        return f"func {self.func}{name}{offset}{place}"


class Trap(Exception):
    """The guest trapped (spec 4.2.1). The text is the official suite's.

    `frames` are the guest's functions, innermost last, each with its index `func`, its known `name` and the `offset` in
    the module (bytes), or None for either. Of a deep stack only the 50 outermost and 50 innermost are kept: `elided`
    says how many are missing between them.
    """

    frames: list[Frame]
    elided: int
    _cut: TracebackType | None = None  # border.py's: what of the traceback it has been through

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.frames = []
        self.elided = 0


class GuestStack(Exception):
    """A Trap's stack as text: its cause, for tracebacks to print, where Python has no notes (before 3.11)."""


class Exit(Exception):
    """The guest ended itself, by WASI's `proc_exit`. `code` is its exit code (unsigned, 32 bits)."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"exit code {self.code}"


def unreachable() -> NoReturn:
    """Trap "unreachable" (spec 4.4.8)."""
    raise Trap("unreachable")


def trace(trap: Trap) -> list[str]:
    """The guest's stack as lines, innermost last, runs of the same line counted; empty if unknown."""
    lines: list[str] = []
    count = 0
    for i, frame in enumerate(trap.frames):
        if i == KEPT_FRAMES and trap.elided:
            count = 0
            lines.append(f"... {trap.elided} more")
        text = str(frame)
        if count and lines[-1 if count == 1 else -2] == text:
            count += 1
            lines[len(lines) - (count > 2) :] = [f"... {count - 1} more times"]
        else:
            count = 1
            lines.append(text)
    return lines


def format_trap(trap: Trap) -> str:
    """`trap` and the guest's stack as text of several lines, without a final newline; names are escaped, so that it may
    be shown on a terminal. What `polymerase run` prints."""
    lines = trace(trap)
    if not lines:
        return f"trap: {trap}"
    return f"trap: {trap}\nwasm traceback (innermost last):\n  " + "\n  ".join(lines)


def quoted(name: str, limit: int = 60) -> str:
    """A hostile name on one line, in double quotes, printable, cut at `limit` characters."""
    shown = name if len(name) <= limit else name[:limit] + "…"
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else _escape(c) for c in shown) + '"'


def _escape(c: str) -> str:
    return "\\" + c if c in '"\\' else c.encode("unicode_escape").decode("ascii")
