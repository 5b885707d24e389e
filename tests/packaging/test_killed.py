"""kill -9 at any moment: at the package's place is the old one, the new one or nothing, and it loads as it should."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import polymerase
import polymerase_runtime
from polymerase.emit import chunks, package

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, and kills what it forked")]

KILLS = 100
FUNCS = 60


def source(result: int) -> str:
    """A module of FUNCS functions, of which f0, f1 ... return `result`, `result` + 1 ..."""
    funcs = (f'(func (export "f{i}") (result i32) (i32.const {result + i}))' for i in range(FUNCS))
    return f"(module {''.join(funcs)})"


def killed(work: Callable[[], None], after: float) -> None:
    """Do `work` in a process, and kill that `after` so many seconds."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def results(folder: Path) -> list[int]:
    """What the functions of the package in `folder` return, in a process of its own."""
    script = f"import made; print(*(getattr(made, f'f{{i}}')() for i in range({FUNCS})))"
    path = os.pathsep.join([str(folder.parent), str(Path(polymerase_runtime.__file__).parent.parent)])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60)
    assert "" == done.stderr
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize("jobs", [1, 2])
def test_while_a_package_is_written(
    jobs: int, wat: Callable[[str], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "MAX_CHUNK", 1000)
    monkeypatch.setattr(package, "BATCH", 20)
    modules = [polymerase.Module(wat(source(result)), "made.wasm") for result in (1000, 2000)]
    whole: list[dict[str, bytes]] = []
    took = 0.0
    for i, module in enumerate(modules):
        start = time.perf_counter()
        polymerase.compile_package(module, tmp_path / str(i) / "made", jobs=jobs)
        took = max(took, time.perf_counter() - start)
        whole.append(contents(tmp_path / str(i) / "made"))
    (tmp_path / "place").mkdir()
    out = tmp_path / "place" / "made"
    chance = random.Random(jobs)
    seen = set()

    def work() -> None:
        for i in range(1000):
            polymerase.compile_package(modules[i % 2], out, jobs=jobs)

    for kill in range(KILLS):
        killed(work, chance.uniform(0, 3 * took))
        found = contents(out) if os.path.lexists(out) else None
        assert found is None or found in whole
        seen.add(None if found is None else whole.index(found))
        if found is not None and kill % 10 == 0:
            first = 1000 * (whole.index(found) + 1)
            assert list(range(first, first + FUNCS)) == results(out)
            shutil.rmtree(out / "__pycache__", ignore_errors=True)
    assert {0, 1} <= seen
    deadline = time.monotonic() + 20
    while ["made"] != sorted(os.listdir(out.parent)) and time.monotonic() < deadline:
        polymerase.compile_package(modules[0], out)  # sweeps; processes of those killed may take a moment to notice
    assert ["made"] == sorted(os.listdir(out.parent))


def test_while_compiled_functions_are_kept(
    wat: Callable[[str], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "MAX_CHUNK", 3000)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.syspath_prepend(tmp_path)
    out = tmp_path / "made"
    polymerase.compile_package(polymerase.Module(wat(source(1000)), "made.wasm"), out)

    def work() -> None:
        made: Any = __import__("made")
        for i in range(FUNCS):
            getattr(made, f"f{i}")()

    start = time.perf_counter()
    results(out)
    took = time.perf_counter() - start  # of which much is Python's own start
    chance = random.Random(0)
    sizes = set()
    for kill in range(KILLS):
        if kill % 3 == 0:
            shutil.rmtree(out / "__pycache__", ignore_errors=True)
        killed(work, chance.uniform(0, took / 3))
        sizes.add(sum(path.stat().st_size for path in out.rglob("*.functions")))
        if kill % 10 == 9:
            assert list(range(1000, 1000 + FUNCS)) == results(out)
    assert len(sizes) > 5  # some were killed half way
