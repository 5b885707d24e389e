"""One module in several threads: instances of their own do not meet, in each engine. More in runtime/checks.py."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

import polymerase
from polymerase.options import ENGINES, Engine

TEXT = """
(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (memory (export "memory") 1 9)
  (global $g (export "g") (mut i32) (i32.const 0))
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                     (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "through") (param i32) (result i32) (call $host (local.get 0)))
  (func (export "count") (global.set $g (i32.add (global.get $g) (i32.const 1))))
  (func (export "div") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func (export "grow") (result i32) (memory.grow (i32.const 1))))
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_with_instances_of_their_own_do_not_meet(engine: Engine, wat: Callable[[str], bytes]) -> None:
    module = polymerase.Module(wat(TEXT))
    errors: list[BaseException] = []

    def use(i: int) -> None:
        instance = module.instantiate({"env": {"host": lambda x: exports.fib(x) + i}}, engine=engine)
        exports = instance.exports
        for turn in range(8):
            assert (55, 55 + i) == (exports.fib(10), exports.through(10))
            exports.count()
            assert turn + 1 == exports.g.value == exports.grow()
            with pytest.raises(polymerase.Trap, match="integer divide by zero"):
                exports.div(0)
            exports.memory[turn] = i
            assert bytes([i] * (turn + 1)) == exports.memory[0 : turn + 1]
        assert 0 == instance.busy_thread

    def run(i: int) -> None:
        try:
            use(i)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors
