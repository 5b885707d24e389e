"""What a cache holds of one module: its description and the code objects of its functions, as bytes and back.

Marshalled, as Python's own .pyc files are. Nothing is unmarshalled whose checksum does not hold (see cache.py), and
the key says which Python and which polymerase wrote it.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import time
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, NamedTuple, TypeVar

import polymerase_runtime
from polymerase.cache import Cache, Entry, key_of, options_text
from polymerase.options import Options
from polymerase_runtime.types import (
    ABI,
    Data,
    Elem,
    ExportType,
    ExternType,
    FuncType,
    GlobalType,
    ImportType,
    MemoryType,
    ModuleInfo,
    SizeLimits,
    TableType,
)

# A module's description, and the file name in its code objects.
Described = tuple[ModuleInfo, str]


class Outline(NamedTuple):
    """What can be asked of a module before it is compiled. `spans`: where its bytes hold the data segments."""

    imports: tuple[ImportType, ...]
    exports: tuple[ExportType, ...]
    spans: tuple[tuple[int, int], ...]


# New functions are written when the process ends, and before that when what would be lost if it were killed took this
# many seconds to compile, and writing it takes no more than a tenth of that.
SAVE_SECONDS = 2.0


class StoredModule:
    """A module in a cache: an entry that says that it is valid, and one for each set of options it was compiled with.

    `outline` is None until the module was found valid, by an earlier run or now.
    """

    def __init__(self, cache: Cache, data: bytes, name: str) -> None:
        """`data` is the module, `name` what errors and traces call it."""
        self.cache = cache
        self.name = name
        self._parts = (hashlib.sha256(data).hexdigest(), name, f"abi {ABI}", *_builds())
        self._key = key_of(*self._parts, "outline")
        self.outline: Outline | None = None
        entry = cache.open(self._key)
        if entry is not None:
            self.outline = _read(cache, entry, _outline)

    def found_valid(self, outline: Outline) -> None:
        """Write that the module is valid."""
        self.outline = outline
        rows = [tuple((*e[:-1], _flat_type(e.type)) for e in part) for part in (outline.imports, outline.exports)]
        self.cache.write(self._key, self.name, marshal.dumps((*rows, outline.spans)), {})

    def code(self, options: Options) -> StoredCode:
        """The code that `options` make of the module, as far as it is there."""
        return StoredCode(self.cache, key_of(*self._parts, *options_text(options)), self.name)


class StoredCode:
    """The code of one module in a cache, and what is to be added to it. Not for several threads at once.

    `described` is None if there is no entry; it is set before functions are added.
    """

    def __init__(self, cache: Cache, key: str, name: str) -> None:
        self.cache = cache
        self.key = key
        self.name = name
        self.described: Described | None = None
        self._new: dict[int, CodeType] = {}
        self._unsaved = 0.0  # seconds that _new took to compile
        self._pause = SAVE_SECONDS
        self._entry = cache.open(key)
        if self._entry is not None:
            self.described = _read(cache, self._entry, _described)
            if self.described is None:
                self._entry = None

    def known(self) -> frozenset[int]:
        """The functions whose code is there."""
        return frozenset(self._entry or ()).union(self._new)

    def code(self, i: int) -> CodeType | None:
        """The code of function `i`, if it is there."""
        blob = self._entry.blob(i) if self._entry is not None else None
        if blob is None:
            return None
        code = marshal.loads(blob)
        return code if isinstance(code, CodeType) else None

    def add(self, i: int, code: CodeType, seconds: float) -> None:
        """Keep the code of function `i`, which took so long to compile."""
        self._new[i] = code
        self._unsaved += seconds
        if self._unsaved >= self._pause:
            start = time.perf_counter()
            self.save()
            self._pause = max(SAVE_SECONDS, 10 * (time.perf_counter() - start))

    def save(self) -> None:
        """Write what is new, if there is any."""
        if self.described is None or not self._new:
            return
        new, self._new, self._unsaved = self._new, {}, 0.0
        try:
            meta = marshal.dumps(_flat(self.described))
            blobs = {i: marshal.dumps(code) for i, code in list(new.items())}  # another thread may be adding
        except ValueError as e:
            self.cache.report(f"not written: {e}")
            return
        self.cache.write(self.key, self.name, meta, blobs)


def _builds() -> Iterator[str]:
    """What tells one state of polymerase's own files from another, while the version is the same: their names, sizes
    and times. Nothing where they are no files."""
    for start in (__file__, polymerase_runtime.__file__):
        rows = []
        folders = [os.path.dirname(start)]
        while folders:
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.name.endswith(".py"):
                            status = entry.stat()
                            rows.append(f"{entry.name} {status.st_size} {status.st_mtime_ns}")
                        elif "." not in entry.name and entry.name != "__pycache__" and entry.is_dir():
                            folders.append(entry.path)
            except OSError:
                pass
        yield "\n".join(sorted(rows))


# --- Descriptions as plain tuples: marshal knows no named ones


_T = TypeVar("_T")


def _read(cache: Cache, entry: Entry, build: Callable[[Any], _T]) -> _T | None:
    """What `build` makes of the entry's description; None if it is not what it should be."""
    try:
        return build(marshal.loads(entry.meta))
    except (EOFError, IndexError, KeyError, TypeError, ValueError) as e:
        cache.report(f"miss: a description is not as expected: {e}")
        return None


def _outline(flat: Any) -> Outline:
    imports, exports, spans = flat
    return Outline(
        tuple([ImportType(m, n, kind, _TYPES[kind](t)) for m, n, kind, t in imports]),
        tuple([ExportType(n, kind, _TYPES[kind](t)) for n, kind, t in exports]),
        spans,
    )


def _flat(described: Described) -> tuple[Any, ...]:
    info, filename = described
    flat = info._replace(
        types=tuple(map(tuple, info.types)),  # type: ignore[arg-type]  # they are turned back below
        imports=tuple((i.module, i.name, i.kind, _flat_type(i.type)) for i in info.imports),  # type: ignore[misc]
        tables=tuple((_flat_type(t), init) for t, init in info.tables),  # type: ignore[misc]
        memories=tuple(map(_flat_type, info.memories)),  # type: ignore[arg-type]
        globals=tuple((tuple(t), init) for t, init in info.globals),  # type: ignore[misc]
        elems=tuple(map(tuple, info.elems)),  # type: ignore[arg-type]
        datas=tuple(map(tuple, info.datas)),  # type: ignore[arg-type]
    )
    return tuple(flat), filename


def _flat_type(t: ExternType) -> tuple[Any, ...]:
    return tuple(tuple(part) if isinstance(part, SizeLimits) else part for part in t)


def _described(flat: Any) -> Described:
    fields, filename = flat
    info = ModuleInfo(*fields)
    info = info._replace(
        types=tuple([FuncType(*t) for t in info.types]),
        imports=tuple([ImportType(i[0], i[1], i[2], _TYPES[i[2]](i[3])) for i in info.imports]),
        tables=tuple([(_table_type(t), init) for t, init in info.tables]),
        memories=tuple(map(_memory_type, info.memories)),
        globals=tuple([(GlobalType(*t), init) for t, init in info.globals]),
        elems=tuple([Elem(*e) for e in info.elems]),
        datas=tuple([Data(*d) for d in info.datas]),
    )
    return info, filename


def _table_type(flat: Any) -> TableType:
    return TableType(flat[0], SizeLimits(*flat[1]))


def _memory_type(flat: Any) -> MemoryType:
    return MemoryType(SizeLimits(*flat[0]))


_TYPES: dict[str, Any] = {
    "func": lambda flat: FuncType(*flat),
    "table": _table_type,
    "memory": _memory_type,
    "global": lambda flat: GlobalType(*flat),
}
