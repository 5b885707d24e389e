"""Measures one kernel in several engines, in interleaved rounds, as CPU time for a unit of work.

`run(n)` of every kernel does n units of work that do not depend on each other, so time grows with n. The reference,
the hand-written loop, takes the n with which it runs for `SECONDS`; an engine that takes between half of that and
`SLOW` times as long for the same n is measured with it. The others (an interpreter hundreds of times slower, native
code) get the n with which they run for `SECONDS` themselves; their time is divided by it. Each engine is warmed up
first, until it gets no faster.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

SECONDS = 0.2
SLOW = 15
WARM_UP = 4.0  # CPU seconds at most, for an engine that keeps getting faster
LIMIT = 120.0  # seconds that an engine may take for one answer
CHECKS = (0, 1, 2, 5)  # every engine must get the same results for these n


class WorkerError(Exception):
    """An engine's own words when it could not be started, load a kernel or run it."""


class Worker:
    """An engine in a process of its own, which `load` starts again when a kernel has brought it down."""

    def __init__(self, engine: str, python: str, path: str | None = None) -> None:
        """`path`: a folder of packages that `python` would not find by itself."""
        script = str(Path(__file__).parent / "worker.py")
        self.command = [python, script, engine, *([path] if path else [])]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        answer = self.answer()
        self.version, self.python = str(answer["version"]), str(answer["python"])

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        timer = Timer(LIMIT, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise WorkerError(f"ended with exit code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # it has ended: answer() says how
        return self.answer()

    def load(self, file: Path) -> None:
        if self.process.poll() is not None:
            self.start()
        self.ask(load=str(file))

    def run(self, n: int) -> tuple[float, int]:
        """CPU seconds and the result, unsigned."""
        answer = self.ask(run=n)
        return float(answer["cpu"]), int(answer["result"])

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass
class Timing:
    """One engine on one kernel: `times` are CPU seconds for `n` units; or `error` says why there are none."""

    n: int = 0
    shared: bool = False
    warm_up: float = 0.0
    times: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def unit(self) -> float | None:
        """CPU seconds for a unit of work, the median of the rounds."""
        return statistics.median(self.times) / self.n if self.times and not self.error else None


def calibrate(worker: Worker) -> int:
    """An n with which the kernel runs for about `SECONDS`, when cold."""
    n, cpu = 1, worker.run(1)[0]
    while cpu < SECONDS / 2:
        n = math.ceil(n * min(64, SECONDS / max(cpu, SECONDS / 64)))
        cpu, _ = worker.run(n)
    return n


def warm_up(worker: Worker, n: int) -> tuple[float, float]:
    """Runs until two runs in turn are less than 5 % faster than the fastest before; CPU seconds of all and of that."""
    best, spent, idle = float("inf"), 0.0, 0
    while idle < 2 and spent < WARM_UP:
        cpu, _ = worker.run(n)
        spent += cpu
        idle = idle + 1 if cpu > best * 0.95 else 0
        best = min(best, cpu)
    return spent, best


def expect(results: dict[int, int], n: int, result: int) -> None:
    if result != results.setdefault(n, result):
        raise WorkerError(f"wrong result: run({n}) = {result:#x}, not {results[n]:#x}")


def measure(workers: Mapping[str, Worker], files: Mapping[str, Path], judge: str, rounds: int) -> dict[str, Timing]:
    """Timings of one kernel by engine. The first of `workers` is the reference; `judge`'s results are right."""
    timings = {name: Timing() for name in workers}
    results: dict[int, int] = {}
    for name in sorted(workers, key=lambda name: name != judge):
        try:
            workers[name].load(files[name])
            for n in CHECKS:
                expect(results, n, workers[name].run(n)[1])
        except WorkerError as error:
            timings[name].error = str(error)
    shared = 0
    for name, worker in workers.items():
        timing = timings[name]
        if timing.error:
            continue
        try:
            n = calibrate(worker)
            timing.warm_up, seconds = warm_up(worker, n)
            timing.n = math.ceil(n * SECONDS / seconds)
            shared = shared or timing.n
            if SECONDS / 2 <= seconds / n * shared <= SLOW * SECONDS:
                timing.n, timing.shared = shared, True
        except WorkerError as error:
            timing.error = str(error)
    for _ in range(rounds):
        for name, worker in workers.items():
            timing = timings[name]
            if timing.error:
                continue
            try:
                cpu, result = worker.run(timing.n)
                expect(results, timing.n, result)
                timing.times.append(cpu)
            except WorkerError as error:
                timing.error = str(error)
    return timings
