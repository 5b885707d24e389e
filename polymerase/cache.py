"""Compiled modules on disk: what was compiled once need not be compiled again.

An entry is one file: a head that describes the module, and a blob for each function compiled so far. What is in them is
the caller's; the cache keeps them whole. Any doubt is a miss, never an error:

- An entry is read only if it is a plain file of this user's that no one else can write, in such a folder. (Windows has
  no such owners: there the folder's place, in the user's profile, is the protection.)
- Head and blobs carry checksums, and nothing is handed out that does not have its own. They find accidents; a file that
  passes the test above was made by this user, who needs no cache to run what he likes.
- The key holds all that the content depends on, and is in the head, too: an entry under another's name is a miss.

Entries are replaced whole, by a temporary file and a rename, so that a reader sees the old one or the new one. Who adds
functions keeps those that another process added meanwhile. When all entries together are larger than the cache may be,
the ones that were not used for longest go.

    head:   magic, sha256 of all that follows in the head, then <key, length of the file, lengths of label and meta,
            number of blobs>, label, meta, and for each blob <its number, length, offset, checksum>
    blobs:  one after the other
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from importlib.util import MAGIC_NUMBER
from typing import TYPE_CHECKING, NamedTuple

from polymerase.errors import PolymeraseError
from polymerase.options import Options
from polymerase.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "POLYMERASE_CACHE_DIR"
SIZE = "POLYMERASE_CACHE_SIZE"  # bytes, or with K, M or G multiples of 1024
DEFAULT_SIZE = 512 << 20

SUFFIX = ".pmc"
_TEMPORARY = ".tmp"
_LOCK = "lock"
_LOCK_SECONDS = 2.0  # to wait for another process that writes; after that additions of one of the two may be lost
_STALE_SECONDS = 3600.0  # age of temporary files that nobody can be writing any more

_MAGIC = b"pmcache1"
_START = struct.Struct("<8s32s32sQIII")
_BLOB = struct.Struct("<IIQ16s")
_CHECKED = 40  # where the part of the head that its checksum covers begins
_FIRST_READ = 1 << 16

# Options that the code of a function does not depend on
_ELSEWHERE = frozenset(("standalone", "format", "force", "fallback", "interpret"))
_OPEN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_HAS_OWNERS = hasattr(os, "geteuid")
_AT_FOLDER = os.open in os.supports_dir_fd  # names are looked up in the folder that was checked

Report = Callable[[str], None]


class _Doubt(Exception):
    """Why an entry is a miss."""


class Listed(NamedTuple):
    """An entry as `list` shows it: `size` in bytes, `used` in seconds since the epoch, `blobs` functions."""

    key: str
    label: str
    size: int
    used: float
    blobs: int


class Entry:
    """An entry that was found: its head was checked. Blobs are read and checked when they are asked for."""

    def __init__(self, name: str, fd: int, report: Report) -> None:
        """Takes over the open file `fd`. Raises _Doubt, OSError."""
        self._name = name
        self._report = report
        self._fd = -1
        self._whole = b""
        try:
            self._check(fd)
        except BaseException:
            os.close(fd)
            raise
        if hasattr(os, "pread"):
            self._fd = fd  # what is renamed over it does not change it
        else:
            self._whole = _read(fd, 0, self.size)
            os.close(fd)

    def _check(self, fd: int) -> None:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _Doubt("not a plain file")
        _trusted(status)
        self.size = status.st_size
        head = _read(fd, 0, _FIRST_READ)
        if len(head) < _START.size:
            raise _Doubt("truncated")
        magic, digest, key, size, label, meta, count = _START.unpack_from(head)
        end = _START.size + label + meta + count * _BLOB.size
        if magic != _MAGIC:
            raise _Doubt("not an entry of this version of the cache")
        if size != self.size or end > size:
            raise _Doubt(f"of {self.size} bytes, not the {size} that it was written with")
        if end > len(head):
            head += _read(fd, len(head), end - len(head))
        if len(head) < end or hashlib.sha256(memoryview(head)[_CHECKED:end]).digest() != digest:
            raise _Doubt("its head is damaged")
        if key.hex() + SUFFIX != self._name:
            raise _Doubt("it is another module's")
        at = _START.size
        self.label = head[at : at + label].decode("utf-8", "replace")
        self.meta = head[at + label : at + label + meta]
        blobs = _BLOB.iter_unpack(head[at + label + meta : end])
        self._blobs = {i: (length, offset, checksum) for i, length, offset, checksum in blobs}

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def __len__(self) -> int:
        return len(self._blobs)

    def __contains__(self, i: int) -> bool:
        return i in self._blobs

    def __iter__(self) -> Iterator[int]:
        return iter(self._blobs)

    def blob(self, i: int) -> bytes | None:
        """Blob number `i`, as it was written; None if there is none or it is damaged, which is reported."""
        found = self._blobs.get(i)
        if found is None:
            return None
        length, offset, checksum = found
        try:
            data = _read(self._fd, offset, length) if self._fd >= 0 else self._whole[offset : offset + length]
        except OSError as e:
            self._report(f"{self._name}: function {i}: {e.strerror or e}")
            return None
        if _checksum(data) != checksum:
            self._report(f"{self._name}: function {i} is damaged")
            return None
        return data


class Cache:
    """Compiled modules in a folder. May be used by several threads and processes at once.

    `folder`: by default what POLYMERASE_CACHE_DIR says, else "polymerase" in the user's cache folder. `size`: bytes of
    all entries together, by default what POLYMERASE_CACHE_SIZE says (a number, or one with K, M or G), else 512 MiB.
    `report` is told in a line of text each what was found, what was not and why, and what was written.
    Raises PolymeraseError for a size that makes no sense. Problems with files are reported, not raised.
    """

    def __init__(
        self, folder: str | os.PathLike[str] | None = None, *, size: int | None = None, report: Report | None = None
    ) -> None:
        # Made absolute: entries are also written when the process ends, in whatever folder it is then.
        self._folder = os.path.join(os.getcwd(), folder if folder is not None else default_folder())
        self.size = size_of(os.environ.get(SIZE, "")) if size is None else size
        if self.size < 0:
            raise PolymeraseError(f"a cache of {self.size} bytes")
        self.report: Report = report or _silent

    def __repr__(self) -> str:
        return f"<Cache {self._folder!r}>"

    @property
    def folder(self) -> Path:
        """Where the entries are, as an absolute path."""
        from pathlib import Path  # not for every start of a program: it takes 3 ms

        return Path(self._folder)

    def open(self, key: str) -> Entry | None:
        """The entry `key`, which counts as used now; None if there is none that can be trusted."""
        entry = self._open(key, self.report)
        if entry is not None:
            self.report(f"{entry._name}: hit: {entry.label}, {len(entry)} functions")
        return entry

    def _open(self, key: str, report: Report, touch: bool = True) -> Entry | None:
        name = key + SUFFIX
        try:
            with self._opened() as at:
                entry = Entry(name, os.open(self._path(name, at), os.O_RDONLY | _OPEN, dir_fd=at), self.report)
                if touch:
                    try:
                        os.utime(self._path(name, at), dir_fd=at)
                    except OSError:
                        pass  # a disk that cannot be written
                return entry
        except FileNotFoundError:
            report(f"{name}: miss: not there")
        except _Doubt as e:
            report(f"{name}: miss: {e}")
        except OSError as e:
            report(f"{name}: miss: {'a symbolic link' if self._is_link(name) else e.strerror or e}")
        return None

    def write(self, key: str, label: str, meta: bytes, blobs: Mapping[int, bytes]) -> bool:
        """Add `blobs` to the entry `key`, which is made if need be; `label` tells people what it is. Whether it was
        written; if not, why is reported."""
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            with self._opened() as at, self._locked(at) as alone:
                return self._write(at, alone, key, label, meta, dict(blobs))
        except _Doubt as e:
            self.report(f"not written: {e}")
        except OSError as e:
            self.report(f"not written: {e.filename or self._folder}: {e.strerror or e}")
        return False

    def _write(self, at: int | None, alone: bool, key: str, label: str, meta: bytes, blobs: dict[int, bytes]) -> bool:
        old = self._open(key, _silent, touch=False)
        for i in old or ():
            if i not in blobs:
                blob = old.blob(i) if old else None
                if blob is not None:
                    blobs[i] = blob
        data = packed(key, label, meta, blobs)
        if len(data) > self.size:
            self.report(f"not written: an entry of {len(data)} bytes; the cache may have {self.size}")
            return False
        name = key + SUFFIX
        temporary = f"{key}.{os.getpid()}-{os.urandom(4).hex()}{_TEMPORARY}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN
            fd = os.open(self._path(temporary, at), flags, 0o600, dir_fd=at)
            with open(fd, "wb", buffering=0) as f:
                left = memoryview(data)
                while left:
                    left = left[f.write(left) :]
            os.replace(self._path(temporary, at), self._path(name, at), src_dir_fd=at, dst_dir_fd=at)
        except BaseException:
            self._remove(temporary, at)
            raise
        self.report(f"{name}: wrote {label}, {len(blobs)} functions, {len(data)} bytes")
        self._make_room(at, alone)
        return True

    def entries(self) -> list[Listed]:
        """What is in the cache, the last used first. Files that are no entries, or cannot be trusted, are reported."""
        found = []
        for name, status in self._files():
            if name.endswith(SUFFIX):
                key = name.removesuffix(SUFFIX)
                entry = self._open(key, self.report, touch=False)
                if entry is not None:
                    found.append(Listed(key, entry.label, status.st_size, status.st_mtime, len(entry)))
        return sorted(found, key=lambda e: (-e.used, e.key))

    def clear(self) -> int:
        """Remove all entries, and what interrupted writers left; return how many entries there were.
        Raises OSError if one cannot be removed, PolymeraseError if the folder is not this user's alone."""
        count = 0
        try:
            with self._opened() as at:
                for name, _ in self._files():
                    os.unlink(self._path(name, at), dir_fd=at)
                    count += name.endswith(SUFFIX)
        except FileNotFoundError:
            pass
        except _Doubt as e:
            raise PolymeraseError(f"cache: {e}") from None
        return count

    # --- Files

    def _files(self) -> list[tuple[str, os.stat_result]]:
        """Entries and temporary files in the folder."""
        found = []
        try:
            with os.scandir(self._folder) as rows:
                for row in rows:
                    if row.name.endswith((SUFFIX, _TEMPORARY)):
                        try:
                            found.append((row.name, row.stat(follow_symlinks=False)))
                        except OSError:
                            pass  # removed meanwhile
        except OSError:
            pass
        return found

    @contextmanager
    def _opened(self) -> Iterator[int | None]:
        """The folder's descriptor, where names can be looked up in one. Raises _Doubt if it is not this user's alone,
        OSError."""
        if not _AT_FOLDER:
            yield None
            return
        at = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                _trusted(os.fstat(at))
            except _Doubt as e:
                raise _Doubt(f"the folder {self._folder} is {e}") from None
            yield at
        finally:
            os.close(at)

    def _path(self, name: str, at: int | None) -> str:
        return name if at is not None else os.path.join(self._folder, name)

    def _is_link(self, name: str) -> bool:
        return os.path.islink(os.path.join(self._folder, name))

    def _remove(self, name: str, at: int | None) -> bool:
        try:
            os.unlink(self._path(name, at), dir_fd=at)
        except OSError:
            return False
        return True

    @contextmanager
    def _locked(self, at: int | None) -> Iterator[bool]:
        """While no other process writes, if that can be had within a moment: whether it is so. The lock goes with the
        process that holds it, however that ends."""
        try:
            import fcntl
        except ImportError:  # Windows
            yield False
            return
        fd = os.open(self._path(_LOCK, at), os.O_RDWR | os.O_CREAT | _OPEN, 0o600, dir_fd=at)
        try:
            end = time.monotonic() + _LOCK_SECONDS
            alone = False
            while not alone:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    alone = True
                except OSError:
                    if time.monotonic() > end:
                        break
                    time.sleep(0.01)
            yield alone
        finally:
            os.close(fd)

    def _make_room(self, at: int | None, alone: bool) -> None:
        """Remove what interrupted writers left, then the entries that were used longest ago, down to the size."""
        files = self._files()
        now = time.time()
        for name, status in files:
            if name.endswith(_TEMPORARY) and (alone or now - status.st_mtime > _STALE_SECONDS):
                self._remove(name, at)
        entries = sorted((s.st_mtime_ns, name, s.st_size) for name, s in files if name.endswith(SUFFIX))
        total = sum(size for _, _, size in entries)
        for _, name, size in entries:
            if total <= self.size:
                break
            if self._remove(name, at):
                self.report(f"{name}: removed to make room")
            total -= size


def key_of(*parts: str) -> str:
    """The key of what depends on `parts`, on the Python that runs and on polymerase's version."""
    tag = sys.implementation.cache_tag or sys.version
    text = "\0".join([__version__, tag, MAGIC_NUMBER.hex(), *parts])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def options_text(options: Options) -> Iterator[str]:
    """Those options that the code of functions depends on, as parts of a key."""
    for f in fields(options):
        if f.name not in _ELSEWHERE:
            value = getattr(options, f.name)
            yield f"{f.name}={sorted(value) if isinstance(value, frozenset) else value!r}"


def packed(key: str, label: str, meta: bytes, blobs: Mapping[int, bytes]) -> bytes:
    """The bytes of an entry."""
    name = label.encode("utf-8", "replace")[:200]
    order = sorted(blobs)
    offset = _START.size + len(name) + len(meta) + len(order) * _BLOB.size
    rows = []
    for i in order:
        rows.append(_BLOB.pack(i, len(blobs[i]), offset, _checksum(blobs[i])))
        offset += len(blobs[i])
    rest = b"".join([name, meta, *rows])
    start = _START.pack(_MAGIC, b"", bytes.fromhex(key), offset, len(name), len(meta), len(order))
    digest = hashlib.sha256(start[_CHECKED:] + rest).digest()
    return b"".join([_MAGIC, digest, start[_CHECKED:], rest, *[blobs[i] for i in order]])


def default_folder() -> str:
    """Where the cache is if nobody says otherwise."""
    given = os.environ.get(FOLDER)
    if given:
        return given
    if sys.platform == "linux" and "ANDROID_DATA" not in os.environ:
        # What platformdirs says there, without the time to import it: a tenth of a program's start from the cache.
        base = os.environ.get("XDG_CACHE_HOME", "").strip() or os.path.expanduser("~/.cache")
        folder = os.path.join(base, "polymerase")
    else:
        from platformdirs import user_cache_dir

        folder = user_cache_dir("polymerase", appauthor=False)
    # A user without a home would get one below the current directory: rather a place where nothing can be.
    return folder if os.path.isabs(folder) else os.path.join(os.devnull, "polymerase")


def size_of(text: str) -> int:
    """The bytes that `text` says: "1000", "64K", "512M", "2G"; the default if it is empty. PolymeraseError."""
    number = text.strip().upper().removesuffix("B")
    if not number:
        return DEFAULT_SIZE
    shift = {"K": 10, "M": 20, "G": 30}.get(number[-1], 0)
    digits = number[:-1] if shift else number
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise PolymeraseError(f"{SIZE}: expected bytes such as 512M, got {text[:40]!r}")
    return int(digits) << shift


def _trusted(status: os.stat_result) -> None:
    """Raises _Doubt for what another user owns or may write."""
    if not _HAS_OWNERS:
        return
    if status.st_uid != os.geteuid():
        raise _Doubt(f"owned by user {status.st_uid}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _Doubt(f"writable by others (mode {stat.S_IMODE(status.st_mode):o})")


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]  # with the processor's instructions twice as fast as blake2b


def _read(fd: int, at: int, length: int) -> bytes:
    """Up to `length` bytes from offset `at`."""
    parts = []
    if not hasattr(os, "pread"):
        os.lseek(fd, at, os.SEEK_SET)
    while length > 0:
        part = os.pread(fd, length, at) if hasattr(os, "pread") else os.read(fd, length)
        if not part:
            break
        parts.append(part)
        at += len(part)
        length -= len(part)
    return b"".join(parts)


def _silent(line: str) -> None:
    pass
