"""Struct layouts, flags and small enumerations of WASI preview 1 (witx `typenames`).

All structs are little-endian with natural alignment; each name below is that of the witx type.
"""

from __future__ import annotations

from struct import Struct

PRESTAT = Struct("<B3xI")  # tag, pr_name_len
FDSTAT = Struct("<BxH4xQQ")  # fs_filetype, fs_flags, fs_rights_base, fs_rights_inheriting
FILESTAT = Struct("<QQB7xQQQQQ")  # dev, ino, filetype, nlink, size, atim, mtim, ctim
DIRENT = Struct("<QQIB3x")  # d_next, d_ino, d_namlen, d_type
IOVEC = Struct("<II")  # buf, buf_len
# userdata, tag, then a union: of a clock (id, timeout, precision, flags) or of a file descriptor in the place of id.
SUBSCRIPTION = Struct("<QB7xI4xQQH6x")
EVENT = Struct("<QHB5xQH6x")  # userdata, error, type, fd_readwrite.nbytes, fd_readwrite.flags
U32 = Struct("<I")
U64 = Struct("<Q")


class Filetype:
    """witx `filetype`."""

    UNKNOWN = 0
    BLOCK_DEVICE = 1
    CHARACTER_DEVICE = 2
    DIRECTORY = 3
    REGULAR_FILE = 4
    SOCKET_DGRAM = 5
    SOCKET_STREAM = 6
    SYMBOLIC_LINK = 7


class Fdflags:
    """witx `fdflags`."""

    APPEND = 1
    DSYNC = 2
    NONBLOCK = 4
    RSYNC = 8
    SYNC = 16
    ALL = 31


class Fstflags:
    """witx `fstflags`."""

    ATIM = 1
    ATIM_NOW = 2
    MTIM = 4
    MTIM_NOW = 8
    ALL = 15


class Oflags:
    """witx `oflags`."""

    CREAT = 1
    DIRECTORY = 2
    EXCL = 4
    TRUNC = 8
    ALL = 15


SYMLINK_FOLLOW = 1  # witx `lookupflags`
ABSTIME = 1  # witx `subclockflags`
HANGUP = 1  # witx `eventrwflags`
PREOPEN_DIR = 0  # witx `preopentype`
WHENCE_SET, WHENCE_CUR, WHENCE_END = range(3)  # witx `whence`: the numbers of Python's os.SEEK_*
EVENT_CLOCK, EVENT_FD_READ, EVENT_FD_WRITE = range(3)  # witx `eventtype`
ADVICE_COUNT = 6  # witx `advice`


class Rights:
    """witx `rights`."""

    FD_DATASYNC = 1 << 0
    FD_READ = 1 << 1
    FD_SEEK = 1 << 2
    FD_FDSTAT_SET_FLAGS = 1 << 3
    FD_SYNC = 1 << 4
    FD_TELL = 1 << 5
    FD_WRITE = 1 << 6
    FD_ADVISE = 1 << 7
    FD_ALLOCATE = 1 << 8
    PATH_CREATE_DIRECTORY = 1 << 9
    PATH_CREATE_FILE = 1 << 10
    PATH_LINK_SOURCE = 1 << 11
    PATH_LINK_TARGET = 1 << 12
    PATH_OPEN = 1 << 13
    FD_READDIR = 1 << 14
    PATH_READLINK = 1 << 15
    PATH_RENAME_SOURCE = 1 << 16
    PATH_RENAME_TARGET = 1 << 17
    PATH_FILESTAT_GET = 1 << 18
    PATH_FILESTAT_SET_SIZE = 1 << 19
    PATH_FILESTAT_SET_TIMES = 1 << 20
    FD_FILESTAT_GET = 1 << 21
    FD_FILESTAT_SET_SIZE = 1 << 22
    FD_FILESTAT_SET_TIMES = 1 << 23
    PATH_SYMLINK = 1 << 24
    PATH_REMOVE_DIRECTORY = 1 << 25
    PATH_UNLINK_FILE = 1 << 26
    POLL_FD_READWRITE = 1 << 27
    SOCK_SHUTDOWN = 1 << 28
    SOCK_ACCEPT = 1 << 29

    # What may be done with each kind of file, if its opener asked for it.
    FILE = (
        FD_DATASYNC
        | FD_READ
        | FD_SEEK
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_TELL
        | FD_WRITE
        | FD_ADVISE
        | FD_ALLOCATE
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_SIZE
        | FD_FILESTAT_SET_TIMES
        | POLL_FD_READWRITE
    )
    DIRECTORY = (
        FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_DATASYNC
        | PATH_CREATE_DIRECTORY
        | PATH_CREATE_FILE
        | PATH_LINK_SOURCE
        | PATH_LINK_TARGET
        | PATH_OPEN
        | FD_READDIR
        | PATH_READLINK
        | PATH_RENAME_SOURCE
        | PATH_RENAME_TARGET
        | PATH_FILESTAT_GET
        | PATH_FILESTAT_SET_SIZE
        | PATH_FILESTAT_SET_TIMES
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | PATH_SYMLINK
        | PATH_REMOVE_DIRECTORY
        | PATH_UNLINK_FILE
    )
    STREAM = FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | FD_ADVISE | FD_SYNC | FD_DATASYNC | POLL_FD_READWRITE
    ALL = FILE | DIRECTORY
