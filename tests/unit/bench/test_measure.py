"""How the benchmarks choose n, and that a wrong result is an error."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from tools.bench import measure
from tools.bench.kernels import KERNELS, SOURCES, by_hand
from tools.bench.measure import SECONDS, Timing, Worker, WorkerError


class FakeWorker:
    """An engine that needs `seconds` for a unit of work."""

    def __init__(self, seconds: float, result: Callable[[int], int] = lambda n: n * 3) -> None:
        self.seconds, self.result = seconds, result

    def load(self, file: Path) -> None:
        pass

    def run(self, n: int) -> tuple[float, int]:
        return self.seconds * n, self.result(n)


def timings(**engines: FakeWorker) -> dict[str, Timing]:
    files = dict.fromkeys(engines, Path("fib.wasm"))
    return measure.measure(cast("dict[str, Worker]", engines), files, "wasmtime", 2)


def test_engines_of_like_speed_run_the_same_n() -> None:
    t = timings(hand=FakeWorker(0.001), pwasm=FakeWorker(0.004), pywasm=FakeWorker(0.4), wasmtime=FakeWorker(1e-5))
    assert t["hand"].n == t["pwasm"].n and t["pwasm"].shared
    assert 1 == t["pywasm"].n and not t["pywasm"].shared
    assert t["wasmtime"].n * 1e-5 >= SECONDS and not t["wasmtime"].shared
    assert [pytest.approx(u) for u in (0.001, 0.004, 0.4, 1e-5)] == [timing.unit for timing in t.values()]


def test_result_unlike_the_judges_is_an_error() -> None:
    t = timings(hand=FakeWorker(0.01, lambda n: n * 4), wasmtime=FakeWorker(0.01))
    assert "wrong result: run(1) = 0x4, not 0x3" == t["hand"].error
    assert t["hand"].unit is None
    assert "" == t["wasmtime"].error


def test_result_that_goes_wrong_only_for_large_n_is_an_error() -> None:
    t = timings(wasmtime=FakeWorker(0.01), pwasm=FakeWorker(0.01, lambda n: n * 3 + n // 9))
    assert t["pwasm"].error.startswith("wrong result")


@pytest.fixture
def worker() -> Any:
    worker = Worker("hand", sys.executable)
    yield worker
    worker.close()


def test_worker_runs_a_kernel(worker: Worker) -> None:
    worker.load(by_hand("fib"))
    cpu, result = worker.run(2)
    assert (987 * 31 + 1597, True) == (result, cpu > 0)


def test_worker_gives_the_engines_own_words_and_lives_on(worker: Worker) -> None:
    with pytest.raises(WorkerError, match="FileNotFoundError"):
        worker.load(Path("absent.py"))
    worker.load(by_hand("fib"))


def test_worker_that_died_is_started_again(worker: Worker) -> None:
    worker.load(by_hand("fib"))
    os.kill(worker.process.pid, 9)
    with pytest.raises(WorkerError, match="exit code -9"):
        worker.run(1)
    worker.load(by_hand("fib"))
    assert 987 == worker.run(1)[1]


def test_engine_that_cannot_be_imported_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pwasm.py").write_text("raise ImportError('made for another Python')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkerError, match="ImportError: made for another Python"):
        Worker("pwasm", sys.executable)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_by_hand_and_worker_are_python_3_9(kernel: str) -> None:
    for file in (by_hand(kernel), Path(measure.__file__).parent / "worker.py"):
        ast.parse(file.read_text(encoding="utf-8"), str(file), feature_version=(3, 9))


def test_every_kernel_is_in_c_and_by_hand() -> None:
    assert (
        sorted(KERNELS) == sorted(p.stem for p in SOURCES.glob("*.c")) == sorted(p.stem for p in SOURCES.glob("*.py"))
    )
