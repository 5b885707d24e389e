"""Globals that can be seen outside their instance (spec 4.2.9)."""

from __future__ import annotations

from typing import Any

from .types import GlobalType
from .values import show, to_internal, to_public


class GlobalCell:
    """What compiled code reads and writes: `value`, in internal form."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Global:
    """A global as Python sees it: `value` is signed, checked when it is set; `type` says whether it may be."""

    __slots__ = ("__weakref__", "cell", "type")

    def __init__(self, type: GlobalType, value: Any) -> None:
        """A new global of a public value. TypeError, OverflowError."""
        self.type = type
        self.cell = GlobalCell(to_internal(type.type, value, "global"))

    @classmethod
    def of_cell(cls, type: GlobalType, cell: GlobalCell) -> Global:
        """The global that compiled code knows as `cell`."""
        self = cls.__new__(cls)
        self.type = type
        self.cell = cell
        return self

    def __repr__(self) -> str:
        return f"<Global {self.type} = {show(self.value)}>"

    @property
    def value(self) -> Any:
        """The value now. Setting raises AttributeError if it is immutable, TypeError, OverflowError."""
        return to_public(self.type.type, self.cell.value)

    @value.setter
    def value(self, value: Any) -> None:
        if not self.type.mutable:
            raise AttributeError("global is immutable")
        self.cell.value = to_internal(self.type.type, value, "global")
