"""Standard streams: Python file objects of every kind, pipes that break, descriptors that don't wait."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polymerase_runtime.wasi.abi import Fdflags, Filetype, Rights
from polymerase_runtime.wasi.errno import Errno

MakeGuest = Callable[..., Any]


def test_bytes_in_memory(make_guest: MakeGuest) -> None:
    out, err = io.BytesIO(), io.BytesIO()
    guest = make_guest(stdin=io.BytesIO(b"hello"), stdout=out, stderr=err)
    assert b"hel" == guest.read(0, 1, 2)
    assert b"lo" == guest.read(0, 9)
    assert b"" == guest.read(0, 9)
    assert 5 == guest.write(1, b"a\xff", b"", b"b\0c")
    guest.write(2, b"oops")
    assert (b"a\xffb\0c", b"oops") == (out.getvalue(), err.getvalue())
    guest.wasi.close()
    assert not out.closed


def test_text_in_memory_is_utf8(make_guest: MakeGuest) -> None:
    out = io.StringIO()
    guest = make_guest(stdin=io.StringIO("né€\n😀"), stdout=out)
    got = b""
    while part := guest.read(0, 2):
        got += part
    assert "né€\n😀".encode() == got
    for byte in "é€😀".encode():
        guest.write(1, bytes([byte]))
    guest.write(1, b"\xff|\xe2\x82")
    assert "é€😀\ufffd|" == out.getvalue()
    guest.wasi.close()
    assert "é€😀\ufffd|\ufffd" == out.getvalue()


def test_a_text_file_gets_the_bytes_as_they_are(make_guest: MakeGuest, tmp_path: Path) -> None:
    with open(tmp_path / "out", "w", encoding="utf-16") as out:
        out.write("x")
        guest = make_guest(stdout=out)
        guest.write(1, b"\xff\n\r\n")
    assert "x".encode("utf-16") + b"\xff\n\r\n" == (tmp_path / "out").read_bytes()
    (tmp_path / "in").write_bytes(b"a\r\n\xff")
    with open(tmp_path / "in", encoding="ascii") as file:
        assert b"a\r\n\xff" == make_guest(stdin=file).read(0, 10)


@pytest.mark.parametrize("mode", ["wb", "w+b", "ab", "w", "a+"])
def test_files_of_all_modes(make_guest: MakeGuest, tmp_path: Path, mode: str) -> None:
    with open(tmp_path / "out", mode) as out:
        guest = make_guest(stdout=out)
        guest.write(1, b"one ")
        out.write("two " if "b" not in mode else b"two ")
        guest.write(1, b"three")
        assert b"one two three" == (tmp_path / "out").read_bytes()


def test_unbuffered_and_temporary_files(make_guest: MakeGuest, tmp_path: Path) -> None:
    with open(tmp_path / "f", "w+b", buffering=0) as file:
        make_guest(stdout=file).write(1, b"abc")
        file.seek(0)
        assert b"abc" == make_guest(stdin=file).read(0, 9)
    with tempfile.NamedTemporaryFile() as named:
        make_guest(stdout=named).write(1, b"abc")
        named.seek(0)
        assert b"abc" == make_guest(stdin=named).read(0, 9)
    with tempfile.SpooledTemporaryFile() as spooled:
        make_guest(stdout=spooled).write(1, b"abc")
        spooled.seek(0)
        assert b"abc" == make_guest(stdin=spooled).read(0, 9)


def test_objects_with_only_the_methods_needed(make_guest: MakeGuest) -> None:
    class Sink:
        def __init__(self) -> None:
            self.got: list[bytes] = []

        def write(self, data: bytes) -> None:
            self.got.append(bytes(data))

    class Source:
        def read(self, n: int) -> bytes:
            return b"more than was asked for"

    sink = Sink()
    guest = make_guest(stdin=Source(), stdout=sink)
    assert 2 == guest.write(1, b"hi")
    assert [b"hi"] == sink.got
    assert b"more " == guest.read(0, 5)
    assert b"than " == guest.read(0, 5)


def test_a_hosts_own_error_passes_through(make_guest: MakeGuest) -> None:
    class Broken(io.BytesIO):
        def write(self, data: Any) -> int:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        make_guest(stdout=Broken()).write(1, b"x")


def test_a_closed_file_is_a_bad_descriptor(make_guest: MakeGuest) -> None:
    file = io.BytesIO()
    guest = make_guest(stdin=file, stdout=file)
    file.close()
    assert Errno.BADF == guest.call("fd_write", 1, *guest.iovecs((0, 1)), guest.OUT)
    assert Errno.BADF == guest.call("fd_read", 0, *guest.iovecs((1024, 1)), guest.OUT)


def test_a_broken_pipe_is_the_guests_to_handle(make_guest: MakeGuest) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        guest = make_guest(stdout=out)
        for _ in range(2):
            assert Errno.PIPE == guest.call("fd_write", 1, *guest.iovecs((0, 100)), guest.OUT)
        # And Python has nothing left to write, and so to fail with, when the file is closed.


PROGRAM = """
import sys
from types import SimpleNamespace
from polymerase_runtime.wasi import Wasi

class Memory:
    data = bytearray(65536)
    def __len__(self): return 65536
    def read(self, p, n): return bytes(self.data[p:p + n])
    def write(self, p, data): self.data[p:p + len(data)] = data

memory = Memory()
caller = SimpleNamespace(memory=memory)
f = Wasi().imports()["wasi_snapshot_preview1"]
memory.write(0, (16).to_bytes(4, "little") + (6).to_bytes(4, "little"))
def read(): return f["fd_read"].fn(caller, 0, 0, 1, 8)
def write(fd=1): return f["fd_write"].fn(caller, fd, 0, 1, 8)
"""


def run(program: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    runtime = Path(sys.modules["polymerase_runtime"].__file__ or "").parent.parent
    environment = {**os.environ, "PYTHONPATH": str(runtime)}
    command = [sys.executable, "-c", PROGRAM + program]
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, timeout=60, **options)


def test_the_processs_own_streams() -> None:
    program = "print('host', end=' '); assert read() == 0; assert write() == 0; print(' host')"
    done = run(program, input=b"guest!", stdout=subprocess.PIPE)
    assert (b"host guest! host\n", b"", 0) == (done.stdout, done.stderr, done.returncode)


def test_what_the_host_has_read_ahead_is_not_lost() -> None:
    program = "sys.stdin.buffer.readline(); assert read() == 0; assert write() == 0"
    assert b"second" == run(program, input=b"first\nsecond", stdout=subprocess.PIPE).stdout


def test_a_closed_stdout_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        done = run("sys.exit(write())", stdin=subprocess.DEVNULL, stdout=out)
    assert (Errno.PIPE, b"") == (done.returncode, done.stderr)


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_a_process_without_streams() -> None:
    program = PROGRAM + "import os; os._exit(10 * read() + write())"
    runtime = Path(sys.modules["polymerase_runtime"].__file__ or "").parent.parent
    command = ["/bin/sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, program]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(runtime)}, timeout=60)
    assert 0 == done.returncode  # the null device


def test_closing_a_stream_leaves_the_file_open(make_guest: MakeGuest) -> None:
    out = io.BytesIO()
    guest = make_guest(stdout=out)
    guest.check(guest.call("fd_close", 1))
    assert Errno.BADF == guest.call("fd_write", 1, *guest.iovecs((0, 1)), guest.OUT)
    assert not out.closed


def test_a_pipe_without_data_does_not_wait_if_told_so(make_guest: MakeGuest) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb", buffering=0) as sink:
        guest = make_guest(stdin=source)
        assert Errno.SUCCESS == guest.call("fd_fdstat_set_flags", 0, Fdflags.NONBLOCK)
        assert Errno.AGAIN == guest.call("fd_read", 0, *guest.iovecs((1024, 8)), guest.OUT)
        assert os.get_blocking(reader)  # which other processes share
        sink.write(b"data")
        assert b"da" == guest.read(0, 2)
        assert b"ta" == guest.read(0, 9)
        sink.close()
        assert b"" == guest.read(0, 9)


def test_a_hosts_non_blocking_pipe_waits_all_the_same(make_guest: MakeGuest) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb") as sink:
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        guest = make_guest(stdin=source, stdout=sink, size=1 << 20)
        threading.Timer(0.05, os.write, (writer, b"late")).start()
        assert b"late" == guest.read(0, 9)
        os.set_blocking(reader, True)
        thread = threading.Timer(0.05, source.read, (40 * 4096,))
        thread.start()
        for _ in range(40):  # more than the pipe holds
            assert 4096 == guest.write(1, bytes(4096))
        thread.join()


def test_a_partial_write_is_told(make_guest: MakeGuest) -> None:
    class Narrow(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            return min(3, len(data))

    assert 3 == make_guest(stdout=Narrow()).write(1, b"abcdef")


def test_kinds_of_streams(make_guest: MakeGuest, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"0123456789")
    with open(tmp_path / "in", "rb") as file, open(os.devnull, "wb") as null:
        reader, writer = os.pipe()
        with os.fdopen(reader), os.fdopen(writer, "wb") as pipe:
            guest = make_guest(stdin=file, stdout=null, stderr=pipe)
            kinds = []
            for fd in range(3):
                guest.check(guest.call("fd_fdstat_get", fd, 1024))
                kinds.append(guest.memory.data[1024])
                guest.check(guest.call("fd_filestat_get", fd, 1024))
            assert [Filetype.REGULAR_FILE, Filetype.CHARACTER_DEVICE, Filetype.UNKNOWN] == kinds
            assert Errno.SPIPE == guest.call("fd_seek", 2, 0, 1, guest.OUT)
            assert Errno.SPIPE == guest.call("fd_pwrite", 2, *guest.iovecs((0, 1)), 0, guest.OUT)
            guest.check(guest.call("fd_seek", 0, 5, 0, guest.OUT))
            assert b"56789" == guest.read(0, 9)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals")
def test_a_terminal_is_one(make_guest: MakeGuest) -> None:
    main, side = os.openpty()
    with os.fdopen(main, "rb", buffering=0), os.fdopen(side, "w") as terminal:
        guest = make_guest(stdout=terminal)
        guest.check(guest.call("fd_fdstat_get", 1, 1024))
        assert Filetype.CHARACTER_DEVICE == guest.memory.data[1024]
        rights = int.from_bytes(guest.memory.read(1032, 8), "little")
        assert 0 == rights & (Rights.FD_SEEK | Rights.FD_TELL)
        guest.write(1, b"x")
        assert b"x" == os.read(main, 9)


def test_sockets_are_none(make_guest: MakeGuest) -> None:
    guest = make_guest(stdin=io.BytesIO())
    assert Errno.NOTSOCK == guest.call("sock_shutdown", 1, 1)
    assert Errno.NOTSOCK == guest.call("sock_accept", 0, 0, guest.OUT)
    assert Errno.NOTSOCK == guest.call("sock_recv", 0, 0, 0, 0, guest.OUT, guest.OUT)
    assert Errno.NOTSOCK == guest.call("sock_send", 1, 0, 0, 0, guest.OUT)
    assert Errno.BADF == guest.call("sock_shutdown", 3, 1)
