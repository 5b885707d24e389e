"""Interrupts and deadlines: a guest that runs is stopped in time, and only that one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from polymerase import Instance, Limits, Module, PolymeraseError, Trap

Wat = Callable[[str], bytes]
ENGINES = ("aot", "interp", "auto")
LATE = 1.0  # seconds: on a machine that does other things, too; 0.1 is promised of an idle one

SPIN = """(module (import "m" "wait" (func $wait))
    (func $calls (export "spin") (loop br 0))
    (func (export "sum") (param i32) (result i32) (local i32)
      (loop local.get 1 local.get 0 i32.add local.set 1 local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0)
      local.get 1)
    (func (export "while") (param i32) (block (loop local.get 0 br_if 1 br 0)))
    (func $tree (export "tree") (param i32)
      local.get 0 i32.eqz if return end
      local.get 0 i32.const 1 i32.sub call $tree local.get 0 i32.const 1 i32.sub call $tree)
    (func $ping (export "tail") return_call $pong) (func $pong return_call $ping)
    (func (export "waits") (loop call $wait br 0))
    (func (export "wait_once") call $wait))"""
LOOPS = (("spin",), ("while", 0), ("tree", 100), ("tail",))
FUELS = (
    Limits(),
    Limits(fuel=1 << 60),
    Limits(fuel=1 << 60, fuel_costs={"br": 0, "loop": 0, "return_call": 0}),
    Limits(fuel=1 << 60, fuel_costs=0),
)


def spinner(wat: Wat, engine: str = "aot", limits: Limits | None = None, wait: Any = None) -> Instance:
    return Module(wat(SPIN)).instantiate({"m": {"wait": wait or (lambda: None)}}, engine=engine, limits=limits)  # type: ignore[arg-type]


def interrupted(instance: Instance, name: str, *args: int) -> float:
    """Seconds from the interrupt to the trap."""
    sent: list[float] = []

    def send() -> None:
        time.sleep(0.05)
        sent.append(time.monotonic())
        assert instance.interrupt()

    thread = threading.Thread(target=send)
    thread.start()
    with pytest.raises(Trap, match="^interrupt"):
        instance.exports[name](*args)
    took = time.monotonic()
    thread.join()
    return took - sent[0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("limits", FUELS)
def test_loops_and_recursion_are_stopped(wat: Wat, engine: str, limits: Limits) -> None:
    instance = spinner(wat, engine, limits)
    for name, *args in LOOPS:
        assert interrupted(instance, str(name), *args) < LATE  # type: ignore[arg-type]
        assert 55 == instance.exports.sum(10)  # a later call is not stopped


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupt_of_an_idle_instance_does_nothing(wat: Wat, engine: str) -> None:
    instance = spinner(wat, engine)
    assert not instance.interrupt()
    assert 55 == instance.exports.sum(10)
    assert not instance.interrupt()


def test_a_call_that_ends_by_itself_does_not_stop_the_next_one(wat: Wat) -> None:
    instance = spinner(wat, wait=lambda: instance.interrupt())
    instance.exports.wait_once()  # polls nothing after the interrupt
    assert 55 == instance.exports.sum(10)
    with pytest.raises(Trap, match="interrupt"):
        instance.exports.waits()
    assert 55 == instance.exports.sum(10)


def test_interrupts_at_any_time_stop_one_call_at_most(wat: Wat) -> None:
    instance = spinner(wat)
    done = threading.Event()
    sent = 0

    def send() -> None:
        nonlocal sent
        while not done.is_set():
            sent += instance.interrupt()
            time.sleep(0)

    thread = threading.Thread(target=send)
    thread.start()
    stopped = 0
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        try:
            assert 500500 == instance.exports.sum(1000)
        except Trap:
            stopped += 1
    done.set()
    thread.join()
    assert stopped <= sent
    assert 500500 == instance.exports.sum(1000)
    assert instance.namespace["running"]


def test_other_instances_are_not_stopped(wat: Wat) -> None:
    first, second = spinner(wat), spinner(wat)
    seen: list[object] = []

    def run() -> None:
        try:
            first.exports.spin()
        except Trap as e:
            seen.append(str(e))

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.05)
    assert not second.interrupt()
    assert 55 == second.exports.sum(10)
    assert first.interrupt()
    thread.join(10)
    assert ["interrupt"] == [str(text).partition("\n")[0] for text in seen]


def test_linked_instances_are_stopped_together(wat: Wat) -> None:
    inner = spinner(wat)
    outer = Module(wat('(module (import "i" "spin" (func $s)) (func (export "go") call $s))')).instantiate({"i": inner})
    assert interrupted(outer, "go") < LATE
    assert 55 == inner.exports.sum(10)


def test_code_that_does_not_look_cannot_be_interrupted(wat: Wat) -> None:
    instance = spinner(wat, limits=Limits(interruptible=False))
    with pytest.raises(PolymeraseError, match="cannot be interrupted"):
        instance.interrupt()
    assert 55 == instance.exports.sum(10)


# --- Deadlines


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fuel", [None, 1 << 60])
def test_a_call_that_takes_longer_is_stopped(wat: Wat, engine: str, fuel: int | None) -> None:
    instance = spinner(wat, engine, Limits(deadline=0.1, interruptible=False, fuel=fuel))
    for _ in range(2):  # each call has its own
        start = time.monotonic()
        with pytest.raises(Trap, match="^interrupt"):
            instance.exports.spin()
        assert 0.1 <= time.monotonic() - start < 0.1 + LATE
        assert 55 == instance.exports.sum(10)


def test_a_deadline_is_of_the_outermost_call(wat: Wat) -> None:
    instance = spinner(wat, limits=Limits(deadline=0.2), wait=lambda: instance.exports.sum(10))
    start = time.monotonic()
    with pytest.raises(Trap, match="interrupt"):
        instance.exports.waits()
    assert 0.2 <= time.monotonic() - start < 0.2 + LATE


def test_calls_in_time_are_not_stopped_later(wat: Wat) -> None:
    instance = spinner(wat, limits=Limits(deadline=0.05))
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        assert 55 == instance.exports.sum(10)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_deadline_is_a_number_of_seconds(value: float) -> None:
    with pytest.raises(ValueError, match="deadline: expected more than 0 seconds"):
        Limits(deadline=value)


@pytest.mark.parametrize("value", [True, "1", None.__class__])
def test_a_deadline_is_a_number(value: Any) -> None:
    with pytest.raises(TypeError, match="deadline: expected a number of seconds"):
        Limits(deadline=value)


SLEEPS = """(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "sleep") (param i64)
      i32.const 16 i32.const 1 i32.store i32.const 24 local.get 0 i64.store
      i32.const 0 i32.const 64 i32.const 1 i32.const 128 call $poll drop))"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_guest_that_sleeps_is_stopped(wat: Wat, engine: str) -> None:
    module = Module(wat(SLEEPS))
    instance = module.instantiate(engine=engine)  # type: ignore[arg-type]
    instance.exports.sleep(1000)
    assert interrupted(instance, "sleep", 60_000_000_000) < LATE
    instance = module.instantiate(engine=engine, limits=Limits(deadline=0.1))  # type: ignore[arg-type]
    start = time.monotonic()
    with pytest.raises(Trap, match="^interrupt"):
        instance.exports.sleep(60_000_000_000)
    assert 0.1 <= time.monotonic() - start < 0.1 + LATE
    instance = module.instantiate(engine=engine, limits=Limits(deterministic=True))  # type: ignore[arg-type]
    instance.exports.sleep(10**18)  # at once


BULK = {
    "memory.copy": "(memory.copy (i32.const 0) (i32.const 1) (i32.const 0x3fffff0))",
    "memory.fill": "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0x3fffff0))",
    "table.copy": "(table.copy (i32.const 0) (i32.const 1) (i32.const 999999))",
}


@pytest.mark.parametrize("limits", [Limits(deadline=0.2), Limits(deadline=0.2, fuel=1 << 40)])
@pytest.mark.parametrize("name", BULK)
@pytest.mark.parametrize("engine", ENGINES)
def test_instructions_that_take_long_leave_time_to_look(wat: Wat, engine: str, name: str, limits: Limits) -> None:
    binary = wat(f'(module (memory 1024) (table 1000000 funcref) (func (export "f") (loop {BULK[name]} br 0)))')
    exports = Module(binary).instantiate(engine=engine, limits=limits).exports  # type: ignore[arg-type]
    begun = time.monotonic()
    with pytest.raises(Trap, match="^interrupt"):
        exports.f()
    assert time.monotonic() - begun < 0.2 + LATE
