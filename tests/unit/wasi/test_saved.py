"""What a snapshot keeps of a guest's descriptors, and how they are taken up again."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from polymerase import Module, Snapshot, SnapshotError, Wasi
from polymerase_runtime.snapshot.format import (
    DIRECTORY,
    FILE,
    PREOPEN,
    STREAM,
    SavedDescriptor,
    SavedWasi,
    State,
    encode,
)
from polymerase_runtime.wasi.abi import Fdflags, Oflags, Rights
from polymerase_runtime.wasi.errno import Errno
from polymerase_runtime.wasi.saved import reopen, save, take_up


def packed(saved: SavedWasi) -> SavedWasi:
    """What is read of what is written of `saved`."""
    read = Snapshot(encode(State("0" * 64, [], [], [], [], [], wasi=saved), 1)).wasi
    assert read == saved
    return read


@dataclass
class Pair:
    """A guest, and how to make another that goes on in its place."""

    guest: Any
    make_guest: Callable[..., Any]
    options: dict[str, Any]

    def go_on(self, **options: Any) -> Any:
        saved = packed(save(self.guest.wasi._process))
        other = self.make_guest(**{**self.options, **options})
        process = other.wasi._process
        take_up(process, saved, reopen(process, saved))
        assert saved == save(process)
        return other


@pytest.fixture(params=[True, False], ids=["openat", "portable"])
def pair(request: pytest.FixtureRequest, tmp_path: Path, make_guest: Callable[..., Any]) -> Pair:
    (tmp_path / "root").mkdir()
    (tmp_path / "other").mkdir()
    options: dict[str, Any] = {
        "dirs": {"/": tmp_path / "root", "/other": tmp_path / "other"},
        "openat": request.param,
        "stdin": io.BytesIO(b"input"),
        "stdout": io.BytesIO(),
        "stderr": io.BytesIO(),
    }
    return Pair(make_guest(args=["prog", "a"], env={"K": "v"}, **options), make_guest, options)


def tell(guest: Any, fd: int) -> int:
    guest.check(guest.call("fd_tell", fd, guest.OUT))
    return int(guest.u64())


def fds(guest: Any) -> list[int]:
    return sorted(guest.wasi._process._open)


def test_arguments_and_environment_are_the_saved_ones(pair: Pair) -> None:
    other = pair.go_on(args=["another"], env={"X": "y"})
    assert ([b"prog", b"a"], [b"K=v"]) == (other.wasi._process.arguments, other.wasi._process.environment)


def test_files_go_on_where_they_were(pair: Pair, root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "in").write_bytes(b"0123456789")
    guest = pair.guest
    file = guest.open("sub/in", 0, Rights.FD_READ | Rights.FD_SEEK | Rights.FD_TELL)
    out = guest.open("out", Oflags.CREAT | Oflags.EXCL | Oflags.TRUNC, Rights.FILE)
    log = guest.open("log", Oflags.CREAT, Rights.FILE, Fdflags.APPEND)
    assert b"0123" == guest.read(file, 4)
    guest.write(out, b"first ")
    guest.write(log, b"one ")
    other = pair.go_on()
    assert fds(guest) == fds(other) == [0, 1, 2, 3, 4, file, out, log]
    assert b"456789" == other.read(file, 10)
    other.write(out, b"second")
    other.check(other.call("fd_seek", log, 0, 0, other.OUT))
    other.write(log, b"two")
    assert (b"first second", b"one two") == ((root / "out").read_bytes(), (root / "log").read_bytes())
    assert b"456" == guest.read(file, 3)
    assert (12, 10) == (tell(other, out), tell(other, file))
    assert Errno.BADF == other.call("fd_write", file, *other.iovecs(other.put(b"x")), other.OUT)


def test_a_path_through_links_is_saved_as_where_it_led(pair: Pair, root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_bytes(b"text")
    (root / "link").symlink_to("a/b")
    (root / "a" / "b" / "same").symlink_to("file")
    guest = pair.guest
    fd = guest.open("link/../b/./same", 0, Rights.FILE)
    saved = save(guest.wasi._process).descriptors[-1]
    assert (fd, b"/", b"a/b/file") == (saved.fd, saved.preopen, saved.path)
    (root / "link").unlink()
    assert b"text" == pair.go_on().read(fd, 10)


def test_directories_and_what_is_beneath_them(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "other" / "x" / "y").mkdir(parents=True)
    (tmp_path / "other" / "x" / "y" / "f").write_bytes(b"deep")
    guest = pair.guest
    x = guest.open_directory("x", fd=4)
    y = guest.open_directory("y", fd=x)
    here = guest.open_directory(".", fd=4)
    f = guest.open("f", 0, Rights.FILE, fd=y)
    guest.check(guest.call("fd_close", x))
    other = pair.go_on()
    assert b"deep" == other.read(f, 10)
    assert [b".", b"..", b"f"] == [name for name, _, _ in other.readdir(y)[0]]
    assert [b".", b"..", b"x"] == [name for name, _, _ in other.readdir(here)[0]]
    assert x == other.open("x/y/f", fd=here)


def test_rights_and_numbers_are_kept(pair: Pair, root: Path) -> None:
    (root / "f").write_bytes(b"text")
    guest = pair.guest
    fd = guest.open("f", 0, Rights.FILE)
    guest.check(guest.call("fd_fdstat_set_rights", fd, Rights.FD_READ, 0))
    guest.check(guest.call("fd_fdstat_set_rights", 3, Rights.PATH_OPEN, Rights.FD_READ))
    guest.check(guest.call("fd_renumber", fd, 1))
    guest.check(guest.call("fd_close", 0))
    other = pair.go_on()
    assert [1, 2, 3, 4] == fds(other)
    assert b"text" == other.read(1, 10)
    assert Errno.BADF == other.call("fd_write", 1, *other.iovecs(other.put(b"x")), other.OUT)
    assert Errno.NOTCAPABLE == other.call("fd_tell", 1, other.OUT)
    assert Errno.NOTCAPABLE == other.call("path_create_directory", 3, *other.paths("new"))
    assert Errno.NOTCAPABLE == other.try_open("f", rights=Rights.FD_WRITE)
    assert 0 == other.open("f", 0, Rights.FD_READ)
    assert 5 == other.open("f", 0, Rights.FD_READ)


def test_streams_are_those_given_now(pair: Pair) -> None:
    pair.guest.check(pair.guest.call("fd_fdstat_set_flags", 1, Fdflags.NONBLOCK))
    stdin, stdout = io.BytesIO(b"new input"), io.BytesIO()
    other = pair.go_on(stdin=stdin, stdout=stdout)
    assert b"new" == other.read(0, 3)
    other.write(1, b"out")
    assert b"out" == stdout.getvalue()
    assert Fdflags.NONBLOCK == other.wasi._process.get(1).flags


def test_what_a_stream_holds_back_is_kept(pair: Pair, make_guest: Callable[..., Any]) -> None:
    pair.options |= {"stdin": io.StringIO("grüße"), "stdout": io.StringIO()}
    pair.guest = make_guest(**pair.options)
    assert b"gr\xc3" == pair.guest.read(0, 3)
    pair.guest.write(1, "ü".encode()[:1])
    stdout = io.StringIO()
    other = pair.go_on(stdin=io.StringIO("more"), stdout=stdout)
    assert b"\xbc" == other.read(0, 3)
    assert b"mor" == other.read(0, 3)
    other.write(1, "ü".encode()[1:])
    assert "ü" == stdout.getvalue()


def test_a_stream_has_no_more_rights_than_the_new_one(pair: Pair) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe, open(writer, "wb"):
        other = make = pair.make_guest(**{**pair.options, "stdin": pipe})
        saved = packed(save(pair.guest.wasi._process))
        process = make.wasi._process
        take_up(process, saved, reopen(process, saved))
        assert Errno.SPIPE == other.call("fd_tell", 0, other.OUT)


@pytest.mark.parametrize("change", ["unlink", "replace", "parent"])
def test_a_file_that_its_path_does_not_lead_to_is_refused(pair: Pair, root: Path, change: str) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "f").write_bytes(b"text")
    fd = pair.guest.open("sub/f", 0, Rights.FILE)
    if change == "parent":
        (root / "sub").rename(root / "moved")
    else:
        (root / "sub" / "f").unlink()
        if change == "replace":
            (root / "sub" / "f").write_bytes(b"text")
    match = f"WASI descriptor {fd}, b'sub/f' beneath b'/': removed or replaced since it was opened"
    with pytest.raises(SnapshotError, match=match):
        save(pair.guest.wasi._process)
    assert b"text" == pair.guest.read(fd, 10)


def test_a_file_whose_folder_is_closed_is_refused(pair: Pair, root: Path) -> None:
    (root / "f").write_bytes(b"text")
    fd = pair.guest.open("f", 0, Rights.FILE)
    pair.guest.check(pair.guest.call("fd_close", 3))
    with pytest.raises(SnapshotError, match=f"WASI descriptor {fd}, b'f' beneath b'/': that directory is no longer"):
        save(pair.guest.wasi._process)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused(pair: Pair, root: Path) -> None:
    os.mkfifo(root / "pipe")
    pair.guest.open("pipe", 0, Rights.FILE, Fdflags.NONBLOCK)
    with pytest.raises(SnapshotError, match="b'pipe' beneath b'/': neither a regular file nor a directory"):
        save(pair.guest.wasi._process)


def test_deterministic_clocks_and_random_numbers_go_on(pair: Pair, make_guest: Callable[..., Any]) -> None:
    pair.options["deterministic"] = True
    pair.guest = make_guest(**pair.options)

    def look(guest: Any) -> tuple[int, bytes]:
        p, n = guest.put(bytes(50))
        guest.check(guest.call("random_get", p, n))
        guest.check(guest.call("clock_time_get", 1, 0, guest.OUT))
        return guest.u64(), guest.memory.read(p, n)

    first = look(pair.guest)
    other = pair.go_on()
    second = look(pair.guest)
    assert first != second == look(other)
    saved = save(pair.guest.wasi._process)
    process = pair.make_guest(**{**pair.options, "deterministic": False}).wasi._process
    take_up(process, saved, reopen(process, saved))
    assert save(process).time is None


def test_after_the_end_nothing_is_open(pair: Pair) -> None:
    pair.guest.wasi.close()
    other = pair.go_on()
    assert [] == fds(other)


# --- Saved states that do not fit, or that nobody saved


def refuse(pair: Pair, *descriptors: SavedDescriptor, match: str, **options: Any) -> None:
    """`reopen` fails, and leaves the new process and this one's descriptors as they were."""
    other = pair.make_guest(**{**pair.options, **options})
    process = other.wasi._process
    before = process.opened()
    count = len(os.listdir("/dev/fd")) if sys.platform == "linux" else 0
    with pytest.raises(SnapshotError, match=match):
        reopen(process, packed(SavedWasi((), (), descriptors)))
    assert before == process.opened()
    if count:
        assert count == len(os.listdir("/dev/fd"))


def test_a_folder_that_is_not_given_is_named(pair: Pair, root: Path) -> None:
    preopen = SavedDescriptor(3, PREOPEN, 0, 0, 0, preopen=b"/data")
    refuse(pair, preopen, match="descriptor 3: the guest has the folder b'/data', the Wasi given b'/', b'/other'")
    refuse(pair, preopen, match="b'/data', the Wasi given none", dirs={})


def test_a_file_that_is_gone_is_named(pair: Pair, root: Path) -> None:
    (root / "there").write_bytes(b"")
    there = SavedDescriptor(3, FILE, 0, 0, 0, preopen=b"/", path=b"there")
    gone = SavedDescriptor(4, FILE, 0, 0, 0, preopen=b"/", path=b"gone")
    refuse(pair, there, gone, match="descriptor 4: cannot open b'gone' beneath b'/': No such file")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (SavedDescriptor(512, STREAM, 0, 0, 0), "512: at most 512 may be open"),
        (SavedDescriptor(2**32 - 1, STREAM, 0, 0, 0), "at most 512 may be open"),
        (SavedDescriptor(7, STREAM, 0, 0, 0x20), "7: no descriptor has the flags 0x20"),
        (SavedDescriptor(7, PREOPEN, 0, 0, 1, preopen=b"/"), "no descriptor has the flags 0x1"),
        (SavedDescriptor(7, STREAM, 0, 0, 0, number=0), "7: there twice"),
        (SavedDescriptor(7, PREOPEN, 0, 0, 0, preopen=b"/other"), "7: there twice"),
        (SavedDescriptor(7, STREAM, 0, 1, 0, number=1), "7: more rights than can be had"),
        (SavedDescriptor(7, PREOPEN, 2**63, 0, 0, preopen=b"/"), "7: more rights than can be had"),
        (SavedDescriptor(7, PREOPEN, 0, 2**63, 0, preopen=b"/"), "7: more rights than can be had"),
        (SavedDescriptor(7, FILE, 2**63, 0, 0, preopen=b"/", path=b"f"), "7: more rights than its folder gives"),
        (SavedDescriptor(7, FILE, Rights.PATH_OPEN, 0, 0, preopen=b"/", path=b"f"), "7: more rights than can be had"),
        (SavedDescriptor(7, FILE, 0, 0, 0, preopen=b"/", path=b"d"), "b'd' beneath b'/': no regular file"),
        (SavedDescriptor(7, FILE, 0, 0, 0, preopen=b"/", path=b""), "b'' beneath b'/': no regular file"),
        (SavedDescriptor(7, FILE, 0, 0, 0, preopen=b"/", path=b"link"), "b'link' beneath b'/': no regular file"),
        (SavedDescriptor(7, FILE, 0, 0, 0, preopen=b"/", path=b"out/secret"), "cannot open b'out/secret'"),
        (SavedDescriptor(7, FILE, 0, 0, 0, preopen=b"/", path=b"\xff"), "cannot open b'.xff'"),
        (SavedDescriptor(7, FILE, 0, 0, 0, preopen=b"/", path=b"f", offset=2**64 - 1), "cannot open b'f' beneath b'/'"),
        (SavedDescriptor(7, FILE, 0, 0, 0, preopen=b"/", path=b"n" * 5000), "cannot open b'nnn"),
        (SavedDescriptor(7, DIRECTORY, 0, 0, 0, preopen=b"/", path=b"f"), "b'f' beneath b'/': no directory"),
    ],
)
def test_descriptors_that_make_no_sense(pair: Pair, root: Path, wrong: SavedDescriptor, match: str) -> None:
    (root / "d").mkdir()
    (root / "f").write_bytes(b"")
    (root / "link").symlink_to("f")
    (root / "out").symlink_to("..")
    (root.parent / "secret").write_bytes(b"")
    good = [
        SavedDescriptor(0, STREAM, 0, 0, 0),
        SavedDescriptor(4, PREOPEN, 0, 0, 0, preopen=b"/other"),
        SavedDescriptor(5, FILE, 0, 0, 0, preopen=b"/", path=b"f"),
        SavedDescriptor(6, DIRECTORY, 0, 0, 0, preopen=b"/", path=b"d"),
    ]
    refuse(pair, *good, wrong, match=match)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (SavedDescriptor(1, 4, 0, 0, 0), "no descriptor is of kind 4"),
        (SavedDescriptor(1, STREAM, 0, 0, 0, number=3), "there is no standard stream 3"),
        (SavedDescriptor(1, STREAM, 0, 0, 0, tail=b"long"), "4 bytes, but at most 3 can be"),
        (SavedDescriptor(0, STREAM, 0, 0, 0), "WASI descriptor 0: after 0"),
        (SavedDescriptor(1, PREOPEN, 0, 0, 0, preopen=b"\0"), "contains a NUL"),
        (SavedDescriptor(1, FILE, 0, 0, 0, preopen=b"/", path=b"a\0b"), "contains a NUL"),
        (SavedDescriptor(1, FILE, 0, 0, 0, preopen=b"/", path=b"/etc/passwd"), "is no plain relative path"),
        (SavedDescriptor(1, FILE, 0, 0, 0, preopen=b"/", path=b"a/../../b"), "is no plain relative path"),
        (SavedDescriptor(1, FILE, 0, 0, 0, preopen=b"/", path=b"./b"), "is no plain relative path"),
        (SavedDescriptor(1, FILE, 0, 0, 0, preopen=b"/", path=b"b/"), "is no plain relative path"),
    ],
)
def test_bytes_that_make_no_sense(wrong: SavedDescriptor, match: str) -> None:
    with pytest.raises(SnapshotError, match=match):
        packed(SavedWasi((), (), (SavedDescriptor(0, STREAM, 0, 0, 0), wrong)))


# --- Instances

READS = r"""
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\40\00\00\00\02\00\00\00")
  (data (i32.const 32) "file")
  (func (export "open") (result i32)
    (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 4) (i32.const 0)
      (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)))
  (func (export "args") (result i32) (drop (call $sizes (i32.const 0) (i32.const 4))) (i32.load (i32.const 0)))
  (func (export "read") (result i32)
    (drop (call $read (i32.const 4) (i32.const 16) (i32.const 1) (i32.const 8)))
    (i32.load16_u (i32.const 64))))
"""


@pytest.fixture
def reader(wat: Callable[[str], bytes], tmp_path: Path) -> Module:
    (tmp_path / "file").write_bytes(b"aabbccdd")
    return Module(wat(READS), "reads.wasm")


def test_an_instance_goes_on_reading(reader: Module, tmp_path: Path) -> None:
    with Wasi(args=["a", "b", "c"], dirs={"/d": tmp_path}) as wasi:
        one = reader.instantiate(wasi=wasi)
        assert (0, 0x6161) == (one.exports.open(), one.exports.read())
        data = one.snapshot()
        assert 0x6262 == one.exports.read()
    for _ in range(2):
        with Wasi(dirs={"/d": tmp_path}) as wasi:
            two = reader.restore(data, wasi=wasi)
            assert (3, 0x6262, 0x6363) == (two.exports.args(), two.exports.read(), two.exports.read())
    with pytest.raises(SnapshotError, match="the guest has the folder b'/d', the Wasi given none"):
        reader.restore(data)


def test_a_wasi_that_serves_another_instance_is_refused(reader: Module, tmp_path: Path) -> None:
    with Wasi(dirs={"/d": tmp_path}) as wasi:
        one = reader.instantiate(wasi=wasi)
        one.exports.open()
        with pytest.raises(ValueError, match="serves another instance"):
            reader.restore(one.snapshot(), wasi=wasi)
        assert 0x6161 == one.exports.read()


def test_a_wasi_serves_after_a_failure(reader: Module, tmp_path: Path) -> None:
    with Wasi(dirs={"/d": tmp_path}) as wasi:
        one = reader.instantiate(wasi=wasi)
        one.exports.open()
        data = one.snapshot()
    with Wasi(dirs={"/d": tmp_path}) as wasi:
        (tmp_path / "file").rename(tmp_path / "elsewhere")
        with pytest.raises(SnapshotError, match="cannot open b'file' beneath b'/d'"):
            reader.restore(data, wasi=wasi)
        (tmp_path / "elsewhere").rename(tmp_path / "file")
        assert 0x6161 == reader.restore(data, wasi=wasi).exports.read()
