"""The bytes of a snapshot, written and read; docs/snapshot.md gives them one by one.

A snapshot comes from anywhere: every length, count and offset is checked against the bytes that are there before
anything is made of it, and nothing is unpacked before its size is known to fit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Union

from ..limits import PAGE, UNLIMITED, Limits
from ..memory import MAX_PAGES, Buffer
from ..numeric import f32_reinterpret_i32, f64_reinterpret_i64, i32_reinterpret_f32, i64_reinterpret_f64
from ..traps import SnapshotError
from ..values import show

MAGIC = b"\x89PMSNAP\n"  # the first byte and the line feed: what mangles text or the eighth bit, breaks it
VERSION = 1
CHUNK_PAGES = 16  # most pages packed in one piece: what unpacking one takes is bounded by it
NULL = 0xFFFFFFFF  # a null reference; the others are function indices

HEADER = struct.Struct("<8sHH32sQ")
_SECTION = struct.Struct("<BQ")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_PAIR = struct.Struct("<II")
_CHUNK = struct.Struct("<III")
_FUEL = struct.Struct("<BQQ")
_FRAME = struct.Struct("<IIII")
_DESCRIPTOR = struct.Struct("<IBQQH")

SECTIONS = ("", "memories", "tables", "globals", "segments", "fuel", "stack", "WASI")
_TYPES = {"i32": 0x7F, "i64": 0x7E, "f32": 0x7D, "f64": 0x7C, "v128": 0x7B, "funcref": 0x70, "externref": 0x6F}
_TYPE_NAMES = {code: t for t, code in _TYPES.items()}
_SIZES = {"i32": 4, "i64": 8, "f32": 4, "f64": 8, "v128": 16, "funcref": 4, "externref": 4}

STREAM, PREOPEN, DIRECTORY, FILE = range(4)
_KINDS = ("stream", "preopened directory", "directory", "file")

Bytes = Union[bytes, bytearray, memoryview]


class SavedChunk(NamedTuple):
    """Pages `first` and on, `pages` of them: in `size` bytes at `at` of the snapshot, packed if those are fewer."""

    first: int
    pages: int
    at: int
    size: int


class SavedMemory(NamedTuple):
    """A memory of `pages`; those in no chunk are zero."""

    pages: int
    chunks: tuple[SavedChunk, ...]


class SavedTable(NamedTuple):
    """A table of `size` elements: runs of function indices from an index on; the others are null."""

    size: int
    runs: tuple[tuple[int, tuple[int, ...]], ...]


class SavedValue(NamedTuple):
    """A value and its type: in internal form; of a reference the function's index, or None."""

    type: str
    value: Any


class SavedFuel(NamedTuple):
    """An instance's fuel, in units; `left` None: without a limit."""

    left: int | None
    used: int


class SavedFrame(NamedTuple):
    """A function of a suspended stack: its index, where to go on, a checksum of its prepared body, its registers."""

    func: int
    pc: int
    body: int
    registers: tuple[SavedValue, ...]


class SavedStack(NamedTuple):
    """A suspended call: frames, outermost first; `awaiting`: the innermost one waits for a host function's results."""

    awaiting: bool
    frames: tuple[SavedFrame, ...]


class SavedDescriptor(NamedTuple):
    """An open file descriptor of the guest.

    A stream has the `number` it had first and what was read and not yet asked for, or is part of a character that is
    not whole (`data`, `tail`). The others have the guest's name of the preopened directory that they are, or are
    beneath, and their path from there, free of links; a file has its offset too.
    """

    fd: int
    kind: int
    rights: int
    inheriting: int
    flags: int
    number: int = 0
    data: bytes = b""
    tail: bytes = b""
    preopen: bytes = b""
    path: bytes = b""
    offset: int = 0

    def __str__(self) -> str:
        return f"WASI descriptor {self.fd}"


class SavedWasi(NamedTuple):
    """What the guest has of WASI; variables as `KEY=value`. Of deterministic clocks the time, of deterministic random
    numbers how many blocks were made and what is left of the last one (see wasi/fixed.py)."""

    arguments: tuple[bytes, ...]
    environment: tuple[bytes, ...]
    descriptors: tuple[SavedDescriptor, ...]
    time: int | None = None
    random: tuple[int, bytes] | None = None


class State(NamedTuple):
    """What is in a snapshot, memories as they are."""

    digest: str
    memories: Sequence[Buffer]
    tables: Sequence[SavedTable]
    globals: Sequence[SavedValue]
    dropped_datas: Sequence[bool]
    dropped_elems: Sequence[bool]
    fuel: SavedFuel | None = None
    stack: SavedStack | None = None
    wasi: SavedWasi | None = None


# --- Writing


def encode(state: State, level: int) -> bytes:
    """The snapshot of `state`, packed at zlib's `level`."""
    out = bytearray(HEADER.size)
    _write_section(out, 1, _memories(state.memories, level))
    _write_section(out, 2, _tables(state.tables))
    _write_section(out, 3, _globals(state.globals))
    _write_section(out, 4, _bits(state.dropped_datas) + _bits(state.dropped_elems))
    if state.fuel is not None:
        left, used = state.fuel
        _write_section(out, 5, _FUEL.pack(left is not None, left or 0, used))
    if state.stack is not None:
        _write_section(out, 6, _stack(state.stack))
    if state.wasi is not None:
        _write_section(out, 7, _wasi(state.wasi))
    HEADER.pack_into(out, 0, MAGIC, VERSION, 0, bytes.fromhex(state.digest), len(out) + 4)
    out += _U32.pack(zlib.crc32(out))
    return bytes(out)


def _write_section(out: bytearray, code: int, payload: Bytes) -> None:
    out += _SECTION.pack(code, len(payload))
    out += payload


_ZEROS = bytes(PAGE)


def _memories(memories: Sequence[Buffer], level: int) -> bytearray:
    out = bytearray(_U32.pack(len(memories)))
    for data in memories:
        at = len(out)
        out += _PAIR.pack(0, 0)
        count = 0
        for first, raw in _chunks(data):
            packed = zlib.compress(raw, level) if level else raw
            stored = packed if len(packed) < len(raw) else raw
            out += _CHUNK.pack(first, len(raw) // PAGE, len(stored))
            out += stored
            count += 1
        _PAIR.pack_into(out, at, len(data) // PAGE, count)
    return out


def _chunks(data: Buffer) -> Iterator[tuple[int, bytes]]:
    """Runs of pages that are not zero, of at most CHUNK_PAGES, with their first page's number."""
    pages: list[bytes] = []
    n = len(data) // PAGE
    for i in range(n):
        page = bytes(data[i * PAGE : (i + 1) * PAGE])  # comparing views is 50 times slower
        if page != _ZEROS:
            pages.append(page)
            if len(pages) < CHUNK_PAGES:
                continue
            yield i + 1 - len(pages), b"".join(pages)
        elif pages:
            yield i - len(pages), b"".join(pages)
        pages = []
    if pages:
        yield n - len(pages), b"".join(pages)


def _tables(tables: Sequence[SavedTable]) -> bytes:
    parts = [_U32.pack(len(tables))]
    for size, runs in tables:
        parts.append(_PAIR.pack(size, len(runs)))
        for start, indices in runs:
            parts.append(struct.pack(f"<II{len(indices)}I", start, len(indices), *indices))
    return b"".join(parts)


def _globals(saved: Sequence[SavedValue]) -> bytes:
    return _U32.pack(len(saved)) + b"".join([_value(t, value) for t, value in saved])


def _value(t: str, value: Any) -> bytes:
    if t == "f32":
        value = i32_reinterpret_f32(value)
    elif t == "f64":
        value = i64_reinterpret_f64(value)
    elif value is None:
        value = NULL
    size = _SIZES[t]
    return bytes((_TYPES[t],)) + int(value & (1 << 8 * size) - 1).to_bytes(size, "little")


def _stack(saved: SavedStack) -> bytes:
    parts = [bytes((saved.awaiting,)), _U32.pack(len(saved.frames))]
    for func, pc, body, registers in saved.frames:
        parts.append(_FRAME.pack(func, pc, body, len(registers)))
        parts += [_value(t, value) for t, value in registers]
    return b"".join(parts)


def _bits(bits: Sequence[bool]) -> bytes:
    packed = bytearray(-(-len(bits) // 8))
    for i, bit in enumerate(bits):
        packed[i >> 3] |= bit << (i & 7)
    return _U32.pack(len(bits)) + packed


def _wasi(saved: SavedWasi) -> bytes:
    parts = []
    for texts in (saved.arguments, saved.environment):
        parts.append(_U32.pack(len(texts)))
        parts += map(_counted, texts)
    parts.append(_U32.pack(len(saved.descriptors)))
    for d in saved.descriptors:
        parts.append(_DESCRIPTOR.pack(d.fd, d.kind, d.rights, d.inheriting, d.flags))
        if d.kind == STREAM:
            parts += [bytes((d.number,)), _counted(d.data), _counted(d.tail)]
            continue
        parts.append(_counted(d.preopen))
        if d.kind != PREOPEN:
            parts.append(_counted(d.path))
        if d.kind == FILE:
            parts.append(_U64.pack(d.offset))
    parts.append(bytes(((saved.time is not None) | (saved.random is not None) << 1,)))
    if saved.time is not None:
        parts.append(_U64.pack(saved.time))
    if saved.random is not None:
        parts += [_U64.pack(saved.random[0]), _counted(saved.random[1])]
    return b"".join(parts)


def _counted(data: bytes) -> bytes:
    return _U32.pack(len(data)) + data


# --- Reading


class Snapshot:
    """A snapshot, read and checked as far as can be without its module: what restores many instances of it faster.

    `data` are its bytes, `digest` the SHA-256 of its module in hex. Memories are unpacked when the first instance is
    restored, and kept.
    """

    data: bytes
    digest: str
    memories: tuple[SavedMemory, ...]
    tables: tuple[SavedTable, ...]
    globals: tuple[SavedValue, ...]
    dropped_datas: tuple[bool, ...]
    dropped_elems: tuple[bool, ...]
    fuel: SavedFuel | None
    stack: SavedStack | None
    wasi: SavedWasi | None

    def __init__(self, data: Bytes, *, keep: bool = True) -> None:
        """Read `data`. Raises SnapshotError saying what is wrong and where; TypeError. `keep` False: memories are
        unpacked each time."""
        try:
            self.data = data if type(data) is bytes else bytes(memoryview(data))  # bytes(5) would be five zeros
        except TypeError:
            raise TypeError(f"snapshot: expected bytes or a Snapshot, got {show(data)}") from None
        self._kept: dict[int, list[tuple[int, bytes]]] | None = {} if keep else None
        r = _Reader(self.data)
        self.digest = r.header()
        r.section(1)
        self.memories = tuple([r.memory(i) for i in range(r.count(8, "memories"))])
        r.section(2)
        self.tables = tuple([r.table(i) for i in range(r.count(8, "tables"))])
        r.section(3)
        self.globals = tuple([r.value(f"global {i}") for i in range(r.count(5, "globals"))])
        r.section(4)
        self.dropped_datas = r.bits("data segments")
        self.dropped_elems = r.bits("element segments")
        self.fuel = r.fuel() if r.optional_section(5) else None
        self.stack = r.stack() if r.optional_section(6) else None
        self.wasi = r.wasi() if r.optional_section(7) else None
        r.finish()

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self.data)} bytes, of module {self.digest[:8]}>"

    @property
    def limits(self) -> Limits:
        """What a restored instance is limited to by default: the fuel that was left, if it was limited."""
        return UNLIMITED if self.fuel is None else Limits(fuel=self.fuel.left)

    def pieces(self, i: int) -> Iterator[tuple[int, bytes]] | list[tuple[int, bytes]]:
        """The contents of memory `i`: offsets and bytes. SnapshotError where they cannot be unpacked."""
        if self._kept is None:
            return self._unpack(i)
        if i not in self._kept:
            self._kept[i] = list(self._unpack(i))
        return self._kept[i]

    def _unpack(self, i: int) -> Iterator[tuple[int, bytes]]:
        for first, pages, at, size in self.memories[i].chunks:
            raw = self.data[at : at + size]
            if size != pages * PAGE:
                raw = _unpacked(raw, pages * PAGE, at)
            yield first * PAGE, raw


def _unpacked(packed: bytes, size: int, at: int) -> bytes:
    """What zlib packed into `packed`: `size` bytes, and never more are made."""
    unpack = zlib.decompressobj()
    try:
        raw = unpack.decompress(packed, size + 1)
    except zlib.error as e:
        raise _fault(at, f"damaged: {e}") from None
    if len(raw) != size or not unpack.eof or unpack.unused_data or unpack.unconsumed_tail:
        raise _fault(
            at, f"expected {size} bytes packed into {len(packed)}, got {'more' if len(raw) > size else 'others'}"
        )
    return raw


def _fault(at: int, message: str) -> SnapshotError:
    return SnapshotError(f"snapshot:{at:#x}: {message}")


class _Reader:
    """Takes a snapshot apart; `at` is the offset of what comes next, `end` that of the end of the section."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.end = len(data)

    def header(self) -> str:
        """Check what holds for the whole; the digest."""
        data = self.data
        if data[:8] != MAGIC[: len(data[:8])] or not data:
            raise _fault(0, "not a snapshot")
        if len(data) < HEADER.size + 4:
            raise _fault(len(data), "the snapshot ends within its header")
        _, version, reserved, digest, size = HEADER.unpack_from(data)
        if version != VERSION:
            raise _fault(8, f"version {version} of the format, expected {VERSION}")
        if reserved:
            raise _fault(10, f"expected 0, got {reserved}")
        if size != len(data):
            raise _fault(len(data), f"a snapshot of {size} bytes ends after {len(data)}")
        self.end = len(data) - 4
        crc = zlib.crc32(memoryview(data)[: self.end])
        if crc != _U32.unpack_from(data, self.end)[0]:
            raise _fault(self.end, f"damaged: the checksum is {crc:#010x}")
        self.at = HEADER.size
        self.end = self.at  # there is no section yet
        return str(digest.hex())

    def optional_section(self, code: int) -> bool:
        """Begin section `code` if it comes next."""
        self._end_section()
        return self.at < len(self.data) - 4 and self.data[self.at] == code and self._begin()

    def section(self, code: int) -> None:
        """Begin section `code`."""
        if not self.optional_section(code):
            raise _fault(self.at, f"expected the section of {SECTIONS[code]} (code {code})")

    def finish(self) -> None:
        """Nothing may come after the last section."""
        self._end_section()
        if self.at != len(self.data) - 4:
            raise _fault(self.at, f"no section has code {self.data[self.at]} here")

    def _begin(self) -> bool:
        self.end = len(self.data) - 4
        _, size = self.take(_SECTION, "a section's head")
        if size > self.end - self.at:
            raise _fault(self.at - 8, f"a section of {size} bytes, but {self.end - self.at} are left")
        self.end = self.at + size
        return True

    def _end_section(self) -> None:
        if self.at != self.end:
            raise _fault(self.at, f"{self.end - self.at} bytes more in the section than it needs")

    def take(self, kind: struct.Struct, what: str) -> tuple[Any, ...]:
        """Numbers."""
        at = self.at
        self.at += kind.size
        if self.at > self.end:
            raise _fault(at, f"the section ends within {what}")
        return kind.unpack_from(self.data, at)

    def number(self, kind: struct.Struct, what: str) -> int:
        """One number."""
        value: int = self.take(kind, what)[0]
        return value

    def count(self, size: int, what: str) -> int:
        """How many of something come next, each of at least `size` bytes."""
        at = self.at
        n = self.number(_U32, f"the number of {what}")
        if n * size > self.end - self.at:
            raise _fault(at, f"{n} {what}, but {self.end - self.at} bytes are left in the section")
        return n

    def raw(self, n: int, what: str) -> bytes:
        """The next `n` bytes."""
        at = self.at
        if n > self.end - at:
            raise _fault(at, f"{what}: {n} bytes, but {self.end - at} are left in the section")
        self.at += n
        return self.data[at : at + n]

    def text(self, what: str, limit: int | None = None) -> bytes:
        """Bytes with their number before."""
        at = self.at
        n = self.number(_U32, what)
        if limit is not None and n > limit:
            raise _fault(at, f"{what}: {n} bytes, but at most {limit} can be")
        return self.raw(n, what)

    def memory(self, i: int) -> SavedMemory:
        at = self.at
        pages, count = self.take(_PAIR, f"memory {i}")
        if pages > MAX_PAGES:
            raise _fault(at, f"memory {i}: {pages} pages, but at most {MAX_PAGES} can be")
        chunks = []
        least = 0
        for _ in range(count):
            at = self.at
            first, n, size = self.take(_CHUNK, f"memory {i}")
            if not 0 < n <= CHUNK_PAGES or first < least or first + n > pages:
                raise _fault(at, f"memory {i}: {n} pages from page {first} on, of pages {least} to {pages}")
            if not 0 < size <= n * PAGE:
                raise _fault(at, f"memory {i}: {n} pages in {size} bytes")
            chunks.append(SavedChunk(first, n, self.at, size))
            if size > self.end - self.at:
                raise _fault(at, f"memory {i}: {size} bytes, but {self.end - self.at} are left in the section")
            self.at += size
            least = first + n
        return SavedMemory(pages, tuple(chunks))

    def table(self, i: int) -> SavedTable:
        size, count = self.take(_PAIR, f"table {i}")
        runs = []
        least = 0
        for _ in range(count):
            at = self.at
            start, n = self.take(_PAIR, f"table {i}")
            if not n or start < least or start + n > size:
                raise _fault(at, f"table {i}: {n} elements from {start} on, of elements {least} to {size}")
            indices = struct.unpack(f"<{n}I", self.raw(4 * n, f"table {i}"))
            if NULL in indices:
                raise _fault(at, f"table {i}: a null reference among functions")
            runs.append((start, indices))
            least = start + n + 1
        return SavedTable(size, tuple(runs))

    def value(self, what: str) -> SavedValue:
        """A value with its type."""
        code = self.raw(1, what)[0]
        t = _TYPE_NAMES.get(code)
        if t is None:
            raise _fault(self.at - 1, f"{what}: no type has code {code:#x}")
        value: Any = int.from_bytes(self.raw(_SIZES[t], what), "little")
        if t == "f32":
            value = f32_reinterpret_i32(value)
        elif t == "f64":
            value = f64_reinterpret_i64(value)
        elif value == NULL and t in ("funcref", "externref"):
            value = None
        elif t == "externref":
            raise _fault(self.at - 4, f"{what}: an externref that is not null")
        return SavedValue(t, value)

    def bits(self, what: str) -> tuple[bool, ...]:
        at = self.at
        n = self.number(_U32, f"the number of {what}")
        packed = self.raw(-(-n // 8), what)
        if n & 7 and packed[-1] >> (n & 7):
            raise _fault(at, f"{what}: more bits than the {n} there are")
        return tuple([packed[i >> 3] >> (i & 7) & 1 == 1 for i in range(n)])

    def fuel(self) -> SavedFuel:
        at = self.at
        limited, left, used = self.take(_FUEL, "the fuel")
        if limited > 1 or not limited and left:
            raise _fault(at, f"fuel: {limited} says neither that there is a limit nor that there is none")
        return SavedFuel(left if limited else None, used)

    def stack(self) -> SavedStack:
        at = self.at
        awaiting = self.raw(1, "the stack")[0]
        count = self.count(_FRAME.size, "frames")
        if awaiting > 1 or not count:
            raise _fault(at, f"stack: {count} frames, and {awaiting} for whether the last one waits")
        frames = []
        for k in range(count):
            at = self.at
            func, pc, body, n = self.take(_FRAME, f"frame {k}")
            if n * 5 > self.end - self.at:
                raise _fault(at, f"frame {k}: {n} registers, but {self.end - self.at} bytes are left in the section")
            registers = tuple([self.value(f"frame {k}: register {i}") for i in range(n)])
            frames.append(SavedFrame(func, pc, body, registers))
        return SavedStack(awaiting == 1, tuple(frames))

    def wasi(self) -> SavedWasi:
        arguments = tuple([self._plain(f"argument {i}") for i in range(self.count(4, "arguments"))])
        environment = tuple([self._plain(f"variable {i}") for i in range(self.count(4, "variables"))])
        descriptors: list[SavedDescriptor] = []
        for _ in range(self.count(_DESCRIPTOR.size, "descriptors")):
            descriptors.append(self._descriptor(descriptors[-1].fd if descriptors else -1))
        at = self.at
        fixed = self.raw(1, "the clocks")[0]
        if fixed > 3:
            raise _fault(at, f"clocks: {fixed} says neither that they are fixed nor that they are not")
        time = self.number(_U64, "the clocks") if fixed & 1 else None
        random = (self.number(_U64, "random numbers"), self.text("random numbers", 31)) if fixed & 2 else None
        return SavedWasi(arguments, environment, tuple(descriptors), time, random)

    def _descriptor(self, before: int) -> SavedDescriptor:
        at = self.at
        d = SavedDescriptor(*self.take(_DESCRIPTOR, "a descriptor"))
        if d.fd <= before:
            raise _fault(at, f"{d}: after {before}")
        if d.kind == STREAM:
            number = self.raw(1, str(d))[0]
            if number > 2:
                raise _fault(self.at - 1, f"{d}: there is no standard stream {number}")
            data = self.text(str(d))
            return d._replace(number=number, data=data, tail=self.text(str(d), 3))
        if d.kind >= len(_KINDS):
            raise _fault(at + 4, f"{d}: no descriptor is of kind {d.kind}")
        d = d._replace(preopen=self._plain(str(d)))
        if d.kind != PREOPEN:
            at = self.at
            d = d._replace(path=self._plain(str(d)))
            if d.path and not {b"", b".", b".."}.isdisjoint(d.path.split(b"/")):
                raise _fault(at, f"{d}: {show(d.path)} is no plain relative path")
        if d.kind == FILE:
            d = d._replace(offset=self.number(_U64, str(d)))
        return d

    def _plain(self, what: str) -> bytes:
        """Bytes without a NUL."""
        at = self.at
        data = self.text(what)
        if b"\0" in data:
            raise _fault(at, f"{what}: contains a NUL")
        return data
