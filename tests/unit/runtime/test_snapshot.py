"""Snapshots of instances between calls, and what is restored from them."""

from __future__ import annotations

import random
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from polymerase import (
    BusyError,
    Caller,
    FuncType,
    Global,
    GlobalType,
    Limits,
    LinkError,
    Memory,
    Module,
    PolymeraseError,
    SizeLimits,
    Snapshot,
    SnapshotError,
    Table,
    TableType,
    Trap,
)
from polymerase_runtime import HostFunc

Wat = Callable[[str], bytes]

STATE = """
(module
  (import "env" "log" (func $log (param i32) (result i32)))
  (import "env" "base" (global $base i32))
  (type $f (func (param i32) (result i32)))
  (memory (export "memory") 1 20)
  (table $t (export "table") 4 100 funcref)
  (table $x (export "objects") 2 externref)
  (global $i (mut i32) (i32.const 1))
  (global $l (export "l") (mut i64) (i64.const 2))
  (global $s (mut f32) (f32.const 1.5))
  (global $d (mut f64) (f64.const 2.5))
  (global $r (mut funcref) (ref.null func))
  (global $o (mut externref) (ref.null extern))
  (global $fixed i32 (global.get $base))
  (data $gone (i32.const 8) "active")
  (data $kept "passive")
  (data $empty "")
  (elem $held func $double $log)
  (elem declare func $three)
  (func $double (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $three (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
  (func (export "call") (param i32 i32) (result i32)
    (call_indirect $t (type $f) (local.get 1) (local.get 0)))
  (func (export "put") (param i32 funcref) (table.set $t (local.get 0) (local.get 1)))
  (func (export "grow") (result i32)
    (drop (table.grow $t (ref.func $three) (i32.const 3)))
    (drop (table.grow $x (ref.null extern) (i32.const 3)))
    (memory.grow (i32.const 2)))
  (func (export "init") (table.init $t $held (i32.const 0) (i32.const 0) (i32.const 2)))
  (func (export "drop") (elem.drop $held))
  (func (export "copy") (memory.init $kept (i32.const 100) (i32.const 0) (i32.const 7)))
  (func (export "drop_data") (data.drop $kept))
  (func (export "set") (param i32 i64 i32 i64 funcref)
    (global.set $i (local.get 0)) (global.set $l (local.get 1))
    (global.set $s (f32.reinterpret_i32 (local.get 2))) (global.set $d (f64.reinterpret_i64 (local.get 3)))
    (global.set $r (local.get 4)))
  (func (export "set_object") (param externref) (global.set $o (local.get 0)))
  (func (export "get") (result i32 i64 i32 i64 funcref i32)
    (global.get $i) (global.get $l) (i32.reinterpret_f32 (global.get $s)) (i64.reinterpret_f64 (global.get $d))
    (global.get $r) (global.get $fixed))
  (func (export "log") (param i32) (result i32) (call $log (local.get 0))))
"""
SIGNALLING = 0x7F800001, 0x7FF0000000000001


def imports(base: int = 7, log: Callable[[int], int] = lambda x: x + 1) -> dict[str, dict[str, object]]:
    return {"env": {"log": log, "base": base}}


@pytest.fixture(scope="module")
def module(wat: Wat) -> Module:
    return Module(wat(STATE), "state.wasm")


def test_all_state_comes_back(module: Module) -> None:
    one = module.instantiate(imports())
    e = one.exports
    e.grow()
    e.init()
    e.put(3, e.table[5])
    e.copy()
    e.memory[0x2FFFF] = 9
    e.set(-1, -(2**63), SIGNALLING[0], SIGNALLING[1], e.double)
    two = module.restore(one.snapshot(), imports(base=100)).exports
    assert (3, b"active", b"passive", 9) == (
        two.memory.size,
        two.memory[8:14],
        two.memory[100:107],
        two.memory[0x2FFFF],
    )
    assert bytes(e.memory) == bytes(two.memory)
    assert (-1, -(2**63), *SIGNALLING, two.double, 7) == two.get()
    assert -(2**63) == two.l.value
    assert (14, 8) == (two.call(0, 7), two.call(1, 7))
    with pytest.raises(Trap, match="uninitialized element"):
        two.call(2, 7)
    assert [21] * 4 == [two.call(i, 7) for i in (3, 4, 5, 6)]
    assert (7, 5) == (len(two.table), len(two.objects))
    assert (100, 20) == (two.table.type.limits.max, two.memory.type.limits.max)
    assert two.table[0] is two.double
    # It goes on like the first: segments, growth and all.
    for exports in (e, two):
        exports.init()
        exports.copy()
        assert 3 == exports.grow()
        assert (5, 10) == (exports.memory.size, len(exports.table))
    two.memory[0] = 1
    assert 0 == e.memory[0]


def test_dropped_segments_stay_dropped(module: Module) -> None:
    one = module.instantiate(imports())
    one.exports.drop()
    two = module.restore(one.snapshot(), imports()).exports
    two.copy()
    with pytest.raises(Trap, match="out of bounds table access"):
        two.init()
    one.exports.drop_data()
    three = module.restore(one.snapshot(), imports()).exports
    with pytest.raises(Trap, match="out of bounds memory access"):
        three.copy()


def test_the_same_state_gives_the_same_bytes(module: Module) -> None:
    def made() -> bytes:
        instance = module.instantiate(imports())
        instance.exports.grow()
        instance.exports.memory[70000:70003] = b"abc"
        return instance.snapshot()

    first = made()
    assert first == made() == module.restore(first, imports()).snapshot()
    raw = module.restore(first, imports()).snapshot(0)
    assert first == module.restore(raw, imports()).snapshot()
    assert first != raw


def test_imported_functions_are_those_given_now(module: Module) -> None:
    one = module.instantiate(imports())
    one.exports.init()
    two = module.restore(one.snapshot(), imports(log=lambda x: x - 1)).exports
    assert (6, 6) == (two.call(1, 7), two.log(7))
    with pytest.raises(LinkError, match="unknown import"):
        module.restore(one.snapshot(), {"env": {"base": 1}})


def test_nothing_is_run(wat: Wat) -> None:
    module = Module(wat("""
            (module
              (import "env" "note" (func $note))
              (memory (export "memory") 1)
              (data (i32.const 0) "x")
              (func $start (i32.store8 (i32.const 1) (i32.const 1)) (call $note))
              (start $start))
            """))
    noted: list[int] = []
    given = {"env": {"note": lambda: noted.append(1)}}
    one = module.instantiate(given)
    one.exports.memory[0:2] = b"yz"
    two = module.restore(one.snapshot(), given)
    assert (b"yz", [1]) == (two.exports.memory[0:2], noted)


def test_zero_pages_cost_nothing(wat: Wat) -> None:
    module = Module(wat('(module (memory (export "memory") 4096) (table 1000000 funcref))'))
    instance = module.instantiate()
    assert len(instance.snapshot()) < 150
    for page in (0, 7, 8, 3000):
        instance.exports.memory[page * 65536 + 5] = page % 255 + 1
    snapshot = instance.snapshot()
    assert len(snapshot) < 2000
    assert 200_000 < len(instance.snapshot(0)) < 300_000
    memory = module.restore(snapshot).exports.memory
    assert [1, 8, 9, 196] == [memory[page * 65536 + 5] for page in (0, 7, 8, 3000)]
    assert 4096 * 65536 - 4 == bytes(memory).count(0)


def test_one_snapshot_makes_many_instances(module: Module) -> None:
    one = module.instantiate(imports())
    one.exports.memory[5] = 1
    snapshot = Snapshot(one.snapshot())
    made = [module.restore(snapshot, imports()).exports for _ in range(5)]
    for i, exports in enumerate(made):
        exports.memory[5] += i
        exports.l.value = i
    assert [(1 + i, i) for i in range(5)] == [(exports.memory[5], exports.l.value) for exports in made]
    assert repr(snapshot).startswith("<Snapshot of ")


def test_another_module_is_refused(module: Module, wat: Wat) -> None:
    snapshot = module.instantiate(imports()).snapshot()
    other = Module(wat(STATE.replace('"passive"', '"passivE"')))
    with pytest.raises(SnapshotError, match="snapshot: of another module"):
        other.restore(snapshot, imports())


@pytest.mark.parametrize("bad", [None, 5, "text", [1]])
def test_what_is_no_bytes_is_a_type_error(module: Module, bad: Any) -> None:
    with pytest.raises(TypeError, match="expected bytes or a Snapshot"):
        module.restore(bad, imports())


@pytest.mark.parametrize("level", [-1, 10, True, None, "9"])
def test_a_bad_level_is_refused(module: Module, level: Any) -> None:
    with pytest.raises(ValueError, match="compress: expected a level from 0 to 9"):
        module.instantiate(imports()).snapshot(level)


# --- What cannot be saved


def test_host_objects_are_refused_by_name(module: Module) -> None:
    instance = module.instantiate(imports())
    e = instance.exports
    before = instance.snapshot()
    e.objects[1] = ["a list"]
    with pytest.raises(SnapshotError, match=r"table 1: element 1: \['a list'\] is an object of the host's"):
        instance.snapshot()
    e.objects[1] = None
    e.set_object(5)
    with pytest.raises(SnapshotError, match="global 6: 5 is an object of the host's"):
        instance.snapshot()
    e.set_object(None)
    assert before == instance.snapshot()


def test_functions_of_others_are_refused_by_name(module: Module) -> None:
    instance = module.instantiate(imports())
    other = module.instantiate(imports()).exports.double
    instance.exports.put(2, other)
    assert 4 == instance.exports.call(2, 2)
    with pytest.raises(SnapshotError, match="table 0: element 2: <Func double .*> is no function of this"):
        instance.snapshot()
    instance.exports.table[2] = HostFunc(FuncType(("i32",), ("i32",)), abs)
    with pytest.raises(SnapshotError, match="table 0: element 2: <Func host function .*> is no function of this"):
        instance.snapshot()
    instance.exports.put(2, None)
    instance.exports.set(0, 0, 0, 0, other)
    with pytest.raises(SnapshotError, match="global 5: <Func double .*> is no function of this"):
        instance.snapshot()


@pytest.mark.parametrize("engine", ["aot", "interp", "auto"])
def test_a_running_instance_is_refused_and_goes_on(wat: Wat, engine: Any) -> None:
    module = Module(wat("""
            (module
              (import "env" "host" (func $host (result i32)))
              (func (export "f") (result i32) (i32.add (call $host) (i32.const 1))))
            """))

    def host(caller: Caller) -> int:
        with pytest.raises(SnapshotError, match="a call into the instance, or one that it is linked with, is running"):
            caller.instance.snapshot()
        return 41

    instance = module.instantiate({"env": {"host": host}}, engine=engine)
    assert 42 == instance.exports.f()
    instance.snapshot()


@pytest.mark.parametrize("engine", ["aot", "interp"])
def test_an_instance_that_runs_in_another_thread_is_refused(wat: Wat, engine: Any) -> None:
    module = Module(wat('(module (import "env" "wait" (func $w)) (func (export "f") (call $w)))'))
    inside, leave = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        leave.wait(10)

    instance = module.instantiate({"env": {"wait": wait}}, engine=engine)
    thread = threading.Thread(target=instance.exports.f)
    thread.start()
    inside.wait(10)
    with pytest.raises(SnapshotError, match="a call into the instance, or one that it is linked with, is running"):
        instance.snapshot()
    leave.set()
    thread.join()
    instance.snapshot()


def test_no_call_begins_while_a_snapshot_is_taken(wat: Wat) -> None:
    module = Module(wat('(module (memory (export "memory") 400) (func (export "f")))'))
    instance = module.instantiate()
    instance.exports.memory[:] = random.Random(1).randbytes(400 * 65536)
    refused: list[str] = []
    done = threading.Event()

    def call() -> None:
        while not done.is_set() and not refused:
            try:
                instance.exports.f()
            except BusyError as e:
                refused.append(str(e))

    thread = threading.Thread(target=call)
    thread.start()
    try:
        end = time.monotonic() + 30
        while not refused and time.monotonic() < end:
            try:
                instance.snapshot()
            except SnapshotError:
                time.sleep(0)
    finally:
        done.set()
        thread.join()
    assert refused


# --- Imported state

SHARED = """
(module
  (import "env" "memory" (memory 1 8))
  (import "env" "table" (table 2 9 funcref))
  (import "env" "count" (global $g (mut i32)))
  (import "env" "ref" (global $r (mut funcref)))
  (export "memory" (memory 0))
  (type $f (func (result i32)))
  (elem (i32.const 0) $five)
  (data (i32.const 0) "hello")
  (func $five (result i32) (i32.const 5))
  (func (export "go") (result i32)
    (drop (memory.grow (i32.const 1)))
    (drop (table.grow (ref.func $five) (i32.const 1)))
    (i32.store8 (i32.const 70000) (i32.const 1))
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    (global.set $r (ref.func $five))
    (global.get $g))
  (func (export "call") (param i32) (result i32) (call_indirect (type $f) (local.get 0))))
"""


def shared_imports(pages: int = 1, most: int = 8, elements: int = 2) -> dict[str, dict[str, Any]]:
    return {
        "env": {
            "memory": Memory(pages, most),
            "table": Table(TableType("funcref", SizeLimits(elements, 9))),
            "count": Global(GlobalType("i32", True), 10),
            "ref": Global(GlobalType("funcref", True), None),
        }
    }


def test_imported_state_is_written_to_what_is_given(wat: Wat) -> None:
    module = Module(wat(SHARED))
    one = module.instantiate(shared_imports())
    assert 11 == one.exports.go()
    given = shared_imports()
    given["env"]["memory"][100] = 1
    given["env"]["table"][1] = HostFunc(FuncType(), print)
    two = module.restore(one.snapshot(), given)
    env = given["env"]
    assert (2, b"hello", 0, 1) == (env["memory"].size, env["memory"][:5], env["memory"][100], env["memory"][70000])
    assert (3, None, 11) == (len(env["table"]), env["table"][1], env["count"].value)
    assert env["table"][0] is env["table"][2] is env["ref"].value is two.func(0)
    assert (5, 5, 12) == (two.exports.call(0), two.exports.call(2), two.exports.go())
    assert 3 == env["memory"].size
    assert one.snapshot() != two.snapshot()
    one.exports.go()
    assert one.snapshot() == two.snapshot()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"pages": 3}, "memory 0: 2 pages, but the one that is imported has 3"),
        ({"most": 1}, "memory 0: 2 pages, but the one that is imported may have 1"),
        ({"elements": 4}, "table 0: 3 elements, but the one that is imported has 4"),
    ],
)
def test_imports_that_cannot_hold_the_state_are_left_alone(wat: Wat, given: dict[str, int], error: str) -> None:
    module = Module(wat(SHARED))
    one = module.instantiate(shared_imports())
    one.exports.go()
    env = shared_imports(**given)["env"]
    with pytest.raises(SnapshotError, match=error):
        module.restore(one.snapshot(), {"env": env})
    assert (given.get("pages", 1), given.get("elements", 2), 10) == (
        env["memory"].size,
        len(env["table"]),
        env["count"].value,
    )
    assert 0 == sum(env["memory"])


def test_packed_pages_that_are_damaged_leave_imports_alone(wat: Wat) -> None:
    module = Module(wat(SHARED))
    one = module.instantiate(shared_imports())
    one.exports.go()
    one.exports.memory[70000:70100] = bytes(range(100))
    snapshot = Snapshot(one.snapshot())
    at = snapshot.memories[0].chunks[-1].at
    broken = bytearray(snapshot.data)
    broken[at + 20] ^= 0xFF
    given = shared_imports()
    with pytest.raises(SnapshotError, match="damaged"):
        module.restore(resealed(bytes(broken)), given)
    assert (1, 0) == (given["env"]["memory"].size, sum(given["env"]["memory"]))


def test_one_table_for_two_imports_has_one_size(wat: Wat) -> None:
    module = Module(
        wat('(module (import "m" "a" (table 1 9 funcref)) (import "m" "b" (table 1 9 funcref)) (func (export "f")))')
    )

    def table(size: int) -> Table:
        return Table(TableType("funcref", SizeLimits(size, 9)))

    one = module.instantiate({"m": {"a": table(1), "b": table(2)}})
    both = table(1)
    with pytest.raises(SnapshotError, match="table 1: 2 elements, but the one that is imported is another import, too"):
        module.restore(one.snapshot(), {"m": {"a": both, "b": both}})
    assert 1 == len(both)
    one = module.instantiate({"m": {"a": both, "b": both}})
    both[0] = one.exports.f
    again = table(1)
    two = module.restore(one.snapshot(), {"m": {"a": again, "b": again}})
    assert again[0] is two.exports.f


def test_limits_bound_what_is_restored(wat: Wat) -> None:
    module = Module(wat('(module (memory (export "memory") 1 9) (table (export "table") 1 9 funcref))'))
    one = module.instantiate()
    one.exports.memory.grow(3)
    one.exports.table.grow(4)
    data = one.snapshot()
    for limits, match in (
        (Limits(memory_pages=3), "a memory of 4 pages, but the limit memory_pages is 3"),
        (Limits(table_elements=4), "a table of 5 elements, but the limit table_elements is 4"),
        (Limits(total_bytes=4 * 65536), "the limit total_bytes is 262144"),
    ):
        with pytest.raises(PolymeraseError, match=match):
            module.restore(data, limits=limits)
    two = module.restore(data, limits=Limits(memory_pages=5, total_bytes=5 * 65536 + 40))
    assert 4 == two.exports.memory.grow(1)
    with pytest.raises(ValueError, match="memory_pages"):
        two.exports.memory.grow(1)
    maker = module.instantiate(limits=Limits(memory_pages=2))
    user = Module(wat('(module (import "m" "memory" (memory 1 9)))'))
    three = user.instantiate({"m": module.instantiate()})
    three.memories[0].grow(2)
    with pytest.raises(SnapshotError, match="snapshot: memory.grow: 1 pages and 2 more, but the limit memory_pages is"):
        user.restore(three.snapshot(), {"m": maker})


def test_two_instances_that_share_a_memory(wat: Wat) -> None:
    maker = Module(wat('(module (memory (export "memory") 1 8))'))
    user = Module(wat("""
            (module
              (import "maker" "memory" (memory 1))
              (func (export "add") (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))))
            """))
    a = maker.instantiate()
    b = user.instantiate({"maker": a})
    b.exports.add()
    saved = a.snapshot(), b.snapshot()
    b.exports.add()
    c = maker.restore(saved[0])
    d = user.restore(saved[1], {"maker": c})
    d.exports.add()
    d.exports.add()
    assert (2, 3) == (a.exports.memory[0], c.exports.memory[0])


# --- Damaged and hostile


def resealed(data: bytes) -> bytes:
    """`data` with its length and checksum put right."""
    import zlib

    data = data[:44] + struct.pack("<Q", len(data)) + data[52:-4]
    return data + struct.pack("<I", zlib.crc32(data))


@pytest.fixture(scope="module")
def sample(module: Module) -> bytes:
    instance = module.instantiate(imports())
    instance.exports.grow()
    instance.exports.init()
    instance.exports.memory[65536:65546] = b"0123456789"
    return instance.snapshot()


def test_every_truncation_is_an_error(module: Module, sample: bytes) -> None:
    for n in range(len(sample)):
        with pytest.raises(SnapshotError, match="^snapshot"):
            module.restore(sample[:n], imports())
        if n > 60:
            with pytest.raises(SnapshotError, match="^snapshot"):
                module.restore(resealed(sample[:n]), imports())
    with pytest.raises(SnapshotError, match="^snapshot"):
        module.restore(sample + b"\0", imports())


def test_every_changed_bit_is_an_error(module: Module, sample: bytes) -> None:
    for n in range(len(sample)):
        for bit in range(8):
            changed = sample[:n] + bytes((sample[n] ^ 1 << bit,)) + sample[n + 1 :]
            with pytest.raises(SnapshotError, match="^snapshot"):
                module.restore(changed, imports())


def test_a_changed_byte_with_a_right_checksum_is_an_error_or_another_state(module: Module, sample: bytes) -> None:
    errors = 0
    for n in range(len(sample) - 4):
        for change in (0x01, 0x80, 0xFF):
            changed = resealed(sample[:n] + bytes((sample[n] ^ change,)) + sample[n + 1 :])
            try:
                instance = module.restore(changed, imports())
            except SnapshotError as e:
                assert str(e).startswith("snapshot")
                errors += 1
            else:
                again = instance.snapshot()
                assert again == module.restore(again, imports()).snapshot()
    assert errors > len(sample)


HEAD = 12 + 32 + 8


def build(module: Module, **parts: bytes) -> bytes:
    """A snapshot of hand-made sections."""
    plain = {
        "memories": struct.pack("<III", 1, 1, 0),
        "tables": struct.pack("<5I", 2, 4, 0, 2, 0),
        "globals": b"".join(
            [
                struct.pack("<I", 7),
                b"\x7f" + bytes(4),
                b"\x7e" + bytes(8),
                b"\x7d" + bytes(4),
                b"\x7c" + bytes(8),
                b"\x70\xff\xff\xff\xff",
                b"\x6f\xff\xff\xff\xff",
                b"\x7f" + bytes(4),
            ]
        ),
        "segments": struct.pack("<IBIB", 3, 0b101, 2, 0b10),
    }
    data = b"\x89PMSNAP\n" + struct.pack("<HH", 1, 0)
    data += bytes.fromhex(Snapshot(module.instantiate(imports()).snapshot()).digest) + bytes(8)
    for code, payload in zip([1, 2, 3, 4, 7], {**plain, **parts}.values(), strict=False):
        data += struct.pack("<BQ", code, len(payload)) + payload
    return resealed(data + bytes(4))


def test_a_snapshot_made_by_hand_is_taken(module: Module) -> None:
    exports = module.restore(build(module), imports()).exports
    assert (0, 0, 0, 0, None, 0) == exports.get()
    exports.init()
    assert 10 == exports.call(0, 5)


@pytest.mark.parametrize(
    ("part", "payload", "error"),
    [
        ("memories", struct.pack("<I", 2**32 - 1), "4294967295 memories, but 0 bytes are left"),
        ("memories", struct.pack("<III", 1, 65537, 0), "memory 0: 65537 pages, but at most 65536 can be"),
        ("memories", struct.pack("<III", 1, 21, 0), "memory 0: 21 pages, but the module says 1 to 20"),
        ("memories", struct.pack("<III", 1, 0, 0), "memory 0: 0 pages, but the module says 1 to 20"),
        ("memories", struct.pack("<I", 0), "expected 1 memories, got 0"),
        ("memories", struct.pack("<III", 1, 1, 2**32 - 1), "the section ends within memory 0"),
        ("memories", struct.pack("<III III", 1, 1, 1, 1, 1, 5) + bytes(5), "1 pages from page 1 on, of pages 0 to 1"),
        ("memories", struct.pack("<III III", 1, 20, 1, 0, 17, 5) + bytes(5), "17 pages from page 0"),
        ("memories", struct.pack("<III III", 1, 1, 1, 0, 0, 5) + bytes(5), "0 pages from page 0"),
        ("memories", struct.pack("<III III", 1, 1, 1, 0, 1, 65537) + bytes(65537), "1 pages in 65537 bytes"),
        ("memories", struct.pack("<III III", 1, 1, 1, 0, 1, 60), "60 bytes, but 0 are left"),
        ("memories", struct.pack("<III III", 1, 1, 1, 0, 1, 5) + bytes(5), "damaged"),
        ("memories", struct.pack("<III", 1, 1, 0) + b"x", "1 bytes more in the section than it needs"),
        ("tables", struct.pack("<3I", 1, 4, 0), "expected 2 tables, got 1"),
        ("tables", struct.pack("<5I", 2, 3, 0, 2, 0), "table 0: 3 elements, but the module says 4 to 100"),
        ("tables", struct.pack("<5I", 2, 2**32 - 1, 0, 2, 0), "table 0: 4294967295 elements, but the module says"),
        ("tables", struct.pack("<5I", 2, 4, 0, 2**32 - 1, 0), "table 1: 4294967295 elements, but the module says"),
        ("tables", struct.pack("<3I 3I 2I", 2, 4, 1, 0, 1, 99, 2, 0), "table 0: element 0: function 99 of 14"),
        ("tables", struct.pack("<3I 3I 2I", 2, 4, 1, 4, 1, 1, 2, 0), "table 0: 1 elements from 4 on, of elements 0 to"),
        ("tables", struct.pack("<3I 2I", 2, 4, 1, 0, 2**31), "table 0: 2147483648 elements from 0 on"),
        (
            "tables",
            struct.pack("<3I 3I 2I", 2, 4, 1, 0, 1, NULL := 2**32 - 1, 2, 0),
            "a null reference among functions",
        ),
        ("tables", struct.pack("<3I 2I 3I", 2, 4, 0, 2, 1, 0, 1, 1), "table 1: functions in a table of externref"),
        ("globals", struct.pack("<I", 0), "expected 7 globals that are the instance's or may change, got 0"),
        ("globals", struct.pack("<IB", 1, 0x12) + bytes(8), "global 0: no type has code 0x12"),
        ("globals", struct.pack("<IBQ", 1, 0x7E, 0), "expected 7 globals"),
        ("globals", struct.pack("<IBI", 1, 0x6F, 3), "global 0: an externref that is not null"),
        ("segments", struct.pack("<IBIB", 3, 0b1101, 2, 0b10), "data segments: more bits than the 3 there are"),
        ("segments", struct.pack("<IBIB", 3, 0b100, 2, 0b10), "data segment 0: neither passive nor dropped"),
        ("segments", struct.pack("<IBIB", 3, 0b001, 2, 0b10), "data segment 2: neither passive nor dropped"),
        ("segments", struct.pack("<IBIB", 3, 0b101, 2, 0b00), "element segment 1: neither passive nor dropped"),
        ("segments", struct.pack("<IBIB", 2, 0b01, 2, 0b10), "expected 3 data segments, got 2"),
        ("segments", struct.pack("<I", 2**32 - 1), "data segments: 536870912 bytes, but 0 are left"),
        ("wasi", struct.pack("<IIIB", 0, 0, 0, 0), "there is state of WASI, but no wasi is given"),
        ("wasi", struct.pack("<IIIB", 0, 0, 0, 4), "clocks: 4 says neither that they are fixed"),
        ("wasi", struct.pack("<I", 2**31), "2147483648 arguments, but 0 bytes are left"),
        ("wasi", struct.pack("<II", 1, 2**31), "argument 0: 2147483648 bytes, but 0 are left"),
    ],
)
def test_sections_that_make_no_sense(module: Module, part: str, payload: bytes, error: str) -> None:
    with pytest.raises(SnapshotError, match=error):
        module.restore(build(module, **{part: payload}), imports())


@pytest.mark.parametrize(
    ("at", "value", "error"),
    [
        (0, b"\x7fELF", "snapshot:0x0: not a snapshot"),
        (8, b"\2\0", "snapshot:0x8: version 2 of the format, expected 1"),
        (10, b"\1\0", "snapshot:0xa: expected 0, got 1"),
        (HEAD, b"\2", r"snapshot:0x34: expected the section of memories \(code 1\)"),
        (HEAD + 1, b"\xff" * 8, "a section of 18446744073709551615 bytes"),
    ],
)
def test_a_head_that_makes_no_sense(module: Module, sample: bytes, at: int, value: bytes, error: str) -> None:
    with pytest.raises(SnapshotError, match=error):
        module.restore(resealed(sample[:at] + value + sample[at + len(value) :]), imports())


def test_what_comes_after_the_last_section_is_refused(module: Module, sample: bytes) -> None:
    with pytest.raises(SnapshotError, match="no section has code 9 here"):
        module.restore(resealed(sample[:-4] + b"\x09" + bytes(8) + sample[-4:]), imports())


def test_bombs_stop_at_the_size_they_say(module: Module) -> None:
    import zlib

    bomb = zlib.compress(bytes(1 << 25), 9)
    payload = struct.pack("<III III", 1, 20, 1, 0, 4, len(bomb)) + bomb
    payload = payload if len(bomb) < 4 * 65536 else struct.pack("<III III", 1, 20, 1, 0, 16, len(bomb)) + bomb
    start = time.perf_counter()
    with pytest.raises(SnapshotError, match="bytes packed into .*, got more"):
        module.restore(build(module, memories=payload), imports())
    assert time.perf_counter() - start < 1
    short = zlib.compress(b"x", 9)
    payload = struct.pack("<III III", 1, 20, 1, 0, 4, len(short)) + short
    with pytest.raises(SnapshotError, match="expected 262144 bytes packed into 9, got others"):
        module.restore(build(module, memories=payload), imports())


def test_errors_are_polymerase_errors() -> None:
    assert issubclass(SnapshotError, PolymeraseError)


# --- Fuel

SPIN = """
(module
  (func (export "spin") (param i32)
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
"""


def fuel(instance: Any) -> tuple[Any, Any]:
    return instance.fuel, instance.fuel_used


def test_fuel_goes_on_where_it_was(wat: Wat) -> None:
    module = Module(wat(SPIN))
    one = module.instantiate(limits=Limits(fuel=100_000))
    one.exports.spin(100)
    left, used = fuel(one)
    assert 100_000 == left + used
    data = one.snapshot()
    assert (left, used) == fuel(module.restore(data))
    two = module.restore(data, limits=Limits(fuel=10**9))
    assert (left, used) == fuel(two)
    for instance in (one, two):
        instance.exports.spin(1000)
    assert fuel(one) == fuel(two)
    assert one.snapshot() == two.snapshot()
    with pytest.raises(Trap, match="all fuel consumed"):
        two.exports.spin(10**9)
    empty = module.restore(two.snapshot())
    assert fuel(two) == fuel(empty)
    empty.fuel = 100_000
    empty.exports.spin(100)


def test_fuel_is_free_if_the_limits_say_so(wat: Wat) -> None:
    module = Module(wat(SPIN))
    one = module.instantiate(limits=Limits(fuel=1000))
    one.exports.spin(10)
    two = module.restore(one.snapshot(), limits=Limits())
    two.exports.spin(10_000)
    assert two.fuel is None
    three = module.restore(two.snapshot(), limits=Limits(fuel=500))
    assert (500, 0) == fuel(three)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (struct.pack("<BQQ", 2, 0, 0), "fuel: 2 says neither"),
        (struct.pack("<BQQ", 0, 1, 0), "fuel: 0 says neither"),
        (struct.pack("<BQ", 1, 0), "the section ends within the fuel"),
    ],
)
def test_fuel_that_makes_no_sense(module: Module, payload: bytes, error: str) -> None:
    plain = build(module)
    with pytest.raises(SnapshotError, match=error):
        Snapshot(resealed(plain[:-4] + struct.pack("<BQ", 5, len(payload)) + payload + plain[-4:]))
