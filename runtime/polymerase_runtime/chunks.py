"""Files of functions, of which a function is compiled when it is first called, and no other.

A chunk is a Python file; its functions begin where a line begins with `def`. Where Python has the bytecode of the file
(`compileall` and `pip install` make it) the code of a function is taken from there. Else its lines alone are compiled,
after as many empty ones as they have before them, so that tracebacks and debuggers show them where they are; and their
code is kept for the next start, beside the bytecode that Python would have written, in a file that grows by a record
at a time:

    Python's magic number   4 bytes
    the module's digest     8 bytes, the first 8 digits
    the source's mtime      8 bytes, ns; and its size, 8 bytes: as the bytecode's, they say whether it is up to date
    the function's index    4 bytes, -1 for what comes before the first function
    length, checksum        4 bytes each, of what follows: the code, as marshal writes it

Records are appended by one write each. What a process that was killed, a full disk or two writers at once left is no
valid record: it and what follows it are not read, and the next one to write cuts it off.

Reading needs no more trust than importing does: who can write this file can write the bytecode and the source, too.
"""

from __future__ import annotations

import marshal
import os
import re
import struct
import sys
import zlib
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source, find_spec
from types import CodeType
from typing import TYPE_CHECKING, Any
from zipimport import zipimporter

from .loading import define, replace

if TYPE_CHECKING:
    from .instance import Instance

HEAD = -1  # stands for what comes before the first function

_INDEX = re.compile(rb"func(\d+)")
_NAME = re.compile(r"func(\d+)")
_RECORD = struct.Struct("<4s8sqQiII")
_MOST_BYTES = 1 << 20, 8  # what a file of records may take: so many bytes, and so many for each of the source


class _NoBytecode(Exception):
    pass


class _BytecodeLoader(SourceFileLoader):
    """Gives the code of a file only if there is bytecode that is up to date."""

    def source_to_code(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # a static method there
        raise _NoBytecode


class ChunkFile:
    """The chunk that is module `module` of the package `package`. The first digits of `digest` must be in its first
    line: that of another package, which took the place of the one that runs, is an ImportError. Not for several threads
    at once."""

    def __init__(self, package: str, module: str, digest: str) -> None:
        self.module = f"{package}.{module}"
        self.sign = digest[:8].encode("ascii")
        self._whole: CodeType | None = None  # where Python has the bytecode
        self._codes: dict[int, CodeType] = {}  # else of a module that defines the function alone
        self._units: dict[int, tuple[int, bytes]] = {}  # its first line and text
        self._path = ""
        self._loader: Any = None
        self._cache: _Cache | None = None
        self._opened = False

    def define(self, instance: Instance, i: int) -> None:
        """Define function `i` in the namespace of `instance`, in place of its stub. ImportError; SyntaxError if someone
        has edited the file and it is no Python."""
        if not self._opened:
            self._open()
            self._opened = True
        namespace = instance.namespace
        ready = namespace.setdefault("__chunks__", {})  # by chunk what it defines, if it has been executed as a whole
        if self._whole is None:
            if self.module not in ready:
                exec(self._code(HEAD), namespace)
                ready[self.module] = {}
            define(namespace, i, self._code(i))
            return
        if not ready.get(self.module):
            ready[self.module] = self._execute(instance)
        name = instance.info.func_names[i]
        if name not in ready[self.module]:
            raise ImportError(f"{self.module}: no function {name}")
        replace(instance, i, namespace.get(name), ready[self.module][name])

    def _execute(self, instance: Instance) -> dict[str, Any]:
        """Execute the whole, and leave the stubs: most functions will not be called, and replacing one in tables takes
        longer than all the rest."""
        assert self._whole is not None
        namespace = instance.namespace
        names = [name for name in self._whole.co_names if _NAME.match(name)]
        before = {name: namespace[name] for name in names if name in namespace}
        exec(self._whole, namespace)
        defined = {name: namespace[name] for name in names}
        namespace.update(before)
        return defined

    def _open(self) -> None:
        spec = find_spec(self.module)
        loader: Any = spec and spec.loader
        if loader is None:
            raise ImportError(f"{self.module.replace('.', '/')}.py is missing")
        whole: CodeType | None = None
        if type(loader) is SourceFileLoader:
            try:
                whole = _BytecodeLoader(self.module, loader.path).get_code(self.module)
            except _NoBytecode:
                pass
        elif not isinstance(loader, zipimporter) or _zipped_bytecode(loader, self.module):
            whole = loader.get_code(self.module)
        if whole is None:
            self._loader = loader
            self._path = loader.get_filename(self.module)
            if type(loader) is SourceFileLoader:
                self._cache = _Cache(self._path, self.sign, os.stat(self._path))
            if self._cache is None or not self._cache.found:
                self._units = self._read()
                if not self._units:
                    self._cache = None
                    whole = loader.get_code(self.module)
        self._whole = whole

    def _code(self, i: int) -> CodeType:
        code = self._codes.get(i)
        if code is None and self._cache is not None:
            code = self._cache.get(i)
        if code is None:
            code = self._compile(i)
            if self._cache is not None:
                self._cache.put(i, code)
        self._codes[i] = code
        return code

    def _compile(self, i: int) -> CodeType:
        if not self._units:
            self._units = self._read()
        if i not in self._units:
            raise ImportError(f"{self.module}: no function {i}")
        line, text = self._units[i]
        return compile(b"\n" * (line - 1) + text, self._path, "exec", dont_inherit=True)

    def _read(self) -> dict[int, tuple[int, bytes]]:
        text: bytes = self._loader.get_data(self._path).replace(b"\r\n", b"\n")
        if b"(sha256 %b)" % self.sign not in text[: text.find(b"\n")]:
            raise ImportError(f"{self._path}: not of this package, which must have been replaced: start again")
        return _split(text)


def _split(text: bytes) -> dict[int, tuple[int, bytes]]:
    """What comes before the first function, and each function to the next one: first line and text, by index. Comments
    and decorators go with the function below them. Empty for a file with functions that the compiler did not make."""
    starts = {HEAD: 0}
    at = text.find(b"\ndef ")
    while at >= 0:
        match = _INDEX.match(text, at + len(b"\ndef "))
        if match is None or int(match[1]) in starts:
            return {}
        start = at + 1
        above = text.rfind(b"\n", 0, at) + 1
        while text[above : above + 1] in (b"#", b"@") and above:
            start, above = above, text.rfind(b"\n", 0, above - 1) + 1
        starts[int(match[1])] = start
        at = text.find(b"\ndef ", at + 1)
    units = {}
    line = 1
    for i, start, end in zip(starts, starts.values(), [*list(starts.values())[1:], len(text)]):
        units[i] = line, text[start:end]
        line += text.count(b"\n", start, end)
    return units


def _zipped_bytecode(loader: zipimporter, module: str) -> bool:
    try:
        loader.get_data(loader.get_filename(module) + "c")
    except OSError:
        return False
    return True


class _Cache:
    """The records for the chunk in the file `source`. `stat` is of the source that they are to be of."""

    def __init__(self, source: str, sign: bytes, stat: os.stat_result) -> None:
        self.stamp = (MAGIC_NUMBER, sign, stat.st_mtime_ns, stat.st_size)
        self.mode = stat.st_mode & 0o666
        self.most = _MOST_BYTES[0] + _MOST_BYTES[1] * stat.st_size
        self.path: str | None = None
        self.data = b""
        self.found: dict[int, tuple[int, int]] = {}
        self.torn = False  # what is in the file is not all valid
        try:
            self.path = cache_from_source(source)[: -len("pyc")] + "functions"
            with open(self.path, "rb") as f:
                self.data = f.read()
        except (NotImplementedError, OSError):  # a Python that keeps no bytecode; no file
            return
        at = 0
        while at < len(self.data):
            if len(self.data) - at < _RECORD.size:
                break
            *stamp, i, size, check = _RECORD.unpack_from(self.data, at)
            start = at + _RECORD.size
            payload = self.data[start : start + size]
            if tuple(stamp) != self.stamp or len(payload) < size or check != _checksum(self.data[at:start], payload):
                break
            self.found[i] = start, start + size
            at = start + size
        self.torn = at < len(self.data)
        self.data = self.data[:at]

    def get(self, i: int) -> CodeType | None:
        """The code of function `i`, if it is there."""
        if i not in self.found:
            return None
        start, end = self.found[i]
        try:
            code = marshal.loads(self.data[start:end])
        except (EOFError, ValueError, TypeError):
            return None
        return code if isinstance(code, CodeType) else None

    def put(self, i: int, code: CodeType) -> None:
        """Keep the code of function `i`, if that is possible and wanted."""
        if self.path is None or sys.dont_write_bytecode:
            return
        try:
            payload = marshal.dumps(code)
            head = _RECORD.pack(*self.stamp, i, len(payload), 0)
            record = head[:-4] + struct.pack("<I", _checksum(head, payload)) + payload
            if self.torn:
                os.truncate(self.path, len(self.data))
            self._append(record)
            self.torn = False
        except (OSError, ValueError):
            self.path = None

    def _append(self, record: bytes) -> None:
        assert self.path is not None
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        try:
            file = os.open(self.path, flags, self.mode)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            file = os.open(self.path, flags, self.mode)
        try:
            if os.fstat(file).st_size + len(record) <= self.most:
                os.write(file, record)
        finally:
            os.close(file)


def _checksum(head: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(head[:-4]))
