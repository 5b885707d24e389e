"""The wheel and the editable install, each in a fresh environment, and what is in the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FIB = """
(module
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2))))))))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed, run without this process's PYTHON… variables."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    out = tmp_path_factory.mktemp("wheel")
    pip_wheel = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, root)
    run(sys.executable, *pip_wheel, cwd=out)
    (built,) = out.glob("polymerase-*.whl")
    return built


def environment(folder: Path) -> Path:
    """The Python of a new virtual environment."""
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def compiles_and_runs(python: Path, wasm: bytes, folder: Path) -> None:
    (folder / "fib.wasm").write_bytes(wasm)
    polymerase = python.with_name("polymerase")
    assert "6765\n" == run(polymerase, "run", "--aot", "--entry", "fib", "fib.wasm", "20", cwd=folder)
    run(polymerase, "compile", "fib.wasm", "-o", "fib_py", cwd=folder)
    assert "6765\n" == run(python, "-c", "import fib_py; print(fib_py.fib(20))", cwd=folder)
    assert "valid" in run(python, "-m", "polymerase", "validate", "fib.wasm", cwd=folder)


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {"polymerase", "polymerase_runtime"} == {top for top in tops if not top.endswith(".dist-info")}
    for wanted in (
        "polymerase/py.typed",
        "polymerase_runtime/py.typed",
        "polymerase_runtime/wasi/__init__.py",
        "polymerase/wasm/ops.py",
    ):
        assert wanted in names
    assert [] == [name for name in names if "__pycache__" in name]


def test_the_wheel_installs_and_compiles(wheel: Path, wat: Callable[[str], bytes], tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    run(python, "-m", "pip", "install", "-q", wheel, cwd=tmp_path)
    compiles_and_runs(python, wat(FIB), tmp_path)


def test_the_editable_install_compiles(root: Path, wat: Callable[[str], bytes], tmp_path: Path) -> None:
    python = environment(tmp_path / "env")
    run(python, "-m", "pip", "install", "-q", "-e", root, cwd=tmp_path)
    compiles_and_runs(python, wat(FIB), tmp_path)
