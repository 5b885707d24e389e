"""Functions that are compiled when they are first called."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from polymerase import driver
from polymerase.code import LazyCode
from polymerase.emit.module import FunctionCompiler
from polymerase.errors import InternalError, UnsupportedError
from polymerase.options import Options
from polymerase_runtime import Func, HostFunc, Instance, Trap, border, instantiate
from polymerase_runtime.instance import HELPERS
from polymerase_runtime.loading import is_loaded

Wat = Callable[[str], bytes]

CALLS = """
(module
  (import "env" "log" (func $log (param i32)))
  (type $t (func (param i32) (result i32)))
  (table (export "table") 4 funcref)
  (elem (i32.const 0) $double $square)
  (elem declare func $never)
  (func $double (type $t) (i32.mul (local.get 0) (i32.const 2)))
  (func $square (type $t) (i32.mul (local.get 0) (local.get 0)))
  (func $never (type $t) (i32.const 7))
  (func (export "apply") (param i32 i32) (result i32)
    (call $log (local.get 0))
    (call_indirect (type $t) (local.get 1) (local.get 0)))
  (func (export "twice") (param i32) (result i32) (call $double (call $double (local.get 0))))
)
"""


def made(data: bytes, **options: Any) -> LazyCode:
    return LazyCode(driver.load(data, "lazy.wasm"), Options(**options))


def instance_of(code: LazyCode, imports: Any = None) -> Instance:
    return instantiate(code.info, code, imports or {"env": {"log": lambda x: None}})


def test_only_what_is_called_is_compiled(wat: Wat) -> None:
    code = made(wat(CALLS))
    instance = instance_of(code)
    assert [] == code.compiled()
    assert 20 == instance.exports.twice(5)
    assert [1, 5] == code.compiled()
    assert 9 == instance.exports.apply(1, 3)
    assert [1, 2, 4, 5] == code.compiled()


def test_what_was_a_stub_is_replaced_wherever_the_instance_holds_it(wat: Wat) -> None:
    code = made(wat(CALLS))
    instance = instance_of(code)
    names = code.info.func_names
    space = instance.namespace
    assert not any(is_loaded(space, names[i]) for i in range(1, 6))
    assert "table0_t0" not in " ".join(name for name in space if name.startswith("table0_t"))
    double = instance.exports.table[0]
    assert (8, 9) == (instance.exports.apply(0, 4), instance.exports.apply(1, 3))
    for i in (1, 2):
        assert is_loaded(space, names[i])
        (entries,) = (space[name] for name in space if name.startswith("table0_t"))
        assert entries[i - 1] is space[names[i]] is instance.func(i).raw
    assert 10 == double(5)
    assert instance.exports.apply.raw is space[names[4]]


def test_code_is_shared_and_state_is_not(wat: Wat) -> None:
    code = made(wat(CALLS))
    first, second = instance_of(code), instance_of(code)
    assert 20 == first.exports.twice(5)
    shared = code.code(5)
    assert not is_loaded(second.namespace, code.info.func_names[5])
    assert 24 == second.exports.twice(6)
    assert shared is code.code(5)


def test_define_loads_before_the_call(wat: Wat) -> None:
    code = made(wat(CALLS))
    instance = instance_of(code)
    name = code.info.func_names[4]
    code.define(instance.namespace, 4)
    loaded = instance.namespace[name]
    assert is_loaded(instance.namespace, name)
    code.define(instance.namespace, 4)
    assert loaded is instance.namespace[name]
    assert 8 == instance.exports.apply(0, 4)


def test_tail_calls(wat: Wat) -> None:
    text = """
    (module
      (func $even (export "even") (param i64) (result i32)
        (if (result i32) (i64.eqz (local.get 0)) (then (i32.const 1))
          (else (return_call $odd (i64.sub (local.get 0) (i64.const 1))))))
      (func $odd (param i64) (result i32)
        (if (result i32) (i64.eqz (local.get 0)) (then (i32.const 0))
          (else (return_call $even (i64.sub (local.get 0) (i64.const 1)))))))
    """
    code = made(wat(text))
    instance = instance_of(code)
    assert 1 == instance.exports.even(100_000)
    assert all(is_loaded(instance.namespace, name) for name in code.info.func_names)


def test_what_cannot_be_compiled_is_an_error_of_the_call(wat: Wat) -> None:
    text = """
    (module
      (func $vector (export "vector") (drop (i8x16.splat (i32.const 1))))
      (func (export "calls") (call $vector))
      (func (export "fine") (result i32) (i32.const 7)))
    """
    instance = instance_of(made(wat(text)))
    assert 7 == instance.exports.fine()
    for _ in range(2):
        for name in ("vector", "calls"):
            with pytest.raises(UnsupportedError, match=r'^lazy\.wasm:0x[0-9a-f]+: func 0 "vector": .*i8x16\.splat'):
                instance.exports[name]()
    assert 7 == instance.exports.fine()


def test_a_bug_of_ours_names_the_function(wat: Wat, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("oops")

    instance = instance_of(made(wat(CALLS)))
    with monkeypatch.context() as m:
        m.setattr(FunctionCompiler, "compile", fail)
        with pytest.raises(InternalError, match="func 5: internal error in emit: KeyError"):
            instance.exports.twice(1)
    assert 4 == instance.exports.twice(1)


def test_traps_in_loaded_functions_name_them_and_no_stub(wat: Wat) -> None:
    text = '(module (func $trap (unreachable)) (func (export "run") (call $trap)))'
    instance = instance_of(made(wat(text)))
    with pytest.raises(Trap, match="unreachable") as caught:
        instance.exports.run()
    assert [(1, "run"), (0, "trap")] == [(f.func, f.name) for f in caught.value.frames]
    assert all(f.offset for f in caught.value.frames)


RECURSIVE = """
(module
  (func $down (export "down") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (call $leaf (i32.const 20)))
      (else (call $down (i32.sub (local.get 0) (i32.const 1))))))
  (func $forever (export "forever") (param i32) (result i32) (call $leaf (call $forever (local.get 0))))
  (func $leaf (param i32) (result i32)
    (block $a (block $b (block $c (br_table $a $b $c (local.get 0))) (return (i32.const 1))) (return (i32.const 2)))
    (i32.const 3)))
"""


def test_a_function_is_compiled_however_deep_its_first_caller_is(wat: Wat) -> None:
    code = made(wat(RECURSIVE))
    depth = min(instance_of(code).depth, border._limit)
    failed = 0
    for room in (*range(2, 80, 6), 150, 300, 1000):
        lazy = made(wat(RECURSIVE))
        down = instance_of(lazy).exports.down
        down(0)
        lazy._codes.pop(2)  # so that it is compiled again
        other = instance_of(lazy)
        try:
            assert 1 == other.exports.down(depth - room)
        except Trap as e:
            assert "call stack exhausted" == str(e)
            failed += 1
        assert 1 == other.exports.down(3)
    assert failed < 12


def test_endless_recursion_of_what_is_loaded_is_a_trap(wat: Wat) -> None:
    limit = sys.getrecursionlimit()
    instance = instance_of(made(wat(RECURSIVE)))
    for _ in range(2):
        with pytest.raises(Trap, match="call stack exhausted"):
            instance.exports.forever(1)
    assert limit == sys.getrecursionlimit()


def test_large_frames_lower_the_limit_when_they_are_loaded(wat: Wat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(border, "MAX_SLOTS", 1 << 22)
    count = 8000
    text = f"""
    (module
      (func $small (export "small") (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0)) (then (call $large (i32.const 5)))
          (else (call $small (i32.sub (local.get 0) (i32.const 1))))))
      (func $large (export "large") (param i32) (result i32) (local {"i32 " * count})
        {"".join(f"(local.set {k} (local.get 0))" for k in range(1, count, 8))}
        (if (result i32) (local.get 0) (then (call $large (local.get 0))) (else (local.get {count}))))
    )"""
    instance = instance_of(made(wat(text), opt_level=0))
    large = instance.exports.large
    assert 60_000 == instance.depth
    with pytest.raises(Trap, match="call stack exhausted"):
        instance.exports.small(8_000)  # too deep already for such a frame
    with pytest.raises(Trap, match="call stack exhausted") as caught:
        instance.exports.small(1)
    assert 1000 <= instance.depth < 4_200
    assert instance.depth == large.depth
    assert caught.value.elided + len(caught.value.frames) <= instance.depth


def test_threads_that_call_a_function_first(wat: Wat) -> None:
    code = made(wat(CALLS))
    barrier = threading.Barrier(8)
    results: list[object] = []

    def run(n: int) -> None:
        instance = instance_of(code)
        barrier.wait()
        try:
            results.append((n, instance.exports.twice(n), instance.exports.apply(1, n)))
        except BaseException as e:
            results.append(e)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(n, 4 * n, n * n) for n in range(8)] == sorted(results, key=str)


def test_another_instance_may_import_what_is_not_loaded_yet(wat: Wat) -> None:
    user = wat("""(module (import "m" "twice" (func $twice (param i32) (result i32)))
                  (import "m" "table" (table 4 funcref)) (func $own (param i32) (result i32) (i32.const 9))
                  (elem (i32.const 2) $own $twice)
                  (func (export "run") (param i32) (result i32) (call $twice (local.get 0))))""")
    first = instance_of(made(wat(CALLS)))
    second = instance_of(made(user), {"m": first})
    assert 12 == second.exports.run(3)
    assert (9, 16) == (first.exports.apply(2, 0), first.exports.apply(3, 4))
    assert isinstance(first.exports.table[2], Func)
    first.exports.table[0] = HostFunc(first.exports.twice.type, lambda x: x + 1)
    assert 6 == first.exports.apply(0, 5)


def test_all_at_once_describes_the_same_module(wat: Wat) -> None:
    module = driver.load(wat(CALLS), "lazy.wasm")
    info, _ = driver.compile_in_memory(module, Options())
    assert LazyCode(module, Options()).info == info._replace(typed_tables=(), frame_slots=0)


@pytest.mark.parametrize("target", ["cpython", "pypy"])
def test_helpers_that_functions_name_are_in_every_namespace(target: str, root: Any) -> None:
    for path in sorted((root / "examples").glob("*.wasm"))[:3]:
        _, code = driver.compile_in_memory(driver.load(path.read_bytes()), Options(target=target))  # type: ignore[arg-type]
        assert set(code.helpers) <= set(HELPERS)  # type: ignore[attr-defined]
