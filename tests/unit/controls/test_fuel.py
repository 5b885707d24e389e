"""Fuel: what is charged, exactly and the same in all engines; what happens when there is no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from polymerase import Instance, Limits, Module, PolymeraseError, Trap
from polymerase.api import fuel_table
from polymerase.options import Options

Wat = Callable[[str], bytes]
ENGINES = ("aot", "interp", "auto")

# Loops, branches, calls, indirect calls, tail calls, switches, traps: `run` goes through them as its argument says.
BRANCHY = """(module
  (type $t (func (param i32) (result i32)))
  (memory 1)
  (table funcref (elem $leaf $fac $early))
  (global $g (mut i32) (i32.const 0))
  (func $leaf (param i32) (result i32) local.get 0 i32.const 3 i32.add)
  (func $fac (param i32) (result i32)
    local.get 0 i32.eqz
    if (result i32) i32.const 1
    else local.get 0 local.get 0 i32.const 1 i32.sub call $fac i32.mul end)
  (func $early (param i32) (result i32)
    (block (block (block local.get 0 i32.const 3 i32.and br_table 0 1 2 0)
      nop i32.const 10 return)
      i32.const 20 global.set $g br 0)
    global.get $g)
  (func $down (param i32) (result i32)
    local.get 0 i32.eqz if i32.const 7 return end
    local.get 0 i32.const 1 i32.sub return_call $down)
  (func $odd (param i32) (result i32)
    local.get 0 i32.eqz if i32.const 0 return end
    local.get 0 i32.const 1 i32.sub return_call $even)
  (func $even (param i32) (result i32)
    local.get 0 i32.eqz if i32.const 1 return end
    local.get 0 i32.const 1 i32.sub return_call $odd)
  (func (export "run") (param $n i32) (result i32) (local $i i32) (local $s i32)
    (block $out
      (loop $again
        local.get $i local.get $n i32.ge_u br_if $out
        local.get $i i32.const 1 i32.and
        (if (then local.get $s local.get $i call $leaf i32.add local.set $s)
            (else local.get $s local.get $i i32.const 5 i32.rem_u call $fac i32.add local.set $s))
        local.get $i i32.const 7 i32.and i32.eqz local.get $i i32.const 3 i32.gt_u i32.and
        (if (then local.get $s local.get $i i32.const 3 i32.rem_u local.get $i i32.const 3 i32.rem_u
               call_indirect (type $t) i32.add local.set $s))
        (block (loop $inner
          local.get $s i32.const 1 i32.and br_if 1
          local.get $s i32.const 1 i32.add local.set $s br $inner))
        local.get $i i32.const 1 i32.add local.set $i br $again))
    local.get $s local.get $n call $down i32.add local.get $n call $odd i32.add
    local.get $n i32.const 4 i32.mul i32.load i32.add)
)"""


def metered(data: bytes, engine: str = "aot", fuel: int = 10**12, **limits: Any) -> Instance:
    return Module(data).instantiate(engine=engine, limits=Limits(fuel=fuel, **limits))  # type: ignore[arg-type]


# --- The count


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("body", "arg", "count"),
    [
        ("i32.const 1 drop local.get 0", 0, 3),
        ("nop nop local.get 0 return", 0, 4),
        ("(block nop) local.get 0", 0, 3),
        ("local.get 0 if (result i32) i32.const 1 else i32.const 2 i32.const 3 i32.add end", 1, 3),
        ("local.get 0 if (result i32) i32.const 1 else i32.const 2 i32.const 3 i32.add end", 0, 5),
        # the loop counts at each turn: get, const, sub, tee, br_if and loop; then get
        ("(loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0) local.get 0", 10, 61),
        # ten turns of 7 and br, the last of 3, block, get: while-shaped
        (
            "(block (loop local.get 0 i32.eqz br_if 1 local.get 0 i32.const 1 i32.sub local.set 0 br 0)) local.get 0",
            10,
            10 * 9 + 4 + 1 + 1,
        ),
        ("(block (block local.get 0 br_table 0 1) i32.const 5 return) i32.const 6", 0, 2 + 2 + 2),
        ("(block (block local.get 0 br_table 0 1) i32.const 5 return) i32.const 6", 1, 2 + 2 + 1),
        ("unreachable i32.const 1 drop local.get 0", 0, 1),
    ],
)
def test_each_instruction_counts_once_each_time(
    wat: Wat, engine: str, body: str, arg: int, count: int
) -> None:  # fmt: skip
    instance = metered(wat(f'(module (func (export "f") (param i32) (result i32) {body}))'), engine)
    try:
        instance.exports.f(arg)
    except Trap as e:
        assert "unreachable" == str(e)
    assert count == instance.fuel_used
    assert 10**12 - count == instance.fuel


def test_engines_count_alike(wat: Wat) -> None:
    data = wat(BRANCHY)
    for n in (0, 1, 2, 9, 40, 20_000):  # the last one traps, out of bounds
        seen = set()
        for engine in ENGINES:
            for level in (0, 2):
                module = Module(data, options=Options(opt_level=level))
                instance = module.instantiate(engine=engine, limits=Limits(fuel=10**12))  # type: ignore[arg-type]
                try:
                    result = instance.exports.run(n)
                except Trap as e:
                    result = str(e)
                seen.add((result, instance.fuel_used))
        assert 1 == len(seen), n


def test_engines_run_out_of_the_same_fuel_at_the_same_place(wat: Wat) -> None:
    data = wat(BRANCHY)
    whole = metered(data)
    whole.exports.run(4)
    total = whole.fuel_used
    assert total is not None
    module = Module(data)
    for fuel in range(total + 1):
        outcomes = []
        for engine in ENGINES:
            instance = module.instantiate(engine=engine, limits=Limits(fuel=fuel))  # type: ignore[arg-type]
            try:
                outcome: object = instance.exports.run(4)
            except Trap as e:
                outcome = str(e), e.frames
            outcomes.append((outcome, instance.fuel, instance.fuel_used))
            assert fuel == (instance.fuel or 0) + (instance.fuel_used or 0)
        assert 1 == len({str(o) for o in outcomes}), outcomes
        assert (fuel == total) == isinstance(outcomes[0][0], int)


def wasmtime_fuel(data: bytes, name: str, *args: int) -> int:
    wasmtime = pytest.importorskip("wasmtime", reason="wasmtime counts, too")
    config = wasmtime.Config()
    config.consume_fuel = True
    config.wasm_tail_call = True
    store = wasmtime.Store(wasmtime.Engine(config))
    store.set_fuel(10**15)
    instance = wasmtime.Instance(store, wasmtime.Module(store.engine, data), [])
    before: int = store.get_fuel()
    instance.exports(store)[name](store, *args)
    return before - int(store.get_fuel())


# As wasmtime charges: nothing for what does nothing, and one more for each function that begins.
AS_WASMTIME = dict.fromkeys(["nop", "drop", "block", "loop", "unreachable", "return"], 0) | dict.fromkeys(
    ["call", "call_indirect", "return_call", "return_call_indirect"], 2
)


@pytest.mark.parametrize("engine", ENGINES)
def test_wasmtime_counts_the_same(wat: Wat, engine: str) -> None:
    data = wat(BRANCHY)
    for n in (0, 1, 9, 40, 300):
        instance = metered(data, engine, fuel_costs=AS_WASMTIME)
        instance.exports.run(n)
        assert wasmtime_fuel(data, "run", n) == 1 + (instance.fuel_used or 0)


@pytest.mark.slow
def test_wasmtime_counts_the_same_for_the_kernels() -> None:
    pytest.importorskip("ziglang", reason="zig builds the kernels")
    from tools.bench.kernels import KERNELS, build

    for kernel in KERNELS:
        data = build(kernel).read_bytes()
        instance = metered(data, fuel_costs=AS_WASMTIME)
        instance.exports.run(2)
        assert wasmtime_fuel(data, "run", 2) == 1 + (instance.fuel_used or 0), kernel


# --- Costs


def test_costs_may_be_a_number_a_mapping_or_a_function(wat: Wat) -> None:
    data = wat('(module (func (export "f") (param i32) (result i32) local.get 0 i32.const 1 i32.add))')

    def used(costs: Any) -> int | None:
        instance = metered(data, fuel_costs=costs)
        instance.exports.f(0)
        return instance.fuel_used

    assert 30 == used(10)
    assert 0 == used(0)
    assert 102 == used({"i32.add": 100})
    assert len("local.get") + len("i32.const") + len("i32.add") == used(len)
    huge = metered(data, fuel=1 << 90, fuel_costs=1 << 70)
    assert 1 == huge.exports.f(0)
    assert 3 << 70 == huge.fuel_used


def test_large_costs_are_exact(wat: Wat) -> None:
    data = wat(BRANCHY)
    one = metered(data)
    one.exports.run(9)
    for cost in (1 << 20, (1 << 20) + 1, (1 << 30) - 1, (1 << 53) + 1, 1 << 100):
        instance = metered(data, fuel=1 << 200, fuel_costs=cost)
        instance.exports.run(9)
        assert cost * (one.fuel_used or 0) == instance.fuel_used


def test_one_module_has_code_for_each_costs(wat: Wat) -> None:
    module = Module(wat('(module (func (export "f") i32.const 1 drop))'))
    for costs, used in ((1, 2), (5, 10), (None, None), (1, 2)):
        limits = Limits() if costs is None else Limits(fuel=100, fuel_costs=costs)
        instance = module.instantiate(limits=limits)
        instance.exports.f()
        assert used == instance.fuel_used


def test_instructions_in_a_table_are_known() -> None:
    with pytest.raises(ValueError, match='no instruction "i32.ad"'):
        fuel_table({"i32.ad": 1})
    with pytest.raises(ValueError, match="end is never executed"):
        fuel_table({"end": 3})
    with pytest.raises(TypeError, match=r"fuel_costs\('block'\): expected an int, got 'x'"):
        fuel_table(lambda name: "x" if name == "block" else 1)  # type: ignore[arg-type,return-value]
    assert dict(fuel_table({"end": 0, "nop": 0}))["nop"] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_loops_that_cost_nothing_end(wat: Wat, engine: str) -> None:
    data = wat(
        '(module (func (export "f") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))'
    )
    instance = metered(data, engine, fuel=0, fuel_costs=0)
    instance.exports.f(1000)
    assert 0 == instance.fuel_used


# --- No more


@pytest.mark.parametrize("engine", ENGINES)
def test_a_block_that_cannot_be_paid_neither_runs_nor_is_charged(wat: Wat, engine: str) -> None:
    data = wat("""(module (memory (export "memory") 1) (func (export "f") (param i32)
        i32.const 0 i32.const 1 i32.store
        local.get 0 if i32.const 4 i32.const 2 i32.store i32.const 8 i32.const 3 i32.store end))""")
    instance = metered(data, engine, fuel=10)
    with pytest.raises(Trap, match="^all fuel consumed"):
        instance.exports.f(1)
    assert 5 == instance.fuel
    assert bytes([1, 0, 0, 0, 0]) == bytes(instance.memory.data[:5])
    instance.fuel = 11
    instance.exports.f(1)
    assert (0, 16) == (instance.fuel, instance.fuel_used)
    assert 3 == instance.memory.data[8]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_callback_adds_fuel_until_it_adds_none(wat: Wat, engine: str) -> None:
    data = wat(BRANCHY)
    asked: list[int | None] = []

    def more(instance: Instance) -> int:
        asked.append(instance.fuel)
        return 50 if len(asked) < 10 else 0

    instance = metered(data, engine, fuel=100, on_fuel=more)
    with pytest.raises(Trap, match="all fuel consumed"):
        instance.exports.run(1000)
    assert 10 == len(asked)
    assert 100 + 9 * 50 == (instance.fuel or 0) + (instance.fuel_used or 0)
    plain = metered(data, engine)
    plain.exports.run(9)
    asked.clear()
    instance = metered(data, engine, fuel=0, on_fuel=lambda i: 1)
    instance.exports.run(9)
    assert plain.fuel_used == instance.fuel_used


@pytest.mark.parametrize("answer", [-1, True, None, "1", 1.0])
def test_a_callback_gives_a_number_of_units(wat: Wat, answer: object) -> None:
    instance = metered(wat(BRANCHY), fuel=10, on_fuel=lambda i: answer)
    with pytest.raises(PolymeraseError, match="on_fuel: expected a number of units"):
        instance.exports.run(5)
    assert 10 == (instance.fuel or 0) + (instance.fuel_used or 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_callback_raises_reaches_the_caller(wat: Wat, engine: str) -> None:
    def fail(instance: Instance) -> int:
        raise ZeroDivisionError("the host's own")

    instance = metered(wat(BRANCHY), engine, fuel=77, on_fuel=fail)
    with pytest.raises(ZeroDivisionError, match="the host's own"):
        instance.exports.run(5)
    assert 77 == (instance.fuel or 0) + (instance.fuel_used or 0)


@pytest.mark.parametrize("engine", ["aot", "auto"])
def test_compiled_code_is_not_suspended(wat: Wat, engine: str) -> None:
    with pytest.raises(PolymeraseError, match='on_fuel="suspend".*interp'):
        metered(wat(BRANCHY), engine, on_fuel="suspend")


# --- The host


CALLS = """(module (import "m" "host" (func $h (param i32)))
    (func (export "f") (param i32) (loop local.get 0 call $h local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0))
    (func (export "g")) (func (export "h") (param i32) local.get 0 call $h))"""


@pytest.mark.parametrize("engine", ENGINES)
def test_host_functions_may_charge(wat: Wat, engine: str) -> None:
    module = Module(wat(CALLS))
    instance: Instance

    def host(n: int) -> None:
        instance.charge(100)

    limits = Limits(fuel=1000)
    instance = module.instantiate({"m": {"host": host}}, engine=engine, limits=limits)  # type: ignore[arg-type]
    instance.exports.f(3)
    assert 3 * (8 + 100) == instance.fuel_used
    with pytest.raises(Trap, match="all fuel consumed"):
        instance.exports.f(10)
    assert 1000 == (instance.fuel or 0) + (instance.fuel_used or 0)
    assert 9 * 108 + 8 == instance.fuel_used
    for value, error in ((-1, ValueError), (True, TypeError), (1.0, TypeError), ("1", TypeError)):
        with pytest.raises(error, match="charge: "):
            instance.charge(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ENGINES)
def test_host_functions_may_set_fuel_and_call_back(wat: Wat, engine: str) -> None:
    module = Module(wat(CALLS))
    seen: list[int | None] = []

    def host(n: int) -> None:
        seen.append(instance.fuel)
        instance.exports.g()
        if n == 2:
            instance.fuel = 1000

    limits = Limits(fuel=50)
    instance = module.instantiate({"m": {"host": host}}, engine=engine, limits=limits)  # type: ignore[arg-type]
    instance.exports.f(3)
    assert [42, 34, 992] == seen
    assert (992, 24) == (instance.fuel, instance.fuel_used)


def test_fuel_is_set_to_a_number_of_units(wat: Wat) -> None:
    instance = metered(wat(BRANCHY), fuel=5)
    for value, error in (
        (-1, ValueError),
        (True, TypeError),
        (1.5, TypeError),
        ("1", TypeError),
        (-(1 << 5000), ValueError),
    ):
        with pytest.raises(error, match="fuel: "):
            instance.fuel = value  # type: ignore[assignment]
    assert 5 == instance.fuel
    instance.fuel = None
    assert instance.exports.run(300)
    assert instance.fuel is None
    assert (instance.fuel_used or 0) > 300
    unmetered = Module(wat(BRANCHY)).instantiate()
    unmetered.charge(5)  # nothing
    assert unmetered.fuel is None
    assert unmetered.fuel_used is None
    with pytest.raises(PolymeraseError, match="not metered"):
        unmetered.fuel = 5
