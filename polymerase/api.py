"""Embedding: decode, validate, compile, instantiate and call WebAssembly modules from Python.

module = polymerase.Module.from_file("fib.wasm")
instance = module.instantiate()
instance.exports.fib(30)
"""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache as once
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from polymerase.cache import Cache
from polymerase.code import LazyCode, controls_for
from polymerase.engine import Engines
from polymerase.errors import FallbackWarning, LinkError, SnapshotError, quote
from polymerase.options import ENGINES, Controls, Engine, Options, Progress, Summary
from polymerase.stored import Outline, StoredModule
from polymerase_runtime import (
    Caller,
    CodeSource,
    Exit,
    Exports,
    ExportType,
    Func,
    FuncType,
    Global,
    GlobalType,
    ImportType,
    Instance,
    Limits,
    Memory,
    MemoryType,
    SizeLimits,
    Table,
    TableType,
    Trap,
    deep_stack,
    f32_round,
    format_trap,
    instantiate,
)
from polymerase_runtime.interpreter import Suspend, Suspended
from polymerase_runtime.limits import UNLIMITED, FuelCosts, require_limits
from polymerase_runtime.link import Imports
from polymerase_runtime.types import ModuleInfo
from polymerase_runtime.wasi import WASI_MODULES, Wasi

if TYPE_CHECKING:
    from polymerase.driver import Module as Decoded
    from polymerase_runtime.snapshot import Snapshot

# What needs the compiler imports `driver` when it is called, and what needs snapshots those: a program that the cache
# has starts without.

__all__ = [
    "Cache",
    "Caller",
    "Exit",
    "ExportType",
    "FallbackWarning",
    "Func",
    "FuncType",
    "Global",
    "GlobalType",
    "ImportType",
    "Instance",
    "Limits",
    "Memory",
    "MemoryType",
    "Module",
    "Progress",
    "SizeLimits",
    "Snapshot",
    "Summary",
    "Suspend",
    "Suspended",
    "Table",
    "TableType",
    "Trap",
    "Wasi",
    "compile_package",
    "dump",
    "exported_func",
    "f32_round",
    "format_trap",
    "fuel_table",
    "inspect",
    "run_command",
    "run_entry",
    "run_restored",
]


def __getattr__(name: str) -> Any:
    if name == "Snapshot":
        from polymerase_runtime.snapshot import Snapshot

        return Snapshot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


DEFAULT_ENGINE: Engine = "auto"
SHOWN_NAMES = 20  # exports listed in an error


class Module:
    """A decoded and validated module. Its functions are compiled when they are first called, once for all instances.

    `data` are its bytes, `name` is what errors and traces call it, `options` what it is compiled with.
    Threads may share it.
    """

    def __init__(
        self, data: bytes, name: str = "<module>", *, options: Options | None = None, cache: Cache | bool = False
    ) -> None:
        """Decode and validate `data`, a module in the binary format; errors and traces call it `name`.

        `cache`: where compiled functions are kept for later runs; True is the user's own cache (see Cache). A module
        that is found there was validated before, and is not again.
        Raises MalformedError, InvalidError; TypeError where `data` is not bytes.
        """
        self.name = name
        self.options = options or Options()
        self.data = bytes(memoryview(data))  # bytes(5) would be five zeros
        self._codes: dict[Controls, Engines] = {}  # what instances of the same controls share
        self._blob: bytes | None = None
        self._lock = threading.RLock()
        self._stored: StoredModule | None = None
        if cache:
            self._stored = StoredModule(Cache() if cache is True else cache, self.data, name)
        outline = None if self._stored is None else self._stored.outline
        if outline is None:
            from polymerase import driver

            module = driver.load(self.data, name)
            self._decode: Callable[[], Decoded] = lambda: module
            outline = Outline(driver.imports(module), driver.exports(module), driver.data_spans(module))
            if self._stored is not None:
                self._stored.found_valid(outline)
        else:
            self._decode = once(partial(_decode_valid, self.data, name))
        self._outline = outline

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], *, options: Options | None = None, cache: Cache | bool = False
    ) -> Module:
        """The module in the file at `path`. Raises OSError, MalformedError, InvalidError."""
        with open(os.fspath(path), "rb") as f:  # fspath: open would take a file's descriptor, too
            data = f.read()
        return cls(data, os.path.basename(os.fsdecode(path)), options=options, cache=cache)

    def __repr__(self) -> str:
        return f"<Module {self.name!r}, {len(self.imports)} imports, {len(self.exports)} exports>"

    @property
    def imports(self) -> tuple[ImportType, ...]:
        """What the module wants, in its order: objects with `module`, `name`, `kind` ("func", "table", "memory",
        "global") and `type`."""
        return self._outline.imports

    @property
    def exports(self) -> tuple[ExportType, ...]:
        """What the module offers, in its order: objects with `name`, `kind` and `type`."""
        return self._outline.exports

    @property
    def decoded(self) -> Decoded:
        """What the compiler makes of the bytes; decoded now, if it was not needed before."""
        return self._decode()

    def instantiate(
        self,
        imports: Imports | None = None,
        *,
        wasi: Wasi | None = None,
        engine: Engine = DEFAULT_ENGINE,
        limits: Limits | None = None,
    ) -> Instance:
        """A new instance, its start function run.

        `imports` maps module name to name to a callable, Memory, Table, Global, number or export of another instance;
        an instance may stand for a module's mapping. Or it is a callable `(module, name, type) -> object`, which
        returns None or raises LookupError for what it has not, or a list of such mappings and callables, tried in turn.
        `wasi` serves what the module imports of WASI and `imports` does not give; by default one with this process's
        standard streams, and no arguments, environment or folders. `engine` "aot" compiles functions when they are
        first called, "interp" interprets, "auto" interprets and compiles what runs long. `limits` bounds what the
        instance may use; the code is made for them, and shared by instances that need the same code.

        Raises ValueError for another engine or of `Limits.fuel_costs`; LinkError naming an import that is missing or of
        the wrong type; UnsupportedError naming function and offset of floating point that `limits` does not allow;
        PolymeraseError naming another limit that does not let the instance be made; Trap from the start function, or
        from segments that do not fit. A function that can neither be compiled nor interpreted is an UnsupportedError,
        naming it, when it is called.
        """
        limits = require_limits(limits)
        info, code, blob = self._source(engine, limits)
        wasi = wasi or self._default_wasi(limits)
        return instantiate(info, code, imports, wasi=wasi, blob=blob, limits=limits)

    def restore(
        self,
        snapshot: Snapshot | bytes,
        imports: Imports | None = None,
        *,
        wasi: Wasi | None = None,
        engine: Engine | None = None,
        limits: Limits | None = None,
    ) -> Instance:
        """A new instance in the state that one of this module was in when `Instance.snapshot` was called, in this or
        another process; nothing of the guest's is run. To make many, read the bytes once: `Snapshot(data)`.

        `imports` as for `instantiate`: functions and constants are those given now, while imported memories, tables
        and mutable globals are overwritten with what was saved. `wasi`, a new one, gives streams, folders, clocks and
        randomness; arguments, environment and open files are those saved. `limits` as for `instantiate`; but of fuel
        that was limited as much is left as then, unless `limits` does not limit it. None limits that alone.
        `engine` as for `instantiate`; None is "interp" if a call is suspended, with which `Instance.resume` goes on. Of
        other engines the functions of that call alone are interpreted.

        Raises SnapshotError, which says what is wrong and where, if the snapshot is damaged, of another module, or
        needs what is not there any more; LinkError; UnsupportedError; ValueError if `wasi` serves another instance.
        """
        from polymerase_runtime.snapshot import Snapshot, restore

        if not isinstance(snapshot, Snapshot):
            snapshot = Snapshot(snapshot, keep=False)
        limits = snapshot.limits if limits is None else require_limits(limits)
        engine = engine or (DEFAULT_ENGINE if snapshot.stack is None else "interp")
        info, code, blob = self._source(engine, limits)
        wasi = wasi or self._default_wasi(limits)
        return restore(info, code, snapshot, imports, wasi=wasi, blob=blob, limits=limits)

    def _source(self, engine: Engine, limits: Limits) -> tuple[ModuleInfo, CodeSource, bytes]:
        """The description and the code for an engine under these limits, and the bytes of the data segments."""
        if engine not in ENGINES:
            raise ValueError(f"engine is one of {', '.join(ENGINES)}, not {engine!r}")
        controls = controls_for(limits)
        with self._lock:
            engines = self._codes.get(controls)
            if engines is None:
                options = replace(self.options, controls=controls)
                engines = self._codes[controls] = Engines(options, self._lazy_code(options))
            if self._blob is None:
                self._blob = b"".join([self.data[start:end] for start, end in self._outline.spans])
            return *engines.source(engine), self._blob

    def _lazy_code(self, options: Options) -> LazyCode:
        stored = None if self._stored is None else self._stored.code(options)
        if not options.controls.floats and (stored is None or stored.described is None):
            from polymerase import driver

            driver.check_floats(self.decoded)
        return LazyCode(self._decode, options, stored)

    def _default_wasi(self, limits: Limits) -> Wasi | None:
        """What serves the module's imports of WASI by default, if it has any."""
        if not any(i.module in WASI_MODULES for i in self.imports):
            return None
        return Wasi(args=(self.name,), deterministic=limits.deterministic)


def _decode_valid(data: bytes, name: str) -> Decoded:
    from polymerase import driver

    return driver.decode_valid(data, name)


def compile_package(
    module: Module | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    jobs: int = 1,
    **options: Any,
) -> Summary:
    """Write `module`, or the module in that file, as a Python package in the folder `out`; return what was written.

    `options` are the fields of polymerase.Options, over those the module was made with. `progress` is called with
    (done, total) as the work goes on. A folder that polymerase did not make is not touched unless `force` is true.
    `jobs` processes share the work, 0: one for each processor; what is written does not depend on their number. More
    than one are started as `multiprocessing` starts processes: where that is by spawning (Windows, macOS, 3.14), a
    script that calls this needs its `if __name__ == "__main__":`.
    With `fallback="warn"` a function that cannot be compiled is a FallbackWarning.
    Raises OSError, MalformedError, InvalidError, UnsupportedError; ValueError for a negative number of jobs;
    PolymeraseError when a process dies.
    """
    if jobs < 0:
        raise ValueError(f"jobs is a number of processes, or 0 for one each processor, not {jobs}")
    if not isinstance(module, Module):
        module = Module.from_file(module)
    from pathlib import Path

    from polymerase import driver

    summary = driver.compile_package(module.decoded, Path(out), replace(module.options, **options), progress, jobs)
    for message in summary.fallbacks:
        warnings.warn(message, FallbackWarning, stacklevel=2)
    return summary


def fuel_table(costs: FuelCosts) -> tuple[tuple[str, int], ...]:
    """`Controls.fuel` for these costs. Raises TypeError, ValueError naming an instruction."""
    from polymerase import driver

    return driver.fuel_table(costs)


Preloads = Mapping[str, Module]  # by the names of the modules that they stand for


Made = Callable[[Instance], object] | None


def _instantiated(
    module: Module, wasi: Wasi, engine: Engine, preloads: Preloads, limits: Limits, made: Made
) -> Instance:
    """The instance that a command line runs, after its preloads; `made` is called with it."""
    imports = _preloaded(preloads, wasi, engine, limits)
    instance = module.instantiate(imports, wasi=wasi, engine=engine, limits=limits)
    if made is not None:
        made(instance)
    return instance


def run_command(
    module: Module,
    args: Sequence[str],
    env: Mapping[str, str],
    dirs: Mapping[str, str],
    *,
    engine: Engine = DEFAULT_ENGINE,
    preloads: Preloads = MappingProxyType({}),
    limits: Limits = UNLIMITED,
    made: Made = None,
) -> int:
    """Run a WASI command: instantiate, call `_start`; return the exit code. `dirs` maps guest paths to host folders.

    `preloads` are instantiated first, each with those before it as imports; all share arguments, folders and streams,
    and each has the limits for itself. `made` is called with the instance before it runs. Raises LinkError when it is
    no command, or naming a preload and what it lacks; Trap.
    """
    t = exported_func(module, "_start")
    if t != FuncType():
        raise LinkError(f"{module.name}: not a WASI command: _start is {t}, not {FuncType()}")
    wasi = Wasi(args=(module.name, *args), env=env, dirs=dirs, deterministic=limits.deterministic)

    def call() -> None:
        _instantiated(module, wasi, engine, preloads, limits, made).exports["_start"].once()

    try:
        deep_stack(call)
    except Exit as e:
        return e.code
    return 0


def run_entry(
    module: Module,
    entry: str,
    args: Sequence[object],
    env: Mapping[str, str],
    dirs: Mapping[str, str],
    *,
    engine: Engine = DEFAULT_ENGINE,
    preloads: Preloads = MappingProxyType({}),
    limits: Limits = UNLIMITED,
    made: Made = None,
) -> tuple[object, ...]:
    """Instantiate, call `_initialize` if there is one, then export `entry`; return its results as a tuple. `made` is
    called with the instance before it runs."""
    wasi = Wasi(args=(module.name,), env=env, dirs=dirs, deterministic=limits.deterministic)

    def call() -> Any:
        exports = _instantiated(module, wasi, engine, preloads, limits, made).exports
        if entry != "_initialize":
            _initialize(module, exports)
        return exports[entry].once(*args)

    result = deep_stack(call)
    count = len(exported_func(module, entry).results)
    return (result,) if count == 1 else tuple(result or ())


def run_restored(
    module: Module,
    data: bytes,
    entry: str | None,
    args: Sequence[object],
    dirs: Mapping[str, str],
    *,
    engine: Engine = DEFAULT_ENGINE,
    limits: Limits = UNLIMITED,
    made: Made = None,
) -> tuple[tuple[object, ...], tuple[str, ...]]:
    """Go on with the instance of `module` that `data` is a snapshot of: with its suspended call, or by calling export
    `entry` (None: `_start`); results and their types. `limits.fuel` is how much it gets.

    Raises SnapshotError, also if a call is suspended and there is an `entry`, or if it waits for what only its host
    knows; LinkError; Trap, Exit, Suspended.
    """
    from polymerase_runtime.snapshot import Snapshot

    snapshot = Snapshot(data, keep=False)
    if snapshot.stack is not None and entry is not None:
        raise SnapshotError("snapshot: a call is suspended: no other can be made before it has ended")
    if snapshot.stack is not None and snapshot.stack.awaiting:
        raise SnapshotError("snapshot: the suspended call waits for the results of a host function")
    wasi = Wasi(args=(module.name,), dirs=dirs, deterministic=limits.deterministic)

    def call() -> tuple[Any, tuple[str, ...]]:
        instance = module.restore(snapshot, wasi=wasi, engine=engine, limits=limits)
        if made is not None:
            made(instance)
        if limits.fuel is not None:
            instance.fuel = limits.fuel
        if instance.suspended is not None:
            types = instance.func(instance.suspended.entry).type.results
            return instance.resume(), types
        name = entry or "_start"
        return instance.exports[name](*args), exported_func(module, name).results

    result, types = deep_stack(call)
    return (result,) if len(types) == 1 else tuple(result or ()), types


def _preloaded(preloads: Preloads, wasi: Wasi, engine: Engine, limits: Limits) -> dict[str, Exports]:
    """Instances of `preloads`, initialised, by name: imports for those that come after them."""
    imports: dict[str, Exports] = {}
    for name, module in preloads.items():
        try:
            instance = module.instantiate(imports, wasi=wasi, engine=engine, limits=limits)
        except LinkError as e:
            raise LinkError(f"{module.name}: {e}") from e
        _initialize(module, instance.exports)
        imports[name] = instance.exports
    return imports


def _initialize(module: Module, exports: Exports) -> None:
    if any(e.name == "_initialize" and e.kind == "func" for e in module.exports):
        exports["_initialize"]()


def exported_func(module: Module, name: str) -> FuncType:
    """The type of the function that `module` exports as `name`. Raises LinkError saying what it does export."""
    for export in module.exports:
        if export.name == name:
            if isinstance(export.type, FuncType):
                return export.type
            fault = f"export {quote(name)} is a {export.kind}, not a function"
            break
    else:
        fault = f"no export {quote(name)}"
        if name == "_start":
            fault += ": not a WASI command, but --entry can call an export"
    names = [quote(e.name) for e in module.exports if e.kind == "func"]
    shown = ", ".join(names[:SHOWN_NAMES]) + (", …" if len(names) > SHOWN_NAMES else "")
    raise LinkError(f"{module.name}: {fault}; exported functions: {shown or 'none'}")


def inspect(module: Module) -> dict[str, Any]:
    """What `module` consists of, as data that JSON can hold; sizes in bytes."""
    decoded = module.decoded
    return {
        "name": module.name,
        "bytes": len(decoded.data),
        "sha256": hashlib.sha256(decoded.data).hexdigest(),
        "functions": len(decoded.codes),
        "imports": [_described(i.kind, i.type, module=i.module, name=i.name) for i in module.imports],
        "exports": [_described(e.kind, e.type, name=e.name) for e in module.exports],
        "sections": [{"id": s.id, "name": s.name, "at": s.start, "size": s.end - s.start} for s in decoded.sections],
    }


def _described(kind: str, t: object, **names: str) -> dict[str, str]:
    return {**names, "kind": kind, "type": str(t).removeprefix(f"{kind} ")}


def dump(module: Module, func: str | None, after: str | None) -> Iterator[str]:
    """The IR of one function, by index or name, or of all, as text, after the pass named `after`."""
    from polymerase import driver

    decoded = module.decoded
    first, count = decoded.imported_funcs, len(decoded.codes)
    if after is not None and after not in driver.stages():
        raise LookupError(f"no pass {quote(after)}; there are {', '.join(driver.stages())}")
    chosen: Sequence[int] = range(count)
    if func is not None:
        chosen = [i - first for i in decoded.functions_named(func)]
        if not chosen:
            raise LookupError(f"no function {quote(func)} with a body; indices are {first} to {first + count - 1}")
    for n in chosen:
        yield driver.show(decoded, n, module.options, after)
