"""How exported functions are called."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from polymerase import Module, Trap
from polymerase_runtime.func import is_leaf

TEXT = """
(module
  (import "env" "host" (func $host))
  (table 1 funcref)
  (memory 1)
  (func $one (export "one") (param i32 i64) (result i32)
    (i32.store (i32.const 8) (local.get 0))
    (i32.add (i32.load (i32.const 8)) (i32.wrap_i64 (local.get 1))))
  (func $two (export "two") (result i32) (call $one (i32.const 1) (i64.const 2)))
  (func $three (export "three") (result i32) (call $two))
  (func $four (export "four") (result i32) (call $three))
  (func $self (export "self") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $self (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0))))
  (func $calls_self (export "calls_self") (param i32) (result i32) (call $self (local.get 0)))
  (func $indirect (export "indirect") (call_indirect (i32.const 0)))
  (func $calls_host (export "calls_host") (call $host)))
"""


@pytest.fixture
def exports(wat: Callable[[str], bytes]) -> dict[str, Any]:
    """The exports; their functions were called, and so are loaded."""
    exports = Module(wat(TEXT)).instantiate({"env": {"host": lambda: None}}, engine="aot").exports
    for f in exports.values():
        with suppress(Trap):
            f(*[1] * len(f.type.params))
    return dict(exports)


def test_functions_that_need_few_frames_are_told_from_others(exports: dict[str, Any]) -> None:
    found = {name: is_leaf(f.raw) for name, f in exports.items()}
    assert {name for name, leaf in found.items() if leaf} == {"one", "two", "three"}


def test_deep_calls_work_from_either_kind_and_the_limit_is_put_back(wat: Callable[[str], bytes]) -> None:
    f = Module(wat(TEXT)).instantiate({"env": {"host": lambda: None}}, engine="aot").exports
    before = sys.getrecursionlimit()
    assert [3, 3, 3] == [f["three"]() for _ in range(3)]
    assert [3000, 3000] == [f["calls_self"](3000) for _ in range(2)]
    assert before == sys.getrecursionlimit()
    with pytest.raises(Trap, match="call stack exhausted"):
        f["self"](-1)
    assert before == sys.getrecursionlimit()


def test_a_call_that_is_not_specialised_gives_the_same(wat: Callable[[str], bytes]) -> None:
    f = Module(wat(TEXT)).instantiate({"env": {"host": lambda: None}}).exports
    for call in (f["one"].once, f["one"]):
        assert -1 == call(-(1 << 31), (1 << 31) - 1)
        assert [1 << 30, -1, -2] == [call(1 << 30, 0), call((1 << 32) - 1, 0), call(0, (1 << 64) - 2)]
        for bad in ((1 << 32, 0), (-(1 << 31) - 1, 0), (0, 1 << 64), (0, -(1 << 63) - 1), (-1, 1 << 64)):
            with pytest.raises(OverflowError, match="one: parameter"):
                call(*bad)
        for wrong in ((), (1,), (1, 2, 3)):
            with pytest.raises(TypeError, match="expected 2 arguments"):
                call(*wrong)
        for strange in ((1.0, 0), ("1", 0), (0, None)):
            with pytest.raises(TypeError, match="parameter"):
                call(*strange)
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.extend((f["one"].once(1, 2), f["self"].once(500))))
    thread.start()
    thread.join()
    assert [3, 500] == results
