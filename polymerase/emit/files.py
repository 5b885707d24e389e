"""The small files of a package: what the runtime must know of the module, the package itself, its command line and its
types. And how names of a hostile module become text.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from keyword import iskeyword
from typing import Any

from polymerase.errors import quote
from polymerase.version import __version__
from polymerase_runtime.instance import Exports
from polymerase_runtime.types import ABI, Data, FuncType, ModuleInfo
from polymerase_runtime.wasi import WASI_MODULES

# What a package offers beside the module's exports, and further names of its stub.
_PUBLIC = ("Caller", "Exit", "Limits", "LinkError", "SnapshotError", "Trap", "Wasi", "instantiate", "restore")
_RESERVED = frozenset(
    [*_PUBLIC, "Exports", "Instance", "Memory", "Table", "Global", "Imports", "Snapshot", "_Exports", "_Instance"]
)
_BUILTINS = frozenset(["int", "float", "object", "tuple", "str", "None"])
_LISTED = 100  # imports and exports named in the docstring


_MANY_DATAS = 100  # segments that have a line each; more are written in short
_NAMES = (
    "active_datas",
    "Data",
    "Elem",
    "FuncType",
    "GlobalType",
    "ImportType",
    "SizeLimits",
    "MemoryType",
    "ModuleInfo",
    "TableType",
)


def info_file(
    infos: dict[str, ModuleInfo], chunks: dict[str, dict[str, tuple[int, ...]]], header: str, runtime: str
) -> str:
    """What the runtime must know of the module."""
    info = next(iter(infos.values()))
    literal = _literal(info._replace(datas=_datas(info.datas)))
    body = f"INFO = {literal}\n\n# Which functions are in which file\nCHUNKS = {_literal(chunks)}\n"
    names = ", ".join(name for name in _NAMES if f"{name}(" in body)
    imports = f"from {runtime} import {names}\n\n"
    typed = {target: other.typed_tables for target, other in infos.items()}
    rest = f"TYPED_TABLES = {_literal(typed)}\n" if len(infos) > 1 else ""
    return f'{header}"""Types, imports, exports and segments of the module."""\n\n{imports}{body}{rest}'


class _Source:
    """A value that is written as `text`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _datas(datas: tuple[Data, ...]) -> Any:
    """The segments, or how many plain ones are written."""
    plain = [d for d in datas if d.mode == "active" and d.memory == 0 and d.offset and d.offset[0][0] == "i32.const"]
    if len(datas) <= _MANY_DATAS or len(plain) < len(datas) or any(len(d.offset or ()) > 1 for d in datas):
        return datas
    assert datas[0].start == 0 and all(a.end == b.start for a, b in pairwise(datas))  # as module.blob lays them out
    items = [f"{d.offset[0][1]}+{d.end - d.start}" for d in datas if d.offset]
    rows = [" ".join(items[i : i + 8]) for i in range(0, len(items), 8)]
    return _Source('active_datas(\n        """\n' + "\n".join(rows) + '\n"""\n    )')


def init_file(info: ModuleInfo, header: str, runtime: str, both: bool) -> str:
    package = f"{runtime}.package"
    lines = [header + f'"""{plain(info.name)}, compiled to Python.', ""]
    lines += _described("Exports", _exported(info))
    lines += _described("Imports", [f"{plain(i.module)}.{plain(i.name)}: {i.type}" for i in info.imports])
    if _has_default(info):
        lines += ["Exports are attributes of this module, of one instance made when first used; those whose names are"]
        lines += ["taken are reached by `instantiate().exports[name]`, as is every export of further instances."]
    else:
        lines += ["`instantiate(imports).exports[name]` reaches the exports."]
    lines += ['"""', ""]
    if not runtime.startswith("."):
        lines += [
            "try:",
            f"    from {runtime} import ABI",
            "except ImportError:",
            "    raise ImportError(",
            f'        f"{{__name__}} needs polymerase {__version__} or later, or to be compiled with --standalone"',
            "    ) from None",
            f"if ABI != {ABI}:",
            "    raise ImportError(",
            f'        f"{{__name__}} was compiled for version {ABI} of the runtime\'s interface, "',
            '        f"and the polymerase that is installed has version {ABI}: compile it again"',
            "    )",
            "",
        ]
    lines += ["import os as _os"]
    if both:
        lines += ["import sys as _sys"]
    lines += [
        "",
        f"from {runtime} import Caller, Exit, Limits, LinkError, SnapshotError, Trap",
        f"from {package} import Package as _Package",
        f"from {runtime}.wasi import Wasi",
        "",
        f"from ._info import CHUNKS as _CHUNKS{', TYPED_TABLES as _TYPED_TABLES' if both else ''}",
        "from ._info import INFO as _INFO",
        "",
        f"__all__ = [{', '.join(map(_quoted, _PUBLIC))}]",
        "",
    ]
    if both:
        lines += [
            '_TARGET = "pypy" if _sys.implementation.name == "pypy" else "cpython"',
            "_INFO = _INFO._replace(target=_TARGET, typed_tables=_TYPED_TABLES[_TARGET])",
        ]
        target = "_TARGET"
    else:
        target = ascii(info.target)
    lines += [
        f"_package = _Package(__name__, _os.path.dirname(__file__), _INFO, _CHUNKS[{target}])",
        "",
        "",
        "def instantiate(imports=None, *, wasi=None, limits=None):",
        '    """A new instance: its exports are attributes and items of `.exports`.',
        "",
        "    `imports` maps module name to name to what is imported. `wasi` is a Wasi with the arguments, environment,",
        "    folders and streams that the program is to see. `limits`, a Limits, bounds what the instance may use.",
        '    """',
        "    return _package.instantiate(imports, wasi=wasi, limits=limits)",
        "",
        "",
        "def restore(snapshot, imports=None, *, wasi=None, limits=None):",
        '    """A new instance in the state of another when its `.snapshot()` gave these bytes.',
        "",
        "    Arguments as for `instantiate`; imported memories, tables and mutable globals are overwritten. `limits`",
        "    None limits fuel to what was left, if it was limited.",
        '    """',
        "    return _package.restore(snapshot, imports, wasi=wasi, limits=limits)",
        "",
        "",
        "def __getattr__(name):",
        "    return _package.export(name)",
        "",
        "",
        "def __dir__():",
        "    return sorted({*__all__, *_package.names()})",
    ]
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    return f'"{name}"'


def main_file(info: ModuleInfo, header: str) -> str:
    return f'''{header}"""Runs {plain(info.name)}: python -m PACKAGE args...

POLYMERASE_DIR names the folders that it may open: HOST or HOST::GUEST, separated as in PATH; by default none.
POLYMERASE_ENV names the environment variables that it sees, separated by commas; by default none.
"""

import sys

from . import _package

if __name__ == "__main__":
    _package.main(sys.argv)
'''


_PYTHON_TYPES = {"i32": "int", "i64": "int", "v128": "int", "f32": "float", "f64": "float"}


def stub_file(info: ModuleInfo, header: str, runtime: str) -> str:
    """Type information: what a type checker sees instead of `__init__.py`."""
    exports = []
    attributes = []  # of `instance.exports`
    types = {"Exports", "Instance"}
    for name, kind, i in info.exports:
        if not _attribute(name):
            continue
        method = attribute = f"{name}: {kind.capitalize()}"
        if kind == "func":
            t = info.types[info.funcs[i]]
            attribute, method = _signature(name, t), _signature(name, t, "self")
        else:
            types.add(kind.capitalize())
        if _has_default(info):
            exports.append(attribute)
        if not hasattr(Exports, name) and name != "_by_name":
            attributes.append(f"    {method}")
    lines = [
        header,
        f"from {runtime} import {', '.join(sorted(types))}",
        f"from {runtime} import Caller as Caller, Exit as Exit, Limits as Limits, LinkError as LinkError",
        f"from {runtime} import SnapshotError as SnapshotError, Trap as Trap",
        f"from {runtime}.link import Imports",
        f"from {runtime}.snapshot import Snapshot",
        f"from {runtime}.wasi import Wasi as Wasi",
        "",
        "class _Exports(Exports):",
        *(attributes or ["    pass"]),
        "",
        "class _Instance(Instance):",
        "    exports: _Exports",
        "",
        "def instantiate(",
        "    imports: Imports | None = None, *, wasi: Wasi | None = None, limits: Limits | None = None",
        ") -> _Instance: ...",
        "def restore(",
        "    snapshot: Snapshot | bytes,",
        "    imports: Imports | None = None,",
        "    *,",
        "    wasi: Wasi | None = None,",
        "    limits: Limits | None = None,",
        ") -> _Instance: ...",
        *exports,
    ]
    return "\n".join(lines) + "\n"


def _signature(name: str, t: FuncType, *first: str) -> str:
    params = [*first, *(f"p{i}: {_PYTHON_TYPES.get(p, 'object')}" for i, p in enumerate(t.params))]
    results = [_PYTHON_TYPES.get(r, "object") for r in t.results]
    result = "None" if not results else results[0] if len(results) == 1 else f"tuple[{', '.join(results)}]"
    return f"def {name}({', '.join([*params, '/'] if params else [])}) -> {result}: ..."


def _attribute(name: str) -> bool:
    """Whether the export `name` is an attribute of the package that a stub can declare."""
    plain = name.isascii() and name.isidentifier() and not iskeyword(name)
    taken = name in _RESERVED or name in _BUILTINS or name[:2] == "__" or name in ("_package", "_info")
    return plain and not taken and not name.startswith(("_module", "_runtime", "_os", "_sys", "_INFO", "_CHUNKS"))


def _has_default(info: ModuleInfo) -> bool:
    return all(i.module in WASI_MODULES for i in info.imports)


def is_command(info: ModuleInfo) -> bool:
    return _has_default(info) and any(
        name == "_start" and kind == "func" and info.types[info.funcs[i]] == FuncType()
        for name, kind, i in info.exports
    )


def _exported(info: ModuleInfo) -> list[str]:
    lines = []
    for name, kind, i in info.exports:
        if kind == "func":
            t = info.types[info.funcs[i]]
            results = f" -> {cut(' '.join(t.results))}" if t.results else ""
            lines.append(f"{plain(name)}({cut(', '.join(t.params))}){results}")
        else:
            lines.append(f"{plain(name)}: {kind}")
    return lines


def _described(title: str, items: list[str]) -> list[str]:
    if not items:
        return []
    more = [f"    and {len(items) - _LISTED} more"] if len(items) > _LISTED else []
    return [f"{title}:", *(f"    {item}" for item in items[:_LISTED]), *more, ""]


# --- Text from hostile names


def plain(text: str) -> str:
    """A name for comments and docstrings: what is not plain becomes a question mark."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.$:/@<>+- ") else "?" for c in text[:60])
    return kept + ("..." if len(text) > 60 else "")


def shown(name: str) -> str:
    """A name in quotes, in ASCII."""
    return quote(name[:200]).encode("ascii", "backslashreplace").decode("ascii")


def cut(text: str) -> str:
    return text if len(text) <= 80 else text[:80].rpartition(" ")[0] + " ..."


def _literal(value: object, indent: int = 0) -> str:
    """`value` as ASCII source, tuples and dicts of more than a line's worth one item a line."""
    if isinstance(value, _Source):
        return value.text
    flat = ascii(value)
    if len(flat) <= 110 - indent or not isinstance(value, (tuple, dict)):
        return flat
    inner = " " * (indent + 4)
    if isinstance(value, dict):
        items = [f"{ascii(k)}: {_literal(v, indent + 4)}" for k, v in value.items()]
        return "{\n" + "".join(f"{inner}{item},\n" for item in items) + " " * indent + "}"
    fields = getattr(value, "_fields", None)
    if fields is not None:
        items = [f"{field}={_literal(getattr(value, field), indent + 4)}" for field in fields]
        return f"{type(value).__name__}(\n" + "".join(f"{inner}{item},\n" for item in items) + " " * indent + ")"
    if all(isinstance(v, (int, str, type(None))) for v in value):
        return "(\n" + "".join(f"{inner}{row}\n" for row in _rows(value, 110 - indent)) + " " * indent + ")"
    return "(\n" + "".join(f"{inner}{_literal(v, indent + 4)},\n" for v in value) + " " * indent + ")"


def _rows(values: Iterable[object], width: int) -> list[str]:
    """Short values, as many to a row as fit."""
    rows: list[str] = []
    row = ""
    for v in values:
        item = f"{ascii(v)},"
        if row and len(row) + len(item) >= width:
            rows.append(row)
            row = ""
        row += (" " if row else "") + item
    return [*rows, row]
