"""The types of WebAssembly: value, function, limits, table, memory, global and tag types (spec 2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class NumType:
    """A number or vector type. There is exactly one object of each; compare with `is` or `==`."""

    name: str
    bits: int

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class RefType:
    """A reference type; `heap` is an abstract heap type's name ("func", "extern") or a type index.

    Made by `ref_type`, which interns, so that equal types are the same object.
    """

    nullable: bool
    heap: str | int

    def __str__(self) -> str:
        if self.nullable and isinstance(self.heap, str):
            return f"{self.heap}ref"
        return f"(ref {'null ' if self.nullable else ''}{self.heap})"


ValType = NumType | RefType

I32 = NumType("i32", 32)
I64 = NumType("i64", 64)
F32 = NumType("f32", 32)
F64 = NumType("f64", 64)
V128 = NumType("v128", 128)


@lru_cache(maxsize=4096)
def ref_type(nullable: bool, heap: str | int) -> RefType:
    """The one RefType of this nullability and heap type."""
    return RefType(nullable, heap)


FUNCREF = ref_type(True, "func")
EXTERNREF = ref_type(True, "extern")


@dataclass(frozen=True, slots=True)
class FuncType:
    """Parameter and result types of a function, block or tag."""

    params: tuple[ValType, ...]
    results: tuple[ValType, ...]

    def __str__(self) -> str:
        params = " ".join(map(str, self.params))
        return f"[{params}] -> [{' '.join(map(str, self.results))}]"


@dataclass(frozen=True, slots=True)
class Limits:
    """Size bounds, in pages of 64 KiB (memories) or elements (tables); `max` None means unbounded."""

    min: int
    max: int | None = None


@dataclass(frozen=True, slots=True)
class TableType:
    """The type of a table: what it holds and how many (elements)."""

    element: RefType
    limits: Limits


@dataclass(frozen=True, slots=True)
class MemoryType:
    """The type of a linear memory (limits in pages of 64 KiB)."""

    limits: Limits


@dataclass(frozen=True, slots=True)
class GlobalType:
    """The type of a global and whether `global.set` may change it."""

    type: ValType
    mutable: bool


ExternType = FuncType | TableType | MemoryType | GlobalType
