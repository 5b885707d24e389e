"""Stopping a guest that runs: `Instance.interrupt`, and the deadline of a call.

To stop is to make `running` False in the namespace of the instance, and of all that it can call or be called by without
passing the border: those share a guard (see border.py), and with it the call that runs. The thread that leaves the
guest makes it True again. Nothing here costs a call but one look at `guard.stopped` as it leaves.

An interrupt stops the call that it has seen, or none, and never a later one: it first sets `guard.stopped` and then
looks who is in the guest; a thread that leaves first says so and then looks at `guard.stopped`, and waits for the lock
if it is set. So one of the two sees the other.
"""

from __future__ import annotations

import os
import threading
import time
from threading import get_ident
from typing import TYPE_CHECKING, Any

from . import border
from .border import Guard

if TYPE_CHECKING:
    from .func import Func
    from .instance import Instance

__polymerase_helper__ = True  # `timed` is between the border and the guest's frames

_lock = threading.RLock()  # of all that is stopped; a signal handler may interrupt, too


def interrupt(instance: Instance, watch: _Watch | None = None) -> bool:
    """Stop the call that runs in the instance or in one linked with it, at its next poll; whether there is one. With
    `watch` only while that waits."""
    with _lock:
        if watch is not None and watch.instance is None:
            return False
        guard = border.root(instance.guard)
        namespaces = [found.namespace for member in guard.members if (found := member()) is not None]
        guard.stopped = guard.stopped or (0, [])
        thread = guard.thread
        guard.stopped = (thread, namespaces) if thread else None
        for namespace in namespaces:
            namespace["running"] = not thread
        return bool(thread)


def revive(guard: Guard) -> None:
    """The thread that called has left the guest of `guard`, and something was to be stopped."""
    with _lock:
        if guard.stopped is not None and guard.stopped[0] == get_ident():
            for namespace in guard.stopped[1]:
                namespace["running"] = True
            guard.stopped = None


border.revive = revive


# --- Deadlines


class _Watch:
    """A call that is to end by `due`, of time.monotonic; `instance` is None when it has."""

    __slots__ = ("due", "instance", "number")

    def __init__(self, due: float, number: int, instance: Instance) -> None:
        self.due = due
        self.number = number
        self.instance: Instance | None = instance

    def __lt__(self, other: _Watch) -> bool:
        return (self.due, self.number) < (other.due, other.number)


class _Watchdog:
    """A daemon thread that interrupts what is overdue: one for the process, started when first needed."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.Lock())
        self.watches: list[_Watch] = []  # a heap
        self.over = 0  # of those, how many are over
        self.count = 0
        self.thread: threading.Thread | None = None

    def add(self, instance: Instance, seconds: float) -> _Watch:
        """Interrupt the instance in so many seconds."""
        from heapq import heappush  # imported by who has deadlines: a program's start has a millisecond less

        with self.changed:
            self.count += 1
            watch = _Watch(time.monotonic() + seconds, self.count, instance)
            heappush(self.watches, watch)
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=self.run, name="polymerase watchdog", daemon=True)
                self.thread.start()
            elif self.watches[0] is watch:
                self.changed.notify()
            return watch

    def remove(self, watch: _Watch) -> None:
        """The call is over in time, or not."""
        from heapq import heapify

        with _lock:  # not while it is being interrupted
            watch.instance = None
        with self.changed:
            self.over += 1
            if self.over > 64 and self.over > len(self.watches) // 2:
                self.watches = [w for w in self.watches if w.instance is not None]
                heapify(self.watches)
                self.over = 0

    def run(self) -> None:
        """The thread's work."""
        from heapq import heappop

        while True:
            with self.changed:
                while not self.watches or self.watches[0].due > time.monotonic():
                    wait = self.watches[0].due - time.monotonic() if self.watches else None
                    self.changed.wait(None if wait is None else max(0.0, min(wait, 3600.0)))
                watch = heappop(self.watches)
                instance = watch.instance
                if instance is None:
                    self.over = max(0, self.over - 1)
            if instance is not None:
                interrupt(instance, watch)
                del instance


_watchdog = _Watchdog()


def _forget() -> None:
    """In the child of a fork the watchdog's thread is gone, and so is who held its lock."""
    global _watchdog, _lock
    _watchdog = _Watchdog()
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def timed(f: Func, *args: Any) -> Any:
    """Call the function, with internal values, under its instance's deadline, unless a call of the instance is already
    under it."""
    instance = f.instance
    assert instance is not None and instance.limits.deadline is not None
    if instance.watch is not None:
        return f.raw(*args)
    instance.watch = _watchdog.add(instance, instance.limits.deadline)
    try:
        return f.raw(*args)
    finally:
        _watchdog.remove(instance.watch)
        instance.watch = None
