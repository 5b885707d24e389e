"""Linear memories (spec 4.2.8): what the host sees, what compiled code uses, and the operations on them (spec 4.4.7).

On CPython a memory is an anonymous mapping that reserves all the memory may ever grow to, of which the system gives
pages only when they are touched, and memoryview casts of its current length, whose own length is the bounds check.
To grow is to make longer views over the same mapping and to bind them in every namespace that uses the memory.
On PyPy it is a bytearray grown in place, which its JIT reads 20 times faster than a view.
"""

from __future__ import annotations

import gc
import mmap
import os
import struct
import sys
import weakref
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Union

from .limits import ANY_SIZE, PAGE, Sizes
from .numeric import f32_reinterpret_i32, i32_reinterpret_f32
from .traps import OUT_OF_BOUNDS_MEMORY, Trap
from .types import MemoryType, SizeLimits

__polymerase_helper__ = True  # frames of this module may be the guest's innermost ones (see border.py)

MAX_PAGES = 65536  # 4 GiB, what 32-bit addresses reach
VIEWS = {
    "u8": "B",
    "s8": "b",
    "u16": "H",
    "s16": "h",
    "u32": "I",
    "s32": "i",
    "u64": "Q",
    "s64": "q",
    "f32": "f",
    "f64": "d",
}

Buffer = Union[bytearray, memoryview]  # bytearray on PyPy

_PYPY = sys.implementation.name == "pypy"
_BYTEARRAY_LIMIT = 256 << 20  # PyPy touches all of a bytearray, twice: above, use a lazy mapping there too
_FALLBACK = 256 << 20  # bytes to reserve where the whole maximum cannot be had
_error = struct.error


class Memory:
    """A linear memory: bytes, addressed from 0, in pages of 64 KiB.

    `memory[p]` is a byte (0 to 255), `memory[p:q]` a copy as bytes; both can be assigned to. Addresses are unsigned:
    what is negative or reaches beyond the end is an IndexError. `view`, the buffer protocol (CPython 3.12) and
    `__array_interface__` give the memory without a copy: numpy.asarray(memory) shares it. Such a view keeps the
    length it was made with when the memory grows.

    `size` is how many pages it has now, `min` and `max` what its type says (pages; `max` None: 65536). `data` and
    `views()` are what compiled code works on.
    """

    __slots__ = ("__weakref__", "_map", "_reserved", "_sizes", "_users", "data", "max", "min", "size", *VIEWS)

    def __init__(self, min: int | MemoryType, max: int | None = None, sizes: Sizes = ANY_SIZE) -> None:
        """A zeroed memory of `min` pages that may grow to `max` (None: 65536); or one of a type. `sizes` bounds it
        further, and has counted `min` already. ValueError, MemoryError."""
        if isinstance(min, MemoryType):
            min, max = min.limits
        if not 0 <= min <= MAX_PAGES or max is not None and not min <= max <= MAX_PAGES:
            raise ValueError(f"memory limits: expected 0 <= min <= max <= {MAX_PAGES}, got {min} and {max}")
        self.min = min
        self.max = max
        self.size = min  # pages
        self._sizes = sizes
        self._map: mmap.mmap | None = None
        self._reserved = 0  # bytes
        self._users: list[tuple[weakref.ref[ModuleType], str, str]] = []
        self.data: Buffer
        if _PYPY and min * PAGE <= _BYTEARRAY_LIMIT:
            self.data = bytearray(min * PAGE)
        else:
            self.data = self._reserve(min * PAGE)

    def __repr__(self) -> str:
        return f"<Memory of {self.size} pages>"

    @property
    def type(self) -> MemoryType:
        """The memory's type now: its minimum is the current size (spec 4.5.1)."""
        return MemoryType(SizeLimits(self.size, self.max))

    @property
    def view(self) -> memoryview:
        """A writable view of the bytes as they are now, without a copy."""
        return memoryview(self.data)

    @property
    def __array_interface__(self) -> dict[str, object]:
        return {"version": 3, "shape": (len(self.data),), "typestr": "|u1", "data": self.view}

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self.data)

    def __bytes__(self) -> bytes:
        return bytes(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[int]:
        return iter(self.data)

    def __getitem__(self, at: Any) -> Any:
        """The byte at an address, or bytes of a slice."""
        if isinstance(at, slice):
            return bytes(self.data[self._span(at)])
        return self.data[self._address(at)]

    def __setitem__(self, at: Any, value: Any) -> None:
        """Set a byte, or the bytes of a slice to as many others. ValueError for another number of bytes."""
        if isinstance(at, slice):
            at = self._span(at)
            data = _as_bytes(value)
            size = len(range(*at.indices(len(self.data))))
            if size != len(data):
                raise ValueError(f"memory: expected {size} bytes for the slice, got {len(data)}")
            self.data[at] = data
        else:
            self.data[self._address(at)] = value

    def read(self, p: int, n: int) -> bytes:
        """`n` bytes from address `p`, as a copy. IndexError."""
        if p < 0 or n < 0 or p + n > len(self.data):
            raise self._outside(p, n)
        return bytes(self.data[p : p + n])

    def write(self, p: int, data: Any) -> None:
        """Write bytes (anything with a buffer) at address `p`. IndexError, before anything is written."""
        data = _as_bytes(data)
        n = len(data)
        if p < 0 or p + n > len(self.data):
            raise self._outside(p, n)
        self.data[p : p + n] = data

    def grow(self, pages: int) -> int:
        """Grow by `pages` of zeros; return the size before, in pages. ValueError beyond the maximum, the type's or
        `Limits.memory_pages`; MemoryError beyond `Limits.total_bytes` or what the machine has."""
        old = self.size
        limit = MAX_PAGES if self.max is None else self.max
        if pages < 0 or old + pages > limit:
            raise ValueError(f"memory.grow: {old} pages and {pages} more, but the maximum is {limit}")
        if not pages:
            return old
        sizes = self._sizes
        if sizes.pages is not None and old + pages > sizes.pages:
            raise ValueError(f"memory.grow: {old} pages and {pages} more, but the limit memory_pages is {sizes.pages}")
        if not sizes.take(pages * PAGE):
            raise MemoryError(
                f"memory.grow: {pages * PAGE} bytes more, but of the limit total_bytes, {sizes.total}, "
                f"there are {sizes.left} left"
            )
        try:
            self._resize(old, pages)
        except BaseException:
            sizes.left += pages * PAGE
            raise
        return old

    def _resize(self, old: int, pages: int) -> None:
        size = (old + pages) * PAGE
        if isinstance(self.data, bytearray) and size <= _BYTEARRAY_LIMIT:
            self.data.extend(bytes(pages * PAGE))
        elif size <= self._reserved:
            assert self._map is not None
            self.data = memoryview(self._map)[:size]
        else:
            data = self._reserve(size)
            data[: old * PAGE] = self.data
            self.data = data
        self.size = old + pages
        self._rebind()

    def views(self) -> dict[str, Any]:
        """The casts of VIEWS over the current bytes, by name."""
        whole = memoryview(self.data)
        views: dict[str, Any] = {name: whole.cast(code) for name, code in VIEWS.items()}  # type: ignore[call-overload] # a format not known statically
        views["u8"] = self.data
        return views

    def bind(self, module: ModuleType, suffix: str, target: str) -> None:
        """Put `data` and the views into the namespace of `module`, names ending in `suffix`, now and whenever they
        change; code spelled for `target` "pypy" gets `data` and `u8` alone."""
        self._users = [user for user in self._users if user[0]() is not None]
        self._users.append((weakref.ref(module), suffix, target))
        self._bind(module.__dict__, suffix, target, {})

    def expose(self) -> None:
        """Make the views attributes, `memory.u32`, now and whenever they change: for the interpreter."""
        if _PYPY:
            self.u8 = self.data
        else:
            for name, view in self.views().items():
                setattr(self, name, view)

    def _rebind(self) -> None:
        if hasattr(self, "u8"):
            self.expose()
        views: dict[str, Any] = {}
        for user, suffix, target in self._users:
            module = user()
            if module is not None:
                self._bind(module.__dict__, suffix, target, views)

    def _bind(self, namespace: dict[str, Any], suffix: str, target: str, views: dict[str, Any]) -> None:
        namespace["data" + suffix] = namespace["u8" + suffix] = self.data
        if target == "cpython":
            if not views:
                views.update(self.views())
            for name, view in views.items():
                namespace[name + suffix] = view

    def _reserve(self, size: int, collected: bool = False) -> memoryview:
        """`size` zero bytes in a new mapping that reserves as much as can be had of what the memory may grow to."""
        whole = (MAX_PAGES if self.max is None else self.max) * PAGE
        if self._sizes.pages is not None:
            whole = min(whole, self._sizes.pages * PAGE)
        if self._sizes.total is not None:
            whole = min(whole, self._sizes.total)
        tries = [whole, _FALLBACK, 2 * size] if sys.platform != "win32" else [2 * size]  # there a mapping is committed
        for n in tries + [size]:
            if size <= n <= whole:
                n = max(n, PAGE)  # an empty mapping is refused
                try:
                    self._map = mmap.mmap(-1, n, **_MAPPING)
                except (OSError, ValueError, OverflowError, MemoryError):
                    continue
                self._reserved = n
                return memoryview(self._map)[:size]
        if not collected:
            gc.collect()  # instances are reference cycles: the dead ones still have their memories
            return self._reserve(size, True)
        raise MemoryError(f"no room for a memory of {size} bytes")

    def _address(self, at: Any) -> Any:
        if at < 0 or at >= len(self.data):
            raise self._outside(at, 1)
        return at

    def _span(self, at: slice) -> slice:
        start = 0 if at.start is None else at.start
        stop = len(self.data) if at.stop is None else at.stop
        if at.step is not None and at.step < 1:
            raise IndexError(f"memory: a slice runs upwards, got a step of {at.step}")
        if not 0 <= start <= len(self.data) or not 0 <= stop <= len(self.data):
            raise self._outside(start, stop - start)
        return slice(start, max(start, stop), at.step)

    def _outside(self, p: int, n: int) -> IndexError:
        return IndexError(f"memory: {n} bytes at {p} are not inside its {len(self.data)} bytes")


def _as_bytes(data: Any) -> Any:
    """`data` as something with a length in bytes that can be assigned to a slice."""
    if isinstance(data, (bytes, bytearray)):
        return data
    if isinstance(data, Memory):
        return data.view
    view = memoryview(data)
    return view if view.format == "B" and view.ndim == 1 and view.contiguous else view.tobytes()


def _mapping() -> dict[str, int]:
    if sys.platform == "win32":
        return {}
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    flags |= getattr(mmap, "MAP_NORESERVE", 0)  # Python has the name from 3.13 on
    if sys.platform == "linux" and os.uname().machine.startswith(("x86", "i686", "aarch64", "arm", "riscv", "s390")):
        flags |= 0x4000
    return {"flags": flags}


_MAPPING: dict[str, Any] = _mapping()


# --- Operations on memories, arguments as unsigned ints (spec 4.4.7). All trap "out of bounds memory access", before
# --- anything is written.

_CHUNK = 1 << 20


def memory_size(mem: Memory) -> int:
    """Pages."""
    return mem.size


def memory_grow(mem: Memory, n: int) -> int:
    """The size before, in pages, or 0xFFFFFFFF where the memory cannot grow by `n` pages."""
    try:
        return mem.grow(n)
    except (ValueError, MemoryError):
        return 0xFFFFFFFF


def memory_fill(mem: Memory, d: int, v: int, n: int) -> None:
    data = mem.data
    end = d + n
    if end > len(data):
        raise Trap(OUT_OF_BOUNDS_MEMORY)
    if n > _CHUNK:
        chunk = bytes((v & 0xFF,)) * _CHUNK
        while end - d > _CHUNK:
            data[d : d + _CHUNK] = chunk
            d += _CHUNK
    data[d:end] = bytes((v & 0xFF,)) * (end - d)


def memory_copy(dmem: Memory, smem: Memory, d: int, s: int, n: int) -> None:
    """Copies as if through a buffer, so that spans may overlap."""
    to = dmem.data
    source = smem.data
    if d + n > len(to) or s + n > len(source):
        raise Trap(OUT_OF_BOUNDS_MEMORY)
    to[d : d + n] = source[s : s + n]


def memory_init(mem: Memory, seg: bytes, d: int, s: int, n: int) -> None:
    data = mem.data
    if d + n > len(data) or s + n > len(seg):
        raise Trap(OUT_OF_BOUNDS_MEMORY)
    data[d : d + n] = seg[s : s + n]


# --- Loads and stores at any address, aligned or not: `u8` is the memory's `data`, `p` the effective address, not
# --- negative. All trap "out of bounds memory access".

_B = struct.Struct("<B")
_b = struct.Struct("<b")
_H = struct.Struct("<H")
_h = struct.Struct("<h")
_I = struct.Struct("<I")
_i = struct.Struct("<i")
_Q = struct.Struct("<Q")
_f = struct.Struct("<f")
_d = struct.Struct("<d")
_unpack_B = _B.unpack_from
_unpack_b = _b.unpack_from
_unpack_H = _H.unpack_from
_unpack_h = _h.unpack_from
_unpack_I = _I.unpack_from
_unpack_i = _i.unpack_from
_unpack_Q = _Q.unpack_from
_unpack_f = _f.unpack_from
_unpack_d = _d.unpack_from
_pack_B = _B.pack_into
_pack_H = _H.pack_into
_pack_I = _I.pack_into
_pack_Q = _Q.pack_into
_pack_f = _f.pack_into
_pack_d = _d.pack_into


def i32_load(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_I(u8, p)[0]
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i32_load8_s(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_b(u8, p)[0] & 0xFFFFFFFF
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i32_load8_u(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_B(u8, p)[0]
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i32_load16_s(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_h(u8, p)[0] & 0xFFFFFFFF
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i32_load16_u(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_H(u8, p)[0]
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i32_store(u8: Any, p: int, v: int) -> None:
    try:
        _pack_I(u8, p, v)
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i32_store8(u8: Any, p: int, v: int) -> None:
    try:
        _pack_B(u8, p, v & 0xFF)
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i32_store16(u8: Any, p: int, v: int) -> None:
    try:
        _pack_H(u8, p, v & 0xFFFF)
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i64_load(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_Q(u8, p)[0]
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i64_load8_s(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_b(u8, p)[0] & 0xFFFFFFFFFFFFFFFF
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i64_load8_u(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_B(u8, p)[0]
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i64_load16_s(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_h(u8, p)[0] & 0xFFFFFFFFFFFFFFFF
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i64_load16_u(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_H(u8, p)[0]
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i64_load32_s(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_i(u8, p)[0] & 0xFFFFFFFFFFFFFFFF
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i64_load32_u(u8: Any, p: int) -> int:
    try:
        value: int = _unpack_I(u8, p)[0]
        return value
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i64_store(u8: Any, p: int, v: int) -> None:
    try:
        _pack_Q(u8, p, v)
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i64_store8(u8: Any, p: int, v: int) -> None:
    try:
        _pack_B(u8, p, v & 0xFF)
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i64_store16(u8: Any, p: int, v: int) -> None:
    try:
        _pack_H(u8, p, v & 0xFFFF)
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def i64_store32(u8: Any, p: int, v: int) -> None:
    try:
        _pack_I(u8, p, v & 0xFFFFFFFF)
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def f32_load(u8: Any, p: int) -> float:
    """Python's own conversion makes a signalling NaN quiet: a NaN is put together from its bits."""
    try:
        x: float = _unpack_f(u8, p)[0]
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None
    return x if x == x else f32_reinterpret_i32(_unpack_I(u8, p)[0])


def f64_load(u8: Any, p: int) -> float:
    try:
        x: float = _unpack_d(u8, p)[0]
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None
    return x


def f32_store(u8: Any, p: int, v: float) -> None:
    try:
        if v == v:
            _pack_f(u8, p, v)
        else:
            _pack_I(u8, p, i32_reinterpret_f32(v))
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None


def f64_store(u8: Any, p: int, v: float) -> None:
    try:
        _pack_d(u8, p, v)
    except _error:
        raise Trap(OUT_OF_BOUNDS_MEMORY) from None
