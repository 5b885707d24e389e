"""Depth, value slots, floats, determinism; what makes no sense; packages and the command line."""

from __future__ import annotations

import importlib.util
import json
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polymerase import Instance, Limits, Module, PolymeraseError, Trap, UnsupportedError, Wasi, compile_package
from polymerase.api import fuel_table
from polymerase.options import Controls

Wat = Callable[[str], bytes]
ENGINES = ("aot", "interp", "auto")

DEPTH = """(module (import "m" "back" (func $back (param i32)))
    (func $rec (export "rec") (param i32) (result i32) (local i64 i64)
      local.get 0 i32.eqz if (result i32) i32.const 0
      else local.get 0 i32.const 1 i32.sub call $rec i32.const 1 i32.add end)
    (func $tail (export "tail") (param i32) local.get 0 i32.eqz if return end
      local.get 0 i32.const 1 i32.sub return_call $liat)
    (func $liat (param i32) local.get 0 return_call $tail)
    (func $host (export "host") (param i32) local.get 0 if local.get 0 i32.const 1 i32.sub call $back end))"""


def deep(wat: Wat, engine: str, **limits: Any) -> Instance:
    instance: Instance

    def back(n: int) -> None:
        instance.exports.host(n)

    instance = Module(wat(DEPTH)).instantiate({"m": {"back": back}}, engine=engine, limits=Limits(**limits))  # type: ignore[arg-type]
    return instance


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("depth", [1, 2, 10, 300])
def test_so_many_functions_run_and_one_more_traps(wat: Wat, engine: str, depth: int) -> None:
    instance = deep(wat, engine, call_depth=depth)
    for _ in range(2):  # the count is restored after a trap
        assert depth - 1 == instance.exports.rec(depth - 1)
        with pytest.raises(Trap, match="^call stack exhausted"):
            instance.exports.rec(depth)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_function_runs_at_depth_0(wat: Wat, engine: str) -> None:
    instance = deep(wat, engine, call_depth=0)
    with pytest.raises(Trap, match="^call stack exhausted"):
        instance.exports.rec(0)


@pytest.mark.parametrize("engine", ENGINES)
def test_tail_calls_add_nothing(wat: Wat, engine: str) -> None:
    deep(wat, engine, call_depth=1, value_slots=1).exports.tail(1000)


@pytest.mark.parametrize("engine", ENGINES)
def test_calls_by_way_of_the_host_count_on(wat: Wat, engine: str) -> None:
    instance = deep(wat, engine, call_depth=5)
    instance.exports.host(4)
    with pytest.raises(Trap, match="^call stack exhausted"):
        instance.exports.host(5)
    instance.exports.host(4)


@pytest.mark.parametrize("engine", ENGINES)
def test_value_slots_are_parameters_and_locals(wat: Wat, engine: str) -> None:
    instance = deep(wat, engine, value_slots=3 * 7 + 2)
    assert 6 == instance.exports.rec(6)
    with pytest.raises(Trap, match="^call stack exhausted"):
        instance.exports.rec(7)
    assert 6 == instance.exports.rec(6)


def test_depth_and_fuel_and_polls_together(wat: Wat) -> None:
    instance = deep(wat, "aot", call_depth=5, fuel=1000, fuel_costs={"loop": 0, "br": 0})
    with pytest.raises(Trap, match="^call stack exhausted"):
        instance.exports.rec(5)
    assert 5 * 9 == instance.fuel_used  # the sixth was not charged
    assert ("depth", "fuel", "polls") == instance.info.controls


# --- Values that make no sense


@pytest.mark.parametrize(
    "field", ["memory_pages", "table_elements", "total_bytes", "call_depth", "value_slots", "fuel", "fuel_costs"]
)
def test_limits_are_numbers(field: str) -> None:
    for value in (True, 1.0, "1", b"1", (1,)):
        with pytest.raises(TypeError, match=f"^{field}: expected"):
            Limits(**{field: value})  # type: ignore[arg-type]
    for value in (-1, -(1 << 100), -(1 << 50_000)):
        with pytest.raises(ValueError, match=f"^{field}: expected 0 or more, got"):
            Limits(**{field: value})
    Limits(**{field: 0})
    Limits(**{field: 1 << 50_000})


@pytest.mark.parametrize("field", ["interruptible", "floats", "deterministic"])
@pytest.mark.parametrize("value", [1, None, "yes"])
def test_switches_are_true_or_false(field: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"^{field}: expected True or False"):
        Limits(**{field: value})  # type: ignore[arg-type]


def test_costs_and_policies_are_checked() -> None:
    with pytest.raises(TypeError, match="fuel_costs: expected names"):
        Limits(fuel_costs={1: 1})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match=r"fuel_costs\['nop'\]: expected an int"):
        Limits(fuel_costs={"nop": True})
    with pytest.raises(ValueError, match=r"fuel_costs\['nop'\]: expected 0 or more"):
        Limits(fuel_costs={"nop": -1})
    with pytest.raises(ValueError, match="on_fuel: expected 'trap' or 'suspend'"):
        Limits(on_fuel="stop")
    with pytest.raises(TypeError, match="on_fuel: expected"):
        Limits(on_fuel=5)  # type: ignore[arg-type]


def test_limits_are_limits(wat: Wat) -> None:
    with pytest.raises(TypeError, match="limits: expected Limits"):
        Module(wat("(module)")).instantiate(limits={"fuel": 5})  # type: ignore[arg-type]


# --- No floating point


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("(module (func $one) (func $f (result i32) f32.const 1 drop i32.const 0))", 'func 1 "f": .*f32.const'),
        ("(module (func (param f64)))", "type 0 is"),
        ("(module (type (func (result f32))))", "type 0 is"),
        ("(module (global f64 (f64.const 0)))", "global 0 is f64"),
        ("(module (func (local i32 f64)))", "func 0: .*a local is f64"),
        ("(module (memory 1) (func i32.const 0 i32.const 0 f32.load f32.store))", "0x.*f32.load"),
        ("(module (func i64.const 0 f64.reinterpret_i64 drop))", "f64.reinterpret_i64"),
        ("(module (func unreachable (if (result f32) (then unreachable) (else unreachable)) drop))", "if|type"),
        ("(module (func v128.const i32x4 0 0 0 0 f32x4.neg drop))", "f32x4.neg"),
    ],
)
def test_floating_point_is_refused_by_function_and_offset(wat: Wat, text: str, place: str) -> None:
    module = Module(wat(text), "m.wasm")
    for engine in ENGINES:
        with pytest.raises(UnsupportedError, match="^m.wasm.*: floating point is not allowed: ") as caught:
            module.instantiate(engine=engine, limits=Limits(floats=False))  # type: ignore[arg-type]
        assert re.search(place, str(caught.value)), caught.value
        assert "floating point" == caught.value.feature


def test_a_module_without_floats_is_made(wat: Wat) -> None:
    module = Module(wat('(module (func (export "f") (param i64) (result i64) local.get 0 i64.popcnt))'))
    assert 3 == module.instantiate(limits=Limits(floats=False)).exports.f(7)


# --- Determinism

NANS = """(module (memory (export "memory") 1)
  (func (export "f64") (param i64 i64) (result i64)
    local.get 0 f64.reinterpret_i64 local.get 1 f64.reinterpret_i64 f64.add f64.const 1 f64.mul i64.reinterpret_f64)
  (func (export "f32") (param i32 i32) (result i32)
    local.get 0 f32.reinterpret_i32 local.get 1 f32.reinterpret_i32 f32.mul i32.reinterpret_f32)
  (func (export "store") (param i32 i64)
    i32.const 0 local.get 0 f32.reinterpret_i32 f32.sqrt f32.store
    i32.const 8 local.get 1 f64.reinterpret_i64 f64.floor f64.store)
  (func (export "neg") (param i64) (result i64)
    local.get 0 f64.reinterpret_i64 f64.const 2 f64.div f64.neg i64.reinterpret_f64)
  (func (export "keep") (param i64) (result i64) local.get 0 f64.reinterpret_i64 f64.neg i64.reinterpret_f64)
  (func (export "demote") (param i64) (result i32)
    local.get 0 f64.reinterpret_i64 f32.demote_f64 i32.reinterpret_f32)
  (func (export "promote") (param i32) (result i64)
    local.get 0 f32.reinterpret_i32 f64.promote_f32 i64.reinterpret_f64)
  (func (export "local") (param i64) (result i64) (local f64)
    local.get 0 f64.reinterpret_i64 f64.sqrt local.set 1 local.get 1 i64.reinterpret_f64)
  (func (export "less") (param i64) (result i32)
    local.get 0 f64.reinterpret_i64 f64.const 1 f64.add f64.const 100 f64.lt))"""
CANON32, CANON64 = 0x7FC00000, 0x7FF8000000000000


@pytest.mark.parametrize("engine", ENGINES)
def test_arithmetic_gives_canonical_nans(wat: Wat, engine: str) -> None:
    exports = Module(wat(NANS)).instantiate(engine=engine, limits=Limits(deterministic=True)).exports  # type: ignore[arg-type]
    mask = (1 << 64) - 1
    one = struct.unpack("<Q", struct.pack("<d", 1.5))[0]
    for nan in (0x7FF0000000000001, 0xFFF8000000000123, 0x7FFFFFFFFFFFFFFF, 0xFFF8000000000000):
        assert CANON64 == exports.f64(nan, one)
        assert CANON64 == exports.f64(one, nan)
        assert CANON64 | 1 << 63 == exports.neg(nan) & mask
        assert nan ^ 1 << 63 == exports.keep(nan) & mask
        assert CANON32 == exports.demote(nan)
        assert CANON64 == exports.local(nan)
        assert 0 == exports.less(nan)
        exports.store(0xFFC00001, nan)
        assert struct.pack("<I", CANON32) == bytes(exports.memory.data[:4])
        assert struct.pack("<Q", CANON64) == bytes(exports.memory.data[8:16])
    for nan in (0x7F800001, 0xFFC12345, 0x7FFFFFFF):
        assert CANON32 == exports.f32(nan, 0x3FC00000)
        assert CANON64 == exports.promote(nan)
    assert 1 == exports.less(one)
    inf = 0x7FF0000000000000
    assert CANON64 == exports.f64(inf, inf | 1 << 63)
    assert struct.unpack("<Q", struct.pack("<d", 3.0))[0] == exports.f64(one, one)


def test_wasi_is_the_same_in_every_run() -> None:
    def seen() -> tuple[object, ...]:
        wasi = Wasi(deterministic=True)
        process = wasi._process
        clocks = [process.clocks.now(clock) for clock in (0, 1, 2, 3)]
        process.clocks.sleep(5_000_000_000)
        random = process.random(5) + process.random(100) + process.random(0)
        return clocks, process.clocks.now(0), process.clocks.resolution(1), random

    first = seen()
    assert seen() == first
    assert 105 == len(first[3])  # type: ignore[arg-type]
    assert first[1] - first[0][3] == 5_001_000_000  # type: ignore[operator,index]


# --- Packages

_numbers = iter(range(10**6))


def package(data: bytes, folder: Path, controls: Controls) -> Any:
    name = f"controlled{next(_numbers)}"
    compile_package(Module(data), folder / name, controls=controls)
    spec = importlib.util.spec_from_file_location(
        name, folder / name / "__init__.py", submodule_search_locations=[str(folder / name)]
    )
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


COUNTER = """(module (func (export "f") (param i32) (result i32) (local i32)
  (loop local.get 1 local.get 0 i32.add local.set 1 local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0)
  local.get 1))"""


def test_packages_keep_the_limits_that_they_were_compiled_for(wat: Wat, tmp_path: Path) -> None:
    controls = Controls(fuel=fuel_table({"i32.add": 5}), polls=True, depth=True, deterministic=True, floats=False)
    made = package(wat(COUNTER), tmp_path, controls)
    limits = Limits(fuel=100, fuel_costs={"i32.add": 5}, call_depth=3, deadline=10.0, deterministic=True, floats=False)
    instance = made.instantiate(limits=limits)
    assert 6 == instance.exports.f(3)
    assert 3 * 14 + 1 == instance.fuel_used
    with pytest.raises(PolymeraseError, match="fuel_costs: .*i32.add costs 5 in its code, not 1"):
        made.instantiate(limits=Limits(fuel=100))
    free = made.instantiate()
    assert 55 == free.exports.f(10)
    assert free.fuel is None


@pytest.mark.parametrize(
    ("limits", "flag"),
    [
        (Limits(fuel=5), "limits: fuel=5: .* --fuel"),
        (Limits(deadline=5), "limits: deadline=5: .* --interruptible"),
        (Limits(call_depth=5), "limits: call_depth=5: .* --count-depth"),
        (Limits(value_slots=5), "limits: value_slots=5: .* --count-depth"),
        (Limits(deterministic=True), "limits: deterministic=True: .* --deterministic"),
        (Limits(floats=False), "limits: floats=False: .* --no-floats"),
    ],
)
def test_packages_refuse_limits_that_they_cannot_keep(wat: Wat, tmp_path: Path, limits: Limits, flag: str) -> None:
    made = package(wat(COUNTER), tmp_path, Controls())
    with pytest.raises(PolymeraseError, match=flag):
        made.instantiate(limits=limits)
    with pytest.raises(PolymeraseError, match="--interruptible"):
        made.instantiate().interrupt()


def test_a_package_without_controls_is_what_it_was(wat: Wat, tmp_path: Path) -> None:
    compile_package(Module(wat(COUNTER)), tmp_path / "p")
    for file in (tmp_path / "p").glob("_module*.py"):
        text = file.read_text()
        assert not any(word in text for word in ("fuel", "running", "depth", "left", "try:"))


def test_a_package_with_floats_is_refused(wat: Wat, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="floating point"):
        compile_package(Module(wat(NANS)), tmp_path / "p", controls=Controls(floats=False))


# --- The command line


def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "polymerase", *map(str, args)], capture_output=True, text=True)


def test_run_takes_limits(wat: Wat, tmp_path: Path) -> None:
    prog = tmp_path / "p.wasm"
    prog.write_bytes(wat(COUNTER))
    costs = tmp_path / "costs.json"
    costs.write_text(json.dumps({"i32.add": 5, "nop": 0}))
    done = run("run", "--fuel", "1000", "--fuel-costs", costs, "-v", "--entry", "f", prog, "3")
    assert (0, "6\n") == (done.returncode, done.stdout)
    assert "43 units of fuel used" in done.stderr
    done = run("run", "--fuel", "10", "--entry", "f", prog, "3")
    assert 134 == done.returncode
    assert "trap: all fuel consumed" in done.stderr
    done = run("run", "--timeout", "0.3", "--entry", "f", prog, "0")
    assert 134 == done.returncode
    assert "trap: interrupt" in done.stderr
    done = run("run", "--max-call-depth", "0", "--entry", "f", prog, "1")
    assert 134 == done.returncode
    assert "trap: call stack exhausted" in done.stderr


@pytest.mark.parametrize(
    ("args", "text", "says"),
    [
        (["--fuel", "-1"], "", "--fuel"),
        (["--fuel", "x"], "", "--fuel"),
        (["--timeout", "0"], "", "--timeout"),
        (["--timeout", "nan"], "", "deadline"),
        (["--fuel-costs", "FILE"], "{}", "--fuel-costs is for --fuel"),
        (["--fuel", "1", "--fuel-costs", "FILE"], "[", "not JSON"),
        (["--fuel", "1", "--fuel-costs", "FILE"], "[" * 100_000, "not JSON"),
        (["--fuel", "1", "--fuel-costs", "FILE"], "true", "neither an object nor a number"),
        (["--fuel", "1", "--fuel-costs", "FILE"], '{"nop": -1}', "nop"),
        (["--fuel", "1", "--fuel-costs", "FILE"], '{"nope": 1}', "nope"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(wat: Wat, tmp_path: Path, args: list[str], text: str, says: str) -> None:
    prog = tmp_path / "p.wasm"
    prog.write_bytes(wat(COUNTER))
    costs = tmp_path / "costs.json"
    costs.write_text(text)
    done = run("run", *(str(costs) if arg == "FILE" else arg for arg in args), "--entry", "f", prog, "3")
    assert 2 == done.returncode, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_compile_takes_controls(wat: Wat, tmp_path: Path) -> None:
    prog = tmp_path / "p.wasm"
    prog.write_bytes(wat(COUNTER))
    flags = ["--fuel", "--interruptible", "--count-depth", "--deterministic", "--no-floats"]
    done = run("compile", prog, "-o", tmp_path / "out", *flags)
    assert 0 == done.returncode, done.stderr
    info = (tmp_path / "out" / "_info.py").read_text()
    assert "('depth', 'deterministic', 'fuel', 'no_floats', 'polls')" in " ".join(info.split())
