"""The engines: which functions are interpreted, when that changes, and what nobody may notice of it."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import wasmtime

import polymerase
from polymerase import driver
from polymerase.emit.chunks import Writer
from polymerase.errors import InternalError, LinkError, UnsupportedError, Where
from polymerase.options import ENGINES, Engine, Options
from polymerase_runtime import border, interpreter
from polymerase_runtime.interpreter import LOOP


def module(text: str, options: Options | None = None) -> polymerase.Module:
    return polymerase.Module(bytes(wasmtime.wat2wasm(text)), "test.wasm", options=options)


SUM = """(module (func $sum (export "sum") (param i32) (result i32) (local i32)
    loop local.get 0 local.get 1 i32.add local.set 1
        local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end
    local.get 1))"""


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="engine is one of interp, aot, auto, not 'jit'"):
        module(SUM).instantiate(engine="jit")  # type: ignore[arg-type] # what is tested


# --- auto


def test_a_running_loop_goes_on_as_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "SLICE", 100)
    instance = module(SUM).instantiate(engine="auto")
    assert instance.machine is not None
    code = instance.machine.bodies.code(0)
    assert not code.compiled_loops
    assert sum(range(10_001)) == instance.exports.sum(10_000)  # one call: compiled while it runs
    assert [LOOP] == [code.segments[code.starts[head]][0] for head in code.compiled_loops]
    assert 0 not in instance.machine.interpreted  # and the function for later calls
    assert sum(range(11)) == instance.exports.sum(10)
    assert instance.namespace["func0_sum"].__globals__ is instance.namespace


def test_what_runs_little_is_never_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver.FunctionCompiler, "compile_loop", None)
    instance = module(SUM).instantiate(engine="auto")
    assert 55 == instance.exports.sum(10)
    assert instance.machine is not None
    assert {0} == instance.machine.interpreted


NESTED = """(module
    (memory 1)
    (func (export "run") (param $n i32) (result i32) (local $i i32) (local $j i32) (local $s i32)
        loop $outer
            i32.const 0 local.set $j
            loop $inner
                local.get $j i32.const 7 i32.rem_u i32.eqz
                if
                    local.get $s local.get $j i32.xor local.set $s
                    local.get $s i32.const 1000000 i32.gt_u if local.get $s i32.const -1 i32.xor return end
                end
                local.get $j i32.const 3 i32.mul i32.const 0xfffc i32.and local.get $s i32.store
                local.get $s local.get $j i32.const 0xfffc i32.and i32.load i32.add
                i32.const 0xfffff i32.and local.set $s
                local.get $j i32.const 1 i32.add local.tee $j i32.const 50 i32.lt_u br_if $inner
                local.get $s i32.const 3 i32.and i32.const 3 i32.eq br_if $outer
            end
            local.get $i i32.const 1 i32.add local.tee $i local.get $n i32.lt_u br_if $outer
        end
        local.get $s))"""


@pytest.mark.parametrize("slice_", [1, 7, 60, 1000])
def test_loops_with_several_ways_out_go_on_where_they_should(slice_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "SLICE", slice_)
    expected = [module(NESTED).instantiate(engine="aot").exports.run(n) for n in (1, 5, 40)]
    assert expected == [module(NESTED).instantiate(engine="auto").exports.run(n) for n in (1, 5, 40)]
    assert expected == [module(NESTED).instantiate(engine="interp").exports.run(n) for n in (1, 5, 40)]


def test_code_that_was_compiled_for_one_instance_serves_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "SLICE", 50)
    made = module(NESTED)
    first = made.instantiate(engine="auto")
    second = made.instantiate(engine="auto")
    assert first.exports.run(20) == second.exports.run(20) == first.exports.run(20)
    assert bytes(first.memory) == bytes(second.memory)


# --- Calls from one engine to the other

EVEN = """(module
    (table 2 funcref) (elem (i32.const 0) $even $odd)
    (type $f (func (param i32) (result i32)))
    (func $even (export "even") (type $f)
        local.get 0 i32.eqz if i32.const 1 return end
        local.get 0 i32.const 1 i32.sub return_call $odd)
    (func $odd (export "odd") (type $f)
        local.get 0 i32.eqz if i32.const 0 return end
        local.get 0 i32.const 1 i32.sub i32.const 0 return_call_indirect (type $f)))"""


@pytest.mark.parametrize("interpret", [(), ("even",), ("odd",), ("*",)])
def test_tail_calls_between_the_engines_take_no_stack(interpret: tuple[str, ...]) -> None:
    exports = module(EVEN, Options(interpret=interpret)).instantiate(engine="aot").exports
    assert (1, 0, 0) == (exports.even(60_000), exports.even(60_001), exports.odd(60_000))


CALLS = """(module
    (import "env" "host" (func $host (param i32) (result i32)))
    (table (export "table") 3 funcref) (elem (i32.const 0) $a $b $host)
    (type $f (func (param i32) (result i32)))
    (func $a (export "a") (type $f)
        local.get 0 i32.eqz if i32.const 100 return end
        local.get 0 i32.const 1 i32.sub i32.const 1 call_indirect (type $f) i32.const 1 i32.add)
    (func $b (export "b") (type $f)
        local.get 0 i32.eqz if i32.const 200 return end
        local.get 0 i32.const 1 i32.sub call $a i32.const 2 i32.add)
    (func (export "pair") (param i32) (result i32 i64)
        local.get 0 call $two)
    (func $two (param i32) (result i32 i64)
        local.get 0 call $host local.get 0 i64.extend_i32_s)
    (func (export "trap") (param i32) (result i32)
        local.get 0 if (result i32) local.get 0 i32.const 1 i32.sub call $deep else unreachable end)
    (func $deep (param i32) (result i32)
        local.get 0 if (result i32) local.get 0 i32.const 1 i32.sub i32.const 2 call_indirect (type $f)
        else i32.const 5 i32.const 0 i32.div_u end))"""


@pytest.mark.parametrize("interpret", [(), ("a",), ("b", "two"), ("two", "trap"), ("deep",), ("*",)])
@pytest.mark.parametrize("engine", ENGINES)
def test_calls_between_the_engines(engine: Engine, interpret: tuple[str, ...]) -> None:
    instance: polymerase.Instance

    def host(n: int) -> int:
        return instance.exports.trap(n) if n < 5 else n * 3

    instance = module(CALLS, Options(interpret=interpret)).instantiate({"env": {"host": host}}, engine=engine)
    exports = instance.exports
    assert [100, 201, 103] == [exports.a(0), exports.a(1), exports.a(2)]
    assert [200, 102, 203] == [exports.b(0), exports.b(1), exports.b(2)]
    assert (21, 7) == exports.pair(7)
    assert 201 == exports.table[0](1)
    with pytest.raises(polymerase.Trap, match="integer divide by zero") as caught:
        exports.trap(3)
    # trap(3) -> deep(2) -> host(1) -> trap(1) -> deep(0)
    assert [5, 6, 5, 6] == [frame.func for frame in caught.value.frames]
    assert all(frame.offset for frame in caught.value.frames)


@pytest.mark.parametrize("engine", ENGINES)
def test_exceptions_of_host_functions_pass_untouched(engine: Engine) -> None:
    error = IndexError("list of the host's")

    def host(n: int) -> int:
        raise error

    instance = module(CALLS).instantiate({"env": {"host": host}}, engine=engine)
    with pytest.raises(IndexError) as caught:
        instance.exports.pair(1)
    assert error is caught.value
    assert [100, 201] == [instance.exports.a(0), instance.exports.a(1)]  # the instance goes on


@pytest.mark.parametrize("engine", ENGINES)
def test_endless_recursion_is_a_trap_in_every_engine(engine: Engine) -> None:
    made = module('(module (func $f (export "f") (param i32) (result i32) local.get 0 call $f i32.const 1 i32.add))')
    exports = made.instantiate(engine=engine).exports
    for _ in range(2):
        with pytest.raises(polymerase.Trap, match="call stack exhausted") as caught:
            exports.f(1)
        assert caught.value.elided
        assert {0} == {frame.func for frame in caught.value.frames}


def test_large_interpreted_frames_recurse_no_deeper_than_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(border, "MAX_SLOTS", 1 << 22)
    text = f"""(module (func $f (export "f") (param i32) (local {"i64 " * 2000})
        local.get 0 if local.get 0 i32.const 1 i32.sub call $f end))"""
    instance = module(text).instantiate(engine="interp")
    exports = instance.exports
    exports.f(2000)
    with pytest.raises(polymerase.Trap, match="call stack exhausted"):
        exports.f(2200)
    exports.f(2000)


def test_interpreters_that_call_each_other_share_one_stack() -> None:
    text = """(module (import "m" "h" (func $h))
        (func $f (export "f") (param i32) local.get 0
            if local.get 0 i32.const 1 i32.sub call $f else call $h end))"""
    calls: list[int] = []

    def host() -> None:
        calls.append(1)
        if len(calls) < 4:
            exports.f(25_000)

    exports = module(text).instantiate({"m": {"h": host}}, engine="interp").exports
    with pytest.raises(polymerase.Trap, match="call stack exhausted"):
        exports.f(25_000)
    assert 2 == len(calls)
    calls += [1, 1]
    exports.f(50_000)
    exports.f(50_000)


@pytest.mark.parametrize("engine", ["aot", "auto"])
@pytest.mark.parametrize("slice_", [3, 4000])
def test_a_stack_too_full_to_prepare_a_function_is_the_guests(
    engine: Engine, slice_: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "SLICE", slice_)
    text = """(module
        (func $f (export "f") (param i32) (result i32) local.get 0
            if (result i32) local.get 0 i32.const 1 i32.sub call $f i32.const 1 i32.add
            else i32.const 7 call $g end)
        (func $g (param i32) (result i32) (local i32)
            loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end local.get 1))"""
    options = Options(interpret=("1",) if engine == "aot" else ())

    def run(n: int) -> int | None:
        try:
            return int(module(text, options).instantiate(engine=engine).exports.f(n))
        except polymerase.Trap as e:
            assert "call stack exhausted" == str(e).partition("\n")[0]
            return None

    fits, most = 0, 70_000
    while most - fits > 1:
        middle = (fits + most) // 2
        fits, most = (fits, middle) if run(middle) is None else (middle, most)
    for n in range(fits - 100, fits + 20, 3):
        assert run(n) in (n, None)


@pytest.mark.parametrize("engine", ENGINES)
def test_calls_end_at_the_depth_asked_for_in_every_engine(engine: Engine) -> None:
    text = """(module (func $f (export "f") (param i32) (result i32) (local i64)
        local.get 0 if (result i32) local.get 0 i32.const 1 i32.sub call $f else i32.const 7 end))"""
    for limits, most in (
        (polymerase.Limits(call_depth=10), 9),
        (polymerase.Limits(value_slots=50), 24),
        (polymerase.Limits(call_depth=30, value_slots=40), 19),
    ):
        exports = module(text).instantiate(engine=engine, limits=limits).exports
        for _ in range(2):
            assert 7 == exports.f(most)
            with pytest.raises(polymerase.Trap, match="call stack exhausted") as caught:
                exports.f(most + 1)
            assert most + 2 == len(caught.value.frames)


# --- Fallback and --interpret

TWO = """(module
    (func $good (export "good") (result i32) i32.const 1)
    (func $bad (export "bad") (result i32) i32.const 2)
    (func (export "both") (result i32) call $good call $bad i32.add))"""


@pytest.fixture
def bad_emitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emitter refuses function 1."""
    compile_ = driver.FunctionCompiler.compile

    def refuse(self: driver.FunctionCompiler, n: int) -> Any:
        if n == 1:
            raise InternalError("emit", "too odd", Where("test.wasm", 1, "bad", 7))
        return compile_(self, n)

    monkeypatch.setattr(driver.FunctionCompiler, "compile", refuse)


@pytest.mark.usefixtures("bad_emitter")
def test_what_cannot_be_compiled_is_interpreted_with_a_warning() -> None:
    exports = module(TWO).instantiate(engine="aot").exports
    with pytest.warns(polymerase.FallbackWarning) as caught:
        assert 3 == exports.both()
        assert 2 == exports.bad()
        assert 3 == exports.both()
    assert ['test.wasm: func 1 "bad" is interpreted: internal error in emit: too odd'] == [
        str(w.message).partition(" (")[0] for w in caught
    ]


@pytest.mark.usefixtures("bad_emitter")
def test_fallback_may_be_silent_or_an_error() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", polymerase.FallbackWarning)
        assert 3 == module(TWO, Options(fallback="silent")).instantiate(engine="aot").exports.both()
    exports = module(TWO, Options(fallback="error")).instantiate(engine="aot").exports
    assert 1 == exports.good()
    for _ in range(2):
        with pytest.raises(InternalError, match='func 1 "bad": internal error in emit: too odd'):
            exports.both()


def test_what_neither_engine_does_is_an_error_that_names_it() -> None:
    text = """(module (func $v (export "v") (result i32)
        v128.const i64x2 1 2 i32x4.extract_lane 0) (func (export "f") (result i32) i32.const 3))"""
    for engine in ENGINES:
        exports = module(text).instantiate(engine=engine).exports
        assert 3 == exports.f()
        with pytest.raises(UnsupportedError, match='test.wasm:0x.*: func 0 "v": simd is not compiled yet'):
            exports.v()


@pytest.mark.parametrize("name", ["bad", "1", "*"])
def test_functions_are_interpreted_by_name_and_index(name: str) -> None:
    instance = module(TWO, Options(interpret=(name,))).instantiate(engine="aot")
    assert 3 == instance.exports.both()
    assert instance.machine is not None
    assert (set(range(3)) if name == "*" else {1}) == instance.machine.interpreted


def test_interpreting_what_is_no_function_is_an_error() -> None:
    for name in ("nope", "3", ""):
        with pytest.raises(LinkError, match=f'test.wasm: no function "{name}" to interpret'):
            module(TWO, Options(interpret=(name,))).instantiate(engine="aot")


# --- Suspending


def test_a_host_function_suspends_the_guest_and_its_results_come_later() -> None:
    def host(n: int) -> int:
        raise polymerase.Suspend

    instance = module(CALLS).instantiate({"env": {"host": host}}, engine="interp")
    with pytest.raises(polymerase.Suspended):
        instance.exports.pair(7)
    suspension = instance.suspended
    assert suspension is not None
    assert suspension.awaiting and suspension.results == ("i32",)
    assert [3, 4] == [frame.func for frame in suspension.frames]
    for wrong in ((), (1, 2), ("x",), (1 << 40,)):
        with pytest.raises((TypeError, OverflowError)):
            instance.resume(*wrong)
        assert suspension is instance.suspended
    assert (-5, 7) == instance.resume(-5)
    assert instance.suspended is None
    with pytest.raises(polymerase.PolymeraseError, match="nothing to resume"):
        instance.resume()


@pytest.mark.parametrize("fuel", [None, 1000])
def test_calls_with_a_deadline_can_be_suspended(fuel: int | None) -> None:
    def host(n: int) -> int:
        raise polymerase.Suspend

    limits = polymerase.Limits(deadline=60.0, call_depth=5, fuel=fuel)
    instance = module(CALLS).instantiate({"env": {"host": host}}, engine="interp", limits=limits)
    with pytest.raises(polymerase.Suspended):
        instance.exports.pair(7)
    assert (3, 7) == instance.resume(3)


def test_a_guest_is_not_suspended_with_compiled_code_or_another_instance_between() -> None:
    def host(n: int) -> int:
        raise polymerase.Suspend

    imports = {"env": {"host": host}}
    mixed = module(CALLS, Options(interpret=("pair",))).instantiate(imports, engine="aot")
    with pytest.raises(polymerase.PolymeraseError, match="cannot suspend: a host function or compiled code"):
        mixed.exports.pair(7)  # pair -> two, compiled -> host
    assert mixed.suspended is None

    inner = module(CALLS).instantiate(imports, engine="interp")
    text = """(module (import "env" "a" (func $a (param i32) (result i32 i64)))
        (func (export "f") (result i32 i64) i32.const 1 call $a))"""
    outer = module(text).instantiate({"env": {"a": inner.exports.pair}}, engine="interp")
    with pytest.raises(polymerase.PolymeraseError, match="cannot suspend: a host function or compiled code"):
        outer.exports.f()
    assert inner.suspended is None and outer.suspended is None


def test_a_guest_is_not_suspended_within_a_compiled_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "SLICE", 5)
    turns: list[int] = []

    def host() -> None:
        turns.append(1)
        if len(turns) > 500:
            raise polymerase.Suspend

    text = '(module (import "m" "h" (func $h)) (func (export "f") loop call $h br 0 end))'
    instance = module(text).instantiate({"m": {"h": host}}, engine="auto")
    with pytest.raises(polymerase.PolymeraseError, match="cannot suspend: a host function or compiled code"):
        instance.exports.f()
    assert instance.suspended is None


def test_a_suspended_instance_can_be_called_and_then_goes_on() -> None:
    def host(n: int) -> int:
        raise polymerase.Suspend

    instance = module(CALLS).instantiate({"env": {"host": host}}, engine="interp")
    with pytest.raises(polymerase.Suspended):
        instance.exports.pair(7)
    assert 201 == instance.exports.a(1)
    with pytest.raises(polymerase.PolymeraseError, match="already suspended"):
        instance.exports.pair(8)
    assert (3, 7) == instance.resume(3)


def test_what_holds_frames_of_others_cannot_be_suspended() -> None:
    def host(n: int) -> int:
        if n:
            return instance.exports.pair(0)[0]  # type: ignore[no-any-return] # an int
        raise polymerase.Suspend

    for options in (Options(), Options(interpret=("two",))):
        engine: Engine = "aot" if options.interpret else "interp"
        instance = module(CALLS, options).instantiate({"env": {"host": host}}, engine=engine)
        with pytest.raises(polymerase.PolymeraseError, match="cannot suspend"):
            instance.exports.pair(1)
        assert instance.suspended is None
        assert 100 == instance.exports.a(0)
    instance = module(CALLS).instantiate({"env": {"host": host}}, engine="aot")
    with pytest.raises(polymerase.Suspend):
        instance.exports.pair(0)


def test_out_of_fuel_the_guest_is_suspended_and_goes_on_when_refuelled() -> None:
    made = module(SUM)
    limits = polymerase.Limits(fuel=100, on_fuel="suspend")
    instance = made.instantiate(engine="interp", limits=limits)
    whole = made.instantiate(engine="interp", limits=polymerase.Limits(fuel=10**6))
    assert sum(range(101)) == whole.exports.sum(100)
    with pytest.raises(polymerase.Suspended):
        instance.exports.sum(100)
    times = 1
    while True:
        assert instance.fuel is not None
        instance.fuel += 60
        try:
            result = instance.resume()
            break
        except polymerase.Suspended:
            times += 1
    assert sum(range(101)) == result
    assert times > 5
    assert whole.fuel_used == instance.fuel_used


# --- Packages


def imported(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module(name)


@pytest.mark.parametrize("interpret", [("a",), ("b", "two"), ("*",)])
@pytest.mark.parametrize("target", ["cpython", "both"])
def test_packages_hold_functions_that_are_interpreted(
    interpret: tuple[str, ...], target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"mixed_{len(interpret)}{target}{'all' if interpret == ('*',) else ''}_py"
    summary = polymerase.compile_package(module(CALLS), tmp_path / name, interpret=interpret, target=target)
    assert (6 if interpret == ("*",) else len(interpret)) == summary.interpreted
    package = imported(tmp_path, name, monkeypatch)

    def host(n: int) -> Any:
        return instance.exports.trap(n) if n < 5 else n * 3

    instance = package.instantiate({"env": {"host": host}})
    exports = instance.exports
    assert [100, 201, 103] == [exports.a(n) for n in range(3)]
    assert (21, 7) == exports.pair(7)
    with pytest.raises(package.Trap, match="integer divide by zero") as caught:
        exports.trap(3)
    assert [5, 6, 5, 6] == [frame.func for frame in caught.value.frames]


def test_packages_of_interpreted_functions_can_be_suspended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def host(n: int) -> int:
        raise polymerase.Suspend

    polymerase.compile_package(module(CALLS), tmp_path / "suspend_py", interpret=("*",))
    package = imported(tmp_path, "suspend_py", monkeypatch)
    instance = package.instantiate({"env": {"host": host}})
    with pytest.raises(polymerase.Suspended):
        instance.exports.pair(7)
    again = package.restore(instance.snapshot(), {"env": {"host": host}})
    assert (9, 7) == again.resume(9) == instance.resume(9)


@pytest.fixture
def bad_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text of function 1 cannot be made."""
    function = Writer._function

    def refuse(self: Writer, emitter: Any, f: Any, file: Any) -> Any:
        if f.i == 1:
            raise InternalError("emit", "too odd", Where("test.wasm", 1, "bad", 7))
        return function(self, emitter, f, file)

    monkeypatch.setattr(Writer, "_function", refuse)


@pytest.mark.usefixtures("bad_writer")
def test_compile_fails_or_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InternalError, match='func 1 "bad": internal error in emit'):
        polymerase.compile_package(module(TWO), tmp_path / "no_py")
    assert [] == list(tmp_path.iterdir())
    with pytest.warns(polymerase.FallbackWarning, match='test.wasm: func 1 "bad" is interpreted: internal error'):
        summary = polymerase.compile_package(module(TWO), tmp_path / "warned_py", fallback="warn")
    assert (3, 1) == (summary.functions, summary.interpreted)
    with warnings.catch_warnings():
        warnings.simplefilter("error", polymerase.FallbackWarning)
        polymerase.compile_package(module(TWO), tmp_path / "silent_py", fallback="silent")
    for name in ("warned_py", "silent_py"):
        package = imported(tmp_path, name, monkeypatch)
        assert (1, 2, 3) == (package.good(), package.bad(), package.both())


def test_what_neither_engine_does_fails_whatever_the_fallback(tmp_path: Path) -> None:
    text = '(module (func $v (export "v") (result i32) v128.const i64x2 1 2 i32x4.extract_lane 0))'
    for fallback in ("error", "warn", "silent"):
        with pytest.raises(UnsupportedError, match='func 0 "v": simd is not compiled yet'):
            polymerase.compile_package(module(text), tmp_path / "v_py", fallback=fallback)
    assert [] == list(tmp_path.iterdir())
