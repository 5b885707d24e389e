"""Processes: results in order, errors that arrive, deaths that are noticed, and none left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polymerase.errors import InternalError, PolymeraseError
from polymerase.workers import Workers

METHODS = [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way of starting processes that this system has."""
    monkeypatch.setattr(multiprocessing, "get_context", lambda get=multiprocessing.get_context: get(request.param))
    return str(request.param)


def make(base: int) -> Callable[[int], Any]:
    def work(task: int) -> Any:
        if task < 0:
            raise InternalError("emit", str(task))
        if task == 66:
            raise ZeroDivisionError("sixty-six")
        if task == 99:
            os._exit(7)
        time.sleep(0.02 * (task % 3))
        return base + task, os.getpid()

    return work


def fails() -> Callable[[int], Any]:
    raise MemoryError("no room")


def running() -> list[Any]:
    return multiprocessing.active_children()


@pytest.mark.parametrize("jobs", [1, 3])
def test_results_come_in_the_order_of_the_tasks(jobs: int, method: str) -> None:
    done: list[int] = []
    with Workers(jobs, make, 100) as workers:
        results = workers.map(range(20), done.append)
        again = workers.map([5])
    assert [100 + i for i in range(20)] == [value for value, _ in results]
    assert list(range(20)) == sorted(done)
    assert 105 == again[0][0]
    processes = {pid for _, pid in results}
    assert processes == {os.getpid()} if jobs == 1 else os.getpid() not in processes and 1 < len(processes) <= 3
    assert [] == running()


def test_of_several_errors_the_first_tasks_is_raised() -> None:
    with pytest.raises(InternalError, match=r"internal error in emit: -1 \("), Workers(2, make, 0) as workers:
        workers.map([1, 2, -1, -2, 3])
    assert [] == running()


def test_an_error_that_nobody_expects_says_where_it_was() -> None:
    with pytest.raises(ZeroDivisionError) as caught, Workers(2, make, 0) as workers:
        workers.map([66, 1])
    assert "in work" in caught.value.__notes__[0]


def test_a_process_that_cannot_begin_says_why() -> None:
    with pytest.raises(MemoryError, match="no room"), Workers(2, fails) as workers:
        workers.map([1, 2])


def test_a_process_that_dies_is_an_error(method: str) -> None:
    with pytest.raises(PolymeraseError, match=r"a worker process ended before its work was done \(exit code 7\)"):
        with Workers(2, make, 0) as workers:
            workers.map([1, 99, 2, 1, 2, 1, 2])
    assert [] == running()


SCRIPT = r"""
import multiprocessing, os, sys, time
from polymerase.workers import Workers

def make():
    def work(task):
        os.write(1, b"%d\n" % os.getpid())
        time.sleep(task)
    return work

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    with Workers(2, make) as workers:
        workers.map([1] * 1000)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(
    "start, how", [(METHODS[0], "SIGINT"), (METHODS[0], "SIGTERM"), *((method, "SIGKILL") for method in METHODS)]
)
def test_no_process_outlives_the_first_one(start: str, how: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    root = str(Path(__file__).resolve().parents[2])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.path.join(root, "runtime")])}
    command = [sys.executable, str(tmp_path / "script.py"), start]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        pids = [int(process.stdout.readline()) for _ in range(2)]
        if how == "SIGINT":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        else:
            process.send_signal(getattr(signal, how))
        process.wait(20)
        if how == "SIGINT":
            errors = process.stderr.read()
            assert 1 == errors.count("Traceback"), errors
            assert "KeyboardInterrupt" in errors
        deadline = time.monotonic() + 30
        while any(map(alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(alive, pids))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
