"""`poll_oneoff`: clocks to the nanosecond, descriptors when they are ready, errors as events."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polymerase_runtime.wasi import Clocks
from polymerase_runtime.wasi.abi import HANGUP, Rights
from polymerase_runtime.wasi.clocks import MONOTONIC, PROCESS_CPUTIME, REALTIME
from polymerase_runtime.wasi.errno import Errno

MakeGuest = Callable[..., Any]
MS = 1_000_000


def clock(timeout: int, clock: int = MONOTONIC, flags: int = 0, userdata: int = 1) -> bytes:
    return struct.pack("<QB7xI4xQQH6x", userdata, 0, clock, timeout, 0, flags)


def reading(fd: int, userdata: int = 2) -> bytes:
    return struct.pack("<QB7xI28x", userdata, 1, fd)


def writing(fd: int, userdata: int = 3) -> bytes:
    return struct.pack("<QB7xI28x", userdata, 2, fd)


def poll(guest: Any, *subscriptions: bytes) -> list[tuple[int, Errno, int, int, int]]:
    """Events as (userdata, errno, type, nbytes, flags)."""
    p, _ = guest.put(b"".join(subscriptions))
    out, _ = guest.put(bytes(32 * len(subscriptions)))
    guest.check(guest.call("poll_oneoff", p, out, len(subscriptions), guest.OUT))
    data = guest.memory.read(out, 32 * guest.u32())
    return [(u, Errno(e), t, n, f) for u, e, t, n, f in struct.iter_unpack("<QHB5xQH6x", data)]


class FakeClocks(Clocks):
    """Time that passes by sleeping only; every sleep falls short by a third."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1000
        self.slept: list[int | None] = []

    def now(self, clock: int) -> int:
        super().now(clock)
        return self.time if clock == MONOTONIC else self.time + 10**18

    def sleep(self, nanoseconds: int | None) -> None:
        self.slept.append(nanoseconds)
        self.time += max(1, (nanoseconds or 0) * 2 // 3)


def test_a_clock_event_is_never_early(make_guest: MakeGuest) -> None:
    clocks = FakeClocks()
    guest = make_guest(clocks=clocks)
    assert [(1, Errno.SUCCESS, 0, 0, 0)] == poll(guest, clock(900), clock(9000, userdata=5))
    assert 1900 == clocks.time
    assert 900 == clocks.slept[0]
    poll(guest, clock(2500, flags=1))
    assert 2500 == clocks.time
    poll(guest, clock(10**18 + 3000, REALTIME, 1), clock(2**64 - 1))
    assert 3000 == clocks.time


def test_a_deadline_in_the_past_is_now(make_guest: MakeGuest) -> None:
    clocks = FakeClocks()
    guest = make_guest(clocks=clocks)
    assert [7, 8] == [u for u, *_ in poll(guest, clock(0, userdata=7), clock(1000, flags=1, userdata=8), clock(1))]
    assert 1000 == clocks.time


def test_real_time_passes(make_guest: MakeGuest) -> None:
    guest = make_guest()
    for which, now in ((MONOTONIC, time.monotonic_ns), (REALTIME, time.time_ns)):
        start = now()
        assert [(1, Errno.SUCCESS, 0, 0, 0)] == poll(guest, clock(30 * MS, which))
        assert 30 * MS <= now() - start < 1000 * MS
    start = time.monotonic_ns()
    poll(guest, clock(500_000))
    assert time.monotonic_ns() - start >= 500_000


def test_a_pipe_is_ready_when_data_comes(make_guest: MakeGuest) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb", buffering=0) as sink:
        guest = make_guest(stdin=source, stdout=sink)
        start = time.monotonic_ns()
        assert [(1, Errno.SUCCESS, 0, 0, 0)] == poll(guest, reading(0), clock(20 * MS))
        assert time.monotonic_ns() - start >= 20 * MS
        timer = threading.Timer(0.03, sink.write, (b"x",))
        timer.start()
        assert [(2, Errno.SUCCESS, 1, 1, 0)] == poll(guest, reading(0), clock(5000 * MS))
        timer.join()
        assert [2, 3] == [u for u, *_ in poll(guest, reading(0), writing(1), clock(5000 * MS))]
        assert b"x" == guest.read(0, 9)
        sink.close()
        assert [(2, Errno.SUCCESS, 1, 0, HANGUP)] == poll(guest, reading(0))
        assert b"" == guest.read(0, 9)


def test_what_the_host_has_read_ahead_is_ready(make_guest: MakeGuest) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb", buffering=0) as sink:
        sink.write(b"line\nrest")
        assert b"line\n" == source.readline()
        guest = make_guest(stdin=source)
        assert [2] == [u for u, *_ in poll(guest, reading(0), clock(5000 * MS))]
        assert b"rest" == guest.read(0, 9)
        assert [1] == [u for u, *_ in poll(guest, reading(0), clock(MS))]
        assert os.get_blocking(reader)


def test_files_and_memory_are_always_ready(make_guest: MakeGuest, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    guest = make_guest(dirs={"/": tmp_path}, stdin=io.BytesIO(b""), stdout=io.BytesIO())
    fd = guest.open("f")
    guest.read(fd, 2)
    events = poll(guest, reading(fd), clock(10**15), writing(fd), reading(0), writing(1))
    assert [(2, 1, 3), (3, 2, 1), (2, 1, 1), (3, 2, 1)] == [(u, t, n) for u, _, t, n, _ in events]


def test_an_error_is_an_event(make_guest: MakeGuest, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    guest = make_guest(dirs={"/": tmp_path}, stdin=io.BytesIO(), stdout=io.BytesIO())
    fd = guest.open("f", 0, Rights.FD_READ)
    events = poll(guest, reading(99), reading(1), writing(0), reading(3), reading(fd), clock(0, 77), clock(0, 0, 2))
    assert [
        Errno.BADF,
        Errno.BADF,
        Errno.BADF,
        Errno.BADF,
        Errno.NOTCAPABLE,
        Errno.INVAL,
        Errno.INVAL,
    ] == [e for _, e, *_ in events]
    assert [(1, Errno.INVAL, 0, 0, 0)] == poll(guest, clock(0, PROCESS_CPUTIME))
    assert [(9, Errno.INVAL, 3, 0, 0)] == poll(guest, struct.pack("<QB39x", 9, 3))


def test_counts(make_guest: MakeGuest) -> None:
    guest = make_guest(stdin=io.BytesIO())
    assert Errno.INVAL == guest.call("poll_oneoff", 1024, 1024, 0, guest.OUT)
    assert Errno.INVAL == guest.call("poll_oneoff", 1024, 1024, 2**32 - 1, guest.OUT)
    assert Errno.FAULT == guest.call("poll_oneoff", len(guest.memory) - 47, 1024, 1, guest.OUT)
    assert Errno.FAULT == guest.call("poll_oneoff", 1024, len(guest.memory) - 31, 1, guest.OUT)
    assert [0] * 100 == [t for _, _, t, _, _ in poll(guest, *[clock(0)] * 100)]
