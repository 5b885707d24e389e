"""The functions of WASI preview 1 as imports of a module."""

from __future__ import annotations

from typing import Any, Callable

from ..link import HostFunc
from ..traps import STACK_EXHAUSTED, Trap
from ..types import FuncType
from . import fd, path, poll, system
from .errno import Errno, WasiError, from_os_error
from .pointers import NO_MEMORY
from .process import Process

NAMESPACE = "wasi_snapshot_preview1"

# Name and parameters, i an i32 and I an i64. All but proc_exit return an errno as i32.
_Row = tuple[str, str, Callable[..., None]]
FUNCTIONS: tuple[_Row, ...] = (
    ("args_get", "ii", system.args_get),
    ("args_sizes_get", "ii", system.args_sizes_get),
    ("clock_res_get", "ii", system.clock_res_get),
    ("clock_time_get", "iIi", system.clock_time_get),
    ("environ_get", "ii", system.environ_get),
    ("environ_sizes_get", "ii", system.environ_sizes_get),
    ("fd_advise", "iIIi", fd.fd_advise),
    ("fd_allocate", "iII", fd.fd_allocate),
    ("fd_close", "i", fd.fd_close),
    ("fd_datasync", "i", fd.fd_datasync),
    ("fd_fdstat_get", "ii", fd.fd_fdstat_get),
    ("fd_fdstat_set_flags", "ii", fd.fd_fdstat_set_flags),
    ("fd_fdstat_set_rights", "iII", fd.fd_fdstat_set_rights),
    ("fd_filestat_get", "ii", fd.fd_filestat_get),
    ("fd_filestat_set_size", "iI", fd.fd_filestat_set_size),
    ("fd_filestat_set_times", "iIIi", fd.fd_filestat_set_times),
    ("fd_pread", "iiiIi", fd.fd_pread),
    ("fd_prestat_dir_name", "iii", fd.fd_prestat_dir_name),
    ("fd_prestat_get", "ii", fd.fd_prestat_get),
    ("fd_pwrite", "iiiIi", fd.fd_pwrite),
    ("fd_read", "iiii", fd.fd_read),
    ("fd_readdir", "iiiIi", fd.fd_readdir),
    ("fd_renumber", "ii", fd.fd_renumber),
    ("fd_seek", "iIii", fd.fd_seek),
    ("fd_sync", "i", fd.fd_sync),
    ("fd_tell", "ii", fd.fd_tell),
    ("fd_write", "iiii", fd.fd_write),
    ("path_create_directory", "iii", path.path_create_directory),
    ("path_filestat_get", "iiiii", path.path_filestat_get),
    ("path_filestat_set_times", "iiiiIIi", path.path_filestat_set_times),
    ("path_link", "iiiiiii", path.path_link),
    ("path_open", "iiiiiIIii", path.path_open),
    ("path_readlink", "iiiiii", path.path_readlink),
    ("path_remove_directory", "iii", path.path_remove_directory),
    ("path_rename", "iiiiii", path.path_rename),
    ("path_symlink", "iiiii", path.path_symlink),
    ("path_unlink_file", "iii", path.path_unlink_file),
    ("poll_oneoff", "iiii", poll.poll_oneoff),
    ("proc_exit", "i", system.proc_exit),
    ("proc_raise", "i", system.proc_raise),
    ("random_get", "ii", system.random_get),
    ("sched_yield", "", system.sched_yield),
    ("sock_accept", "iii", system.sock_accept),
    ("sock_recv", "iiiiii", system.sock_recv),
    ("sock_send", "iiiii", system.sock_send),
    ("sock_shutdown", "ii", system.sock_shutdown),
)

_TYPES = {"i": "i32", "I": "i64"}


def host_functions(process: Process) -> dict[str, HostFunc]:
    """All functions of the namespace, working on `process`."""
    functions = {}
    for name, params, function in FUNCTIONS:
        results = () if name == "proc_exit" else ("i32",)
        kind = FuncType(tuple(_TYPES[c] for c in params), results)
        functions[name] = HostFunc(kind, bind(process, function), wants_caller=True, raw=True)
    return functions


def bind(process: Process, function: Callable[..., None]) -> Callable[..., int]:
    """The raw function: the caller, then unsigned ints; returns the errno.

    Errors of a Python file object that are not the operating system's pass through to the host, whose mistake they are.
    """

    def call(caller: Any, *args: int) -> int:
        try:
            memory = caller.memory
        except LookupError:
            memory = NO_MEMORY
        process.caller = caller
        try:
            function(process, memory, *args)
        except WasiError as error:
            return int(error.errno)
        except OSError as error:
            return int(from_os_error(error))
        except MemoryError:
            return int(Errno.NOMEM)
        except RecursionError:  # the guest has left no stack for us
            raise Trap(STACK_EXHAUSTED) from None
        return 0

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    return call
