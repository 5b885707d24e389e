"""Snapshots of suspended calls."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from polymerase import Instance, Limits, Module, Snapshot, SnapshotError, Trap
from polymerase_runtime.interpreter import Suspend, Suspended
from polymerase_runtime.snapshot.format import SavedFrame, SavedStack, SavedValue, State, encode
from tests.unit.runtime.test_snapshot import resealed

PROGRAM = """
(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (type $op (func (param i64) (result i64)))
  (memory (export "memory") 1)
  (table 3 funcref)
  (elem (i32.const 0) $inc $double $sum)
  (global $calls (mut i32) (i32.const 0))
  (func $inc (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))
  (func $double (param i64) (result i64) (i64.mul (local.get 0) (i64.const 2)))
  (func $sum (param $n i64) (result i64)
    (local $total i64) (local $x f64) (local $y f32) (local $f funcref)
    (local.set $x (f64.reinterpret_i64 (i64.const 0x7ff0000000000001)))
    (local.set $y (f32.reinterpret_i32 (i32.const 0xffc01234)))
    (local.set $f (ref.func $double))
    (loop $l
      (if (i64.eqz (local.get $n))
        (then (return (i64.add (local.get $total)
          (i64.add (i64.reinterpret_f64 (local.get $x)) (i64.extend_i32_u (i32.reinterpret_f32 (local.get $y))))))))
      (local.set $total
        (i64.add (local.get $total)
          (call_indirect (type $op) (local.get $n) (i32.wrap_i64 (i64.and (local.get $n) (i64.const 1))))))
      (table.set (i32.const 1) (local.get $f))
      (i64.store (i32.const 8) (local.get $total))
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br $l))
    unreachable)
  (func $deep (export "deep") (param $n i32) (result i64)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (if (result i64) (local.get $n)
      (then (i64.add (call $deep (i32.sub (local.get $n) (i32.const 1))) (i64.extend_i32_s (local.get $n))))
      (else (call_indirect (type $op) (i64.const 4) (i32.const 2)))))
  (func $two (param i32) (result i32 i64) (call $ask (local.get 0)) (i64.const 7))
  (func (export "asks") (param i32) (result i64)
    (local $a i32) (local $b i64)
    (call $two (local.get 0)) (local.set $b) (local.set $a)
    (i64.add (i64.mul (i64.extend_i32_s (local.get $a)) (i64.const 10)) (local.get $b)))
  (func (export "tail") (param i32) (result i32) (return_call $ask (local.get 0)))
  (func $tail (param i32) (result i32) (return_call $ask (local.get 0)))
  (func (export "tail_below") (param i32) (result i32) (i32.add (call $tail (local.get 0)) (i32.const 1))))
"""


def suspend(value: int) -> int:
    raise Suspend


@pytest.fixture(scope="module")
def module(wat: Callable[[str], bytes]) -> Module:
    return Module(wat(PROGRAM), "program.wasm")


def imports(ask: Callable[[int], int] = lambda x: x) -> dict[str, dict[str, object]]:
    return {"env": {"ask": ask}}


def stopped(module: Module, fuel: int, name: str = "deep", *args: int) -> Instance:
    """An instance that was suspended by its limit of fuel."""
    instance = module.instantiate(imports(), engine="interp", limits=Limits(fuel=fuel, on_fuel="suspend"))
    with pytest.raises(Suspended):
        instance.exports[name](*args)
    return instance


def fuel_for(module: Module) -> int:
    instance = module.instantiate(imports(), limits=Limits(fuel=10**6))
    instance.exports.deep(3)
    assert instance.fuel_used is not None
    return instance.fuel_used


@pytest.mark.parametrize("engine", [None, "interp", "aot", "auto"])
def test_a_call_goes_on_wherever_it_was_stopped(module: Module, engine: Any) -> None:
    whole = module.instantiate(imports())
    expected = whole.exports.deep(3)
    for fuel in range(0, fuel_for(module), 1 if engine is None else 7):
        one = stopped(module, fuel, "deep", 3)
        data = one.snapshot()
        assert data == one.snapshot()
        two = module.restore(data, imports(), engine=engine)
        two.fuel = None
        assert two.suspended is not None and one.suspended is not None
        assert len(one.suspended.frames) == len(two.suspended.frames)
        assert expected == two.resume()
        assert two.suspended is None
        assert bytes(whole.exports.memory) == bytes(two.exports.memory)
        assert whole.namespace["g0_calls"] == two.namespace["g0_calls"]


def test_the_second_gives_the_bytes_of_the_first(module: Module) -> None:
    one = stopped(module, 60, "deep", 3)
    limits = Limits(fuel=0, on_fuel="suspend")
    two = module.restore(one.snapshot(), imports(), limits=limits)
    assert one.snapshot() == two.snapshot()
    for instance in (one, two):
        assert instance.fuel is not None
        instance.fuel += 20
        with pytest.raises(Suspended):
            instance.resume()
    assert one.snapshot() == two.snapshot()


def test_fuel_is_counted_over_all_processes(module: Module) -> None:
    total = fuel_for(module)
    instance = stopped(module, 0, "deep", 3)
    limits = Limits(fuel=0, on_fuel="suspend")
    for _ in range(1000):
        instance = module.restore(instance.snapshot(), imports(), limits=limits)
        assert instance.fuel is not None
        instance.fuel += 13
        try:
            instance.resume()
        except Suspended:
            continue
        break
    assert total == instance.fuel_used


@pytest.mark.parametrize(("name", "expected"), [("asks", 5 * 10 + 7), ("tail_below", 6)])
@pytest.mark.parametrize("engine", ["interp", "aot", "auto"])
def test_a_host_function_that_suspends_is_answered_by_another_process(
    module: Module, name: str, expected: int, engine: Any
) -> None:
    one = module.instantiate(imports(suspend), engine="interp")
    with pytest.raises(Suspended):
        one.exports[name](1)
    data = one.snapshot()
    for _ in range(2):
        two = module.restore(data, imports(), engine=engine)
        with pytest.raises(TypeError):
            two.resume()
        assert expected == two.resume(5)
        assert expected == two.exports[name](5)


def test_many_go_on_from_one(module: Module) -> None:
    one = module.instantiate(imports(suspend), engine="interp")
    with pytest.raises(Suspended):
        one.exports.asks(1)
    snapshot = Snapshot(one.snapshot())
    assert [7, 17, 27, 37] == [module.restore(snapshot, imports()).resume(i) for i in range(4)]
    assert 47 == one.resume(4)


def test_host_objects_on_the_stack_are_refused(wat: Callable[[str], bytes]) -> None:
    text = """
    (module
      (import "env" "ask" (func $ask (param i32) (result i32)))
      (func (export "f") (param externref i32) (result i32) (local $f funcref) (call $ask (local.get 1))))
    """
    module = Module(wat(text))
    one = module.instantiate(imports(suspend), engine="interp")
    with pytest.raises(Suspended):
        one.exports.f("an object", 1)
    with pytest.raises(SnapshotError, match="frame 0: register 0: 'an object' is an object of the host's"):
        one.snapshot()
    assert 5 == one.resume(5)
    with pytest.raises(Suspended):
        one.exports.f(None, 1)
    assert 6 == module.restore(one.snapshot(), imports()).resume(6)


# --- Stacks that nobody saved


@pytest.fixture(scope="module")
def saved(module: Module) -> Snapshot:
    one = module.instantiate(imports(suspend), engine="interp")
    with pytest.raises(Suspended):
        one.exports.asks(1)
    return Snapshot(one.snapshot())


def forged(module: Module, snapshot: Snapshot, stack: SavedStack) -> Snapshot:
    """`snapshot` with another stack."""
    instance = module.instantiate(imports())
    memories = [memory.data for memory in instance.memories]
    state = State(
        snapshot.digest, memories, snapshot.tables, snapshot.globals, snapshot.dropped_datas, snapshot.dropped_elems
    )
    return Snapshot(encode(state._replace(stack=stack), 1))


def test_frames_that_make_no_sense(module: Module, saved: Snapshot) -> None:
    assert saved.stack is not None
    outer, inner = saved.stack.frames
    other = Snapshot(stopped(module, 30, "deep", 3).snapshot())
    assert other.stack is not None
    deep = other.stack.frames[0]
    wrong = [
        ([outer, inner._replace(func=99)], "frame 1: func 99: the module's own are 1 to"),
        ([outer, inner._replace(func=0)], "frame 1: func 0: the module's own are 1 to"),
        ([outer, inner._replace(body=inner.body ^ 1)], "frame 1: func 5: was prepared otherwise"),
        ([outer, inner._replace(func=1)], "frame 1: func 1: has other results than its caller"),
        ([outer, inner._replace(pc=0)], "frame 1: func 5: no segment 0 to go on at"),
        ([outer, inner._replace(pc=2**32 - 1)], "frame 1: func 5: no segment 4294967295"),
        ([outer, inner._replace(pc=inner.pc + 1)], "frame 1: func 5: (no segment|segment 1 is no call)"),
        ([outer, inner._replace(registers=inner.registers[1:])], "frame 1: func 5: has other registers"),
        ([outer, inner._replace(registers=())], "frame 1: func 5: has other registers"),
        (
            [outer, inner._replace(registers=(SavedValue("i64", 0), *inner.registers[1:]))],
            "frame 1: func 5: has other registers",
        ),
        ([inner, outer], "frame 1: func 6: has other results"),
        ([outer, outer], "frame 1: func 6: has other results"),
        ([outer, deep], "frame 1: func 4: has other results"),
    ]
    for frames, match in wrong:
        with pytest.raises(SnapshotError, match=match):
            module.restore(forged(module, saved, SavedStack(True, tuple(frames))), imports())
    good = forged(module, saved, SavedStack(True, (outer, inner)))
    assert 57 == module.restore(good, imports()).resume(5)


def test_references_of_frames_are_checked(module: Module) -> None:
    other = Snapshot(stopped(module, fuel_for(module) - 20, "deep", 3).snapshot())
    assert other.stack is not None
    frames = list(other.stack.frames)
    k, i = next((k, i) for k, f in enumerate(frames) for i, (t, _) in enumerate(f.registers) if t == "funcref")
    registers = list(frames[k].registers)
    registers[i] = SavedValue("funcref", 1000)
    frames[k] = frames[k]._replace(registers=tuple(registers))
    with pytest.raises(SnapshotError, match=f"frame {k}: func 3: register {i}: function 1000 of"):
        module.restore(forged(module, other, SavedStack(False, tuple(frames))), imports())


def test_any_place_in_a_function_is_a_result_or_a_trap(module: Module) -> None:
    """A forged place runs with registers of the right types: the guest may compute anything; nothing else breaks."""
    other = Snapshot(stopped(module, 100, "deep", 3).snapshot())
    assert other.stack is not None
    for k, frame in enumerate(other.stack.frames):
        for pc in range(40):
            for value in (0, 1, -1):
                changed = [SavedValue(t, value & 0xFFFFFFFF if t == "i32" else v) for t, v in frame.registers]
                frames = list(other.stack.frames)
                frames[k] = SavedFrame(frame.func, pc, frame.body, tuple(changed))
                try:
                    instance = module.restore(
                        forged(module, other, SavedStack(False, tuple(frames))), imports(), limits=Limits(fuel=10_000)
                    )
                except SnapshotError:
                    continue
                try:
                    assert type(instance.resume()) is int
                except Trap:
                    pass


def test_numbers_of_frames_are_bounded(module: Module, saved: Snapshot) -> None:
    assert saved.stack is not None
    with pytest.raises(SnapshotError, match="stack: 0 frames"):
        forged(module, saved, SavedStack(True, ()))
    data = forged(module, saved, saved.stack).data
    at = data.rindex(struct.pack("<BI", 1, 2))
    for count, match in ((2**32 - 1, "4294967295 frames, but"), (200, "200 frames, but")):
        with pytest.raises(SnapshotError, match=match):
            Snapshot(resealed(data[: at + 1] + struct.pack("<I", count) + data[at + 5 :]))
    many = (saved.stack.frames[0],) * 60_001
    with pytest.raises(SnapshotError, match="60001 frames, but at most 60000 can be"):
        module.restore(forged(module, saved, SavedStack(True, many)), imports())


@pytest.mark.slow
def test_every_byte_changed_is_an_error_or_a_call_that_ends(module: Module) -> None:
    """With a right checksum: what is restored runs to a result, a trap or its limit of fuel."""
    sample = stopped(module, 60, "deep", 3).snapshot()
    limits = Limits(fuel=0, on_fuel="suspend")
    resumed = 0
    for n in range(44, len(sample) - 4):
        for value in {0, 0xFF, sample[n] ^ 1, sample[n] ^ 0x80} - {sample[n]}:
            changed = resealed(sample[:n] + bytes((value,)) + sample[n + 1 :])
            try:
                instance = module.restore(changed, imports(), limits=limits)
            except SnapshotError:
                continue
            if instance.suspended is None:
                continue
            resumed += 1
            instance.snapshot()
            instance.fuel = 3000
            try:
                instance.resume(*[1] * len(instance.suspended.results))
            except (Trap, Suspended):
                pass
    assert resumed > 100
