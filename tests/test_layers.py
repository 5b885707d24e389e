"""The layers: which part may import which. A violation names its file and line."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMPILER = ROOT / "polymerase"
RUNTIME = ROOT / "runtime" / "polymerase_runtime"

# Part -> the parts of ours that it may import. All but the runtime may also use FREE, which import nothing of ours;
# the one exception is that errors re-exports the classes that the runtime raises, too (see RATIONALE.md).
MAY_IMPORT = {
    "__init__": {"api", "runtime"},
    "__main__": {"cli"},
    "cli": {"api", "cli_limits", "cli_state"},
    "cli_limits": {"api"},
    "cli_state": {"api"},
    "api": {"driver", "engine", "code", "stored", "cache", "runtime"},
    "engine": {"driver", "code", "wasm", "runtime"},
    "code": {"driver", "stored", "runtime"},
    "stored": {"cache", "runtime"},
    "driver": {"wasm", "lower", "opt", "emit", "ir", "runtime"},
    "emit": {"ir", "wasm", "runtime", "workers"},
    "lower": {"ir", "wasm"},
    "opt": {"ir", "wasm", "runtime"},
    "ir": {"wasm"},
    "wasm": set(),
    "cache": set(),
    "errors": {"runtime"},
    "options": set(),
    "version": set(),
    "workers": set(),
}
FREE = {"errors", "options", "version"}
# Third-party packages, by the parts that may use them.
THIRD_PARTY = {
    "click": {"cli", "cli_limits", "cli_state"},
    "astor": {"emit"},
    "black": {"emit"},
    "platformdirs": {"cache"},
}


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each import, `from a import b` as a.b; relative ones with their dots in front."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}" if node.module else f"{module}{alias.name}"


def _compiler_files() -> list[Path]:
    return sorted(COMPILER.rglob("*.py"))


def _runtime_files() -> list[Path]:
    return sorted(RUNTIME.rglob("*.py"))


def _part(path: Path) -> str:
    first = path.relative_to(COMPILER).parts[0]
    return first.removesuffix(".py")


def _faults(path: Path, source_part: str) -> Iterator[str]:
    for line, name in _imports(path):
        here = f"{path.relative_to(ROOT)}:{line}"
        top, _, rest = name.partition(".")
        if name.startswith("."):
            yield f"{here}: relative import {name}; imports in polymerase/ are absolute"
        elif top == "polymerase_runtime":
            if "runtime" not in MAY_IMPORT[source_part]:
                yield f"{here}: {source_part} may not import the runtime ({name})"
        elif top == "polymerase":
            part = rest.partition(".")[0] or "__init__"
            if part not in MAY_IMPORT:
                part = "__init__"
            if part != source_part and part not in MAY_IMPORT[source_part] | FREE:
                yield f"{here}: {source_part} may not import {part} ({name})"
        elif top in THIRD_PARTY:
            if source_part not in THIRD_PARTY[top]:
                yield f"{here}: {source_part} may not import {top}"
        elif top not in sys.stdlib_module_names:
            yield f"{here}: {top} is neither ours, nor in the standard library, nor a dependency"


def test_every_part_has_a_row() -> None:
    assert [] == sorted({_part(path) for path in _compiler_files()} - set(MAY_IMPORT))


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_imports_point_down(part: str) -> None:
    faults = [fault for path in _compiler_files() if _part(path) == part for fault in _faults(path, part)]
    assert not faults, "\n" + "\n".join(faults)


def test_runtime_imports_the_standard_library_and_itself_relatively() -> None:
    allowed = set(sys.stdlib_module_names) | {"__pypy__"}
    faults = []
    for path in _runtime_files():
        depth = len(path.relative_to(RUNTIME).parts)
        for line, name in _imports(path):
            here = f"{path.relative_to(ROOT)}:{line}"
            dots = len(name) - len(name.lstrip("."))
            if dots > depth:
                faults.append(f"{here}: {name} leaves the runtime, which is copied under other names")
            elif not dots and name.partition(".")[0] not in allowed:
                faults.append(f"{here}: {name} is not in the standard library")
    assert not faults, "\n" + "\n".join(faults)


def test_the_table_has_no_cycle() -> None:
    below = {part: (parts | FREE) - {part} for part, parts in MAY_IMPORT.items() if part not in FREE}
    done = FREE | {"runtime"}
    while below:
        ready = {part for part, parts in below.items() if parts <= done}
        assert ready, f"a cycle among {sorted(below)}"
        done |= ready
        below = {part: parts for part, parts in below.items() if part not in ready}


def test_a_violation_names_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "polymerase" / "wasm").mkdir(parents=True)
    bad = tmp_path / "polymerase" / "wasm" / "bad.py"
    bad.write_text("import os\nfrom polymerase.ir import nodes\n", encoding="utf-8")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert ["polymerase/wasm/bad.py:2: wasm may not import ir (polymerase.ir.nodes)"] == list(_faults(bad, "wasm"))
