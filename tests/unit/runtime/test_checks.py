"""Runs checks.py here, and on the other Pythons of the machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

FILES = [Path(__file__).with_name(name) for name in ("checks.py", "checks_interpreter.py")]


def checks_of(file: Path) -> list[Callable[[], None]]:
    spec = importlib.util.spec_from_file_location(f"runtime_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    checks: list[Callable[[], None]] = module.CHECKS
    return checks


@pytest.mark.parametrize("check", [c for file in FILES for c in checks_of(file)], ids=lambda check: check.__name__)
def test_runtime(check: Callable[[], None]) -> None:
    check()


OTHERS = ["python3.9", "python3.10", "python3.11", "python3.12", "python3.13"]


@pytest.mark.parametrize("name", ["pypy3", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_runtime_on_another_python(name: str, root: Path) -> None:
    python = (name == "pypy3" and os.environ.get("POLYMERASE_PYPY")) or shutil.which(name)
    if not python or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no {name} on this machine")
    for file in FILES:
        run = subprocess.run([python, str(file), str(root / "runtime")], capture_output=True, text=True, timeout=120)
        assert (0, "") == (run.returncode, run.stderr), run.stdout
