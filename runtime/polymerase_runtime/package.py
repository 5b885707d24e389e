"""What a generated package runs on: its code in chunks that are loaded when first called, its default instance, its
command line.

A chunk is a Python file of function definitions. Its code object comes from the import system, so that it is cached
as any module's; it is executed in the namespace of each instance that calls one of its functions.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from bisect import bisect_right
from collections.abc import Mapping
from importlib.util import find_spec
from types import CodeType
from typing import TYPE_CHECKING, Any, NoReturn

from .border import deep_stack
from .chunks import ChunkFile
from .instance import Instance, instantiate
from .interpreter import Bodies, Body, Machine
from .limits import Limits, require_limits
from .link import Imports
from .loading import is_loaded, make_stub
from .traps import Exit, PolymeraseError, Trap, format_trap
from .types import ModuleInfo
from .wasi import WASI_MODULES, Wasi

if TYPE_CHECKING:
    from .snapshot import Snapshot

EXIT_TRAP = 134  # what a shell reports of a native program that aborts

# What __main__.py reads from the environment.
DIRS = "POLYMERASE_DIR"
ENV = "POLYMERASE_ENV"


class Package:
    """The code and the default instance of a generated package. `chunks` maps each chunk's name (of a module of the
    package) to the indices of its functions."""

    def __init__(self, name: str, folder: str, info: ModuleInfo, chunks: Mapping[str, tuple[int, ...]]) -> None:
        self.name = name
        self.folder = folder
        self.info = info
        self.chunks = chunks
        self._codes: dict[str, CodeType] = {}
        self._chunk_of: dict[int, ChunkFile] = {}  # by function
        self._files: dict[str, tuple[list[int], list[int]]] = {}  # of chunks, what _parse_lines gives
        self._blob: bytes | None = None
        imported = sum(i.kind == "func" for i in info.imports)
        compiled = frozenset(i for funcs in chunks.values() for i in funcs)
        self._interpreted = frozenset(range(imported, len(info.funcs))) - compiled
        self._bodies_text: bytes | None = None
        self._bodies = Bodies(info, self._body) if self._interpreted else None
        self._default: Instance | None = None
        self._lock = threading.RLock()

    # --- Instances

    def instantiate(
        self, imports: Imports | None = None, *, wasi: Wasi | None = None, limits: Limits | None = None
    ) -> Instance:
        """A new instance. WASI functions that `imports` does not give come from `wasi`, by default one with this
        process's standard streams, no arguments, no environment and no folders.
        PolymeraseError for `limits` that the package was not compiled for."""
        limits = require_limits(limits)
        wasi = wasi or self._default_wasi(limits)
        return instantiate(self.info, self, imports, wasi=wasi, blob=self._data(), limits=limits)

    def restore(
        self,
        snapshot: Snapshot | bytes,
        imports: Imports | None = None,
        *,
        wasi: Wasi | None = None,
        limits: Limits | None = None,
    ) -> Instance:
        """A new instance in the state that a snapshot was taken in: see snapshot.restore."""
        from .snapshot import Snapshot, restore

        if not isinstance(snapshot, Snapshot):
            snapshot = Snapshot(snapshot, keep=False)
        limits = snapshot.limits if limits is None else require_limits(limits)
        wasi = wasi or self._default_wasi(limits)
        return restore(self.info, self, snapshot, imports, wasi=wasi, blob=self._data(), limits=limits)

    def _default_wasi(self, limits: Limits) -> Wasi | None:
        if not any(i.module in WASI_MODULES for i in self.info.imports):
            return None
        return Wasi(args=(self.info.name,), deterministic=limits.deterministic)

    def _data(self) -> bytes:
        if self._blob is None:
            self._blob = self._read("_data.bin")
        return self._blob

    def export(self, name: str) -> Any:
        """An export of the default instance, which is made now if it is the first one. AttributeError."""
        if not any(name == e[0] for e in self.info.exports) or name[:2] == "__":
            raise AttributeError(f"module {self.name!r} has no attribute {name!r}")
        for i in self.info.imports:
            if i.module not in WASI_MODULES:
                what = f"{i.module}.{i.name}"
                raise AttributeError(
                    f"{self.name}.{name} has no default instance, because the module imports {what!r}: "
                    f"use {self.name}.instantiate(imports).exports[{name!r}]"
                )
        return self.default().exports[name]

    def default(self) -> Instance:
        """The instance whose exports are the package's attributes."""
        with self._lock:
            if self._default is None:
                instance = self.instantiate()
                if any(e[:2] == ("_initialize", "func") for e in self.info.exports):
                    instance.exports["_initialize"]()
                self._default = instance
            return self._default

    def names(self) -> list[str]:
        """The exports that can be attributes."""
        return sorted({e[0] for e in self.info.exports if e[0].isidentifier() and e[0][:2] != "__"})

    # --- Code (see CodeSource)

    def bind(self, namespace: dict[str, Any]) -> None:
        """Define the functions in `namespace`: all if there is one chunk, else stubs that load them: see chunks.py."""
        namespace["__package__"] = self.name  # chunks import the runtime relative to it
        if self._bodies is not None:
            instance = namespace["instance"]
            instance.machine = Machine(instance, self._bodies, self._interpreted)
        if len(self.chunks) < 2:
            for chunk in self.chunks:
                exec(self._code(chunk), namespace)
            return
        names = self.info.func_names
        for funcs in self.chunks.values():
            for i in funcs:
                namespace[names[i]] = make_stub(namespace, i, names[i], self.define)

    def define(self, namespace: dict[str, Any], i: int) -> None:
        """Put function `i` into the namespace of an instance, in place of its stub; compile it if need be."""
        with self._lock:
            if is_loaded(namespace, self.info.func_names[i]):
                return
            if not self._chunk_of:
                for chunk, funcs in self.chunks.items():
                    self._chunk_of.update(dict.fromkeys(funcs, ChunkFile(self.name, chunk, self.info.digest)))
            self._chunk_of[i].define(namespace["__polymerase__"], i)

    def _body(self, i: int) -> Body:
        """The prepared body of a function that is interpreted."""
        if self._bodies_text is None:
            self._bodies_text = b"\n" + self._read("_bodies")
        text = self._bodies_text
        key = b"\n%d " % i
        start = text.find(key)
        if start < 0:
            raise ImportError(f"{self.name}: _bodies has no function {i}")
        body: Body = _tuples(json.loads(text[start + len(key) : text.find(b"\n", start + 1)]))
        return body

    def _code(self, chunk: str) -> CodeType:
        code = self._codes.get(chunk)
        if code is None:
            spec = find_spec(f"{self.name}.{chunk}")
            loader: Any = spec and spec.loader
            if loader is None:
                raise ImportError(f"{self.name}: {chunk}.py is missing")
            code = self._codes[chunk] = loader.get_code(f"{self.name}.{chunk}")
            assert code is not None
        return code

    def locate(self, filename: str, lineno: int) -> int | None:
        """The byte offset in the module that a line of a chunk came from."""
        folder, file = os.path.split(filename)
        if os.path.normcase(os.path.abspath(folder)) != os.path.normcase(os.path.abspath(self.folder)):
            return None
        if file not in self._files:
            self._files[file] = _parse_lines(self._read("_lines"), file)
        lines, offsets = self._files[file]
        i = bisect_right(lines, lineno) - 1
        return offsets[i] if i >= 0 else None

    def _read(self, file: str) -> bytes:
        spec = find_spec(self.name)
        loader: Any = spec and spec.loader
        data: bytes
        if hasattr(loader, "get_data"):  # from a zip file, too
            data = loader.get_data(os.path.join(self.folder, file))
        else:
            with open(os.path.join(self.folder, file), "rb") as f:
                data = f.read()
        return data

    # --- The command line

    def main(self, argv: list[str]) -> NoReturn:
        """Run the module as a WASI command and exit with its code; 134 after a trap.

        POLYMERASE_DIR names the folders that the program may open: HOST or HOST::GUEST, separated as in PATH.
        POLYMERASE_ENV names the environment variables that it sees, separated by commas. Both are none by default.
        """
        try:
            dirs, env = _preopens(os.environ.get(DIRS, "")), _environment(os.environ.get(ENV, ""))
            sys.exit(deep_stack(self._run, argv, dirs, env))
        except KeyboardInterrupt:
            sys.exit(130)

    def _run(self, argv: list[str], dirs: dict[str, str], env: dict[str, str]) -> int:
        try:
            args = (self.info.name, *argv[1:])  # as `polymerase run` has it, and without a path of this machine
            instance = self.instantiate(wasi=Wasi(args=args, env=env, dirs=dirs))
            instance.exports["_start"].once()
        except Exit as e:
            return e.code
        except Trap as e:
            print(f"{self.name}: {format_trap(e)}", file=sys.stderr)
            return EXIT_TRAP
        except OSError as e:
            place = "" if e.filename is None else f"{e.filename}: "
            print(f"{self.name}: {place}{e.strerror or e}", file=sys.stderr)
            return 1
        except PolymeraseError as e:
            print(f"{self.name}: {e}", file=sys.stderr)
            return 1
        return 0


def _tuples(value: Any) -> Any:
    """Lists, as JSON has them, as the tuples that they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _parse_lines(text: bytes, file: str) -> tuple[list[int], list[int]]:
    """The row of `file` in `_lines`: its lines, ascending, and their offsets; written as differences."""
    line = offset = 0
    lines: list[int] = []
    offsets: list[int] = []
    start = (b"\n" + text).find(b"\n" + file.encode("utf-8", "replace") + b" ")
    row = text[start : text.find(b"\n", start)] if start >= 0 else b""
    for entry in row.split()[1:]:
        step, _, change = entry.partition(b":")
        line += int(step or 1)
        offset += int(change)
        lines.append(line)
        offsets.append(offset)
    return lines, offsets


def _preopens(text: str) -> dict[str, str]:
    """Folders of the host by the path that the guest sees."""
    dirs = {}
    # A drive's colon is no separator where the separator is a semicolon; elsewhere `::` must not be split.
    parts = text.replace("::", "\0").split(os.pathsep)
    for part in filter(None, parts):
        host, _, guest = part.partition("\0")
        dirs[guest or host] = host
    return dirs


def _environment(text: str) -> dict[str, str]:
    return {name: os.environ[name] for name in filter(None, text.split(",")) if name in os.environ}
