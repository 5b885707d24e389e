"""The sandbox: turns a guest's path into a place beneath a directory, never outside it.

A path is walked one component at a time. Each directory on the way is opened relative to the one before it (`openat`),
with O_NOFOLLOW, so that the kernel never follows a symlink for us: a component that is one is read and its target
walked in the same manner. `..` goes back to a directory that was walked through and never asks the file system, so
above the root there is nothing. A path that would leave gives `errno::perm`, and so does an absolute one, in an
argument or in a symlink. Whatever another process swaps on the way, every step starts at a directory that is open and
was reached from the root; the last component is for the caller to use with O_NOFOLLOW or its like, relative to
`Place.fd`. What this cannot help: a directory that another process moves out of the root while it is open.

Where the operating system has no `openat` (Windows), a directory is its absolute path and every component is looked at
with `lstat` before it is used. That holds the same against all that the guest can do by itself, but not against another
process, or another guest on the same folder, that swaps a directory for a link between the look and the use.
"""

from __future__ import annotations

import errno as host
import os
import stat
from types import TracebackType
from typing import Union

from .errno import Errno, WasiError

# An open directory, or the absolute path of one where there is no openat.
Handle = Union[int, bytes]

MAX_LINKS = 40  # symlinks followed in one walk, as on Linux
HELD = 32  # directories that a walk keeps open to go back to; further back costs walking again

OPENAT = hasattr(os, "O_NOFOLLOW") and {os.open, os.stat, os.mkdir, os.unlink, os.rename} <= os.supports_dir_fd
_DIRECTORY = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_STEP = os.O_RDONLY | _DIRECTORY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_PATH", 0)
_WINDOWS = os.name == "nt"
_DEVICES = frozenset(
    [b"CON", b"PRN", b"AUX", b"NUL", b"CONIN$", b"CONOUT$"]
    + [b"%s%d" % (kind, i) for kind in (b"COM", b"LPT") for i in range(10)]
)


def open_root(path: str | os.PathLike[str], openat: bool = OPENAT) -> Handle:
    """Open the host's directory `path`, following symlinks: this is the host's own word. Raises OSError."""
    if openat:
        return os.open(path, os.O_RDONLY | _DIRECTORY)
    full = os.path.realpath(os.fsencode(path))
    if not stat.S_ISDIR(os.stat(full).st_mode):
        raise NotADirectoryError(host.ENOTDIR, os.strerror(host.ENOTDIR), str(path))
    return full


def close(handle: Handle) -> None:
    """Give a handle back."""
    if isinstance(handle, int):
        os.close(handle)


def at(handle: Handle, name: bytes) -> tuple[bytes, int | None]:
    """The path and `dir_fd` by which the functions of `os` find `name` in a directory."""
    if isinstance(handle, int):
        return name, handle
    return os.path.join(handle, name), None


class Place:
    """One entry of one directory: `path` is to be used with `dir_fd=fd`. Leave its `with` block to close what it holds.

    `slash` says that the guest's path ended in a slash, so that it can only mean a directory. `name` is `b"."` for the
    directory itself.
    """

    __slots__ = ("name", "path", "fd", "slash", "_walk")

    def __init__(self, walk: _Walk, name: bytes, slash: bool) -> None:
        self.name = name
        self.path, self.fd = at(walk.here(), name)
        self.slash = slash
        self._walk = walk

    def trail(self) -> list[bytes]:
        """The names that lead here from the root, through no symlink."""
        return self._walk.names + ([] if self.name == b"." else [self.name])

    def lstat(self) -> os.stat_result:
        """What is there, a symlink as itself."""
        return os.stat(self.path, dir_fd=self.fd, follow_symlinks=False)

    def require_directory(self) -> None:
        """If the path ended in a slash, raise `errno::notdir` unless a directory is there (`errno::noent`: nothing)."""
        if self.slash and not stat.S_ISDIR(self.lstat().st_mode):
            raise WasiError(Errno.NOTDIR)

    def require_new(self) -> None:
        """If the path ended in a slash, raise what making anything but a directory there gives."""
        if self.slash:
            raise WasiError(Errno.NOTDIR if stat.S_ISREG(self.lstat().st_mode) else Errno.EXIST)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._walk.close()


def find(root: Handle, path: bytes, follow: bool) -> Place:
    """The place `path` names for use as a file: a symlink at its end is followed if `follow`, or if a slash ends it."""
    return _place(root, path, follow, True)


def find_entry(root: Handle, path: bytes) -> Place:
    """The place `path` names for making, renaming or removing it: a symlink at its end is never followed."""
    return _place(root, path, False, False)


def _place(root: Handle, path: bytes, follow: bool, slash_follows: bool) -> Place:
    walk = _Walk(root)
    try:
        return Place(walk, *walk.run(path, follow, slash_follows))
    except BaseException:
        walk.close()
        raise


class _Walk:
    """A way down from the root: the names passed and, of the last HELD of them, the directories, open."""

    __slots__ = ("root", "names", "held")

    def __init__(self, root: Handle) -> None:
        self.root = root
        self.names: list[bytes] = []
        self.held: list[Handle] = []  # empty only at the root

    def here(self) -> Handle:
        return self.held[-1] if self.held else self.root

    def close(self) -> None:
        while self.held:
            close(self.held.pop())

    def down(self, name: bytes) -> None:
        self.held.append(_enter(self.here(), name))
        self.names.append(name)
        if len(self.held) > HELD:
            close(self.held.pop(0))

    def up(self) -> None:
        if not self.names:
            raise WasiError(Errno.PERM)
        close(self.held.pop())
        del self.names[-1]
        if self.names and not self.held:
            names, self.names = self.names, []
            for name in names:
                self.down(name)

    def run(self, path: bytes, follow: bool, slash_follows: bool) -> tuple[bytes, bool]:
        """Walk to the directory that holds the last component; return that and whether a slash ended the path."""
        if not path:
            raise WasiError(Errno.NOENT)
        pending, slash = _split(path)
        links = 0
        while pending:
            name = pending.pop()
            if name == b"..":
                self.up()
                continue
            if name == b".":
                continue
            last = not pending
            if last and not (follow or slash and slash_follows):
                return name, slash
            if not last:
                try:
                    self.down(name)
                    continue
                except OSError as error:  # Linux and macOS differ in what O_DIRECTORY | O_NOFOLLOW gives on a symlink
                    if error.errno not in (host.ENOTDIR, host.ELOOP, host.EMLINK):
                        raise
            target = _read_link(*at(self.here(), name))
            if target is None:
                if last:
                    return name, slash
                raise WasiError(Errno.NOTDIR)
            links += 1
            if links > MAX_LINKS:
                raise WasiError(Errno.LOOP)
            more, more_slash = _split(target)
            slash = slash or last and more_slash
            pending += more
        return b".", False


def is_absolute(path: bytes) -> bool:
    """Whether a path starts anywhere but at the directory it is relative to."""
    if _WINDOWS:
        path = path.replace(b"\\", b"/")
        return path.startswith(b"/") or path[1:2] == b":"
    return path.startswith(b"/")


def read_link(place: Place) -> bytes:
    """A symlink's target; one that is absolute tells about the host and gives `errno::perm`, as in wasmtime."""
    target = os.readlink(place.path, dir_fd=place.fd)
    if is_absolute(target):
        raise WasiError(Errno.PERM)
    return target


def _split(path: bytes) -> tuple[list[bytes], bool]:
    """The components of a path, last first, and whether it ends in a slash. `.` is kept if it is the last one."""
    if is_absolute(path):
        raise WasiError(Errno.PERM)
    if _WINDOWS:
        path = path.replace(b"\\", b"/")
    parts = path.split(b"/")
    slash = not parts[-1]
    names = [name for name in reversed(parts) if name not in (b"", b".")]
    if parts[-1] == b".":
        names.insert(0, b".")
    if _WINDOWS:
        for name in names:
            _check_windows_name(name)
    return names, slash


def _read_link(path: bytes, fd: int | None) -> bytes | None:
    """A symlink's target, or None if what is there, if anything, is none."""
    try:
        return os.readlink(path, dir_fd=fd)
    except OSError as error:
        if error.errno in (host.EINVAL, host.ENOENT):
            return None
        raise


def _enter(handle: Handle, name: bytes) -> Handle:
    """Open a directory in a directory; a symlink gives the OSError of something that is no directory."""
    if isinstance(handle, int):
        return os.open(name, _STEP, dir_fd=handle)
    full = os.path.join(handle, name)
    found = os.lstat(full)
    # A junction is a directory to S_ISDIR and leads elsewhere all the same.
    reparse: int = getattr(found, "st_reparse_tag", 0)
    if not stat.S_ISDIR(found.st_mode) or reparse:
        raise NotADirectoryError(host.ENOTDIR, os.strerror(host.ENOTDIR))
    return full


def _check_windows_name(name: bytes) -> None:
    """Refuse names that Windows reads as a device, a stream of another file or another name."""
    if name in (b".", b".."):
        return
    base = name.split(b".")[0].rstrip(b" ").upper()
    if any(c < 32 or c in b'<>:"|?*' for c in name) or name[-1:] in (b".", b" ") or base in _DEVICES:
        raise WasiError(Errno.INVAL)
