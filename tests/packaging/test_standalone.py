"""A `--standalone` package runs on any Python from 3.9 on, and PyPy, that has never heard of polymerase."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import polymerase
from polymerase.emit import chunks

MODULE = r"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "hello\n")
  (func (export "gcd") (param i64 i64) (result i64)
    (local i64)
    (loop $again
      (if (i64.ne (local.get 1) (i64.const 0))
        (then
          (local.set 2 (i64.rem_s (local.get 0) (local.get 1)))
          (local.set 0 (local.get 1))
          (local.set 1 (local.get 2))
          (br $again))))
    (local.get 0))
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 100))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $proc_exit (i32.const 7))))
"""
PYTHONS = ("pypy3", "python3.9", "python3.10", "python3.11", "python3.12", "python3.13")


def find(name: str) -> str | None:
    """The interpreter called `name`: on the PATH if it starts there, else one of pyenv's."""
    candidates = [shutil.which(name)]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += map(str, sorted(versions.glob(f"{name.removeprefix('python')}.*/bin/python")))
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return candidate
    return None


@pytest.fixture(scope="module")
def folder(wat: Callable[[str], bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the package `made`, compiled for both kinds of Python."""
    folder = tmp_path_factory.mktemp("standalone")
    module = polymerase.Module(wat(MODULE), "made.wasm")
    polymerase.compile_package(module, folder / "made", target="both", standalone=True)
    return folder


def run(python: str, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` with nothing but the standard library and `folder` to import from."""
    start = f"import sys; sys.path.insert(0, {str(folder)!r}); sys.dont_write_bytecode = True; "
    return subprocess.run([python, "-I", "-S", "-c", start + code], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", PYTHONS)
def test_a_standalone_package_needs_no_polymerase(name: str, folder: Path) -> None:
    python = find(name)
    if python is None:
        pytest.skip(f"no {name} on this machine")
    code = "import made; print(made.gcd(-21, 42)); print(sorted({n.split('.')[0] for n in sys.modules if 'poly' in n}))"
    done = run(python, folder, code)
    assert ("-21\n[]\n", "", 0) == (done.stdout, done.stderr, done.returncode)
    done = run(python, folder, "import runpy; runpy.run_module('made', run_name='__main__')")
    assert ("hello\n", "", 7) == (done.stdout, done.stderr, done.returncode)


@pytest.mark.parametrize("name", PYTHONS)
def test_functions_are_loaded_one_by_one(
    name: str, wat: Callable[[str], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = find(name)
    if python is None:
        pytest.skip(f"no {name} on this machine")
    monkeypatch.setattr(chunks, "MAX_CHUNK", 100)
    polymerase.compile_package(
        polymerase.Module(wat(MODULE), "made.wasm"), tmp_path / "made", target="both", standalone=True
    )
    code = "sys.dont_write_bytecode = False; import made; print(made.gcd(-21, 42)); "
    code += "print(sorted(i for f in set(made._package._chunk_of.values()) for i in f._codes if not f._cache.found))"
    outputs = [run(python, tmp_path, code) for _ in range(2)]
    assert ["-21\n[-1, 2]\n", "-21\n[]\n"] == [done.stdout + done.stderr for done in outputs]
    assert 1 == len(list(tmp_path.rglob("*.functions")))


def test_a_package_that_is_not_standalone_says_what_it_lacks(wat: Callable[[str], bytes], tmp_path: Path) -> None:
    polymerase.compile_package(polymerase.Module(wat("(module)")), tmp_path / "bare")
    done = run(sys.executable, tmp_path, "import bare")
    assert 1 == done.returncode
    assert "--standalone" in done.stderr.splitlines()[-1]
