"""One guest program's view of the world: arguments, environment, clocks, randomness and open file descriptors."""

from __future__ import annotations

import heapq
import os
from typing import Any, Callable

from ..controls import stop
from .abi import Rights
from .clocks import Clocks
from .errno import Errno, WasiError
from .files import Descriptor, Directory


class Process:
    """The state that the WASI functions work on. `arguments` and `environment` (`KEY=value`) are without their NUL."""

    def __init__(
        self,
        arguments: list[bytes],
        environment: list[bytes],
        clocks: Clocks,
        random: Callable[[int], bytes] = os.urandom,
        max_fds: int = 512,
    ) -> None:
        self.arguments = arguments
        self.environment = environment
        self.clocks = clocks
        self.random = random
        self.max_fds = max_fds
        self.serves = False  # whether its functions were asked for, to be imported
        self.caller: Any = None  # of the function that runs, or ran last
        self._open: dict[int, Descriptor] = {}
        self._free: list[int] = []  # numbers below len(_open) + len(_free), a heap

    def require_running(self) -> None:
        """Trap "interrupt" if the guest that waits was interrupted."""
        instance = getattr(self.caller, "instance", None)
        if instance is not None and not instance.namespace["running"]:
            if instance.machine is None or not instance.machine.stopping:
                stop(instance)

    def get(self, fd: int, rights: int = 0) -> Descriptor:
        """The descriptor; `errno::badf` if it is not open, or not for reading or writing as `rights` ask;
        `errno::notcapable` if it lacks another of them."""
        descriptor = self._open.get(fd)
        if descriptor is None:
            raise WasiError(Errno.BADF)
        lacking = rights & ~descriptor.rights
        if lacking:
            raise WasiError(Errno.BADF if lacking & (Rights.FD_READ | Rights.FD_WRITE) else Errno.NOTCAPABLE)
        return descriptor

    def directory(self, fd: int, rights: int) -> Directory:
        """The directory; `errno::notdir` if the descriptor is something else."""
        directory = self.get(fd)
        if not isinstance(directory, Directory):
            raise WasiError(Errno.NOTDIR)
        if rights & ~directory.rights:
            raise WasiError(Errno.NOTCAPABLE)
        return directory

    def require_free(self) -> None:
        """Raise `errno::mfile` if no further descriptor may be opened."""
        if len(self._open) >= self.max_fds:
            raise WasiError(Errno.MFILE)

    def add(self, descriptor: Descriptor) -> int:
        """Give the descriptor the lowest free number, as POSIX does."""
        fd = heapq.heappop(self._free) if self._free else len(self._open)
        self._open[fd] = descriptor
        return fd

    def remove(self, fd: int) -> None:
        """Close the descriptor. Its number is free even if that fails."""
        descriptor = self.get(fd)
        del self._open[fd]
        heapq.heappush(self._free, fd)
        descriptor.close()

    def renumber(self, fd: int, to: int) -> None:
        """Give `fd` the number `to`, whose descriptor is closed. Both must be open."""
        descriptor, replaced = self.get(fd), self.get(to)
        if fd == to:
            return
        del self._open[fd]
        heapq.heappush(self._free, fd)
        self._open[to] = descriptor
        replaced.close()

    def opened(self) -> dict[int, Descriptor]:
        """What is open, by number, as a copy."""
        return dict(sorted(self._open.items()))

    def replace(self, opened: dict[int, Descriptor]) -> None:
        """Have exactly `opened` open, numbers below `max_fds`, and close what was open and is not among it."""
        old, self._open = self._open, opened
        self._free = [fd for fd in range(max(opened, default=-1)) if fd not in opened]  # sorted, so a heap
        kept = set(map(id, opened.values()))
        for descriptor in old.values():
            if id(descriptor) not in kept:
                descriptor.close()

    def close(self) -> None:
        """Close everything that is open; the first error, if any, is raised once all is closed."""
        first: OSError | None = None
        while self._open:
            fd, descriptor = self._open.popitem()
            heapq.heappush(self._free, fd)
            try:
                descriptor.close()
            except OSError as error:
                first = first or error
        if first is not None:
            raise first

    def __del__(self) -> None:
        # Not of Wasi, which nobody needs to keep once its functions are taken.
        if hasattr(self, "_free"):
            self.close()
