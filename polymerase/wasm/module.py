"""A decoded module as data: what the sections say, with byte offsets, nothing resolved that the bytes do not say.

Function bodies stay bytes (`Code.start`, `Code.end`): `decode_body` turns one into instructions when it is needed,
so that a module of many megabytes costs little more memory than its file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from polymerase.wasm.types import (
    ExternType,
    FuncType,
    GlobalType,
    MemoryType,
    RefType,
    TableType,
    ValType,
)

# One instruction: (opcode, immediate, byte offset). The opcode indexes `ops.OPS`; what the immediate is depends on
# the row's `imm` and is told there. A plain tuple, because a large module has millions.
Instr = tuple[int, Any, int]
ConstExpr = tuple[Instr, ...]  # without the final `end`


@dataclass(frozen=True, slots=True)
class Import:
    """One import. `kind` is "func", "table", "memory" or "global"; `type_index` only for functions."""

    module: str
    name: str
    kind: str
    type: ExternType
    type_index: int | None
    at: int


@dataclass(frozen=True, slots=True)
class Export:
    """One export; `index` counts in the index space of `kind`."""

    name: str
    kind: str
    index: int
    at: int


@dataclass(frozen=True, slots=True)
class Code:
    """A function body: its local declarations as (count, type) runs, never expanded here, and the span of its bytes.

    `start` is the offset of the first instruction, `end` the offset just past the final `end` opcode, `at` the offset
    of the body's size field.
    """

    locals: tuple[tuple[int, ValType], ...]
    start: int
    end: int
    at: int


@dataclass(frozen=True, slots=True)
class Table:
    """A defined table; `init` fills it (None: null)."""

    type: TableType
    init: ConstExpr | None
    at: int


@dataclass(frozen=True, slots=True)
class Memory:
    """A defined memory."""

    type: MemoryType
    at: int


@dataclass(frozen=True, slots=True)
class Global:
    """A defined global and the constant expression of its first value."""

    type: GlobalType
    init: ConstExpr
    at: int


@dataclass(frozen=True, slots=True)
class Elem:
    """An element segment. `mode` is "active", "passive" or "declarative"; `table`, `offset` only when active."""

    mode: str
    table: int
    offset: ConstExpr | None
    type: RefType
    init: tuple[ConstExpr, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Data:
    """A data segment: bytes `start` to `end` of the module. `mode` is "active" or "passive"."""

    mode: str
    memory: int
    offset: ConstExpr | None
    start: int
    end: int
    at: int


@dataclass(frozen=True, slots=True)
class Section:
    """Where a section lies: `start` and `end` of its payload; `name` is the custom section's name or the spec's."""

    id: int
    name: str
    start: int
    end: int


@dataclass(slots=True)
class Names:
    """What the name section says, hostile text included; empty where there is none or it is malformed."""

    module: str | None = None
    funcs: dict[int, str] = field(default_factory=dict)
    locals: dict[int, dict[int, str]] = field(default_factory=dict)
    globals: dict[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class Module:
    """A module as decoded. Index spaces hold imports first, as the spec has it (2.5)."""

    data: bytes
    file: str = "<module>"
    types: list[FuncType] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    func_types: list[int] = field(default_factory=list)  # type index of every function, imported ones first
    tables: list[Table] = field(default_factory=list)  # defined ones only
    memories: list[Memory] = field(default_factory=list)  # defined ones only
    globals: list[Global] = field(default_factory=list)  # defined ones only
    exports: list[Export] = field(default_factory=list)
    start: int | None = None
    elems: list[Elem] = field(default_factory=list)
    data_count: int | None = None
    datas: list[Data] = field(default_factory=list)
    codes: list[Code] = field(default_factory=list)  # of the defined functions
    sections: list[Section] = field(default_factory=list)
    names: Names = field(default_factory=Names)
    # The whole index spaces, imports included, filled by decode:
    table_types: list[TableType] = field(default_factory=list)
    memory_types: list[MemoryType] = field(default_factory=list)
    global_types: list[GlobalType] = field(default_factory=list)
    imported_funcs: int = 0
    imported_tables: int = 0
    imported_memories: int = 0
    imported_globals: int = 0

    def __reduce__(self) -> tuple[Any, tuple[bytes, str]]:
        """To another process a module goes as its bytes, to be decoded there."""
        from polymerase.wasm.decode import decode  # which imports this module

        return decode, (self.data, self.file)

    def functions_named(self, text: str) -> list[int]:
        """The defined functions that are meant by `text`: an index or a name of the name section, else an export."""
        first = self.imported_funcs
        defined = range(first, len(self.func_types))
        found = [i for i in defined if text == str(i) or text == self.names.funcs.get(i)]
        return found or [e.index for e in self.exports if e.kind == "func" and e.name == text and e.index >= first]

    def func_type(self, i: int) -> FuncType:
        """The type of function `i` of the function index space."""
        return self.types[self.func_types[i]]

    def value_slots(self, i: int) -> int:
        """How many parameters and locals the defined function `i` of the function index space has."""
        return len(self.func_type(i).params) + sum(count for count, _ in self.codes[i - self.imported_funcs].locals)
