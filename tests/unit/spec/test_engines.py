"""The worker process: what it can import, and that a script that hangs or crashes is not the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from polymerase.errors import InvalidError, Where
from spec import engines
from spec.engines import Settings, Worker
from spec.plan import Rejected

WAIT = """
from types import SimpleNamespace

def instantiate(imports):
    return SimpleNamespace(exports={"f": lambda: 1, "hang": hang, "crash": crash, "find": find})

def hang():
    while True:
        pass

def crash():
    import os
    os._exit(3)

def find():
    import importlib.util
    names = ("spec", "polymerase", "click", "polymerase_runtime")
    return sum(importlib.util.find_spec(name) is not None for name in names)
"""


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker under this Python, with a hand-made package."""
    made = Worker(Settings("aot", 2, sys.executable, 2.0))
    (made.folder / "package").mkdir()
    (made.folder / "package" / "__init__.py").write_text(WAIT)
    yield made
    made.close()
    assert not made.folder.exists()


def call(worker: Worker, export: str) -> Any:
    """The outcomes of instantiating the package and calling one export, which is to give 1."""
    steps = [
        {"do": "module", "name": None, "definition": False, "module": 0, "expect": None},
        {"do": "invoke", "instance": None, "export": export, "args": [], "expect": ["return", [("i32", 1)]]},
    ]
    return worker.ask({"modules": ["package"], "steps": steps})["outcomes"]


def test_scripts_follow_each_other_in_one_process(worker: Worker) -> None:
    for _ in range(2):
        assert [[True, ""], [True, ""]] == call(worker, "f")


def test_a_script_that_hangs_is_ended_and_the_next_one_runs(worker: Worker) -> None:
    call(worker, "f")
    with pytest.raises(TimeoutError):
        call(worker, "hang")
    assert [[True, ""], [True, ""]] == call(worker, "f")


def test_a_crash_says_how_the_process_ended(worker: Worker) -> None:
    with pytest.raises(EOFError, match="ended with code 3"):
        call(worker, "crash")
    assert [[True, ""], [True, ""]] == call(worker, "f")


def test_the_worker_sees_the_runtime_and_nothing_else_of_ours(worker: Worker) -> None:
    assert [[True, ""], [True, ""]] == call(worker, "find")


def test_an_alarm_ends_what_runs_here() -> None:
    with pytest.raises(TimeoutError), engines.alarm(0.05):
        while True:
            try:
                while True:
                    pass
            except Exception:  # what a guest's border might catch
                pass


def test_only_refusals_are_refusals() -> None:
    with pytest.raises(Rejected) as refused, engines.refusals():
        raise InvalidError("type mismatch", Where("m.wasm", at=4))
    assert ("invalid", "type mismatch") == (refused.value.kind, refused.value.fault)
    with pytest.raises(Rejected) as broken, engines.refusals():
        raise KeyError("x")
    assert ("internal", "KeyError: 'x'") == (broken.value.kind, broken.value.fault)


def test_what_the_compiler_refuses_is_known_before_the_run(wat: Any) -> None:
    session = engines.AotSession(Settings("aot", 0, None, 10.0))
    with pytest.raises(Rejected, match="^unsupported: "):
        session.compile(wat("(module (func (drop (i8x16.splat (i32.const 1)))))"))
    assert 0 == session.compile(wat('(module (func (export "f") (result i32) (i32.const 1)))'))
    steps = [
        {"do": "module", "name": None, "definition": False, "module": 0, "expect": None},
        {"do": "invoke", "instance": None, "export": "f", "args": [], "expect": ["return", [("i32", 1)]]},
    ]
    assert [(True, ""), (True, "")] == session.run(steps)
