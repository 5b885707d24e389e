"""Snapshots: an instance's state as bytes, and instances made from it (docs/snapshot.md has the format).

`take` reads an instance; `restore` makes one, of the same module, with nothing run: no start function, no active
segment. What is wrong with a snapshot is found before anything that outlives the failure is touched: the imported
memories, tables and globals, which are part of the state, are written last, when nothing can fail any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Callable

from ..func import Func
from ..globals import Global, GlobalCell
from ..instance import CodeSource, Instance, begin, bind_exports, bind_state, references, require_room, too_large
from ..limits import PAGE, Limits, Sizes
from ..link import Imports
from ..memory import MAX_PAGES, Memory
from ..table import MAX_ELEMENTS, Table
from ..traps import BusyError, SnapshotError
from ..types import FuncType, GlobalType, MemoryType, ModuleInfo, SizeLimits, TableType
from ..values import show
from . import stack
from .format import Bytes, SavedFuel, SavedTable, SavedValue, SavedWasi, Snapshot, State, encode

if TYPE_CHECKING:
    from ..wasi import Wasi

__all__ = ["Snapshot", "restore", "take"]

_MOST = (1 << 64) - 1  # units of fuel that can be said


# --- Taking


def take(instance: Instance, compress: int = 1) -> bytes:
    """See Instance.snapshot."""
    if type(compress) is not int or not 0 <= compress <= 9:
        raise ValueError(f"compress: expected a level from 0 to 9, got {show(compress)}")
    if len(instance.info.digest) != 64:
        raise SnapshotError("cannot snapshot: the module's digest is not known; compile it again")
    if instance.busy_thread:
        raise SnapshotError("cannot snapshot: a call into the instance, or one that it is linked with, is running")
    made: list[bytes] = []
    try:  # as a call, so that no other begins meanwhile
        Func(FuncType(), lambda: made.append(encode(_state(instance), compress)), "snapshot", instance)()
    except BusyError as e:
        raise SnapshotError(f"cannot snapshot: {e}") from None
    return made[0]


def _state(instance: Instance) -> State:
    info, namespace = instance.info, instance.namespace
    references = _References(instance)
    values = [
        references.saved_global(i, t) for i, (t, imported) in enumerate(_globals(info)) if t.mutable or not imported
    ]
    return State(
        info.digest,
        [memory.data for memory in instance.memories],
        [references.table(i, table) for i, table in enumerate(instance.tables)],
        values,
        [not namespace[f"data_seg{i}"] for i in range(len(info.datas))],
        [not namespace[f"elem_seg{i}"] for i in range(len(info.elems))],
        _fuel(instance),
        stack.save(instance, references.value),
        _wasi_state(instance),
    )


class _References:
    """References as function indices."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        imported = sum(i.kind == "func" for i in instance.info.imports)
        # The lowest index of a function that is imported twice.
        self.imports = {id(instance._funcs[i]): i for i in reversed(range(imported))}

    def index(self, f: Func, where: str) -> int:
        i = f.index if f.instance is self.instance else self.imports.get(id(f))
        if i is None:
            raise SnapshotError(f"cannot snapshot: {where}: {show(f)} is no function of this instance's module")
        return i

    def table(self, i: int, table: Table) -> SavedTable:
        if table.type_.element != "funcref":
            for k, value in enumerate(table.elements):
                if value is not None:
                    raise SnapshotError(f"cannot snapshot: table {i}: element {k}: {_host_object(value)}")
            return SavedTable(len(table), ())
        runs: list[tuple[int, tuple[int, ...]]] = []
        run: list[int] = []
        for k, f in enumerate([*table.elements, None]):
            if f is not None:
                run.append(self.index(f, f"table {i}: element {k}"))
            elif run:
                runs.append((k - len(run), tuple(run)))
                run = []
        return SavedTable(len(table), tuple(runs))

    def saved_global(self, i: int, t: GlobalType) -> SavedValue:
        info = self.instance.info
        value = self.instance.namespace[info.global_names[i]]
        return self.value(t.type, value.value if i in info.global_cells else value, f"global {i}")

    def value(self, t: str, value: Any, where: str) -> SavedValue:
        """A value of type `t`; errors say `where` it is."""
        if value is not None and t == "funcref":
            value = self.index(value, where)
        elif value is not None and t == "externref":
            raise SnapshotError(f"cannot snapshot: {where}: {_host_object(value)}")
        return SavedValue(t, value)


def _host_object(value: object) -> str:
    return f"{show(value)} is an object of the host's"


def _fuel(instance: Instance) -> SavedFuel | None:
    left, used = instance.fuel, instance.fuel_used
    return None if used is None else SavedFuel(None if left is None else min(left, _MOST), min(used, _MOST))


def _wasi_state(instance: Instance) -> SavedWasi | None:
    wasi = instance.wasi
    if wasi is None or not _uses_wasi(instance.info):
        return None
    from ..wasi.saved import save

    return save(wasi._process)


def _uses_wasi(info: ModuleInfo) -> bool:
    from ..wasi.imports import NAMESPACE

    return any(i.module == NAMESPACE for i in info.imports)


# --- Restoring


def restore(
    info: ModuleInfo,
    code: CodeSource,
    snapshot: Snapshot | Bytes,
    imports: Imports | None = None,
    *,
    wasi: Wasi | None = None,
    blob: bytes = b"",
    limits: Limits | None = None,
) -> Instance:
    """A new instance in the state that `snapshot`, bytes or a Snapshot, was taken in; other arguments as `instantiate`.

    Imported functions and immutable globals are those given now. Imported memories, tables and mutable globals are
    part of the state: they are grown and written. `wasi`, which must serve no other instance, gives streams, folders,
    clocks and randomness; the guest's arguments, environment and open files are those saved.

    If the snapshot was taken under a limit of fuel, what was left then is left; `limits` None is that limit alone, and
    limits without one free the instance of it. A suspended call is one again, and needs the interpreter.

    Raises SnapshotError, LinkError, PolymeraseError if a memory or table is too large for this machine, ValueError if
    `wasi` serves another instance; what was given is as before.
    """
    if not isinstance(snapshot, Snapshot):
        snapshot = Snapshot(snapshot, keep=False)
    _check(snapshot, info, wasi)
    process = None if wasi is None else getattr(wasi, "_process", None)
    if limits is None:
        limits = snapshot.limits
    served = process is not None and process.serves
    if served and _uses_wasi(info):
        raise ValueError("wasi: serves another instance; a restored one takes a new Wasi")
    try:
        return _restore(info, code, snapshot, imports, wasi, blob, limits)
    except BaseException:
        if process is not None:
            process.serves = served
        raise


def _restore(
    info: ModuleInfo,
    code: CodeSource,
    snapshot: Snapshot,
    imports: Imports | None,
    wasi: Wasi | None,
    blob: bytes,
    limits: Limits,
) -> Instance:
    instance = begin(info, code, imports, wasi, blob, limits)
    memories, tables, global_cells = list(instance.memories), list(instance.tables), list(instance.globals)  # imported
    sizes: dict[int, int] = {}
    for i, memory in enumerate(memories):
        _check_import(f"memory {i}", "pages", snapshot.memories[i].pages, memory, memory.size, sizes)
    for i, table in enumerate(tables):
        _check_import(f"table {i}", "elements", snapshot.tables[i].size, table, len(table), sizes)
    require_room(
        instance,
        [saved.pages for saved in snapshot.memories[len(memories) :]],
        [saved.size for saved in snapshot.tables[len(tables) :]],
    )
    # Unpacked now, for what is damaged must not be found when half is written.
    contents = [list(snapshot.pieces(i)) for i in range(len(memories))]
    try:
        for i, memory_type in enumerate(info.memories, len(memories)):
            instance.memories.append(_new_memory(memory_type, snapshot, i, instance.sizes))
        for (table_type, _), saved in zip(info.tables, snapshot.tables[len(tables) :]):
            instance.tables.append(_new_table(table_type, saved, instance.sizes))
        _grow(memories, tables, snapshot)
        values = _global_values(instance, snapshot)
        for t, value in values[len(global_cells) :]:
            instance.globals.append(Global.of_cell(t, GlobalCell(value)))
        bind_state(instance)
    except (MemoryError, OverflowError) as e:
        raise too_large(info, e) from e
    contents_of_tables = [_elements(instance, saved) for saved in snapshot.tables]
    for table, elements in zip(instance.tables[len(tables) :], contents_of_tables[len(tables) :]):
        table.write(0, elements)
    for i, elem in enumerate(info.elems):
        instance.namespace[f"elem_seg{i}"] = [] if snapshot.dropped_elems[i] else references(instance, elem)
    for i, data in enumerate(info.datas):
        instance.namespace[f"data_seg{i}"] = b"" if snapshot.dropped_datas[i] else blob[data.start : data.end]
    _set_fuel(instance, snapshot.fuel)
    suspension = None if snapshot.stack is None else stack.restored(instance, snapshot.stack)
    bind_exports(instance)
    take_up = _reopened(snapshot, wasi)

    # Nothing fails any more: what was given is written to.
    take_up()
    for memory, pieces in zip(memories, contents):
        _overwrite(memory, pieces)
    for table, elements in zip(tables, contents_of_tables):
        table.write(0, elements)
    for g, (t, value) in zip(global_cells, values):
        if t.mutable:
            g.cell.value = value
    if suspension is not None:
        stack.suspend(instance, suspension)
    return instance


def _grow(memories: list[Memory], tables: list[Table], snapshot: Snapshot) -> None:
    """Bring imported memories and tables to the sizes that were saved."""
    try:
        for memory, saved in zip(memories, snapshot.memories):
            memory.grow(saved.pages - memory.size)
        for table, saved_table in zip(tables, snapshot.tables):
            table.grow(saved_table.size - len(table))
    except ValueError as e:  # its maker's limits
        raise SnapshotError(f"snapshot: {e}") from e


def _new_memory(t: MemoryType, snapshot: Snapshot, i: int, sizes: Sizes) -> Memory:
    memory = Memory(MemoryType(SizeLimits(snapshot.memories[i].pages, t.limits.max)), sizes=sizes)
    memory.min = t.limits.min
    data = memory.data
    for at, piece in snapshot.pieces(i):
        data[at : at + len(piece)] = piece
    return memory


def _new_table(t: TableType, saved: SavedTable, sizes: Sizes) -> Table:
    table = Table(TableType(t.element, SizeLimits(saved.size, t.limits.max)), sizes=sizes)
    table.type_ = t
    return table


def _elements(instance: Instance, saved: SavedTable) -> list[Any]:
    elements: list[Any] = [None] * saved.size
    for start, indices in saved.runs:
        elements[start : start + len(indices)] = map(instance.func, indices)
    return elements


def _global_values(instance: Instance, snapshot: Snapshot) -> list[tuple[GlobalType, Any]]:
    """Type and value, in internal form, of each global; of imported immutable ones those that were given."""
    saved = iter(snapshot.globals)
    values = []
    for i, (t, imported) in enumerate(_globals(instance.info)):
        if imported and not t.mutable:
            value = instance.globals[i].cell.value
        else:
            value = next(saved).value
            if t.type == "funcref" and value is not None:
                value = instance.func(value)
        values.append((t, value))
    return values


def _overwrite(memory: Memory, pieces: Sequence[tuple[int, bytes]]) -> None:
    """Make the memory hold `pieces` and zeros."""
    data = memory.data
    zeros = bytes(PAGE)
    for at in range(0, len(data), PAGE):
        if bytes(data[at : at + PAGE]) != zeros:  # writing would take memory from the system
            data[at : at + PAGE] = zeros
    for at, piece in pieces:
        data[at : at + len(piece)] = piece


def _set_fuel(instance: Instance, saved: SavedFuel | None) -> None:
    meter = instance.meter
    if meter is None or saved is None:
        return
    if saved.left is not None and not meter.endless:
        instance.fuel = saved.left
    meter.granted += saved.used


def _reopened(snapshot: Snapshot, wasi: Wasi | None) -> Callable[[], None]:
    """Open the guest's files; what is returned gives them to `wasi`."""
    saved = snapshot.wasi
    if saved is None:
        return lambda: None
    from ..wasi.saved import reopen, take_up

    assert wasi is not None
    process = wasi._process
    opened = reopen(process, saved)
    return lambda: take_up(process, saved, opened)


# --- What a snapshot must have in common with the module and with what is given


def _check(snapshot: Snapshot, info: ModuleInfo, wasi: Wasi | None) -> None:
    """SnapshotError unless `snapshot` is of the module of `info` and says nothing that is impossible there."""
    if not info.digest:
        raise SnapshotError("snapshot: the module's digest is not known; compile it again")
    if snapshot.digest != info.digest:
        raise SnapshotError(f"snapshot: of another module, {snapshot.digest[:16]}…; this is {info.digest[:16]}…")
    memory_types = [t.limits for t in _imported(info, "memory")] + [t.limits for t in info.memories]
    _same(len(memory_types), len(snapshot.memories), "memories")
    for i, (limits, memory) in enumerate(zip(memory_types, snapshot.memories)):
        _check_size(f"memory {i}", "pages", limits, memory.pages, MAX_PAGES)
    table_types = [*_imported(info, "table"), *(t for t, _ in info.tables)]
    _same(len(table_types), len(snapshot.tables), "tables")
    for i, (t, table) in enumerate(zip(table_types, snapshot.tables)):
        _check_size(f"table {i}", "elements", t.limits, table.size, MAX_ELEMENTS)
        if table.runs and t.element != "funcref":
            raise SnapshotError(f"snapshot: table {i}: functions in a table of {t.element}")
        for start, indices in table.runs:
            if max(indices) >= len(info.funcs):
                k = next(k for k, f in enumerate(indices) if f >= len(info.funcs))
                raise SnapshotError(f"snapshot: table {i}: element {start + k}: {_no_func(indices[k], info)}")
    types = [(i, t) for i, (t, imported) in enumerate(_globals(info)) if t.mutable or not imported]
    _same(len(types), len(snapshot.globals), "globals that are the instance's or may change")
    for (i, global_type), saved in zip(types, snapshot.globals):
        if global_type.type != saved.type:
            raise SnapshotError(f"snapshot: global {i}: expected {global_type.type}, got {saved.type}")
        if saved.type == "funcref" and saved.value is not None and saved.value >= len(info.funcs):
            raise SnapshotError(f"snapshot: global {i}: {_no_func(saved.value, info)}")
    gone_datas = [d.mode != "passive" or d.start == d.end for d in info.datas]
    gone_elems = [e.mode != "passive" or not e.items for e in info.elems]
    for gone, dropped, what in (
        (gone_datas, snapshot.dropped_datas, "data segment"),
        (gone_elems, snapshot.dropped_elems, "element segment"),
    ):
        _same(len(gone), len(dropped), f"{what}s")
        for i, (must, is_dropped) in enumerate(zip(gone, dropped)):
            if must and not is_dropped:
                raise SnapshotError(f"snapshot: {what} {i}: neither passive nor dropped")
    if snapshot.wasi is not None and (wasi is None or not _uses_wasi(info)):
        fault = "the module imports nothing of it" if wasi is not None else "no wasi is given"
        raise SnapshotError(f"snapshot: there is state of WASI, but {fault}")


def _check_size(where: str, unit: str, limits: SizeLimits, size: int, most: int) -> None:
    most = most if limits.max is None else min(limits.max, most)
    if not limits.min <= size <= most:
        raise SnapshotError(f"snapshot: {where}: {size} {unit}, but the module says {limits.min} to {most}")


def _check_import(where: str, unit: str, saved: int, given: Memory | Table, size: int, sizes: dict[int, int]) -> None:
    """That `given`, of `size`, can have the size that was saved. `sizes` are those of what was given before, by id."""
    if saved < size or given.max is not None and saved > given.max:
        bound = f"has {size}" if saved < size else f"may have {given.max}"
        raise SnapshotError(f"snapshot: {where}: {saved} {unit}, but the one that is imported {bound}")
    if sizes.setdefault(id(given), saved) != saved:
        raise SnapshotError(f"snapshot: {where}: {saved} {unit}, but the one that is imported is another import, too")


def _same(expected: int, got: int, what: str) -> None:
    if expected != got:
        raise SnapshotError(f"snapshot: expected {expected} {what}, got {got}")


def _no_func(i: int, info: ModuleInfo) -> str:
    return f"function {i} of {len(info.funcs)}"


def _imported(info: ModuleInfo, kind: str) -> Iterator[Any]:
    return (i.type for i in info.imports if i.kind == kind)


def _globals(info: ModuleInfo) -> Iterator[tuple[GlobalType, bool]]:
    """The type of each global, and whether it is imported."""
    for t in _imported(info, "global"):
        yield t, True
    for t, _ in info.globals:
        yield t, False
