"""Standard input, output and error: the process's own, or any Python file object, binary or text."""

from __future__ import annotations

import codecs
import io
import os
import select
from typing import IO, Any, Union

from .abi import FILESTAT, Fdflags, Rights
from .errno import Errno, WasiError
from .files import Descriptor, filetype, pack_stat

StreamLike = Union[IO[bytes], IO[str], io.IOBase]


class Stream(Descriptor):
    """A Python file object as a file descriptor. Closing the descriptor leaves the object open: it is the host's.

    Of a text file the bytes beneath are used where it has them (`buffer`), so that a guest's binary output arrives as
    it is; one without, such as `io.StringIO`, gets and gives UTF-8, malformed parts as U+FFFD. Output is flushed after
    each write, as a guest that writes to a file descriptor expects. None is the null device. `number` is the descriptor
    that it is at first, whatever the guest renumbers it to.
    """

    def __init__(self, file: StreamLike | None, rights: int, number: int = 0) -> None:
        super().__init__(rights | Rights.STREAM)
        self.number = number
        self._text: Any = None  # flushed before the bytes beneath are written to
        self._file: Any = file
        buffer = getattr(file, "buffer", None)
        if isinstance(file, io.TextIOBase) or buffer is not None:
            self._text = file
            self._file = buffer
        self._pending = b""  # read from a text file, not yet by the guest
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._fd = _fileno(file)
        self._direct = self._fd is not None and isinstance(_raw(self._file), io.FileIO)
        if self._fd is not None:
            try:
                self.filetype = filetype(os.fstat(self._fd).st_mode)
            except OSError:
                pass  # closed: reading and writing will say so
        if _seekable(self._file):
            # A terminal is told from other character devices by not having these.
            self.rights |= Rights.FD_SEEK | Rights.FD_TELL

    def _lower(self) -> Any:
        """The object to read from or write to; flushes text that the host has written and not yet sent down."""
        file = self._text if self._file is None else self._file
        if getattr(file, "closed", False):
            raise WasiError(Errno.BADF)
        if self._text is not None and self.rights & Rights.FD_WRITE:
            self._text.flush()
        return file

    def close(self) -> None:
        if self._text is not None and self._file is None and self.rights & Rights.FD_WRITE:
            tail = self._decoder.decode(b"", True)
            if tail and not self._text.closed:
                self._text.write(tail)

    def unread(self) -> tuple[bytes, bytes]:
        """What was read and not yet asked for, and the part of a character that was written and is not whole."""
        return self._pending, self._decoder.getstate()[0]

    def set_unread(self, data: bytes, tail: bytes) -> None:
        """Go on from what `unread` gave."""
        self._pending = data
        self._decoder.setstate((tail, 0))

    def poll_fd(self) -> int | None:
        return self._fd

    def readable(self) -> bool:
        if self._pending:
            return True
        if self._fd is None or not isinstance(self._file, io.BufferedReader) or os.name == "nt":
            return False
        # What the host has read ahead is invisible to poll(); peek() shows it, but may read, so it must not wait.
        before = os.get_blocking(self._fd)
        os.set_blocking(self._fd, False)
        try:
            return bool(self._file.peek(1))
        except BlockingIOError:
            return False
        finally:
            os.set_blocking(self._fd, before)

    def stat(self) -> bytes:
        if self._fd is not None:
            return pack_stat(os.fstat(self._fd))
        return FILESTAT.pack(0, 0, self.filetype, 1, 0, 0, 0, 0)

    def read(self, n: int) -> bytes:
        if not self._pending:
            self._pending = self._read(n)
        data, self._pending = self._pending[:n], self._pending[n:]
        return data

    def _read(self, n: int) -> bytes:
        file = self._lower()
        if file is None:
            return b""
        while True:
            self._wait_readable()
            # As much as is there: readline for text, as its read() waits for all n.
            reader = getattr(file, "read1", None) or (file.readline if self._file is None else file.read)
            data = reader(n)
            if isinstance(data, str):
                data = data.encode("utf-8", "replace")
            if data is not None:
                return bytes(data)
            if self.flags & Fdflags.NONBLOCK or self._fd is None:
                raise WasiError(Errno.AGAIN)

    def _wait_readable(self) -> None:
        # Only if the guest doesn't want to wait, or the host has made its descriptor so that it doesn't: read1() then
        # gives nothing, as at the end.
        impatient = self.flags & Fdflags.NONBLOCK
        if self._fd is None or os.name == "nt" or not impatient and os.get_blocking(self._fd):
            return
        if not self.readable() and not wait(self._fd, False, 0.0 if impatient else None):
            raise WasiError(Errno.AGAIN)

    def write(self, data: bytes) -> int:
        file = self._lower()
        if file is None:
            return len(data)
        if self._direct and self._fd is not None:
            return self._write_fd(file, self._fd, data)
        if file is self._text:
            file.write(self._decoder.decode(bytes(data)))
            written = len(data)
        else:
            written = file.write(data)
            if written is None:
                if isinstance(file, io.RawIOBase):
                    raise WasiError(Errno.AGAIN)
                written = len(data)  # a write() of the host's own making
        flush = getattr(file, "flush", None)
        if flush is not None:
            flush()
        return int(written)

    def _write_fd(self, file: Any, fd: int, data: bytes) -> int:
        # Not through the BufferedWriter: after a broken pipe it would keep the data and fail again when Python exits.
        file.flush()
        while True:
            try:
                return os.write(fd, data)
            except BlockingIOError:
                if self.flags & Fdflags.NONBLOCK:
                    raise
                wait(fd, True, None)

    def seek(self, delta: int, whence: int) -> int:
        file = self._lower()
        try:
            if self._direct and self.rights & Rights.FD_WRITE:
                file.flush()
                return os.lseek(file.fileno(), delta, whence)
            return int(file.seek(delta, whence))
        except io.UnsupportedOperation:
            raise WasiError(Errno.SPIPE) from None
        except ValueError:
            raise WasiError(Errno.INVAL) from None

    def sync(self, data_only: bool) -> None:
        file = self._lower()
        if self._fd is None or file is None:
            return
        file.flush()
        os.fsync(self._fd)


def wait(fd: int, writing: bool, seconds: float | None) -> bool:
    """Wait until the operating system's `fd` is ready; False if it is not after that time. Windows can't: True."""
    if os.name == "nt":
        return True
    poll = select.poll()
    poll.register(fd, select.POLLOUT if writing else select.POLLIN)
    return bool(poll.poll(None if seconds is None else int(seconds * 1000)))


def _raw(file: Any) -> Any:
    """What is beneath a BufferedReader or BufferedWriter; not a BufferedRandom, whose position would be off."""
    return file.raw if isinstance(file, (io.BufferedReader, io.BufferedWriter)) else file


def _fileno(file: Any) -> int | None:
    try:
        fd = file.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return fd if isinstance(fd, int) and fd >= 0 else None


def _seekable(file: Any) -> bool:
    try:
        return bool(file.seekable()) and not file.isatty()
    except (AttributeError, OSError, ValueError):
        return False
