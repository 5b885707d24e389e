"""WASI preview 1 for command-line programs: files beneath preopened folders, standard streams, clocks, randomness."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Callable

from ..link import HostFunc
from . import paths
from .abi import Rights
from .clocks import Clocks
from .files import Directory
from .fixed import FixedClocks, FixedRandom
from .imports import NAMESPACE, host_functions
from .process import Process
from .streams import Stream, StreamLike

__all__ = ["WASI_MODULES", "Clocks", "StreamLike", "Wasi"]

WASI_MODULES = (NAMESPACE,)  # of imports that a Wasi serves


class Wasi:
    """What one run of a guest program gets from its host.

    `args` starts with the program's name. `env` is all of the environment: nothing of the host's is passed on. `dirs`
    maps the guest's names of folders to the host's; the guest reaches what lies beneath them and nothing else. The
    standard streams are the process's own or Python file objects, binary or text, which stay open. `clocks` and
    `random` replace the host's; `deterministic` replaces them by such as are the same in every run (see fixed.py).
    `max_fds` bounds what the guest can have open at a time. `openat` False finds files as on an operating system
    without that call (see paths.py).

    Opens the folders, so a missing one raises OSError here. `close`, the end of a `with` block and the guest's
    `proc_exit` close them and all that the guest opened.
    """

    def __init__(
        self,
        args: Iterable[str] = (),
        env: Mapping[str, str] | None = None,
        dirs: Mapping[str, str | os.PathLike[str]] | None = None,
        stdin: StreamLike | None = None,
        stdout: StreamLike | None = None,
        stderr: StreamLike | None = None,
        *,
        clocks: Clocks | None = None,
        random: Callable[[int], bytes] | None = None,
        max_fds: int = 512,
        openat: bool = paths.OPENAT,
        deterministic: bool = False,
    ) -> None:
        if isinstance(args, (str, bytes)):
            raise TypeError("args: expected the arguments one by one, got a single string")
        arguments = [_encode("argument", arg) for arg in args]
        environment = []
        for key, value in (env or {}).items():
            if not key or "=" in key:
                raise ValueError(f"environment variable name {key!r} is empty or contains '='")
            environment.append(_encode("environment variable", f"{key}={value}"))
        clocks = clocks or (FixedClocks() if deterministic else Clocks())
        random = random or (FixedRandom() if deterministic else os.urandom)
        self._process = Process(arguments, environment, clocks, random, max_fds)
        self._process.add(Stream(sys.stdin if stdin is None else stdin, Rights.FD_READ, 0))
        self._process.add(Stream(sys.stdout if stdout is None else stdout, Rights.FD_WRITE, 1))
        self._process.add(Stream(sys.stderr if stderr is None else stderr, Rights.FD_WRITE, 2))
        try:
            for guest, folder in (dirs or {}).items():
                name = _encode("folder name", guest)
                handle = paths.open_root(folder, openat)
                self._process.add(Directory(handle, Rights.DIRECTORY, Rights.ALL, name))
        except BaseException:
            self.close()
            raise

    def imports(self) -> dict[str, dict[str, HostFunc]]:
        """The functions for a module to import, by namespace and name."""
        self._process.serves = True
        return {NAMESPACE: host_functions(self._process)}

    def close(self) -> None:
        """Close the folders and everything the guest has left open, but no standard stream. May be called again."""
        self._process.close()

    def __enter__(self) -> Wasi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _encode(what: str, text: str) -> bytes:
    """UTF-8; bytes that Python could not decode when it started come out as they went in."""
    if "\0" in text:
        raise ValueError(f"{what} {text!r} contains a NUL")
    return text.encode("utf-8", "surrogateescape")
