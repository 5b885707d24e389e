"""What a guest's file descriptors stand for, and files and directories of the host."""

from __future__ import annotations

import os
import stat
import time

from . import paths
from .abi import FILESTAT, Fdflags, Filetype, Fstflags, Oflags, Rights
from .errno import Errno, WasiError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # looked at before each use

_MAX_OFFSET = 2**63 - 1

_FLAGS = (
    (Fdflags.APPEND, os.O_APPEND),
    (Fdflags.DSYNC, getattr(os, "O_DSYNC", 0)),
    (Fdflags.NONBLOCK, getattr(os, "O_NONBLOCK", 0)),
    (Fdflags.RSYNC, getattr(os, "O_RSYNC", 0)),
    (Fdflags.SYNC, getattr(os, "O_SYNC", 0)),
)
_SYNC_FLAGS = Fdflags.DSYNC | Fdflags.RSYNC | Fdflags.SYNC


class Descriptor:
    """An open file descriptor: its witx `fdstat`, and operations that all fail until a subclass has them."""

    filetype = Filetype.UNKNOWN
    preopen: bytes | None = None  # the guest's name of a preopened directory
    origin: tuple[bytes, bytes] | None = None  # that of the one it was opened beneath, and the path from there

    def __init__(self, rights: int, inheriting: int = 0, flags: int = 0) -> None:
        self.rights = rights
        self.inheriting = inheriting
        self.flags = flags

    def close(self) -> None:
        """Give back what is held. Called once."""

    def poll_fd(self) -> int | None:
        """The operating system's descriptor to wait on; None if reading and writing never wait."""
        return None

    def readable(self) -> bool:
        """Whether there is something to read that the operating system doesn't know of."""
        return False

    def available(self) -> int:
        """How many bytes a read would give at once, as far as is known; at least 1 if it is not at the end."""
        return 1

    def stat(self) -> bytes:
        """A packed witx `filestat`."""
        raise WasiError(Errno.BADF)

    def read(self, n: int) -> bytes:
        """At most `n` bytes; none at the end only."""
        raise WasiError(Errno.BADF)

    def write(self, data: bytes) -> int:
        """Write some of `data` and return how much."""
        raise WasiError(Errno.BADF)

    def pread(self, n: int, offset: int) -> bytes:
        raise WasiError(Errno.SPIPE)

    def pwrite(self, data: bytes, offset: int) -> int:
        raise WasiError(Errno.SPIPE)

    def seek(self, delta: int, whence: int) -> int:
        """Move the offset; return the new one."""
        raise WasiError(Errno.SPIPE)

    def set_flags(self, flags: int) -> None:
        """Change the `fdflags` that can be changed on an open file: not those about synchronizing."""
        if (flags ^ self.flags) & _SYNC_FLAGS:
            raise WasiError(Errno.INVAL)
        self.flags = flags

    def sync(self, data_only: bool) -> None:
        raise WasiError(Errno.INVAL)

    def resize(self, size: int) -> None:
        raise WasiError(Errno.INVAL)

    def allocate(self, offset: int, n: int) -> None:
        raise WasiError(Errno.SPIPE)

    def advise(self, offset: int, n: int, advice: int) -> None:
        raise WasiError(Errno.SPIPE)

    def set_times(self, fstflags: int, atim: int, mtim: int) -> None:
        raise WasiError(Errno.BADF)


class File(Descriptor):
    """Anything but a directory that was opened by path. Offset and append mode are the operating system's."""

    def __init__(self, fd: int, rights: int, flags: int) -> None:
        super().__init__(rights, 0, flags)
        self.fd = fd
        self.filetype = filetype(os.fstat(fd).st_mode)

    def close(self) -> None:
        os.close(self.fd)

    def poll_fd(self) -> int | None:
        return None if self.filetype == Filetype.REGULAR_FILE else self.fd

    def available(self) -> int:
        if self.filetype != Filetype.REGULAR_FILE:
            return 1
        return max(0, os.fstat(self.fd).st_size - os.lseek(self.fd, 0, os.SEEK_CUR))

    def stat(self) -> bytes:
        return pack_stat(os.fstat(self.fd))

    def read(self, n: int) -> bytes:
        return os.read(self.fd, n)

    def write(self, data: bytes) -> int:
        if self.flags & Fdflags.APPEND and fcntl is None:
            os.lseek(self.fd, 0, os.SEEK_END)
        return os.write(self.fd, data)

    def pread(self, n: int, offset: int) -> bytes:
        _check_range(offset, 0)
        if hasattr(os, "pread"):
            return os.pread(self.fd, n, offset)
        before = os.lseek(self.fd, 0, os.SEEK_CUR)
        try:
            os.lseek(self.fd, offset, os.SEEK_SET)
            return os.read(self.fd, n)
        finally:
            os.lseek(self.fd, before, os.SEEK_SET)

    def pwrite(self, data: bytes, offset: int) -> int:
        _check_range(offset, len(data))
        if hasattr(os, "pwrite"):
            return os.pwrite(self.fd, data, offset)
        before = os.lseek(self.fd, 0, os.SEEK_CUR)
        try:
            os.lseek(self.fd, offset, os.SEEK_SET)
            return os.write(self.fd, data)
        finally:
            os.lseek(self.fd, before, os.SEEK_SET)

    def seek(self, delta: int, whence: int) -> int:
        return os.lseek(self.fd, delta, whence)

    def set_flags(self, flags: int) -> None:
        before = self.flags
        super().set_flags(flags)
        if fcntl is not None:
            try:
                fcntl.fcntl(self.fd, fcntl.F_SETFL, os_flags(flags))
            except OSError:
                self.flags = before
                raise

    def sync(self, data_only: bool) -> None:
        if data_only and hasattr(os, "fdatasync"):
            os.fdatasync(self.fd)
        else:
            os.fsync(self.fd)

    def resize(self, size: int) -> None:
        _check_range(size, 0)
        os.ftruncate(self.fd, size)

    def allocate(self, offset: int, n: int) -> None:
        _check_range(offset, n)
        if not n:
            raise WasiError(Errno.INVAL)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self.fd, offset, n)
        elif os.fstat(self.fd).st_size < offset + n:
            os.ftruncate(self.fd, offset + n)

    def advise(self, offset: int, n: int, advice: int) -> None:
        _check_range(offset, n)
        # Only where the advice is one of POSIX's: a hint may be ignored.
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.fd, offset, n, _ADVICE[advice])

    def set_times(self, fstflags: int, atim: int, mtim: int) -> None:
        times = new_times(fstflags, atim, mtim, os.fstat(self.fd))
        if os.utime not in os.supports_fd:  # Windows
            raise WasiError(Errno.NOTSUP)
        os.utime(self.fd, ns=times)


_ADVICE = tuple(
    getattr(os, f"POSIX_FADV_{name}", 0)
    for name in ("NORMAL", "SEQUENTIAL", "RANDOM", "WILLNEED", "DONTNEED", "NOREUSE")
)


class Directory(Descriptor):
    """A directory, preopened or opened by path: the root of what can be reached through it."""

    filetype = Filetype.DIRECTORY

    def __init__(self, handle: paths.Handle, rights: int, inheriting: int, preopen: bytes | None = None) -> None:
        super().__init__(rights, inheriting)
        self.handle = handle
        self.preopen = preopen
        if preopen is not None:
            self.origin = preopen, b""
        self._entries: list[tuple[bytes, int, int]] | None = None

    def close(self) -> None:
        paths.close(self.handle)

    def stat(self) -> bytes:
        return pack_stat(os.stat(self.handle))

    def read(self, n: int) -> bytes:
        raise WasiError(Errno.ISDIR)

    def write(self, data: bytes) -> int:
        raise WasiError(Errno.ISDIR)

    def set_flags(self, flags: int) -> None:
        super().set_flags(flags)
        self.flags = 0  # none of them means anything for a directory

    def sync(self, data_only: bool) -> None:
        if isinstance(self.handle, int):
            os.fsync(self.handle)

    def set_times(self, fstflags: int, atim: int, mtim: int) -> None:
        os.utime(self.handle, ns=new_times(fstflags, atim, mtim, os.stat(self.handle)))

    def entries(self, anew: bool) -> list[tuple[bytes, int, int]]:
        """Name, inode and `filetype` of the entries, read now or kept from before, so that their numbers hold.

        Sorted, so that a guest sees the same order on any machine. A name that is not UTF-8 cannot be said in WASI and
        is left out.
        """
        if self._entries is None or anew:
            own = os.stat(self.handle).st_ino
            self._entries = [(b".", own, Filetype.DIRECTORY), (b"..", own, Filetype.DIRECTORY)]
            self._entries += sorted(_scan(self.handle))
        return self._entries


def _scan(handle: paths.Handle) -> list[tuple[bytes, int, int]]:
    found = []
    with os.scandir(handle) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            try:
                name.decode("utf-8")
            except UnicodeDecodeError:
                continue
            try:
                if entry.is_symlink():
                    kind = Filetype.SYMBOLIC_LINK
                elif entry.is_dir(follow_symlinks=False):
                    kind = Filetype.DIRECTORY
                elif entry.is_file(follow_symlinks=False):
                    kind = Filetype.REGULAR_FILE
                else:
                    kind = filetype(entry.stat(follow_symlinks=False).st_mode)
                found.append((name, entry.inode(), kind))
            except OSError:  # removed meanwhile
                continue
    return found


def open_at(
    directory: Directory, place: paths.Place, oflags: int, fdflags: int, rights: int, inheriting: int
) -> File | Directory:
    """Open what is at `place` without following a symlink; rights that don't apply to the kind of file are dropped."""
    opened = _open_at(directory, place, oflags, fdflags, rights, inheriting)
    if directory.origin is not None:
        preopen, path = directory.origin
        opened.origin = preopen, b"/".join([path] * bool(path) + place.trail())
    return opened


def _open_at(
    directory: Directory, place: paths.Place, oflags: int, fdflags: int, rights: int, inheriting: int
) -> File | Directory:
    only_directory = bool(oflags & Oflags.DIRECTORY) or place.slash
    flags = _open_flags(oflags, rights) | os_flags(fdflags)
    if isinstance(directory.handle, int):
        flags |= os.O_NOFOLLOW | os.O_NOCTTY | (os.O_DIRECTORY if only_directory else 0)
        fd = os.open(place.path, flags, 0o666, dir_fd=place.fd)
        try:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                return Directory(fd, rights & Rights.DIRECTORY, inheriting)
            return File(fd, rights & Rights.FILE, fdflags)
        except BaseException:
            os.close(fd)
            raise
    try:
        mode = place.lstat().st_mode
    except FileNotFoundError:
        mode = 0
    if stat.S_ISLNK(mode):
        raise WasiError(Errno.EXIST if flags & os.O_EXCL else Errno.LOOP)
    if stat.S_ISDIR(mode):
        if flags & os.O_EXCL:
            raise WasiError(Errno.EXIST)
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise WasiError(Errno.ISDIR)
        return Directory(os.path.normpath(place.path), rights & Rights.DIRECTORY, inheriting)
    if mode and only_directory:
        raise WasiError(Errno.NOTDIR)
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
    return File(os.open(place.path, flags, 0o666), rights & Rights.FILE, fdflags)


def _open_flags(oflags: int, rights: int) -> int:
    reads = rights & Rights.FD_READ
    # Truncating needs an access mode that writes, whatever the guest may do afterwards.
    writes = rights & Rights.FD_WRITE or oflags & Oflags.TRUNC
    flags = (os.O_RDWR if reads else os.O_WRONLY) if writes else os.O_RDONLY
    if oflags & Oflags.CREAT:
        flags |= os.O_CREAT
    if oflags & Oflags.EXCL:
        flags |= os.O_EXCL
    if oflags & Oflags.TRUNC:
        flags |= os.O_TRUNC
    return flags


def filetype(mode: int) -> int:
    """The witx `filetype` of a `st_mode`; a pipe has none."""
    return {
        stat.S_IFREG: Filetype.REGULAR_FILE,
        stat.S_IFDIR: Filetype.DIRECTORY,
        stat.S_IFLNK: Filetype.SYMBOLIC_LINK,
        stat.S_IFCHR: Filetype.CHARACTER_DEVICE,
        stat.S_IFBLK: Filetype.BLOCK_DEVICE,
        stat.S_IFSOCK: Filetype.SOCKET_STREAM,
    }.get(stat.S_IFMT(mode), Filetype.UNKNOWN)


def pack_stat(st: os.stat_result) -> bytes:
    """A witx `filestat`; times before 1970 cannot be said and become 0."""
    mask = 2**64 - 1
    return FILESTAT.pack(
        st.st_dev & mask,
        st.st_ino & mask,
        filetype(st.st_mode),
        st.st_nlink & mask,
        max(0, st.st_size),
        max(0, st.st_atime_ns),
        max(0, st.st_mtime_ns),
        max(0, st.st_ctime_ns),
    )


def new_times(fstflags: int, atim: int, mtim: int, old: os.stat_result) -> tuple[int, int]:
    """Access and modification time, in ns, after setting those that `fstflags` names."""
    both = Fstflags.ATIM | Fstflags.ATIM_NOW, Fstflags.MTIM | Fstflags.MTIM_NOW
    if fstflags & ~Fstflags.ALL or any(fstflags & pair == pair for pair in both):
        raise WasiError(Errno.INVAL)
    now = time.time_ns()
    times = []
    for given, use_now, value, before in (
        (Fstflags.ATIM, Fstflags.ATIM_NOW, atim, old.st_atime_ns),
        (Fstflags.MTIM, Fstflags.MTIM_NOW, mtim, old.st_mtime_ns),
    ):
        times.append(value if fstflags & given else now if fstflags & use_now else before)
    return times[0], times[1]


def os_flags(fdflags: int) -> int:
    """The operating system's open flags for witx `fdflags`."""
    flags = 0
    for bit, flag in _FLAGS:
        if fdflags & bit:
            flags |= flag  # O_SYNC contains O_DSYNC
    return flags


def _check_range(offset: int, n: int) -> None:
    """Refuse what the operating system's signed 64-bit offsets can't say."""
    if offset + n > _MAX_OFFSET:
        raise WasiError(Errno.FBIG if n else Errno.INVAL)
