"""What can go wrong, and where: every error that polymerase raises about a module.

An error's text is a place, then the fault: `fib.wasm:0x4f: func 3 "fac": type mismatch in i32.add: …`. The guest's own
errors, `Trap` and `Exit`, belong to the runtime.
"""

from __future__ import annotations

from typing import NamedTuple

from polymerase_runtime.traps import BusyError, LinkError, PolymeraseError, SnapshotError

__all__ = [
    "FallbackWarning",
    "BusyError",
    "InternalError",
    "InvalidError",
    "LinkError",
    "LocatedError",
    "MalformedError",
    "PolymeraseError",
    "SnapshotError",
    "UnsupportedError",
    "Where",
]


class Where(NamedTuple):
    """A place in a module: the file, the function's index and known name, the byte offset in the file. All may be
    unknown (None)."""

    file: str | None = None
    func: int | None = None
    func_name: str | None = None
    at: int | None = None

    def __str__(self) -> str:
        parts = []
        if self.file is not None or self.at is not None:
            offset = "" if self.at is None else f":{self.at:#x}"
            parts.append(f"{self.file or '<module>'}{offset}")
        if self.func is not None:
            name = "" if self.func_name is None else f" {quote(self.func_name)}"
            parts.append(f"func {self.func}{name}")
        return ": ".join(parts)


NOWHERE = Where()


class LocatedError(PolymeraseError):
    """An error about a place in a module. `message` is the fault alone, `where` the place."""

    def __init__(self, message: str, where: Where = NOWHERE) -> None:
        super().__init__(message, where)
        self.message = message
        self.where = where

    def __str__(self) -> str:
        where = str(self.where)
        return f"{where}: {self.message}" if where else self.message

    def locate(self, file: str | None, func: int | None = None, func_name: str | None = None) -> None:
        """Fill in what the code that found the fault did not know: it often knows the offset only."""
        where = self.where
        if where.file is None:
            where = where._replace(file=file)
        if where.func is None and func is not None:
            where = where._replace(func=func, func_name=func_name)
        self.where = where
        self.args = (self.message, where)  # what pickling passes on


class MalformedError(LocatedError):
    """The bytes are not a module (spec 5). `message` is the fault, `where` the place."""


class InvalidError(LocatedError):
    """The module breaks a validation rule (spec 3). `message` is the fault, `where` the place."""


class UnsupportedError(LocatedError):
    """The module may be valid, but needs something that polymerase does not do: a proposal, named by `feature`, or more
    than an implementation limit allows. `message` is the fault, `where` the place."""

    def __init__(self, message: str, where: Where = NOWHERE, feature: str | None = None) -> None:
        super().__init__(message, where)
        self.feature = feature

    def __reduce__(self) -> tuple[type[UnsupportedError], tuple[str, Where, str | None]]:
        return type(self), (self.message, self.where, self.feature)


class InternalError(LocatedError):
    """A bug of ours, found where `where` says. `stage` names the stage or pass, `fault` what went wrong; another
    optimisation level may avoid it."""

    def __init__(self, stage: str, message: str, where: Where = NOWHERE) -> None:
        super().__init__(f"internal error in {stage}: {message} (please report it; -O0 may avoid it)", where)
        self.stage = stage
        self.fault = message

    def __reduce__(self) -> tuple[type[InternalError], tuple[str, str, Where]]:
        return type(self), (self.stage, self.fault, self.where)


class FallbackWarning(UserWarning):
    """A function could not be compiled and is interpreted; the text names it and says why."""


def fallback_message(e: LocatedError, file: str, i: int, name: str | None) -> str:
    """That function `i` is interpreted, and why."""
    shown = f"func {i}" if name is None else f"func {i} {quote(name)}"
    return f"{file}: {shown} is interpreted: {e.message}"


def quote(name: str, limit: int = 60) -> str:
    """A name from a hostile module as it may be shown: on one line, in double quotes, printable, cut at `limit`."""
    shown = name if len(name) <= limit else name[:limit] + "…"
    escaped = "".join(c if c.isprintable() and c not in '"\\' else _escape(c) for c in shown)
    return f'"{escaped}"'


def _escape(c: str) -> str:
    return "\\" + c if c in '"\\' else c.encode("unicode_escape").decode("ascii")
