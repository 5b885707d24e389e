"""The clocks of WASI preview 1 (witx `clockid`), in nanoseconds."""

from __future__ import annotations

import time
from typing import Callable

from .errno import Errno, WasiError

REALTIME, MONOTONIC, PROCESS_CPUTIME, THREAD_CPUTIME = range(4)

_LONGEST_SLEEP = 3600.0  # seconds at a time, so that no timeout is too large for the operating system


class Clocks:
    """The host's clocks. Replace `now`, `resolution` and `sleep` to give a guest other ones. `nap` is how long it
    sleeps at most (nanoseconds) before it looks whether it was interrupted."""

    nap = 50_000_000

    def __init__(self) -> None:
        start = time.monotonic_ns()
        self._now: dict[int, Callable[[], int]] = {
            REALTIME: time.time_ns,
            # From 0: how long the host has been up is none of the guest's business.
            MONOTONIC: lambda: time.monotonic_ns() - start,
            PROCESS_CPUTIME: time.process_time_ns,
        }
        self._info = {
            REALTIME: time.get_clock_info("time"),
            MONOTONIC: time.get_clock_info("monotonic"),
            PROCESS_CPUTIME: time.get_clock_info("process_time"),
        }
        if hasattr(time, "thread_time_ns"):
            self._now[THREAD_CPUTIME] = time.thread_time_ns
            self._info[THREAD_CPUTIME] = time.get_clock_info("thread_time")

    def now(self, clock: int) -> int:
        """The clock's value; `errno::inval` if there is none of that number."""
        try:
            return self._now[clock]()
        except KeyError:
            raise WasiError(Errno.INVAL) from None

    def resolution(self, clock: int) -> int:
        """The clock's step, at least 1; `errno::inval` if there is none of that number."""
        try:
            return max(1, round(self._info[clock].resolution * 1e9))
        except KeyError:
            raise WasiError(Errno.INVAL) from None

    def sleep(self, nanoseconds: int | None) -> None:
        """Let at most that much time pass, or an hour; whoever needs more sleeps again."""
        time.sleep(_LONGEST_SLEEP if nanoseconds is None else min(nanoseconds / 1e9, _LONGEST_SLEEP))
