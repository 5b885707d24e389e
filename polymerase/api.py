"""Embedding: decode, validate, compile, instantiate and call WebAssembly modules from Python.

module = polymerase.Module.from_file("fib.wasm")
instance = module.instantiate()
instance.exports.fib(30)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from polymerase import driver
from polymerase.driver import Summary
from polymerase.errors import LinkError
from polymerase.options import Options, running_target
from polymerase_runtime import CodeSource, ExportType, Func, FuncType, ImportType, Instance, ModuleInfo, instantiate
from polymerase_runtime.wasi import Wasi

Progress = Callable[[int, int], None]


class Module:
    """A decoded and validated module. Compiled when it is first instantiated, once; its instances share the code."""

    def __init__(self, data: bytes, name: str = "<module>", *, options: Options | None = None) -> None:
        """Decode and validate `data`, a module in the binary format; errors and traces call it `name`.

        Raises MalformedError, InvalidError.
        """
        self.name = name
        self.options = options or Options()
        self._module = driver.load(bytes(data), name)
        self._compiled: tuple[ModuleInfo, CodeSource, bytes] | None = None

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, options: Options | None = None) -> Module:
        """The module in the file at `path`. Raises OSError, MalformedError, InvalidError."""
        path = Path(path)
        return cls(path.read_bytes(), path.name, options=options)

    def __repr__(self) -> str:
        return f"<Module {self.name!r}, {len(self.imports)} imports, {len(self.exports)} exports>"

    @property
    def imports(self) -> tuple[ImportType, ...]:
        """What the module wants, in its order: objects with `module`, `name`, `kind` ("func", "table", "memory",
        "global") and `type`."""
        return driver.imports(self._module)

    @property
    def exports(self) -> tuple[ExportType, ...]:
        """What the module offers, in its order: objects with `name`, `kind` and `type`."""
        return driver.exports(self._module)

    def instantiate(
        self, imports: Mapping[str, Mapping[str, object]] | None = None, *, wasi: Wasi | None = None
    ) -> Instance:
        """A new instance, its start function run.

        `imports` maps module name to name to a callable, Memory, Table, Global, number or export of another instance.
        `wasi` serves what the module imports from wasi_snapshot_preview1 and `imports` does not give. Raises LinkError
        naming an import that is missing or of the wrong type, UnsupportedError, and Trap from the start function or
        from segments that do not fit.
        """
        if self._compiled is None:
            options = self.options if self.options.target != "both" else replace(self.options, target=running_target())
            self._compiled = driver.compile_in_memory(self._module, options)
        info, code, blob = self._compiled
        return instantiate(info, code, imports, wasi=wasi, blob=blob)


def compile_package(
    module: Module | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Summary:
    """Write `module`, or the module in that file, as a Python package in the folder `out`; return what was written.

    `options` are the fields of polymerase.Options, over those the module was made with. `progress` is called with
    (done, total) as the work goes on. A folder that polymerase did not make is not touched unless `force` is true.
    Raises OSError, MalformedError, InvalidError, UnsupportedError.
    """
    if not isinstance(module, Module):
        module = Module.from_file(module)
    return driver.compile_package(module._module, Path(out), replace(module.options, **options), progress)
