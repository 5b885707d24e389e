"""Files and directories beneath a preopened folder."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polymerase_runtime.traps import Exit
from polymerase_runtime.wasi.abi import Fdflags, Filetype, Fstflags, Oflags, Rights
from polymerase_runtime.wasi.errno import Errno


def stat(guest: Any, fd: int) -> tuple[int, ...]:
    guest.check(guest.call("fd_filestat_get", fd, 1024))
    return struct.unpack("<QQB7xQQQQQ", guest.memory.read(1024, 64))


def fdstat(guest: Any, fd: int) -> tuple[int, ...]:
    guest.check(guest.call("fd_fdstat_get", fd, 1024))
    return struct.unpack("<BxH4xQQ", guest.memory.read(1024, 24))


def seek(guest: Any, fd: int, delta: int, whence: int) -> int:
    guest.check(guest.call("fd_seek", fd, delta & 2**64 - 1, whence, guest.OUT))
    return int(guest.u64())


def test_reading_and_writing_fill_buffer_after_buffer(guest: Any, root: Path) -> None:
    fd = guest.open("file", Oflags.CREAT)
    assert 6 == guest.write(fd, b"ab", b"", b"cdef")
    assert b"abcdef" == (root / "file").read_bytes()
    assert 0 == seek(guest, fd, 0, 0)
    assert b"abcde" == guest.read(fd, 2, 0, 3)
    assert b"f" == guest.read(fd, 4)
    assert b"" == guest.read(fd, 4)


def test_positions(guest: Any) -> None:
    fd = guest.open("file", Oflags.CREAT)
    guest.write(fd, b"0123456789")
    assert 7 == seek(guest, fd, -3, 2)
    assert 5 == seek(guest, fd, -2, 1)
    assert Errno.INVAL == guest.call("fd_seek", fd, 2**64 - 6, 1, guest.OUT)
    assert Errno.INVAL == guest.call("fd_seek", fd, 0, 3, guest.OUT)
    assert Errno.SUCCESS == guest.call("fd_tell", fd, guest.OUT)
    assert 5 == guest.u64()
    buffers = guest.iovecs(guest.put(b"XY"), guest.put(b"Z"))
    assert Errno.SUCCESS == guest.call("fd_pwrite", fd, *buffers, 1, guest.OUT)
    p, _ = guest.put(bytes(8))
    assert Errno.SUCCESS == guest.call("fd_pread", fd, *guest.iovecs((p, 4)), 0, guest.OUT)
    assert b"0XYZ" == guest.memory.read(p, 4)
    assert Errno.INVAL == guest.call("fd_pread", fd, *guest.iovecs((p, 4)), 2**63, guest.OUT)
    assert b"56789" == guest.read(fd, 9)


def test_append_mode_can_be_set_and_cleared(guest: Any, root: Path) -> None:
    fd = guest.open("file", Oflags.CREAT, fdflags=Fdflags.APPEND)
    guest.write(fd, b"ab")
    seek(guest, fd, 0, 0)
    guest.write(fd, b"cd")
    assert Fdflags.APPEND == fdstat(guest, fd)[1]
    assert Errno.SUCCESS == guest.call("fd_fdstat_set_flags", fd, 0)
    seek(guest, fd, 0, 0)
    guest.write(fd, b"X")
    assert b"Xbcd" == (root / "file").read_bytes()
    assert Errno.INVAL == guest.call("fd_fdstat_set_flags", fd, Fdflags.SYNC)
    assert Errno.INVAL == guest.call("fd_fdstat_set_flags", fd, 32)


def test_open_flags(guest: Any, root: Path) -> None:
    (root / "file").write_bytes(b"data")
    (root / "dir").mkdir()
    assert Errno.NOENT == guest.try_open("new")
    assert Errno.EXIST == guest.try_open("file", Oflags.CREAT | Oflags.EXCL)
    assert Errno.NOTDIR == guest.try_open("file", Oflags.DIRECTORY)
    assert Errno.NOTDIR == guest.try_open("file/")
    assert Errno.ISDIR == guest.try_open("dir")
    assert Errno.ISDIR == guest.try_open("dir", Oflags.TRUNC, Rights.FD_READ)
    assert Errno.INVAL == guest.try_open("dir", Oflags.CREAT | Oflags.DIRECTORY)
    assert Errno.INVAL == guest.try_open("file", 16)
    assert Errno.INVAL == guest.try_open("file", fdflags=32)
    assert b"data" == (root / "file").read_bytes()
    guest.open("file", Oflags.TRUNC, Rights.FD_READ)
    assert b"" == (root / "file").read_bytes()
    assert Errno.NOTDIR == guest.try_open("x", fd=guest.open("file"))
    assert Errno.NOTDIR == guest.try_open("x", fd=1)


def test_a_file_is_opened_for_what_was_asked(guest: Any, root: Path) -> None:
    (root / "file").write_bytes(b"data")
    reader = guest.open("file", 0, Rights.FD_READ | Rights.FD_SEEK)
    assert Rights.FD_READ | Rights.FD_SEEK == fdstat(guest, reader)[2]
    assert Errno.BADF == guest.call("fd_write", reader, *guest.iovecs((0, 1)), guest.OUT)
    assert Errno.NOTCAPABLE == guest.call("fd_filestat_get", reader, 1024)
    assert Errno.NOTCAPABLE == guest.call("fd_allocate", reader, 0, 1)
    assert Errno.NOTCAPABLE == guest.call("fd_filestat_set_size", reader, 0)
    writer = guest.open("file", 0, Rights.FD_WRITE)
    assert Errno.BADF == guest.call("fd_read", writer, *guest.iovecs((1024, 1)), guest.OUT)
    assert Errno.NOTCAPABLE == guest.call("fd_seek", writer, 0, 0, guest.OUT)
    assert Errno.NOTCAPABLE == guest.call("fd_tell", writer, guest.OUT)


def test_rights_are_only_ever_taken_away(guest: Any, root: Path) -> None:
    (root / "dir").mkdir()
    fd = guest.open_directory("dir")
    _, _, base, inheriting = fdstat(guest, fd)
    less = base & ~Rights.PATH_CREATE_FILE
    assert Errno.SUCCESS == guest.call("fd_fdstat_set_rights", fd, less, inheriting & ~Rights.FD_WRITE)
    assert Errno.NOTCAPABLE == guest.call("fd_fdstat_set_rights", fd, base, inheriting & ~Rights.FD_WRITE)
    assert Errno.NOTCAPABLE == guest.try_open("new", Oflags.CREAT, Rights.FD_READ, fd=fd)
    (root / "dir" / "file").write_bytes(b"x")
    assert Errno.NOTCAPABLE == guest.try_open("file", 0, Rights.FD_WRITE, fd=fd)
    assert Errno.SUCCESS == guest.try_open("file", 0, Rights.FD_READ | Rights.FD_ADVISE, fd=fd)


@pytest.mark.parametrize("call", ["fd_read", "fd_write"])
def test_a_directory_is_not_read_or_written(guest: Any, call: str) -> None:
    assert Errno.ISDIR == guest.call(call, 3, *guest.iovecs((1024, 1)), guest.OUT)
    assert Errno.ISDIR == guest.call("fd_seek", 3, 0, 0, guest.OUT)
    assert Errno.NOTDIR == guest.call("fd_readdir", 0, 1024, 64, 0, guest.OUT)


def test_sizes(guest: Any, root: Path) -> None:
    fd = guest.open("file", Oflags.CREAT)
    assert Errno.SUCCESS == guest.call("fd_filestat_set_size", fd, 1000)
    assert 1000 == stat(guest, fd)[4]
    assert Errno.SUCCESS == guest.call("fd_allocate", fd, 900, 200)
    assert Errno.SUCCESS == guest.call("fd_allocate", fd, 0, 10)
    assert 1100 == stat(guest, fd)[4]
    assert Errno.INVAL == guest.call("fd_allocate", fd, 0, 0)
    assert Errno.FBIG == guest.call("fd_allocate", fd, 2**63, 2**63)
    assert Errno.INVAL == guest.call("fd_filestat_set_size", fd, 2**63)
    assert Errno.SUCCESS == guest.call("fd_advise", fd, 0, 2**40, 5)
    assert Errno.INVAL == guest.call("fd_advise", fd, 0, 0, 6)
    assert Errno.SUCCESS == guest.call("fd_sync", fd)
    assert Errno.SUCCESS == guest.call("fd_datasync", fd)


def test_stat_says_what_the_host_says(guest: Any, root: Path) -> None:
    (root / "file").write_bytes(b"12345")
    os.link(root / "file", root / "second")
    os.utime(root / "file", ns=(1_000_000_001, 2_000_000_002))
    host = (root / "file").stat()
    dev, ino, kind, nlink, size, atim, mtim, ctim = stat(guest, guest.open("file"))
    assert (host.st_dev, host.st_ino, Filetype.REGULAR_FILE, 2, 5) == (dev, ino, kind, nlink, size)
    assert (1_000_000_001, 2_000_000_002, host.st_ctime_ns) == (atim, mtim, ctim)


def test_a_time_before_1970_is_0(guest: Any, root: Path) -> None:
    (root / "file").write_bytes(b"")
    os.utime(root / "file", ns=(-5_000_000_000, -5_000_000_000))
    assert (0, 0) == stat(guest, guest.open("file"))[5:7]


def test_times_are_set_to_the_nanosecond(guest: Any, root: Path) -> None:
    (root / "file").write_bytes(b"")
    (root / "link").symlink_to("file")
    a, m = 1_234_567_890_123_456_789, 987_654_321_987_654_321
    fd = guest.open("file")
    assert Errno.SUCCESS == guest.call("fd_filestat_set_times", fd, a, m, Fstflags.ATIM | Fstflags.MTIM)
    assert (a, m) == times(root / "file")
    assert Errno.SUCCESS == guest.call("path_filestat_set_times", 3, 1, *guest.paths("link"), 5, 7, Fstflags.MTIM)
    assert (a, 7) == times(root / "file")
    before = times(root / "link")
    assert Errno.SUCCESS == guest.call("path_filestat_set_times", 3, 0, *guest.paths("link"), 5, 7, Fstflags.ATIM)
    assert (5, before[1]) == times(root / "link")
    assert Errno.SUCCESS == guest.call("fd_filestat_set_times", fd, 0, 0, Fstflags.MTIM_NOW)
    assert times(root / "file")[1] > 10**18
    assert Errno.SUCCESS == guest.call("fd_filestat_set_times", fd, 2**64 - 1, 0, Fstflags.ATIM)
    for flags in (3, 12, 15, 16):
        assert Errno.INVAL == guest.call("fd_filestat_set_times", fd, 1, 1, flags)


def times(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_atime_ns, found.st_mtime_ns


def test_directories_are_read_in_order_and_in_pieces(guest: Any, root: Path) -> None:
    for name in ("b", "a", "é" * 20):
        (root / name).write_bytes(b"")
    (root / "dir").mkdir()
    (root / "link").symlink_to("a")
    entries, used = guest.readdir(3)
    assert used < 4096
    names = [name.decode() for name, _, _ in entries]
    assert [".", "..", "a", "b", "dir", "link", "é" * 20] == names
    assert [3, 3, 4, 4, 3, 7, 4] == [kind for _, _, kind in entries]
    for size in (24, 30, 64, 100):
        seen: list[bytes] = []
        cookie = 0
        while True:
            part, used = guest.readdir(3, size, cookie)
            seen += [name for name, _, _ in part]
            if part:
                cookie = part[-1][1]
            if used < size:
                break
            if not part:  # the entry doesn't fit; a guest makes its buffer larger
                size *= 2
        assert names == [name.decode() for name in seen]
    assert ([], 0) == guest.readdir(3, 64, 2**64 - 1)


def test_numbers_of_entries_hold_while_the_directory_changes(guest: Any, root: Path) -> None:
    for name in "abcd":
        (root / name).write_bytes(b"")
    entries, _ = guest.readdir(3)
    (root / "a").unlink()
    (root / "0").write_bytes(b"")
    rest, _ = guest.readdir(3, cookie=entries[3][1])
    assert [b"c", b"d"] == [name for name, _, _ in rest]
    assert b"0" in [name for name, _, _ in guest.readdir(3)[0]]


@pytest.mark.skipif(os.name == "nt", reason="file names are not bytes there")
def test_names_that_are_not_utf8_are_left_out(guest: Any, root: Path) -> None:
    try:
        with open(os.fsencode(root) + b"/\xff", "wb"):
            pass
    except OSError:
        pytest.skip("the file system refuses such names")
    assert [b".", b".."] == [name for name, _, _ in guest.readdir(3)[0]]


def test_renumber_replaces_and_closes(guest: Any, root: Path) -> None:
    (root / "a").write_bytes(b"a")
    (root / "b").write_bytes(b"b")
    a, b = guest.open("a"), guest.open("b")
    assert Errno.SUCCESS == guest.call("fd_renumber", a, b)
    assert b"a" == guest.read(b, 9)
    assert Errno.BADF == guest.call("fd_close", a)
    assert Errno.BADF == guest.call("fd_renumber", b, a)
    assert Errno.BADF == guest.call("fd_renumber", a, b)
    assert Errno.SUCCESS == guest.call("fd_renumber", b, b)
    assert Errno.SUCCESS == guest.call("fd_renumber", b, 1)
    guest.write(1, b"written")
    assert a == guest.open("b")


def test_the_lowest_number_is_given(guest: Any, root: Path) -> None:
    (root / "f").write_bytes(b"")
    fds = [guest.open("f") for _ in range(5)]
    assert [4, 5, 6, 7, 8] == fds
    for fd in (6, 0, 4):
        guest.check(guest.call("fd_close", fd))
    assert [0, 4, 6, 9] == [guest.open("f") for _ in range(4)]


def test_no_more_descriptors_than_allowed(make_guest: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    before = os_fds()
    guest = make_guest(dirs={"/": tmp_path}, max_fds=20)
    assert list(range(4, 20)) == [guest.open("f") for _ in range(16)]
    for _ in range(3):
        assert Errno.MFILE == guest.try_open("f")
        assert Errno.MFILE == guest.try_open("new", Oflags.CREAT)
    assert not (tmp_path / "new").exists()
    guest.check(guest.call("fd_close", 7))
    assert 7 == guest.open("f")
    guest.wasi.close()
    assert before == os_fds()


@pytest.mark.skipif(os.name == "nt", reason="no such limit there")
def test_the_operating_systems_own_limit(make_guest: Callable[..., Any], tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="the limit is set by it")
    (tmp_path / "f").write_bytes(b"")
    guest = make_guest(dirs={"/": tmp_path}, max_fds=10**6)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (os_fds() + 20, hard))
    try:
        errno = Errno.SUCCESS
        while errno == Errno.SUCCESS:
            errno = guest.try_open("f")
        assert Errno.MFILE == errno
        assert Errno.MFILE == guest.try_open("a/b/c")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_everything_is_closed_on_exit_and_on_close(make_guest: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_bytes(b"")
    before = os_fds()
    guest = make_guest(dirs={"/": tmp_path, "d": tmp_path / "d"})
    guest.open("f")
    guest.open_directory("d")
    with pytest.raises(Exit) as exit:
        guest.call("proc_exit", 2**32 - 1)
    assert 2**32 - 1 == exit.value.code
    assert before == os_fds()
    assert Errno.BADF == guest.call("fd_close", 3)
    guest.wasi.close()
    with pytest.raises(FileNotFoundError):
        make_guest(dirs={"/": tmp_path, "d": tmp_path / "missing"})
    with pytest.raises(NotADirectoryError):
        make_guest(dirs={"/": tmp_path, "d": tmp_path / "f"})
    assert before == os_fds()


def test_failing_calls_leave_nothing_open(guest: Any, root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "up").symlink_to("../..")
    before = os_fds()
    for path in ("a/b/c", "a/b/../b/missing/x", "a/b/up/../x", "a/b/up/a/b", "a/b/", "../x", "a/b/up/.."):
        guest.call("path_unlink_file", 3, *guest.paths(path))
        guest.call("path_filestat_get", 3, 1, *guest.paths(path), 1024)
        guest.call("path_rename", 3, *guest.paths("a/b/missing"), 3, *guest.paths(path))
        guest.try_open(path, Oflags.EXCL)
    assert before == os_fds()


def os_fds() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_preopens_are_told_by_name(make_guest: Callable[..., Any], tmp_path: Path) -> None:
    guest = make_guest(dirs={"/": tmp_path, "données": tmp_path})
    assert Errno.SUCCESS == guest.call("fd_prestat_get", 4, 1024)
    assert (0, 8) == struct.unpack("<B3xI", guest.memory.read(1024, 8))
    assert Errno.NAMETOOLONG == guest.call("fd_prestat_dir_name", 4, 1024, 7)
    assert Errno.SUCCESS == guest.call("fd_prestat_dir_name", 4, 1024, 9)
    assert "données".encode() + b"\0" == guest.memory.read(1024, 9)
    for fd in (0, 5, 2**32 - 1):
        assert Errno.BADF == guest.call("fd_prestat_get", fd, 1024)


def test_links(guest: Any, root: Path) -> None:
    (root / "file").write_bytes(b"x")
    assert Errno.SUCCESS == guest.call("path_link", 3, 0, *guest.paths("file"), 3, *guest.paths("hard"))
    assert (root / "file").samefile(root / "hard")
    assert Errno.INVAL == guest.call("path_link", 3, 1, *guest.paths("file"), 3, *guest.paths("other"))
    assert Errno.SUCCESS == guest.call("path_symlink", *guest.paths("file"), 3, *guest.paths("soft"))
    p, n = guest.put(b"....")
    assert Errno.SUCCESS == guest.call("path_readlink", 3, *guest.paths("soft"), p, 3, guest.OUT)
    assert (3, b"fil.") == (guest.u32(), guest.memory.read(p, 4))
    assert Errno.INVAL == guest.call("path_readlink", 3, *guest.paths("file"), p, 3, guest.OUT)
    assert Errno.NOENT == guest.call("path_symlink", *guest.paths(""), 3, *guest.paths("other"))
