"""Clocks and random numbers that are the same in every run: for guests whose output must not depend on the host."""

from __future__ import annotations

from hashlib import sha256

from .clocks import MONOTONIC, PROCESS_CPUTIME, REALTIME, THREAD_CPUTIME, Clocks
from .errno import Errno, WasiError

_STEP = 1_000_000  # nanoseconds from one look at a clock to the next: a guest that waits by looking gets on
_BLOCK = 32


class FixedClocks(Clocks):
    """All clocks begin at 0, which is 1970, and go on by a millisecond each time that one is read, and by what the
    guest sleeps, at once."""

    nap = 1 << 64  # no time passes

    def __init__(self) -> None:
        super().__init__()
        self.time = 0  # nanoseconds
        self._now = dict.fromkeys((REALTIME, MONOTONIC, PROCESS_CPUTIME, THREAD_CPUTIME), self._read)

    def _read(self) -> int:
        self.time += _STEP
        return self.time

    def resolution(self, clock: int) -> int:
        """The step, the same for each clock; `errno::inval` if there is none of that number."""
        if clock not in self._now:
            raise WasiError(Errno.INVAL)
        return _STEP

    def sleep(self, nanoseconds: int | None) -> None:
        """Let the time pass, without waiting."""
        self.time += max(0, _STEP if nanoseconds is None else nanoseconds)


class FixedRandom:
    """Bytes from a fixed seed: SHA-256 of a counter. Good to test with, not to keep secrets with."""

    def __init__(self) -> None:
        self.block = 0  # how many were made
        self.rest = b""  # what of the last one is left

    def __call__(self, count: int) -> bytes:
        """The next `count` bytes."""
        blocks = max(0, -(-(count - len(self.rest)) // _BLOCK))
        made = [sha256(b"polymerase%d" % k).digest() for k in range(self.block, self.block + blocks)]
        self.block += blocks
        data = self.rest + b"".join(made)
        self.rest = data[count:]
        return data[:count]
