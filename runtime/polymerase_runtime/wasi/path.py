"""The functions path_* of WASI preview 1. Each finds its places by `paths`, which keeps them beneath the directory."""

from __future__ import annotations

import errno as host
import os
import stat
import sys

from . import paths
from .abi import SYMLINK_FOLLOW, U32, Fdflags, Oflags, Rights
from .errno import Errno, WasiError
from .files import Directory, new_times, open_at, pack_stat
from .pointers import Memory, load_path, require, store
from .process import Process


def path_create_directory(process: Process, memory: Memory, fd: int, path: int, n: int) -> None:
    """witx `path_create_directory`."""
    directory = process.directory(fd, Rights.PATH_CREATE_DIRECTORY)
    with paths.find_entry(directory.handle, load_path(memory, path, n)) as place:
        os.mkdir(place.path, 0o777, dir_fd=place.fd)


def path_filestat_get(process: Process, memory: Memory, fd: int, flags: int, path: int, n: int, out: int) -> None:
    """witx `path_filestat_get`."""
    directory = process.directory(fd, Rights.PATH_FILESTAT_GET)
    with _find(directory, flags, load_path(memory, path, n)) as place:
        place.require_directory()
        store(memory, out, pack_stat(place.lstat()))


def path_filestat_set_times(
    process: Process, memory: Memory, fd: int, flags: int, path: int, n: int, atim: int, mtim: int, fstflags: int
) -> None:
    """witx `path_filestat_set_times`."""
    directory = process.directory(fd, Rights.PATH_FILESTAT_SET_TIMES)
    with _find(directory, flags, load_path(memory, path, n)) as place:
        place.require_directory()
        found = place.lstat()
        times = new_times(fstflags, atim, mtim, found)
        if os.utime in os.supports_follow_symlinks:
            os.utime(place.path, ns=times, dir_fd=place.fd, follow_symlinks=False)
        elif stat.S_ISLNK(found.st_mode):
            raise WasiError(Errno.NOTSUP)
        else:
            os.utime(place.path, ns=times)


def path_link(
    process: Process,
    memory: Memory,
    old_fd: int,
    old_flags: int,
    old_path: int,
    old_n: int,
    new_fd: int,
    new_path: int,
    new_n: int,
) -> None:
    """witx `path_link`; to follow a symlink at the end gives `errno::inval`, as in wasmtime."""
    old = process.directory(old_fd, Rights.PATH_LINK_SOURCE)
    new = process.directory(new_fd, Rights.PATH_LINK_TARGET)
    source, target = load_path(memory, old_path, old_n), load_path(memory, new_path, new_n)
    if old_flags & SYMLINK_FOLLOW:
        raise WasiError(Errno.INVAL)
    with paths.find_entry(old.handle, source) as a, paths.find_entry(new.handle, target) as b:
        a.require_directory()
        b.require_new()
        _link(a, b)


def _link(a: paths.Place, b: paths.Place) -> None:
    if os.link not in os.supports_follow_symlinks:
        if stat.S_ISLNK(a.lstat().st_mode):
            raise WasiError(Errno.NOTSUP)
        os.link(a.path, b.path)
        return
    try:
        os.link(a.path, b.path, src_dir_fd=a.fd, dst_dir_fd=b.fd, follow_symlinks=False)
    except OSError as error:
        if error.errno != host.EINVAL or sys.implementation.name != "pypy":
            raise
        # PyPy 7.3 passes linkat a flag that it doesn't take, and none, so not following, when asked to follow.
        wanted = a.lstat()
        os.link(a.path, b.path, src_dir_fd=a.fd, dst_dir_fd=b.fd)
        if not os.path.samestat(wanted, b.lstat()):
            os.unlink(b.path, dir_fd=b.fd)
            raise WasiError(Errno.NOTSUP) from None


def path_open(
    process: Process,
    memory: Memory,
    fd: int,
    dirflags: int,
    path: int,
    n: int,
    oflags: int,
    base: int,
    inheriting: int,
    fdflags: int,
    out: int,
) -> None:
    """witx `path_open`.

    Rights beyond those that the directory passes on are left out, except that of reading or writing: without those a
    file would open that can't be used for what it is opened for.
    """
    directory = process.directory(fd, Rights.PATH_OPEN)
    name = load_path(memory, path, n)
    require(memory, out, 4)
    if oflags & ~Oflags.ALL or fdflags & ~Fdflags.ALL or oflags & Oflags.CREAT and oflags & Oflags.DIRECTORY:
        raise WasiError(Errno.INVAL)
    needed = Rights.PATH_CREATE_FILE if oflags & Oflags.CREAT else 0
    needed |= Rights.PATH_FILESTAT_SET_SIZE if oflags & Oflags.TRUNC else 0
    passed = base & (Rights.FD_READ | Rights.FD_WRITE)
    passed |= Rights.FD_DATASYNC if fdflags & Fdflags.DSYNC else 0
    passed |= Rights.FD_SYNC if fdflags & (Fdflags.RSYNC | Fdflags.SYNC) else 0
    if needed & ~directory.rights or passed & ~directory.inheriting:
        raise WasiError(Errno.NOTCAPABLE)
    process.require_free()
    follow = bool(dirflags & SYMLINK_FOLLOW) and oflags & (Oflags.CREAT | Oflags.EXCL) != Oflags.CREAT | Oflags.EXCL
    with paths.find(directory.handle, name, follow) as place:
        if place.slash and oflags & Oflags.CREAT:
            raise WasiError(Errno.ISDIR)
        passed, inherited = base & directory.inheriting, inheriting & directory.inheriting
        opened = open_at(directory, place, oflags, fdflags, passed, inherited)
    memory.write(out, U32.pack(process.add(opened)))


def path_readlink(process: Process, memory: Memory, fd: int, path: int, n: int, buf: int, size: int, out: int) -> None:
    """witx `path_readlink`; a target longer than the buffer is cut."""
    directory = process.directory(fd, Rights.PATH_READLINK)
    with paths.find(directory.handle, load_path(memory, path, n), False) as place:
        place.require_directory()  # which is no symlink either, but another error
        require(memory, buf, size)
        require(memory, out, 4)
        target = paths.read_link(place)[:size]
        memory.write(buf, target)
        memory.write(out, U32.pack(len(target)))


def path_remove_directory(process: Process, memory: Memory, fd: int, path: int, n: int) -> None:
    """witx `path_remove_directory`."""
    directory = process.directory(fd, Rights.PATH_REMOVE_DIRECTORY)
    with paths.find_entry(directory.handle, load_path(memory, path, n)) as place:
        os.rmdir(place.path, dir_fd=place.fd)


def path_rename(
    process: Process, memory: Memory, fd: int, old_path: int, old_n: int, new_fd: int, new_path: int, new_n: int
) -> None:
    """witx `path_rename`: replaces what is there, also on Windows."""
    old = process.directory(fd, Rights.PATH_RENAME_SOURCE)
    new = process.directory(new_fd, Rights.PATH_RENAME_TARGET)
    source, target = load_path(memory, old_path, old_n), load_path(memory, new_path, new_n)
    with paths.find_entry(old.handle, source) as a, paths.find_entry(new.handle, target) as b:
        a.slash = a.slash or b.slash  # only a directory can become one
        a.require_directory()
        os.replace(a.path, b.path, src_dir_fd=a.fd, dst_dir_fd=b.fd)


def path_symlink(
    process: Process, memory: Memory, old_path: int, old_n: int, fd: int, new_path: int, new_n: int
) -> None:
    """witx `path_symlink`; an absolute target gives `errno::perm`: the guest's root is not the host's."""
    directory = process.directory(fd, Rights.PATH_SYMLINK)
    target, name = load_path(memory, old_path, old_n), load_path(memory, new_path, new_n)
    if not target:
        raise WasiError(Errno.NOENT)
    if paths.is_absolute(target):
        raise WasiError(Errno.PERM)
    with paths.find_entry(directory.handle, name) as place:
        place.require_new()
        os.symlink(target, place.path, dir_fd=place.fd)


def path_unlink_file(process: Process, memory: Memory, fd: int, path: int, n: int) -> None:
    """witx `path_unlink_file`; `errno::isdir` for a directory (macOS: `errno::perm`)."""
    directory = process.directory(fd, Rights.PATH_UNLINK_FILE)
    with paths.find_entry(directory.handle, load_path(memory, path, n)) as place:
        place.require_directory()
        os.unlink(place.path, dir_fd=place.fd)


def _find(directory: Directory, flags: int, path: bytes) -> paths.Place:
    return paths.find(directory.handle, path, bool(flags & SYMLINK_FOLLOW))
