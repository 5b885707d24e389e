"""The functions args_*, environ_*, clock_*, random_get, proc_*, sched_yield and sock_* of WASI preview 1."""

from __future__ import annotations

import os
import time

from ..traps import Exit
from .abi import U32, U64
from .errno import Errno, WasiError
from .pointers import Memory, require, store
from .process import Process

_RANDOM_CHUNK = 1 << 16

# witx `signal`, by what it does by default; all others end the process.
_SIGNALS = 31
_IGNORED = frozenset([0, 13, 16, 17, 22, 27])  # none, pipe, chld, cont, urg, winch
_STOPPING = frozenset([18, 19, 20, 21])  # stop, tstp, ttin, ttou


def args_get(process: Process, memory: Memory, argv: int, argv_buf: int) -> None:
    """witx `args_get`."""
    _store_strings(memory, process.arguments, argv, argv_buf)


def args_sizes_get(process: Process, memory: Memory, count: int, size: int) -> None:
    """witx `args_sizes_get`."""
    _store_sizes(memory, process.arguments, count, size)


def environ_get(process: Process, memory: Memory, environ: int, environ_buf: int) -> None:
    """witx `environ_get`."""
    _store_strings(memory, process.environment, environ, environ_buf)


def environ_sizes_get(process: Process, memory: Memory, count: int, size: int) -> None:
    """witx `environ_sizes_get`."""
    _store_sizes(memory, process.environment, count, size)


def _store_strings(memory: Memory, strings: list[bytes], table: int, buf: int) -> None:
    pointers = []
    for string in strings:
        pointers.append(U32.pack(buf & 0xFFFFFFFF))
        buf += len(string) + 1
    data = b"".join(string + b"\0" for string in strings)
    require(memory, buf - len(data), len(data))
    store(memory, table, b"".join(pointers))
    memory.write(buf - len(data), data)


def _store_sizes(memory: Memory, strings: list[bytes], count: int, size: int) -> None:
    require(memory, size, 4)
    store(memory, count, U32.pack(len(strings)))
    memory.write(size, U32.pack(sum(len(string) + 1 for string in strings)))


def clock_res_get(process: Process, memory: Memory, clock: int, out: int) -> None:
    """witx `clock_res_get`."""
    store(memory, out, U64.pack(process.clocks.resolution(clock)))


def clock_time_get(process: Process, memory: Memory, clock: int, precision: int, out: int) -> None:
    """witx `clock_time_get`; the clocks are always as precise as they can be."""
    store(memory, out, U64.pack(process.clocks.now(clock) & 2**64 - 1))


def random_get(process: Process, memory: Memory, buf: int, n: int) -> None:
    """witx `random_get`."""
    require(memory, buf, n)
    for at in range(buf, buf + n, _RANDOM_CHUNK):
        memory.write(at, process.random(min(_RANDOM_CHUNK, buf + n - at)))


def proc_exit(process: Process, memory: None, code: int) -> None:
    """witx `proc_exit`: everything is closed and `Exit` raised."""
    try:
        process.close()
    finally:
        raise Exit(code)


def proc_raise(process: Process, memory: None, signal: int) -> None:
    """witx `proc_raise`: with the signal's default action, as a guest can't set another; ending gives 128 + signal."""
    if signal >= _SIGNALS:
        raise WasiError(Errno.INVAL)
    if signal in _STOPPING:
        raise WasiError(Errno.NOTSUP)
    if signal not in _IGNORED:
        proc_exit(process, memory, 128 + signal)


def sched_yield(process: Process, memory: None) -> None:
    """witx `sched_yield`."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()
    else:
        time.sleep(0)


def sock_accept(process: Process, memory: Memory, fd: int, flags: int, out: int) -> None:
    """witx `sock_accept`; nothing a guest can have open is a socket."""
    process.get(fd)
    raise WasiError(Errno.NOTSOCK)


def sock_recv(
    process: Process, memory: Memory, fd: int, iovs: int, count: int, flags: int, out: int, out_flags: int
) -> None:
    """witx `sock_recv`; nothing a guest can have open is a socket."""
    process.get(fd)
    raise WasiError(Errno.NOTSOCK)


def sock_send(process: Process, memory: Memory, fd: int, iovs: int, count: int, flags: int, out: int) -> None:
    """witx `sock_send`; nothing a guest can have open is a socket."""
    process.get(fd)
    raise WasiError(Errno.NOTSOCK)


def sock_shutdown(process: Process, memory: None, fd: int, how: int) -> None:
    """witx `sock_shutdown`; nothing a guest can have open is a socket."""
    process.get(fd)
    raise WasiError(Errno.NOTSOCK)
