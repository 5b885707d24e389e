"""`poll_oneoff` of WASI preview 1: waits for clocks and file descriptors."""

from __future__ import annotations

import os
import select
from typing import NamedTuple

from .abi import ABSTIME, EVENT, EVENT_CLOCK, EVENT_FD_READ, EVENT_FD_WRITE, HANGUP, SUBSCRIPTION, U32, Rights
from .clocks import MONOTONIC, REALTIME
from .errno import Errno, WasiError
from .pointers import Memory, load, require
from .process import Process

MAX_SUBSCRIPTIONS = 1 << 16
_LONGEST_WAIT = 3_600_000  # milliseconds at a time


class _Clock(NamedTuple):
    i: int  # of the subscription
    clock: int
    deadline: int  # ns on that clock


class _Wait(NamedTuple):
    i: int
    fd: int  # the operating system's
    writing: bool


def poll_oneoff(process: Process, memory: Memory, subscriptions: int, events: int, count: int, out: int) -> None:
    """witx `poll_oneoff`. Events are in the order of their subscriptions; a clock's is never early.

    Of the clocks realtime and monotonic can be waited for. What is wrong with one subscription is told by its event.
    """
    if not 0 < count <= MAX_SUBSCRIPTIONS:
        raise WasiError(Errno.INVAL)
    asked = list(SUBSCRIPTION.iter_unpack(load(memory, subscriptions, count * SUBSCRIPTION.size)))
    require(memory, events, count * EVENT.size)
    require(memory, out, 4)

    clocks: list[_Clock] = []
    waits: list[_Wait] = []
    ready: dict[int, tuple[int, int, int]] = {}  # index -> errno, nbytes, flags
    for i, (_, tag, fd_or_clock, timeout, _, flags) in enumerate(asked):
        try:
            if tag == EVENT_CLOCK:
                clocks.append(_Clock(i, fd_or_clock, _deadline(process, fd_or_clock, timeout, flags)))
            elif tag in (EVENT_FD_READ, EVENT_FD_WRITE):
                fd = _waitable(process, fd_or_clock, tag == EVENT_FD_WRITE)
                if fd is None:
                    ready[i] = _available(process, fd_or_clock, tag == EVENT_FD_WRITE)
                else:
                    waits.append(_Wait(i, fd, tag == EVENT_FD_WRITE))
            else:
                raise WasiError(Errno.INVAL)
        except WasiError as error:
            ready[i] = error.errno, 0, 0

    while True:
        left = _time_left(process, clocks, ready)
        if not ready:
            process.require_running()
        nap = process.clocks.nap if left is None else min(left, process.clocks.nap)
        if waits:
            ready.update(_poll(waits, 0 if ready else nap))
        elif left:
            process.clocks.sleep(nap)
        for clock in clocks:
            if process.clocks.now(clock.clock) >= clock.deadline:
                ready[clock.i] = 0, 0, 0
        if ready:
            break

    packed = b"".join(
        EVENT.pack(asked[i][0], ready[i][0], asked[i][1], ready[i][1], ready[i][2]) for i in sorted(ready)
    )
    memory.write(events, packed)
    memory.write(out, U32.pack(len(ready)))


def _deadline(process: Process, clock: int, timeout: int, flags: int) -> int:
    if clock not in (REALTIME, MONOTONIC) or flags & ~ABSTIME:
        raise WasiError(Errno.INVAL)
    return timeout if flags & ABSTIME else process.clocks.now(clock) + timeout


def _waitable(process: Process, fd: int, writing: bool) -> int | None:
    """The operating system's descriptor to wait for; None if it is ready anyway."""
    file = process.get(fd, Rights.FD_WRITE if writing else Rights.FD_READ)
    if not file.rights & Rights.POLL_FD_READWRITE:
        raise WasiError(Errno.NOTCAPABLE)
    waited = file.poll_fd()
    if waited is None or os.name == "nt" or not writing and file.readable():
        return None
    return waited


def _available(process: Process, fd: int, writing: bool) -> tuple[int, int, int]:
    return 0, 1 if writing else process.get(fd).available(), 0


def _time_left(process: Process, clocks: list[_Clock], ready: dict[int, tuple[int, int, int]]) -> int | None:
    """Nanoseconds until the first deadline; None if there is none."""
    if ready or not clocks:
        return None
    return max(0, min(clock.deadline - process.clocks.now(clock.clock) for clock in clocks))


def _poll(waits: list[_Wait], nanoseconds: int | None) -> dict[int, tuple[int, int, int]]:
    """Wait for the operating system's descriptors, at most that long; what is ready, by index."""
    poll = select.poll()
    masks: dict[int, int] = {}
    for wait in waits:
        masks[wait.fd] = masks.get(wait.fd, 0) | (select.POLLOUT if wait.writing else select.POLLIN)
    for fd, mask in masks.items():
        poll.register(fd, mask)
    # Rounded up, so as not to spin for the last part of a millisecond.
    timeout = _LONGEST_WAIT if nanoseconds is None else min(-(-nanoseconds // 1_000_000), _LONGEST_WAIT)
    happened = dict(poll.poll(timeout))
    ready = {}
    for wait in waits:
        state = happened.get(wait.fd, 0)
        mine = select.POLLOUT if wait.writing else select.POLLIN
        if state & select.POLLNVAL:
            ready[wait.i] = int(Errno.BADF), 0, 0
        elif state & (mine | select.POLLHUP | select.POLLERR):
            hung_up = state & select.POLLHUP
            ready[wait.i] = 0, 1 if state & mine else 0, HANGUP if hung_up else 0
    return ready
