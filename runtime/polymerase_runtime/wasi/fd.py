"""The functions fd_* of WASI preview 1."""

from __future__ import annotations

from .abi import ADVICE_COUNT, DIRENT, FDSTAT, PREOPEN_DIR, PRESTAT, U32, U64, WHENCE_CUR, WHENCE_END, Fdflags, Rights
from .errno import Errno, WasiError
from .files import Descriptor, Directory
from .pointers import Memory, gather, load_iovecs, require, scatter, store
from .process import Process
from .streams import Stream


def fd_advise(process: Process, memory: None, fd: int, offset: int, n: int, advice: int) -> None:
    """witx `fd_advise`."""
    file = process.get(fd, Rights.FD_ADVISE)
    if advice >= ADVICE_COUNT:
        raise WasiError(Errno.INVAL)
    file.advise(offset, n, advice)


def fd_allocate(process: Process, memory: None, fd: int, offset: int, n: int) -> None:
    """witx `fd_allocate`."""
    process.get(fd, Rights.FD_ALLOCATE).allocate(offset, n)


def fd_close(process: Process, memory: None, fd: int) -> None:
    """witx `fd_close`."""
    process.remove(fd)


def fd_datasync(process: Process, memory: None, fd: int) -> None:
    """witx `fd_datasync`."""
    process.get(fd, Rights.FD_DATASYNC).sync(True)


def fd_fdstat_get(process: Process, memory: Memory, fd: int, out: int) -> None:
    """witx `fd_fdstat_get`."""
    file = process.get(fd)
    store(memory, out, FDSTAT.pack(file.filetype, file.flags, file.rights, file.inheriting))


def fd_fdstat_set_flags(process: Process, memory: None, fd: int, flags: int) -> None:
    """witx `fd_fdstat_set_flags`."""
    file = process.get(fd, Rights.FD_FDSTAT_SET_FLAGS)
    if flags & ~Fdflags.ALL:
        raise WasiError(Errno.INVAL)
    file.set_flags(flags)


def fd_fdstat_set_rights(process: Process, memory: None, fd: int, base: int, inheriting: int) -> None:
    """witx `fd_fdstat_set_rights`: takes rights away, never gives one."""
    file = process.get(fd)
    if base & ~file.rights or inheriting & ~file.inheriting:
        raise WasiError(Errno.NOTCAPABLE)
    file.rights = base
    file.inheriting = inheriting


def fd_filestat_get(process: Process, memory: Memory, fd: int, out: int) -> None:
    """witx `fd_filestat_get`."""
    store(memory, out, process.get(fd, Rights.FD_FILESTAT_GET).stat())


def fd_filestat_set_size(process: Process, memory: None, fd: int, size: int) -> None:
    """witx `fd_filestat_set_size`."""
    process.get(fd, Rights.FD_FILESTAT_SET_SIZE).resize(size)


def fd_filestat_set_times(process: Process, memory: None, fd: int, atim: int, mtim: int, fstflags: int) -> None:
    """witx `fd_filestat_set_times`."""
    process.get(fd, Rights.FD_FILESTAT_SET_TIMES).set_times(fstflags, atim, mtim)


def fd_pread(process: Process, memory: Memory, fd: int, iovs: int, count: int, offset: int, out: int) -> None:
    """witx `fd_pread`."""
    file = _file(process, fd, Rights.FD_READ | Rights.FD_SEEK)
    require(memory, out, 4)
    buffers = load_iovecs(memory, iovs, count)
    data = file.pread(sum(n for _, n in buffers), offset)
    scatter(memory, buffers, data)
    memory.write(out, U32.pack(len(data)))


def fd_prestat_get(process: Process, memory: Memory, fd: int, out: int) -> None:
    """witx `fd_prestat_get`; `errno::badf` ends the guest's search for preopened directories."""
    name = process.get(fd).preopen
    if name is None:
        raise WasiError(Errno.BADF)
    store(memory, out, PRESTAT.pack(PREOPEN_DIR, len(name)))


def fd_prestat_dir_name(process: Process, memory: Memory, fd: int, path: int, n: int) -> None:
    """witx `fd_prestat_dir_name`; `errno::nametoolong` if the name doesn't fit."""
    name = process.get(fd).preopen
    if name is None:
        raise WasiError(Errno.BADF)
    if len(name) > n:
        raise WasiError(Errno.NAMETOOLONG)
    store(memory, path, name)


def fd_pwrite(process: Process, memory: Memory, fd: int, iovs: int, count: int, offset: int, out: int) -> None:
    """witx `fd_pwrite`."""
    file = _file(process, fd, Rights.FD_WRITE | Rights.FD_SEEK)
    require(memory, out, 4)
    data = gather(memory, load_iovecs(memory, iovs, count))
    memory.write(out, U32.pack(file.pwrite(data, offset)))


def fd_read(process: Process, memory: Memory, fd: int, iovs: int, count: int, out: int) -> None:
    """witx `fd_read`."""
    file = _file(process, fd, Rights.FD_READ)
    require(memory, out, 4)
    buffers = load_iovecs(memory, iovs, count)
    data = file.read(sum(n for _, n in buffers)) if buffers else b""
    scatter(memory, buffers, data)
    memory.write(out, U32.pack(len(data)))


def fd_readdir(process: Process, memory: Memory, fd: int, buf: int, n: int, cookie: int, out: int) -> None:
    """witx `fd_readdir`: whole entries as long as they fit, then the part of one that does."""
    directory = process.get(fd)
    if not isinstance(directory, Directory):
        raise WasiError(Errno.NOTDIR)
    process.get(fd, Rights.FD_READDIR)
    require(memory, buf, n)
    require(memory, out, 4)
    data = bytearray()
    entries = directory.entries(cookie == 0)
    for i in range(cookie, len(entries)):
        if len(data) >= n:
            break
        name, inode, kind = entries[i]
        data += DIRENT.pack(i + 1, inode, len(name), kind)
        data += name
    memory.write(buf, bytes(data[:n]))
    memory.write(out, U32.pack(min(len(data), n)))


def fd_renumber(process: Process, memory: None, fd: int, to: int) -> None:
    """witx `fd_renumber`; standard streams and preopened directories are no exception."""
    process.renumber(fd, to)


def fd_seek(process: Process, memory: Memory, fd: int, delta: int, whence: int, out: int) -> None:
    """witx `fd_seek`."""
    if whence > WHENCE_END:
        raise WasiError(Errno.INVAL)
    _seek(process, memory, fd, delta - (delta >> 63 << 64), whence, out)


def fd_sync(process: Process, memory: None, fd: int) -> None:
    """witx `fd_sync`."""
    process.get(fd, Rights.FD_SYNC).sync(False)


def fd_tell(process: Process, memory: Memory, fd: int, out: int) -> None:
    """witx `fd_tell`."""
    _seek(process, memory, fd, 0, WHENCE_CUR, out)


def _seek(process: Process, memory: Memory, fd: int, delta: int, whence: int, out: int) -> None:
    file = _file(process, fd, 0)
    # The right to seek includes that to tell.
    enough = Rights.FD_SEEK | (Rights.FD_TELL if whence == WHENCE_CUR and not delta else 0)
    if not file.rights & enough:
        raise WasiError(Errno.SPIPE if isinstance(file, Stream) else Errno.NOTCAPABLE)
    require(memory, out, 8)
    memory.write(out, U64.pack(file.seek(delta, whence)))


def fd_write(process: Process, memory: Memory, fd: int, iovs: int, count: int, out: int) -> None:
    """witx `fd_write`."""
    file = _file(process, fd, Rights.FD_WRITE)
    require(memory, out, 4)
    data = gather(memory, load_iovecs(memory, iovs, count))
    memory.write(out, U32.pack(file.write(data) if data else 0))


def _file(process: Process, fd: int, rights: int) -> Descriptor:
    """What can be read or written; `errno::isdir` for a directory. What can't move its offset gives `errno::spipe`."""
    file = process.get(fd)
    if isinstance(file, Directory):
        raise WasiError(Errno.ISDIR)
    lacking = rights & ~file.rights
    if lacking == Rights.FD_SEEK and isinstance(file, Stream):
        raise WasiError(Errno.SPIPE)
    return process.get(fd, rights)
