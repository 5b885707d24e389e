"""Instantiation (spec 4.5.4): from compiled code and imports to an instance.

One instance is one namespace, the dict of a module object, in which the module's functions are defined; its names are
the ABI between emitted code and the runtime. The dict must be a module's: PyPy's JIT looks names up at compile time
only there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, cast
from weakref import ref

from . import controls as _controls
from . import memory as _memory
from . import numeric as _numeric
from . import spelling as _spelling
from . import table as _table
from .border import Guard, depth_of, join, lower
from .func import Func
from .globals import Global, GlobalCell
from .interrupts import interrupt
from .limits import UNLIMITED, Limits, Sizes
from .link import Imports, ImportSource, resolve, sources
from .memory import Memory
from .numeric import f32_reinterpret_i32, f64_reinterpret_i64
from .table import Table, ref_is_null, table_init
from .tail import TailCall, make_trampoline
from .traps import OUT_OF_BOUNDS_MEMORY, PolymeraseError, Trap, quoted, unreachable
from .types import ABI, ConstExpr, Elem, FuncType, ModuleInfo
from .values import show

if TYPE_CHECKING:
    from .interpreter import Machine, Suspension
    from .wasi import Wasi


SHOWN_NAMES = 20  # exports listed in an error and by repr


class CodeSource(Protocol):
    """The compiled functions of a module."""

    def bind(self, namespace: dict[str, Any]) -> None:
        """Define the module's functions, or stubs that load them, in a namespace."""

    def locate(self, filename: str, lineno: int) -> Optional[int]:  # noqa: UP045 - 3.9 has no `int | None`
        """The byte offset in the module of a line of Python that a traceback names; None if it is not the module's."""


class _Words(str):
    """Text of a KeyError, which shows its argument's `repr`."""

    def __repr__(self) -> str:
        return str(self)


def _no_export(name: object, exports: Mapping[str, Any]) -> str:
    """What to say of an export that is not there."""
    words = quoted(name) if isinstance(name, str) else show(name)
    names = ", ".join(map(quoted, list(exports)[:SHOWN_NAMES])) + ", …" * (len(exports) > SHOWN_NAMES)
    return _Words(f"the instance exports no {words}; its exports: {names or 'none'}")


class Exports(Mapping[str, Any]):
    """What an instance exports, by name: Func, Memory, Table or Global. Also as attributes, where the name is not
    double-underscored; an export named like a method, such as "get", hides it."""

    _by_name: dict[str, Any]

    def __init__(self, exports: dict[str, Any]) -> None:
        attributes = self.__dict__
        attributes.update((name, e) for name, e in exports.items() if not name.startswith("_"))
        attributes["_by_name"] = exports

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            try:
                return self._by_name[name]
            except KeyError:
                pass
        raise AttributeError(_no_export(name, self._by_name))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("exports cannot be set")

    def __getitem__(self, name: str) -> Any:
        """The export of that name. KeyError saying what there is."""
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(_no_export(name, self._by_name)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __dir__(self) -> list[str]:
        return sorted(self._by_name)

    def __repr__(self) -> str:
        return f"<Exports {', '.join(map(quoted, list(self._by_name)[:SHOWN_NAMES]))}>"


class Instance:
    """A module's state, running in one namespace. Made by `instantiate`.

    `exports` is what it offers: a mapping of names to Func, Memory, Table and Global, whose names are attributes, too.
    `limits` is what it may use, `wasi` the Wasi that serves it, or None. One thread at a time may call it. `info`,
    `code`, `namespace`, `tables`, `memories` and `globals` are the runtime's.
    """

    exports: Exports
    leaf_names: frozenset[str]  # the helpers that call nothing of the guest's

    def __init__(self, info: ModuleInfo, code: CodeSource, limits: Limits = UNLIMITED) -> None:
        self.limits = limits
        self.sizes = Sizes(limits)
        self.info = info
        self.code = code
        self._module = ModuleType(info.name)
        self.namespace = self._module.__dict__
        self.tables: list[Table] = []
        self.memories: list[Memory] = []
        self.globals: list[Global] = []
        self.wasi: Wasi | None = None  # what `wasi` was given
        self.depth = depth_of(info.frame_slots)
        self.meter: _controls.Meter | None = None  # with metered code
        self.guard = Guard()
        self.guard.members.append(ref(self))
        self.watch: Any = None  # of the call that is under a deadline: see interrupts.py
        self._funcs: dict[int, Func] = {}
        self.machine: Machine | None = None  # the interpreter, if functions are interpreted

    def __repr__(self) -> str:
        return f"<Instance of {quoted(self.info.name)}>"

    @property
    def busy_thread(self) -> int:
        """The ident of the thread in which a call of the instance is running, or of one that it is linked with by
        functions or tables; 0 if there is none."""
        return self.guard.thread

    @property
    def memory(self) -> Memory:
        """The memory exported as "memory", else memory 0. LookupError if there is none."""
        memory = self.exports._by_name.get("memory") if "exports" in self.__dict__ else None
        if isinstance(memory, Memory):
            return memory
        if not self.memories:
            raise LookupError("the instance has no memory")
        return self.memories[0]

    def snapshot(self, compress: int = 1) -> bytes:
        """The instance's state as bytes, for `restore` of the same module (docs/snapshot.md).

        Memories, tables, globals, segments, fuel, a suspended call, and what the guest has of WASI; the same state
        gives the same bytes.
        `compress` is zlib's level: 0 packs nothing, 9 best. Raises SnapshotError naming what cannot be saved, or if
        the instance runs; the instance is as before.
        """
        from .snapshot import take

        return take(self, compress)

    @property
    def suspended(self) -> Suspension | None:
        """The call that is suspended, if one is (see `resume`)."""
        return None if self.machine is None else self.machine.suspended

    def resume(self, *values: Any) -> Any:
        """Go on with the call that was suspended, and return its results, as the call would have.

        If a host function suspended it, `values` are that function's results; otherwise there are none. Raises
        PolymeraseError when nothing is suspended, TypeError or OverflowError for values that are no such results
        (nothing has changed then), and what the call would: Trap, Suspended when it is suspended again.
        """
        suspension = self.suspended
        if suspension is None or self.machine is None:
            raise PolymeraseError("nothing to resume: the instance is not suspended")
        entry = self.func(suspension.entry)
        t = FuncType(suspension.results, entry.type.results)
        return Func(t, self.machine.resume, entry.name, self, entry.index)(*values)

    @property
    def fuel(self) -> int | None:
        """Units of fuel left; None if there is no limit. May be set, also from host functions, though not by another
        thread while a call runs; None takes the limit away. Setting raises TypeError, ValueError, PolymeraseError if
        the instance was made without `Limits.fuel`."""
        return _controls.fuel_left(self)

    @fuel.setter
    def fuel(self, units: int | None) -> None:
        _controls.set_fuel(self, units)

    @property
    def fuel_used(self) -> int | None:
        """Units charged since the instance was made; None if it is not metered."""
        return _controls.fuel_used(self)

    def interrupt(self, *, suspend: bool = False) -> bool:
        """Stop the call that runs in this instance, or in one linked with it by imports of functions or tables: within
        100 ms it raises Trap "interrupt", or Suspended if `suspend`, which needs the interpreter. From any thread, or a
        signal handler. Returns whether a call was running; if none was, nothing happens, and a later call is not
        stopped. A call that ends by itself in the meantime is not stopped either; one that is in a host function is
        stopped when that returns.

        Raises PolymeraseError if the code does not look: without `Limits.interruptible`, or a package that was compiled
        without --interruptible.
        """
        if not (_controls.is_interruptible(self.info) or getattr(self.code, "can_suspend", False)):
            raise PolymeraseError(f"{quoted(self.info.name)} cannot be interrupted: compiled without --interruptible")
        if suspend and (self.machine is None or not getattr(self.code, "can_suspend", False)):
            raise PolymeraseError('compiled code cannot be suspended: it needs engine="interp"')
        if suspend and self.machine is not None:
            self.machine.stopping = True
        stopped = interrupt(self)
        if suspend and not stopped and self.machine is not None:
            self.machine.stopping = False
        return stopped

    def charge(self, units: int) -> None:
        """Take `units` of fuel, for work that a host function does. Nothing happens if the instance is not metered.

        Raises Trap "all fuel consumed" if so many are not left and `Limits.on_fuel` gives none; nothing is taken then.
        TypeError, ValueError for what is no number of units.
        """
        _controls.charge(self, units)

    def func(self, i: int) -> Func:
        """Function `i` of the function index space; always the same object."""
        found = self._funcs.get(i)
        if found is None:
            info = self.info
            name = info.wasm_names.get(i)
            raw = self.namespace[info.func_names[i]]
            found = Func(info.types[info.funcs[i]], raw, f"func {i}" if name is None else name, self, i)
            self._funcs[i] = found
        return found

    def bound_depth(self, slots: int) -> None:
        """There is a function of `slots` locals and stack slots: from now on guest code may recurse no deeper than such
        frames have room for. RecursionError if it has done so already."""
        depth = depth_of(slots)
        if depth < self.depth:
            lower(depth)
            self.depth = depth
            for f in list(self._funcs.values()):
                if f.instance is self:
                    f.bound_depth(depth)


def ref_func(instance: Instance, i: int) -> Func:
    """The reference to function `i` (spec 4.4.2)."""
    return instance.func(i)


# What emitted functions find in their namespace besides the instance's own state.
HELPERS: dict[str, Any] = {
    **{name: op for name, op in vars(_numeric).items() if name[:4] in ("i32_", "i64_", "f32_", "f64_")},
    **{name: op for name, op in vars(_memory).items() if name[:4] in ("i32_", "i64_", "f32_", "f64_")},
    **{name: op for name, op in vars(_memory).items() if name.startswith("memory_")},
    **{name: op for name, op in vars(_table).items() if name.startswith("table_")},
    **{name: vars(_spelling)[name] for name in _spelling.__all__},
    "TailCall": TailCall,
    "exhausted": _controls.exhausted,
    "make_trampoline": make_trampoline,
    "ref_func": ref_func,
    "ref_is_null": ref_is_null,
    "refuel": _controls.refuel,
    "stop": _controls.stop,
    "unreachable": unreachable,
}
Instance.leaf_names = frozenset(HELPERS) - {"TailCall", "make_trampoline", "refuel"}


def instantiate(
    info: ModuleInfo,
    code: CodeSource,
    imports: Imports | None = None,
    *,
    wasi: Wasi | None = None,
    blob: bytes = b"",
    limits: Limits = UNLIMITED,
) -> Instance:
    """A new instance, in the spec's order: imports, globals, segments, start function.

    `imports` as in link.py; `wasi` serves what it lacks. `blob` holds the data segments; `limits` bounds what the
    instance may use. Raises LinkError; Trap from
    active segments that do not fit and from the start function, in which case what was written before stays written
    (spec 4.5.4); PolymeraseError if a memory or table is too large for `limits` or for this machine.
    """
    instance = begin(info, code, imports, wasi, blob, limits)
    require_room(instance, [t.limits.min for t in info.memories], [t.limits.min for t, _ in info.tables])
    try:
        _allocate(instance)
        bind_state(instance)
    except (MemoryError, OverflowError) as e:
        raise too_large(info, e) from e
    bind_exports(instance)
    _fill(instance, blob)
    if info.start is not None:
        instance.func(info.start)()
    return instance


# --- The steps, those with public names shared with `snapshot.restore`


def begin(
    info: ModuleInfo,
    code: CodeSource,
    imports: Imports | None,
    wasi: Wasi | None,
    blob: bytes,
    limits: Limits,
) -> Instance:
    """An instance with its code and imports, but no state of its own."""
    if info.abi != ABI:
        raise PolymeraseError(f"the module was compiled for ABI {info.abi} of the runtime, this one has {ABI}")
    if info.datas and max(data.end for data in info.datas) > len(blob):
        raise PolymeraseError(f"the data segments end at byte {max(data.end for data in info.datas)} of {len(blob)}")
    if info.target == "cpython" and sys.byteorder != "little":
        raise PolymeraseError('memory views need a little-endian machine: compile with --target "pypy"')
    if wasi is not None:
        _require_wasi(wasi)
    instance = Instance(info, code, limits)
    instance.wasi = wasi
    namespace = instance.namespace
    namespace.update(HELPERS)
    namespace["instance"] = namespace["__polymerase__"] = instance
    _controls.install(instance)
    code.bind(namespace)
    if not info.frame_slots:
        instance.depth = depth_of(max(map(_slots, namespace.values())))
    _link(instance, sources(imports, wasi))
    return instance


def require_room(instance: Instance, memories: list[int], tables: list[int]) -> None:
    """PolymeraseError if memories of so many pages and tables of so many elements are more than the limits allow."""
    fault = instance.sizes.start(memories, tables)
    if fault:
        raise PolymeraseError(f"cannot instantiate {quoted(instance.info.name)}: {fault}")


def too_large(info: ModuleInfo, e: Exception) -> PolymeraseError:
    """The error that says that a memory or table cannot be had."""
    return PolymeraseError(f"cannot instantiate {quoted(info.name)}: {e or 'out of memory'}")


def bind_exports(instance: Instance) -> None:
    """Make the exports, once there is what they name."""
    by_kind: dict[str, Callable[[int], Any]] = {
        "func": instance.func,
        "table": instance.tables.__getitem__,
        "memory": instance.memories.__getitem__,
        "global": instance.globals.__getitem__,
    }
    exports = {}
    named: set[int] = set()
    for name, kind, i in instance.info.exports:
        exports[name] = value = by_kind[kind](i)
        if isinstance(value, Func) and value.instance is instance and i not in named:
            value.name = name  # rather than the name section's: it is what the caller knows
            named.add(i)
    instance.exports = Exports(exports)


def _slots(value: Any) -> int:
    """Locals and stack slots of a frame of a compiled function."""
    return value.__code__.co_nlocals + value.__code__.co_stacksize if type(value) is FunctionType else 0


def _require_wasi(wasi: object) -> None:
    """TypeError for what is no Wasi, or one of another copy of the runtime, whose functions this one does not know."""
    from .wasi import Wasi

    if not isinstance(wasi, Wasi):
        kind = type(wasi)
        hint = f" of {Wasi.__module__}" if kind.__name__ == "Wasi" else ""
        raise TypeError(f"wasi: expected a Wasi{hint}, got {kind.__module__}.{kind.__qualname__}")


def _link(instance: Instance, given: list[ImportSource]) -> None:
    info = instance.info
    functions = 0
    for wanted in info.imports:
        value = resolve(wanted, given, instance)
        if isinstance(value, (Func, Table)) and value.guard is not None:
            value.guard = instance.guard = join(value.guard, instance.guard)
        if wanted.kind == "func":
            instance.namespace[info.func_names[functions]] = value.raw
            instance._funcs[functions] = value
            functions += 1
        elif wanted.kind == "table":
            instance.tables.append(value)
        elif wanted.kind == "memory":
            instance.memories.append(value)
        else:
            instance.globals.append(value)


def _allocate(instance: Instance) -> None:
    """Make tables, memories and globals."""
    info = instance.info
    for t in info.memories:
        instance.memories.append(Memory(t, sizes=instance.sizes))
    for global_type, init in info.globals:
        cell = GlobalCell(evaluate(instance, init))
        instance.globals.append(Global.of_cell(global_type, cell))
    for table_type, table_init_expr in info.tables:
        value = None if table_init_expr is None else evaluate(instance, table_init_expr)
        instance.tables.append(Table(table_type, value, instance.sizes))


def bind_state(instance: Instance) -> None:
    """Put tables, memories and globals, the imported ones too, into the namespace."""
    if instance.machine is not None:
        instance.machine.start()
    info = instance.info
    namespace = instance.namespace
    for i, memory in enumerate(instance.memories):
        namespace[f"mem{i}"] = memory
        memory.bind(instance._module, f"_m{i}" if i else "", info.target)
    for i, g in enumerate(instance.globals):
        namespace[info.global_names[i]] = g.cell if i in info.global_cells else g.cell.value
    for i, table in enumerate(instance.tables):
        namespace[f"table{i}"] = table
        if table.guard is None:
            table.guard = instance.guard
    for i, k in info.typed_tables:
        namespace[f"table{i}_t{k}"] = instance.tables[i].calls(info.types[k])


def _fill(instance: Instance, blob: bytes) -> None:
    """Evaluate segments and write the active ones, each dropped once it is written."""
    info = instance.info
    namespace = instance.namespace
    for i, elem in enumerate(info.elems):
        namespace[f"elem_seg{i}"] = [] if elem.mode == "declarative" else references(instance, elem)
    for i, data in enumerate(info.datas):
        namespace[f"data_seg{i}"] = blob[data.start : data.end] if data.mode == "passive" else b""
    for i, elem in enumerate(info.elems):
        if elem.mode == "active":
            items = namespace[f"elem_seg{i}"]
            offset = evaluate(instance, cast(ConstExpr, elem.offset))
            table_init(instance.tables[elem.table], items, offset, 0, len(items))
            namespace[f"elem_seg{i}"] = []
    for data in info.datas:
        if data.mode == "active":
            offset = evaluate(instance, cast(ConstExpr, data.offset))
            memory = instance.memories[data.memory]
            if offset + data.end - data.start > len(memory):
                raise Trap(OUT_OF_BOUNDS_MEMORY)
            memory.data[offset : offset + data.end - data.start] = blob[data.start : data.end]


def references(instance: Instance, elem: Elem) -> list[Any]:
    """What an element segment holds."""
    func = instance.func
    return [
        func(item) if type(item) is int else None if item is None else evaluate(instance, item) for item in elem.items
    ]


def evaluate(instance: Instance, expr: ConstExpr) -> Any:
    """The value of a constant expression, extended ones included, in internal form (spec 3.3.10). Globals that it
    reads come before it."""
    stack: list[Any] = []
    for name, *immediates in expr:
        if name == "global.get":
            stack.append(instance.globals[immediates[0]].cell.value)
        elif name == "ref.func":
            stack.append(instance.func(immediates[0]))
        elif name == "ref.null":
            stack.append(None)
        elif name == "f32.const":
            stack.append(f32_reinterpret_i32(immediates[0]))
        elif name == "f64.const":
            stack.append(f64_reinterpret_i64(immediates[0]))
        elif name.endswith(".const"):
            stack.append(immediates[0])
        else:  # i32 or i64 add, sub, mul
            b = stack.pop()
            stack.append(HELPERS[name.replace(".", "_")](stack.pop(), b))
    return stack.pop()
