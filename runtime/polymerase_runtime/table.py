"""Tables (spec 4.2.7) and the operations on them (spec 4.4.6).

Beside its elements a table keeps, for each function type that code calls through it, a list of raw callables whose
wrong entries are functions that raise the right trap: an indirect call is one list index, whose IndexError means
"undefined element", and one call. The lists are changed in place, so code may hold on to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from .border import Guard, join
from .func import Func, HostFunc, Raw
from .limits import ANY_SIZE, ELEMENT, Sizes
from .traps import INDIRECT_CALL_TYPE, OUT_OF_BOUNDS_TABLE, UNINITIALIZED_ELEMENT, Trap
from .types import FuncType, SizeLimits, TableType
from .values import show, wrong

__polymerase_helper__ = True  # frames of this module may be the guest's innermost ones (see border.py)

MAX_ELEMENTS = 10_000_000  # as in browsers; a declared minimum is allocated at once
_MAX_ENTRIES = 4 * MAX_ELEMENTS  # in elements and typed lists together: 320 MB


def uninitialized_element(*args: Any) -> NoReturn:
    """The typed entry of a null reference."""
    raise Trap(UNINITIALIZED_ELEMENT)


def wrong_type(*args: Any) -> NoReturn:
    """The typed entry of a function of another type."""
    raise Trap(INDIRECT_CALL_TYPE)


class Table:
    """A table of references: Func or None for "funcref", any object for "externref". Indices are unsigned.

    `table[i]` is a reference, `len(table)` its elements now, `max` the most it may grow to (None: 10,000,000).
    What is out of bounds is an IndexError. `elements` and `typed` are what compiled code works on.
    """

    __slots__ = ("__weakref__", "_sizes", "elements", "guard", "max", "typed", "type_")

    def __init__(self, type: TableType, init: Any = None, sizes: Sizes = ANY_SIZE) -> None:
        """A table of its type's minimum size, filled with `init`. `sizes` bounds it further, and has counted that size
        already. TypeError; MemoryError for an absurd size."""
        size = type.limits.min
        if size > MAX_ELEMENTS:
            raise MemoryError(f"a table of {size} elements; at most {MAX_ELEMENTS} can be had")
        self.type_ = type
        self.max = type.limits.max
        self.elements: list[Any] = [self._reference(init)] * size
        self.typed: dict[FuncType, list[Raw]] = {}
        self.guard: Guard | None = None
        self._sizes = sizes

    def __repr__(self) -> str:
        return f"<Table of {len(self.elements)} {self.type_.element}>"

    @property
    def type(self) -> TableType:
        """The table's type now: its minimum is the current size (spec 4.5.1)."""
        return TableType(self.type_.element, SizeLimits(len(self.elements), self.max))

    def __len__(self) -> int:
        return len(self.elements)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self.elements))

    def __getitem__(self, i: int) -> Any:
        """The reference at index `i`. IndexError."""
        return self.elements[self._index(i)]

    def __setitem__(self, i: int, value: Any) -> None:
        """Set the reference at index `i`. IndexError, TypeError."""
        self.write(self._index(i), [self._reference(value)])

    def grow(self, n: int, init: Any = None) -> int:
        """Grow by `n` elements `init`; return the size before. ValueError beyond the maximum, be it the type's or
        `Limits.table_elements`; MemoryError beyond `Limits.total_bytes`, or for an absurd size. TypeError."""
        value = self._reference(init)
        old = len(self.elements)
        size = old + n
        if n < 0 or size > (0xFFFFFFFF if self.max is None else self.max):
            raise ValueError(f"table.grow: {old} elements and {n} more, but the maximum is {self.max}")
        if size > MAX_ELEMENTS or size * (1 + len(self.typed)) > _MAX_ENTRIES:
            raise MemoryError(f"table.grow: {size} elements are too many")
        sizes = self._sizes
        if n and sizes.elements is not None and size > sizes.elements:
            raise ValueError(
                f"table.grow: {old} elements and {n} more, but the limit table_elements is {sizes.elements}"
            )
        new = [(entries, _entry(self, value, t)) for t, entries in self.typed.items()]
        if not sizes.take(n * ELEMENT):
            raise MemoryError(
                f"table.grow: {n * ELEMENT} bytes more, but of the limit total_bytes, {sizes.total}, "
                f"there are {sizes.left} left"
            )
        self.elements.extend([value] * n)
        for entries, entry in new:
            entries.extend([entry] * n)
        return old

    def calls(self, t: FuncType) -> list[Raw]:
        """The list of raw callables for calls of type `t`, kept up from now on. MemoryError for an absurd total."""
        entries = self.typed.get(t)
        if entries is None:
            if len(self.elements) * (2 + len(self.typed)) > _MAX_ENTRIES:
                raise MemoryError(f"a table of {len(self.elements)} elements called with too many types")
            entries = self.typed[t] = [_entry(self, e, t) for e in self.elements]
        return entries

    def write(self, d: int, references: Sequence[Any]) -> None:
        """Put references at index `d` and after; all checked before."""
        end = d + len(references)
        self.elements[d:end] = references
        for t, entries in self.typed.items():
            entries[d:end] = [_entry(self, e, t) for e in references]

    def _index(self, i: int) -> int:
        if not 0 <= i < len(self.elements):
            raise IndexError(f"table: no element {show(i)} among its {len(self.elements)}")
        return i

    def _reference(self, value: Any) -> Any:
        if self.type_.element == "funcref" and value is not None and not isinstance(value, Func):
            if isinstance(value, HostFunc) and value.type is not None:
                return value.bind(value.type, "host function", None)
            raise wrong("funcref", value, "table")
        return value


def _entry(table: Table, e: Func | None, t: FuncType) -> Raw:
    if e is None:
        return uninitialized_element
    if e.type != t:
        return wrong_type
    if e.guard is not table.guard and e.guard is not None and table.guard is not None:
        e.guard = table.guard = join(e.guard, table.guard)
    return e.raw


def ref_is_null(v: Any) -> int:
    """1 for a null reference (spec 4.4.2)."""
    return 1 if v is None else 0


# --- Operations, arguments as unsigned ints, references in internal form. All but grow trap "out of bounds table
# --- access", before anything is written.


def table_get(table: Table, i: int) -> Any:
    try:
        return table.elements[i]
    except IndexError:
        raise Trap(OUT_OF_BOUNDS_TABLE) from None


def table_set(table: Table, i: int, v: Any) -> None:
    try:
        table.elements[i] = v
    except IndexError:
        raise Trap(OUT_OF_BOUNDS_TABLE) from None
    for t, entries in table.typed.items():
        entries[i] = _entry(table, v, t)


def table_size(table: Table) -> int:
    """Elements."""
    return len(table.elements)


def table_grow(table: Table, v: Any, n: int) -> int:
    """The size before, or 0xFFFFFFFF where the table cannot grow by `n`."""
    try:
        return table.grow(n, v)
    except (ValueError, MemoryError):
        return 0xFFFFFFFF


def table_fill(table: Table, i: int, v: Any, n: int) -> None:
    end = i + n
    if end > len(table.elements):
        raise Trap(OUT_OF_BOUNDS_TABLE)
    table.elements[i:end] = [v] * n
    for t, entries in table.typed.items():
        entries[i:end] = [_entry(table, v, t)] * n


def table_copy(dt: Table, st: Table, d: int, s: int, n: int) -> None:
    """Copies as if through a buffer."""
    if d + n > len(dt.elements) or s + n > len(st.elements):
        raise Trap(OUT_OF_BOUNDS_TABLE)
    dt.write(d, st.elements[s : s + n])


def table_init(table: Table, seg: Sequence[Any], d: int, s: int, n: int) -> None:
    if d + n > len(table.elements) or s + n > len(seg):
        raise Trap(OUT_OF_BOUNDS_TABLE)
    table.write(d, seg[s : s + n])
