"""Whatever numbers a guest passes, a WASI function returns an errno, and does nothing outside the guest's memory."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polymerase_runtime.traps import Exit
from polymerase_runtime.wasi.abi import Oflags, Rights
from polymerase_runtime.wasi.errno import Errno
from polymerase_runtime.wasi.imports import FUNCTIONS

TOP = 2**32 - 1


@pytest.mark.parametrize(
    ("name", "params"), [row[:2] for row in FUNCTIONS if row[0] not in ("proc_exit", "proc_raise")]
)
def test_extreme_arguments_give_an_errno(guest: Any, name: str, params: str) -> None:
    for value in (0, 1, 2**31 - 1, 2**31, 2**32 - 8, TOP):
        wide = value if value < 2**31 else 2**64 - (2**32 - value)
        guest.call(name, *(wide if c == "I" else value for c in params))
        for fd in (0, 1, 3):
            rest = params[1:] if params else ""
            guest.call(name, *([fd] if params else []), *(wide if c == "I" else value for c in rest))


def test_random_arguments_give_an_errno(guest: Any, root: Path) -> None:
    (root / "file").write_bytes(b"x" * 100)
    (root / "dir").mkdir()
    guest.open("file")
    rng = random.Random(1)
    interesting = [0, 1, 2, 3, 4, 5, 8, 16, 64, 100, 1024, len(guest.memory) - 4, len(guest.memory), 2**31, TOP]
    fd_rows = [row for row in FUNCTIONS if row[0] not in ("poll_oneoff", "sched_yield", "fd_allocate")]
    for _ in range(4000):
        name, params, _ = rng.choice(fd_rows)
        if not rng.randrange(50):
            guest.memory.data[:4096] = bytes(rng.choice((0, 0, 1, 3, 46, 47, 102, 255)) for _ in range(4096))
        args = [rng.choice(interesting) if rng.randrange(4) else rng.randrange(1 << 12) for _ in params]
        args = [arg * rng.choice((1, 1, 2**31)) if params[i] == "I" else arg for i, arg in enumerate(args)]
        if name == "fd_filestat_set_size":
            args[1] &= 0xFFFF
        try:
            guest.call(name, *args)
        except Exit:
            guest = type(guest)(dirs={"/": root})
    guest.wasi.close()
    assert {"root"} >= {path.name for path in root.parent.iterdir()}


def test_iovecs_are_checked_before_anything_is_allocated(guest: Any, root: Path) -> None:
    tracemalloc = pytest.importorskip("tracemalloc", reason="PyPy has none")
    (root / "file").write_bytes(b"x")
    fd = guest.open("file")
    tracemalloc.start()
    try:
        for name in ("fd_read", "fd_write"):
            assert Errno.FAULT == guest.call(name, fd, 0, TOP, guest.OUT)
            assert Errno.FAULT == guest.call(name, fd, *guest.iovecs((0, TOP)), guest.OUT)
            assert Errno.FAULT == guest.call(name, fd, *guest.iovecs((TOP, 1)), guest.OUT)
            assert Errno.FAULT == guest.call(name, fd, *guest.iovecs((0, 1), (len(guest.memory), 1)), guest.OUT)
        # Each buffer is all of memory: together 8 GiB, but only 256 KiB of different bytes.
        whole = struct.pack("<II", 0, len(guest.memory)) * (len(guest.memory) // 8)
        guest.memory.write(0, whole)
        assert Errno.SUCCESS == guest.call("fd_write", fd, 0, len(whole) // 8, guest.OUT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(guest.memory)


def test_an_empty_transfer_of_many_buffers_is_none(guest: Any) -> None:
    fd = guest.open("file", Oflags.CREAT)
    guest.memory.write(0, bytes(len(guest.memory)))
    assert Errno.SUCCESS == guest.call("fd_write", fd, 0, len(guest.memory) // 8, guest.OUT)
    assert 0 == guest.u32()


def test_a_bad_result_pointer_leaves_nothing_open_and_nothing_written(guest: Any, root: Path) -> None:
    args = (*guest.paths("new"), Oflags.CREAT, Rights.ALL, 0, 0)
    assert Errno.FAULT == guest.call("path_open", 3, 0, *args, len(guest.memory) - 3)
    assert [] == list(root.iterdir())
    fd = guest.open("file", Oflags.CREAT)
    buffers = guest.iovecs(guest.put(b"data"))
    assert Errno.FAULT == guest.call("fd_write", fd, *buffers, TOP)
    assert b"" == (root / "file").read_bytes()
    assert fd + 1 == guest.open("file")


def test_results_may_end_where_memory_ends(guest: Any) -> None:
    assert Errno.SUCCESS == guest.call("clock_time_get", 0, 0, len(guest.memory) - 8)
    assert Errno.FAULT == guest.call("clock_time_get", 0, 0, len(guest.memory) - 7)
    assert Errno.SUCCESS == guest.call("random_get", len(guest.memory), 0)
    assert Errno.FAULT == guest.call("random_get", 0, len(guest.memory) + 1)


@pytest.mark.parametrize(
    ("name", "errno"),
    [
        (b"a\0b", Errno.INVAL),
        (b"\0", Errno.INVAL),
        (b"\xff", Errno.ILSEQ),
        (b"\xed\xa0\x80", Errno.ILSEQ),
        (b"n" * 256, Errno.NAMETOOLONG),
        (b"n" * 4097, Errno.NAMETOOLONG),
        (b"a/" * 2049, Errno.NAMETOOLONG),
        (b"", Errno.NOENT),
    ],
)
def test_names_that_cannot_be(guest: Any, root: Path, name: bytes, errno: Errno) -> None:
    assert errno == guest.try_open(name, Oflags.CREAT)
    assert errno == guest.call("path_create_directory", 3, *guest.paths(name))
    assert errno == guest.call("path_rename", 3, *guest.paths(name, b"x")[:2], 3, *guest.paths(b"x"))
    assert [] == list(root.iterdir())


def test_names_of_any_characters_are_the_hosts(guest: Any, root: Path) -> None:
    for name in ("ü€😀", "a:b", "-", "con", " ", "\n", "\\", "$(x)", "n" * 255):
        guest.open(name, Oflags.CREAT)
        assert (root / name).exists()


def test_arguments_with_a_nul_are_refused(make_guest: Callable[..., Any]) -> None:
    for options in (
        {"args": ["a\0"]},
        {"env": {"a\0": ""}},
        {"env": {"a": "\0"}},
        {"env": {"a=": ""}},
        {"env": {"": ""}},
    ):
        with pytest.raises(ValueError, match="NUL|name"):
            make_guest(**options)
