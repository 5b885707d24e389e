"""Runs checks.py here, and on the other Pythons of the machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("checks.py")
SPEC = importlib.util.spec_from_file_location("runtime_checks", FILE)
assert SPEC is not None and SPEC.loader is not None
CHECKS = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(CHECKS)


@pytest.mark.parametrize("check", CHECKS.CHECKS, ids=lambda check: check.__name__)
def test_runtime(check: Callable[[], None]) -> None:
    check()


OTHERS = ["python3.9", "python3.10", "python3.11", "python3.12", "python3.13"]


@pytest.mark.parametrize("name", ["pypy3", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_runtime_on_another_python(name: str, root: Path) -> None:
    python = (name == "pypy3" and os.environ.get("POLYMERASE_PYPY")) or shutil.which(name)
    if not python or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no {name} on this machine")
    run = subprocess.run([python, str(FILE), str(root / "runtime")], capture_output=True, text=True, timeout=120)
    assert (0, "") == (run.returncode, run.stderr), run.stdout
