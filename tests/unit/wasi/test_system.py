"""Arguments, environment, clocks, randomness, and the ends of a process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from polymerase_runtime.traps import Exit
from polymerase_runtime.wasi import Clocks
from polymerase_runtime.wasi.errno import Errno, from_os_error
from polymerase_runtime.wasi.imports import FUNCTIONS

MakeGuest = Callable[..., Any]


def strings(guest: Any, what: str) -> list[bytes]:
    guest.check(guest.call(f"{what}_sizes_get", 16, 20))
    count, size = guest.u32(16), guest.u32(20)
    guest.check(guest.call(f"{what}_get", 1024, 8192))
    pointers = [guest.u32(1024 + 4 * i) for i in range(count)]
    data = guest.memory.read(8192, size)
    assert count == data.count(b"\0")
    return [data[p - 8192 : data.index(b"\0", p - 8192)] for p in pointers]


def test_arguments_and_environment(make_guest: MakeGuest) -> None:
    guest = make_guest(args=["prog", "", "ü 'x'\n", "\udcff"], env={"A": "1=2", "Ä": ""})
    assert [b"prog", b"", "ü 'x'\n".encode(), b"\xff"] == strings(guest, "args")
    assert [b"A=1=2", "Ä=".encode()] == strings(guest, "environ")
    empty = make_guest()
    assert [] == strings(empty, "args")
    assert [] == strings(empty, "environ")


def test_argument_pointers_are_checked_before_writing(make_guest: MakeGuest) -> None:
    guest = make_guest(args=["prog", "x"])
    end = len(guest.memory)
    for table, buf in ((end - 7, 1024), (1024, end - 6), (2**32 - 4, 2**32 - 1)):
        assert Errno.FAULT == guest.call("args_get", table, buf)
        assert Errno.FAULT == guest.call("args_sizes_get", 1024, end - 3)
    assert not any(guest.memory.data)
    assert Errno.SUCCESS == guest.call("args_get", end - 8, 1024)


def test_clocks(make_guest: MakeGuest) -> None:
    guest = make_guest()

    def now(clock: int) -> int:
        guest.check(guest.call("clock_time_get", clock, 0, 16))
        return int(guest.u64())

    assert abs(now(0) - time.time_ns()) < 10**10
    first = now(1)
    assert 0 <= first < 10**12
    assert first <= now(1)
    assert 0 < now(2)
    assert Errno.INVAL == guest.call("clock_time_get", 4, 0, 16)
    assert Errno.INVAL == guest.call("clock_res_get", 2**32 - 1, 16)
    for clock in range(3):
        guest.check(guest.call("clock_res_get", clock, 16))
        assert 1 <= guest.u64() < 10**9


def test_clocks_and_randomness_can_be_replaced(make_guest: MakeGuest) -> None:
    class Still(Clocks):
        def now(self, clock: int) -> int:
            return 42

    guest = make_guest(clocks=Still(), random=lambda n: b"\x07" * n)
    guest.check(guest.call("clock_time_get", 0, 0, 16))
    assert 42 == guest.u64()
    guest.check(guest.call("random_get", 1024, 100_000))
    assert {7} == set(guest.memory.read(1024, 100_000))


def test_randomness_fills_what_it_should(make_guest: MakeGuest) -> None:
    guest = make_guest()
    guest.check(guest.call("random_get", 1024, 70_000))
    data = guest.memory.read(1024, 70_000)
    assert len(set(data[:1000])) > 50
    assert len(set(data[-1000:])) > 50
    assert not any(guest.memory.read(71_024, 100))


def test_ends(make_guest: MakeGuest) -> None:
    guest = make_guest()
    assert Errno.SUCCESS == guest.call("sched_yield")
    for signal, errno in ((0, Errno.SUCCESS), (16, Errno.SUCCESS), (18, Errno.NOTSUP), (31, Errno.INVAL)):
        assert errno == guest.call("proc_raise", signal)
    with pytest.raises(Exit) as exit:
        guest.call("proc_raise", 6)
    assert 134 == exit.value.code


def test_every_function_of_preview_1_is_there() -> None:
    assert 46 == len({name for name, _, _ in FUNCTIONS})
    for name, params, function in FUNCTIONS:
        assert name == function.__name__
        assert f"witx `{name}`" in (function.__doc__ or "")
        assert len(params) + 2 == function.__code__.co_argcount


def test_an_unknown_error_of_the_operating_system_is_io() -> None:
    assert Errno.IO == from_os_error(OSError(123456, ""))
    assert Errno.IO == from_os_error(OSError("no number"))
    assert Errno.NOENT == from_os_error(FileNotFoundError(2, ""))
