"""Random programs, compiled and under wasmtime: the same results, traps, memory and globals."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

import pytest
import wasmtime

import polymerase
from polymerase.options import ENGINES, Engine, Options
from polymerase_runtime import interpreter
from tests.property.programs import TYPES, arguments, program

SEEDS = range(120)


def bits(value: Any) -> Any:
    """A result as something that compares: NaNs are all alike, zeros are not."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, (list, tuple)):
        return tuple(map(bits, value))
    return value


def calls(rng: random.Random, text: str) -> list[tuple[str, list[int | float]]]:
    """What to call: each function twice, with edge values."""
    found = []
    for line in text.splitlines():
        if line.startswith("(func $f"):
            name = line.split("$")[1].split()[0]
            params = (
                line.partition("(param ")[2].partition(")")[0].split() if "(param " in line.split("(local")[0] else []
            )
            found += [(name, [arguments(rng, t) for t in params]) for _ in range(2)]
    return found


def under_wasmtime(binary: bytes, todo: list[tuple[str, list[int | float]]]) -> list[Any]:
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    exports = wasmtime.Instance(store, wasmtime.Module(engine, binary), []).exports(store)
    seen: list[Any] = []
    for name, args in todo:
        try:
            seen.append(bits(exports[name](store, *args)))  # type: ignore[operator]
        except wasmtime.Trap as e:
            seen.append(str(e).rpartition("wasm trap: ")[2].partition("\n")[0])
        seen.append(bits([exports["g_" + t].value(store) for t in TYPES]))  # type: ignore[union-attr]
        memory = exports["memory"]
        seen.append(bytes(memory.read(store, 0, 65536)))  # type: ignore[union-attr]
    return seen


def under_polymerase(
    binary: bytes,
    todo: list[tuple[str, list[int | float]]],
    options: Options,
    engine: Engine = "aot",
    frames: list[Any] | None = None,
) -> list[Any]:
    """What was seen; in `frames`, where the traps were."""
    exports = polymerase.Module(binary, options=options).instantiate(engine=engine).exports
    seen: list[Any] = []
    for name, args in todo:
        try:
            seen.append(bits(exports[name](*args)))
        except polymerase.Trap as e:
            seen.append(str(e))
            if frames is not None:
                frames.append((e.frames, e.elided))
        seen.append(bits([exports["g_" + t].value for t in TYPES]))
        seen.append(exports["memory"].read(0, 65536))
    return seen


# wasmtime's words for what the official suite calls otherwise.
WORDS = {
    "wasm `unreachable` instruction executed": "unreachable",
    "out of bounds memory access": "out of bounds memory access",
    "undefined element: out of bounds table access": "undefined element",
    "uninitialized element": "uninitialized element",
    "indirect call type mismatch": "indirect call type mismatch",
    "integer divide by zero": "integer divide by zero",
    "integer overflow": "integer overflow",
    "invalid conversion to integer": "invalid conversion to integer",
    "call stack exhausted": "call stack exhausted",
}


@pytest.mark.parametrize("target", ["cpython", "pypy"])
@pytest.mark.parametrize("seed", SEEDS)
def test_compiled_programs_do_what_wasmtime_does(seed: int, target: str) -> None:
    rng = random.Random(seed)
    text = program(rng)
    binary = bytes(wasmtime.wat2wasm(text))
    todo = calls(rng, text)
    expected = [
        WORDS[x] if isinstance(x, str) and x != "nan" and x in WORDS else x for x in under_wasmtime(binary, todo)
    ]
    assert expected == under_polymerase(binary, todo, Options(target=target))


@pytest.mark.parametrize("seed", SEEDS)
def test_engines_do_the_same_and_trap_in_the_same_places(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "SLICE", 5)  # so that "auto" compiles all that runs twice
    rng = random.Random(seed)
    text = program(rng)
    binary = bytes(wasmtime.wat2wasm(text))
    todo = calls(rng, text)
    functions = len(polymerase.Module(binary).decoded.codes)
    every_second = Options(interpret=tuple(map(str, range(0, functions, 2))))
    where: dict[str, list[Any]] = {}
    seen = {}
    runs: tuple[tuple[str, Engine, Options], ...] = (
        ("aot", "aot", Options()),
        ("interp", "interp", Options()),
        ("auto", "auto", Options()),
        ("mixed", "aot", every_second),
    )
    for name, engine, options in runs:
        where[name] = []
        seen[name] = under_polymerase(binary, todo, options, engine, where[name])
    assert seen["aot"] == seen["interp"] == seen["auto"] == seen["mixed"]
    assert where["aot"] == where["interp"] == where["auto"] == where["mixed"]


@pytest.mark.parametrize("seed", SEEDS[::3])
def test_engines_charge_the_same_fuel_and_stop_at_the_same_block(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "SLICE", 5)
    rng = random.Random(seed)
    text = program(rng)
    binary = bytes(wasmtime.wat2wasm(text))
    todo = calls(rng, text)
    modules = {engine: polymerase.Module(binary) for engine in ENGINES}

    def run(engine: Engine, fuel: int) -> list[Any]:
        limits = polymerase.Limits(fuel=fuel, fuel_costs=lambda op: 1 + len(op) % 3)
        instance = modules[engine].instantiate(engine=engine, limits=limits)
        seen: list[Any] = []
        for name, args in todo:
            try:
                seen.append(bits(instance.exports[name](*args)))
            except polymerase.Trap as e:
                seen.append((str(e), e.frames))
            seen.append(instance.fuel_used)
        return [*seen, bytes(instance.memory)[:65536], [bits(instance.exports["g_" + t].value) for t in TYPES]]

    whole = run("aot", 10**9)
    assert whole == run("interp", 10**9) == run("auto", 10**9)
    used = whole[-3]
    for fuel in (0, used // 3, used // 2, used - 1):
        assert run("aot", fuel) == run("interp", fuel) == run("auto", fuel), fuel
