"""A guest for the WASI functions to serve: some memory, and calls with raw arguments as compiled code makes them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from polymerase_runtime.wasi import Wasi
from polymerase_runtime.wasi.abi import Oflags, Rights
from polymerase_runtime.wasi.errno import Errno


class FakeMemory:
    """What the functions need of a memory; raises on any access that they should have refused."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)

    def __len__(self) -> int:
        return len(self.data)

    def read(self, p: int, n: int) -> bytes:
        if not 0 <= p <= p + n <= len(self.data):
            raise AssertionError(f"unchecked read of {n} at {p}")
        return bytes(self.data[p : p + n])

    def write(self, p: int, data: bytes) -> None:
        if not 0 <= p <= p + len(data) <= len(self.data):
            raise AssertionError(f"unchecked write of {len(data)} at {p}")
        self.data[p : p + len(data)] = data


class Guest:
    """Calls WASI functions; the shorthands raise `WasiFailure` for an errno but SUCCESS."""

    OUT = 16  # where results go
    HEAP = 1024

    def __init__(self, size: int = 1 << 18, **options: Any) -> None:
        self.memory = FakeMemory(size)
        self.wasi = Wasi(**options)
        self.functions = self.wasi.imports()["wasi_snapshot_preview1"]
        self.top = self.HEAP

    def call(self, name: str, *args: int) -> Errno:
        """Call with raw arguments: unsigned, as many as the type says."""
        function = self.functions[name]
        assert len(function.type.params) == len(args), name
        result = function.fn(SimpleNamespace(memory=self.memory), *args)
        assert type(result) is int
        return Errno(result)

    def put(self, data: bytes) -> tuple[int, int]:
        """Put data into memory; address and length."""
        if self.top + len(data) > len(self.memory):
            self.top = self.HEAP
        p = self.top
        self.memory.write(p, data)
        self.top += -(-len(data) // 16) * 16
        return p, len(data)

    def paths(self, *paths: str | bytes) -> tuple[int, ...]:
        """Address and length of each path, in a row."""
        flat: list[int] = []
        for path in paths:
            flat += self.put(path.encode() if isinstance(path, str) else path)
        return tuple(flat)

    def u32(self, p: int = OUT) -> int:
        return int.from_bytes(self.memory.read(p, 4), "little")

    def u64(self, p: int = OUT) -> int:
        return int.from_bytes(self.memory.read(p, 8), "little")

    def check(self, errno: Errno) -> None:
        if errno != Errno.SUCCESS:
            raise WasiFailure(errno)

    def try_open(
        self,
        path: str | bytes,
        oflags: int = 0,
        rights: int = Rights.ALL,
        fdflags: int = 0,
        follow: int = 1,
        fd: int = 3,
    ) -> Errno:
        """`path_open`; a file descriptor, if any, is at OUT."""
        return self.call("path_open", fd, follow, *self.paths(path), oflags, rights, Rights.ALL, fdflags, self.OUT)

    def open(self, path: str | bytes, *args: int, **options: int) -> int:
        self.check(self.try_open(path, *args, **options))
        return self.u32()

    def open_directory(self, path: str | bytes, fd: int = 3) -> int:
        return self.open(path, Oflags.DIRECTORY, Rights.DIRECTORY, fd=fd)

    def iovecs(self, *buffers: tuple[int, int]) -> tuple[int, int]:
        p, _ = self.put(b"".join(struct.pack("<II", *buffer) for buffer in buffers))
        return p, len(buffers)

    def write(self, fd: int, *parts: bytes) -> int:
        self.check(self.call("fd_write", fd, *self.iovecs(*map(self.put, parts)), self.OUT))
        return self.u32()

    def read(self, fd: int, *sizes: int) -> bytes:
        buffers = [self.put(bytes(n)) for n in sizes]
        self.check(self.call("fd_read", fd, *self.iovecs(*buffers), self.OUT))
        n = self.u32()
        return b"".join(self.memory.read(*buffer) for buffer in buffers)[:n]

    def readdir(self, fd: int, size: int = 4096, cookie: int = 0) -> tuple[list[tuple[bytes, int, int]], int]:
        """(name, cookie, type) of the whole entries, and the bytes used."""
        p, _ = self.put(bytes(size))
        self.check(self.call("fd_readdir", fd, p, size, cookie, self.OUT))
        used = self.u32()
        data, entries = self.memory.read(p, used), []
        while len(data) >= 24:
            cookie, _, n, kind = struct.unpack("<QQIB3x", data[:24])
            if len(data) < 24 + n:
                break
            entries.append((data[24 : 24 + n], cookie, kind))
            data = data[24 + n :]
        return entries, used


class WasiFailure(Exception):
    """A shorthand's function returned an errno."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno


@pytest.fixture
def make_guest() -> Iterator[Callable[..., Guest]]:
    """Makes guests, and closes what they leave open."""
    guests: list[Guest] = []

    def make(**options: Any) -> Guest:
        guests.append(Guest(**options))
        return guests[-1]

    yield make
    for guest in guests:
        guest.wasi.close()


@pytest.fixture(params=[True, False], ids=["openat", "portable"])
def guest(request: pytest.FixtureRequest, tmp_path: Path, make_guest: Callable[..., Guest]) -> Guest:
    """A guest whose "/", descriptor 3, is the folder `root` of tmp_path."""
    (tmp_path / "root").mkdir()
    return make_guest(dirs={"/": tmp_path / "root"}, openat=request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The host's side of the guest's "/"."""
    return tmp_path / "root"
