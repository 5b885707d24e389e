"""What a guest's pointers point at: checked loads and stores, strings and scatter/gather lists.

Every number from the guest is hostile. Nothing is read, allocated or done before the range it names is known to lie in
the guest's memory; what doesn't gives `errno::fault`, as in wazero and wasmtime.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from .abi import IOVEC
from .errno import Errno, WasiError

MAX_PATH = 4096  # bytes of one path, as on Linux
MAX_BUFFERS = 1024  # that one call fills or drains, Linux's IOV_MAX


class Memory(Protocol):
    """What WASI needs of an instance's memory."""

    def read(self, p: int, n: int) -> bytes: ...

    def write(self, p: int, data: bytes) -> None: ...

    def __len__(self) -> int: ...


class _NoMemory:
    def read(self, p: int, n: int) -> bytes:
        return b""

    def write(self, p: int, data: bytes) -> None:
        pass

    def __len__(self) -> int:
        return 0


NO_MEMORY = _NoMemory()  # of a module without one: every pointer is out of bounds


def require(memory: Memory, p: int, n: int) -> None:
    """Raise `errno::fault` unless the `n` bytes at `p` are in memory."""
    if p + n > len(memory):
        raise WasiError(Errno.FAULT)


def load(memory: Memory, p: int, n: int) -> bytes:
    """The `n` bytes at `p`."""
    require(memory, p, n)
    return memory.read(p, n)


def store(memory: Memory, p: int, data: bytes) -> None:
    """Put `data` at `p`."""
    require(memory, p, len(data))
    memory.write(p, data)


def load_path(memory: Memory, p: int, n: int) -> bytes:
    """A witx `string` that names a file: UTF-8 (else `errno::ilseq`), no NUL (`errno::inval`), at most 4 KiB."""
    require(memory, p, n)
    if n > MAX_PATH:
        raise WasiError(Errno.NAMETOOLONG)
    path = bytes(memory.read(p, n))
    if 0 in path:
        raise WasiError(Errno.INVAL)
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        raise WasiError(Errno.ILSEQ) from None
    return path


def load_iovecs(memory: Memory, p: int, count: int) -> list[tuple[int, int]]:
    """The non-empty buffers of a witx `iovec_array` or `ciovec_array` as (address, length), each checked.

    Together they are no longer than memory is (a longer list can only name bytes twice) and no more than MAX_BUFFERS;
    what is more is left out. To transfer less than asked for is always allowed.
    """
    require(memory, p, count * IOVEC.size)
    left = size = len(memory)
    buffers = []
    for buf, n in _iovecs(memory, p, count):
        if buf + n > size:
            raise WasiError(Errno.FAULT)
        if n:
            buffers.append((buf, min(n, left)))
            left -= min(n, left)
            if not left or len(buffers) == MAX_BUFFERS:
                break
    return buffers


def _iovecs(memory: Memory, p: int, count: int) -> Iterator[tuple[int, int]]:
    # In pieces: a list of 2**28 entries is a legal way to transfer nothing.
    while count:
        n = min(count, 1024)
        yield from IOVEC.iter_unpack(memory.read(p, n * IOVEC.size))
        p += n * IOVEC.size
        count -= n


def gather(memory: Memory, buffers: list[tuple[int, int]]) -> bytes:
    """The bytes of the buffers, joined."""
    if len(buffers) == 1:
        return memory.read(*buffers[0])
    return b"".join(memory.read(p, n) for p, n in buffers)


def scatter(memory: Memory, buffers: list[tuple[int, int]], data: bytes) -> None:
    """Put `data` into the buffers, filling one after the other."""
    at = 0
    for p, n in buffers:
        if at >= len(data):
            return
        memory.write(p, data[at : at + n])
        at += n
