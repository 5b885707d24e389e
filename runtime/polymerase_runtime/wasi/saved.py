"""What a snapshot keeps of a guest's WASI state, and how another process takes it up again.

Kept: arguments, environment, and each open descriptor: standard streams by their number, preopened directories by the
guest's name, and what was opened beneath them by its path, which must still lead to it; deterministic clocks and random
numbers. Not kept: the host's clocks and randomness, what is in files, and a directory listing that the guest is in the
midst of, which is read anew.
"""

from __future__ import annotations

import os
import stat

from ..snapshot.format import DIRECTORY, FILE, PREOPEN, STREAM, SavedDescriptor, SavedWasi
from ..traps import SnapshotError
from ..values import show
from . import paths
from .abi import Fdflags, Filetype, Oflags
from .errno import WasiError
from .files import Descriptor, Directory, File, open_at
from .fixed import FixedClocks, FixedRandom
from .process import Process
from .streams import Stream

_MOST = (1 << 64) - 1


def save(process: Process) -> SavedWasi:
    """The state of `process`. SnapshotError naming a descriptor that cannot be kept."""
    opened = process.opened()
    preopens = {d.preopen: d for d in opened.values() if isinstance(d, Directory) and d.preopen is not None}
    saved = [_saved(fd, d, preopens) for fd, d in opened.items()]
    clocks, random = process.clocks, process.random
    return SavedWasi(
        tuple(process.arguments),
        tuple(process.environment),
        tuple(saved),
        clocks.time & _MOST if isinstance(clocks, FixedClocks) else None,
        (random.block, random.rest) if isinstance(random, FixedRandom) else None,
    )


def _saved(fd: int, d: Descriptor, preopens: dict[bytes, Directory]) -> SavedDescriptor:
    saved = SavedDescriptor(fd, FILE, d.rights, d.inheriting, d.flags)
    if isinstance(d, Stream):
        data, tail = d.unread()
        return saved._replace(kind=STREAM, number=d.number, data=data, tail=tail)
    if d.preopen is not None:
        return saved._replace(kind=PREOPEN, preopen=d.preopen)
    fault = "it was not opened by path"
    if d.origin is not None and isinstance(d, (File, Directory)):
        preopen, path = d.origin
        saved = saved._replace(preopen=preopen, path=path, kind=DIRECTORY if isinstance(d, Directory) else FILE)
        fault = _fault(d, path, preopens.get(preopen))
        if not fault and isinstance(d, File):
            return saved._replace(offset=os.lseek(d.fd, 0, os.SEEK_CUR))
        if not fault:
            return saved
    raise SnapshotError(f"cannot snapshot: {saved}, {show(saved.path)} beneath {show(saved.preopen)}: {fault}")


def _fault(d: File | Directory, path: bytes, root: Directory | None) -> str:
    """Why the descriptor cannot be opened again by its path, or nothing."""
    if root is None:
        return "that directory is no longer open"
    if d.filetype not in (Filetype.REGULAR_FILE, Filetype.DIRECTORY):
        return "neither a regular file nor a directory"
    try:
        with paths.find(root.handle, path or b".", False) as place:
            there = place.lstat()
        same = os.path.samestat(there, os.stat(d.handle if isinstance(d, Directory) else d.fd))
    except (OSError, WasiError):
        same = False
    return "" if same else "removed or replaced since it was opened"


def reopen(process: Process, saved: SavedWasi) -> dict[int, Descriptor]:
    """The descriptors of `saved`, made of those that the new `process` has, and of files opened now, for
    `Process.replace`. SnapshotError naming one that cannot be had, with those closed again."""
    initial = process.opened().values()
    streams = {d.number: d for d in initial if isinstance(d, Stream)}
    roots = {d.preopen: d for d in initial if isinstance(d, Directory) and d.preopen is not None}
    opened: dict[int, Descriptor] = {}
    made: list[Descriptor] = []
    had: set[int] = set()  # ids, of those that there can be one of
    try:
        for s in saved.descriptors:
            if s.fd >= process.max_fds:
                raise _error(s, f"at most {process.max_fds} may be open")
            if s.flags & ~Fdflags.ALL or s.kind in (PREOPEN, DIRECTORY) and s.flags:
                raise _error(s, f"no descriptor has the flags {s.flags:#x}")
            if s.kind == STREAM:
                d: Descriptor | None = streams.get(s.number)
            else:
                d = roots.get(s.preopen)
                if d is None:
                    names = ", ".join(sorted(map(show, roots))) or "none"
                    raise _error(s, f"the guest has the folder {show(s.preopen)}, the Wasi given {names}")
                assert isinstance(d, Directory)
                if s.kind != PREOPEN:
                    d = _open(d, s)
                    made.append(d)
            if d is None or id(d) in had:
                raise _error(s, "closed" if d is None else "there twice")
            had.add(id(d))
            opened[s.fd] = d
            if s.rights & ~d.rights and s.kind != STREAM or s.inheriting & ~d.inheriting:
                raise _error(s, "more rights than can be had")
    except BaseException:
        for d in made:
            d.close()
        raise
    return opened


def _open(root: Directory, s: SavedDescriptor) -> Descriptor:
    if (s.rights | s.inheriting) & ~root.inheriting:
        raise _error(s, "more rights than its folder gives")
    try:
        s.path.decode("utf-8")
        with paths.find(root.handle, s.path or b".", False) as place:
            if stat.S_IFMT(place.lstat().st_mode) != (stat.S_IFDIR if s.kind == DIRECTORY else stat.S_IFREG):
                raise ValueError("no directory" if s.kind == DIRECTORY else "no regular file")
            oflags = Oflags.DIRECTORY if s.kind == DIRECTORY else 0
            d = open_at(root, place, oflags, s.flags, s.rights, s.inheriting)
        try:
            if isinstance(d, File):
                os.lseek(d.fd, s.offset, os.SEEK_SET)
        except BaseException:
            d.close()
            raise
    except (OSError, WasiError, ValueError, OverflowError) as e:
        fault = e.strerror if isinstance(e, OSError) else e
        raise _error(s, f"cannot open {show(s.path)} beneath {show(s.preopen)}: {fault}") from e
    return d


def take_up(process: Process, saved: SavedWasi, opened: dict[int, Descriptor]) -> None:
    """Give `process` the state of `saved`, with what `reopen` made of its descriptors."""
    for s in saved.descriptors:
        d = opened[s.fd]
        d.rights &= s.rights
        d.inheriting = s.inheriting
        if isinstance(d, Stream):
            d.flags = s.flags
            d.set_unread(s.data, s.tail)
    if saved.time is not None and isinstance(process.clocks, FixedClocks):
        process.clocks.time = saved.time
    if saved.random is not None and isinstance(process.random, FixedRandom):
        process.random.block, process.random.rest = saved.random
    process.arguments = list(saved.arguments)
    process.environment = list(saved.environment)
    process.replace(opened)


def _error(s: SavedDescriptor, fault: str) -> SnapshotError:
    return SnapshotError(f"snapshot: {s}: {fault}")
