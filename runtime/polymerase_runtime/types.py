"""Types and descriptions of modules as plain data: what compiled code tells the runtime about itself (spec 2.3, 2.5).

Value types are strings: "i32", "i64", "f32", "f64", "v128", "funcref", "externref". All classes here are named tuples:
immutable, hashable, compared by content, and written as a call by `repr`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Union

ABI = 2  # of the names and shapes that emitted code relies on; raised when emitted code must be made again

# A constant expression: instructions with their immediates, without the final `end`: (("i32.const", 5),),
# (("global.get", 0),), (("ref.func", 3),), (("ref.null", "func"),). Integers unsigned; floats as their IEEE 754 bits.
ConstExpr = tuple[tuple[Any, ...], ...]


class FuncType(NamedTuple):
    """Parameter and result types of a function: "i32", "i64", "f32", "f64", "funcref", "externref". Equality is
    structural, as the spec's."""

    params: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"[{' '.join(self.params)}] -> [{' '.join(self.results)}]"


class SizeLimits(NamedTuple):
    """Bounds in a type (the spec's "limits"): pages of 64 KiB (memories) or elements (tables). `max` None: no bound."""

    min: int
    max: int | None = None

    def __str__(self) -> str:
        return str(self.min) if self.max is None else f"{self.min} {self.max}"


class TableType(NamedTuple):
    """The type of a table: what it holds, "funcref" or "externref", and how many (elements)."""

    element: str
    limits: SizeLimits

    def __str__(self) -> str:
        return f"table {self.limits} {self.element}"


class MemoryType(NamedTuple):
    """The type of a memory; limits in pages of 64 KiB."""

    limits: SizeLimits

    def __str__(self) -> str:
        return f"memory {self.limits}"


class GlobalType(NamedTuple):
    """The type of a global's value, as in FuncType, and whether it may change."""

    type: str
    mutable: bool = False

    def __str__(self) -> str:
        return f"(mut {self.type})" if self.mutable else self.type


ExternType = Union[FuncType, TableType, MemoryType, GlobalType]


class ImportType(NamedTuple):
    """What a module wants. `kind` is "func", "table", "memory" or "global", and `type` the FuncType, TableType,
    MemoryType or GlobalType that goes with it. Names are what the module says: any text."""

    module: str
    name: str
    kind: str
    type: ExternType


class ExportType(NamedTuple):
    """What a module offers; `kind` as in ImportType."""

    name: str
    kind: str
    type: ExternType


class Elem(NamedTuple):
    """An element segment. `mode` is "active", "passive" or "declarative"; `offset` is None unless active.

    Each item is a function index, None for a null reference, or a constant expression.
    """

    mode: str
    table: int
    offset: ConstExpr | None
    type: str
    items: tuple[Any, ...]


class Data(NamedTuple):
    """A data segment: bytes `start` to `end` of the module's blob. `mode` is "active" or "passive"."""

    mode: str
    memory: int
    offset: ConstExpr | None
    start: int
    end: int


def active_datas(text: str) -> tuple[Data, ...]:
    """Data segments, active in memory 0, that lie one after the other in the blob: `OFFSET+SIZE` each, in bytes,
    separated by white space. It takes a tenth of the source, and of the time to compile it, of as many Data: programs
    in Go have 60,000 segments."""
    datas = []
    start = 0
    for segment in text.split():
        offset, _, size = segment.partition("+")
        end = start + int(size)
        datas.append(Data("active", 0, (("i32.const", int(offset)),), start, end))
        start = end
    return tuple(datas)


class ModuleInfo(NamedTuple):
    """All that the runtime must know of a module besides its code.

    Index spaces hold imports first; `tables`, `memories` and `globals` are the defined ones alone. `funcs` (type
    indices), `func_names` and `global_names` (the names in the namespace) cover the whole index spaces. `global_cells`
    are the globals that other instances may change or see change: mutable ones that are imported or exported.
    `typed_tables` are the pairs (table, smallest index of the type) that the code calls through. `wasm_names` holds
    names of functions as the module gives them, hostile text included. `frame_slots` is the largest number of Python
    locals and stack slots of a function, 0 if unknown: it bounds how deep guest code may recurse. `digest` is the
    SHA-256 of the module's bytes in hex, by which what is kept of a module's run is told from another's. `controls` are
    what the code was compiled with, sorted: "depth", "deterministic", "fuel", "no_floats", "polls" (see controls.py);
    `fuel_costs` what each instruction costs (with "fuel"), sorted by name, none missing.
    """

    name: str
    target: str  # "cpython" or "pypy": how the code is spelled
    types: tuple[FuncType, ...] = ()
    imports: tuple[ImportType, ...] = ()
    funcs: tuple[int, ...] = ()
    tables: tuple[tuple[TableType, ConstExpr | None], ...] = ()
    memories: tuple[MemoryType, ...] = ()
    globals: tuple[tuple[GlobalType, ConstExpr], ...] = ()
    exports: tuple[tuple[str, str, int], ...] = ()  # (name, kind, index)
    start: int | None = None
    elems: tuple[Elem, ...] = ()
    datas: tuple[Data, ...] = ()
    func_names: tuple[str, ...] = ()
    global_names: tuple[str, ...] = ()
    global_cells: frozenset[int] = frozenset()
    typed_tables: tuple[tuple[int, int], ...] = ()
    wasm_names: dict[int, str] = {}
    abi: int = ABI
    frame_slots: int = 0
    digest: str = ""
    controls: tuple[str, ...] = ()
    fuel_costs: tuple[tuple[str, int], ...] = ()
