"""Random states survive a snapshot; random damage to one is an error or another state, and nothing else."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polymerase import Instance, Module, Snapshot, SnapshotError, Trap, Wasi
from polymerase_runtime.wasi import paths
from polymerase_runtime.wasi.abi import Rights
from polymerase_runtime.wasi.files import open_at

STATE = """
(module
  (import "wasi_snapshot_preview1" "fd_tell" (func $tell (param i32 i32) (result i32)))
  (memory $m (export "memory") 1 40)
  (table $t (export "table") 3 60 funcref)
  (global $a (export "a") (mut i32) (i32.const 0))
  (global $b (export "b") (mut i64) (i64.const 0))
  (global $c (mut f32) (f32.const 0))
  (global $d (mut f64) (f64.const 0))
  (global $r (export "r") (mut funcref) (ref.null func))
  (data $one "some text") (data $two "other")
  (elem $three func $f $g) (elem $four func $f)
  (func $f (export "f") (param i32 i64 i32 i64)
    (global.set $a (local.get 0)) (global.set $b (local.get 1))
    (global.set $c (f32.reinterpret_i32 (local.get 2))) (global.set $d (f64.reinterpret_i64 (local.get 3))))
  (func $g (export "g") (result i32 i64 i32 i64)
    (global.get $a) (global.get $b) (i32.reinterpret_f32 (global.get $c)) (i64.reinterpret_f64 (global.get $d)))
  (func (export "write") (param i32 i32)
    (memory.init $one (local.get 0) (local.get 1) (i32.const 3)))
  (func (export "init") (param i32) (table.init $t $three (local.get 0) (i32.const 0) (i32.const 2)))
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "drop_one") (data.drop $one))
  (func (export "drop_two") (data.drop $two))
  (func (export "drop_three") (elem.drop $three))
  (func (export "drop_four") (elem.drop $four)))
"""

u32, u64, i32, i64 = (
    st.integers(low, high)
    for low, high in ((0, 2**32 - 1), (0, 2**64 - 1), (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1))
)
address = st.integers(0, 9 * 65536)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("f"), st.tuples(u32, u64, u32, u64)),
        st.tuples(st.just("write"), st.tuples(address, st.integers(0, 8))),
        st.tuples(st.just("fill"), st.tuples(address, st.integers(0, 255), st.integers(0, 200_000))),
        st.tuples(st.just("init"), st.tuples(st.integers(0, 12))),
        st.tuples(st.sampled_from(["drop_one", "drop_two", "drop_three", "drop_four"]), st.just(())),
        st.tuples(st.just("memory"), st.integers(0, 4)),
        st.tuples(st.just("table"), st.integers(0, 6)),
        st.tuples(st.just("set"), st.tuples(st.integers(0, 12), st.sampled_from(["f", "g", None]))),
        st.tuples(st.just("r"), st.sampled_from(["f", "g", None])),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def module(wat: Callable[[str], bytes]) -> Module:
    return Module(wat(STATE), "state.wasm")


def do(instance: Instance, step: tuple[str, Any]) -> object:
    """The outcome of one step."""
    exports = instance.exports
    name, args = step
    try:
        if name in ("memory", "table"):
            return exports[name].grow(args)
        if name == "set":
            exports.table[args[0]] = args[1] and exports[args[1]]
        elif name == "r":
            exports.r.value = args and exports[args]
        else:
            return exports[name](*args)
    except (Trap, ValueError, IndexError) as e:
        return str(e)
    return None


def seen(instance: Instance) -> object:
    """All of the state that can be seen, functions by name."""
    exports = instance.exports
    names = {None: None, exports.f: "f", exports.g: "g"}
    return bytes(exports.memory), [names[f] for f in exports.table], names[exports.r.value], exports.g()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=steps, after=steps, level=st.integers(0, 9))
def test_a_restored_instance_is_as_the_first(module: Module, before: Any, after: Any, level: int) -> None:
    one = module.instantiate()
    for step in before:
        do(one, step)
    data = one.snapshot(level)
    two = module.restore(data)
    assert seen(one) == seen(two)
    assert data == two.snapshot(level)
    for step in after:
        assert do(one, step) == do(two, step)
    assert seen(one) == seen(two)
    assert one.snapshot() == two.snapshot()
    assert data == module.restore(Snapshot(data)).snapshot(level)


def resealed(data: bytes) -> bytes:
    data = data[:44] + struct.pack("<Q", len(data)) + data[52:-4]
    return data + struct.pack("<I", zlib.crc32(data))


@pytest.fixture(scope="module")
def samples(module: Module, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """A folder for Wasi, and snapshots of all kinds of state."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "file").write_bytes(b"text")
    samples = []
    for level in (0, 1):
        with Wasi(args=["p", "q"], env={"K": "v"}, dirs={"/d": folder}) as wasi:
            one = module.instantiate(wasi=wasi)
            process = wasi._process
            for step in [("memory", 3), ("table", 4), ("init", (2,)), ("write", (70_000, 0)), ("drop_four", ())]:
                do(one, step)
            one.exports.memory[3 * 65536 :] = random.Random(1).randbytes(65536) if level else bytes(65535) + b"x"
            directory = process.get(3)
            for name, rights in ((b"file", Rights.FILE), (b".", Rights.DIRECTORY)):
                with paths.find(directory.handle, name, False) as place:
                    process.add(open_at(directory, place, 0, 0, rights, 0))
            samples.append(one.snapshot(level))
    return folder, samples


def outcome(module: Module, folder: Path, data: bytes) -> str:
    """Restore: an error's text, or nothing if there is an instance that can be used and saved."""
    with Wasi(dirs={"/d": folder}) as wasi:
        try:
            instance = module.restore(data, wasi=wasi)
        except SnapshotError as e:
            assert str(e).startswith("snapshot"), e
            return str(e)
        try:
            again = instance.snapshot()
        except SnapshotError as e:
            raise AssertionError("what was restored cannot be saved") from e
    with Wasi(dirs={"/d": folder}) as wasi:
        assert again == module.restore(again, wasi=wasi).snapshot()
    return ""


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_an_error_or_another_state(module: Module, samples: tuple[Path, list[bytes]], data: Any) -> None:
    folder, snapshots = samples
    snapshot = bytearray(data.draw(st.sampled_from(snapshots), label="snapshot"))
    interesting = st.one_of(
        st.integers(0, 400), st.integers(0, len(snapshot) - 1), st.integers(len(snapshot) - 400, len(snapshot))
    )
    for _ in range(data.draw(st.integers(1, 4), label="changes")):
        at = data.draw(interesting, label="at")
        kind = data.draw(st.sampled_from(["set", "u32", "delete", "insert", "copy"]), label="kind")
        if kind == "set":
            snapshot[at : at + 1] = bytes((data.draw(st.integers(0, 255)),))
        elif kind == "u32":
            value = data.draw(st.sampled_from([0, 1, 2, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000, 0x10001]))
            snapshot[at : at + 4] = struct.pack("<I", value)
        elif kind == "delete":
            del snapshot[at : at + data.draw(st.integers(1, 40))]
        elif kind == "insert":
            snapshot[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            start = data.draw(interesting)
            snapshot[at:at] = snapshot[start : start + data.draw(st.integers(1, 60))]
    if len(snapshot) > 60:
        outcome(module, folder, resealed(bytes(snapshot)))
    outcome(module, folder, bytes(snapshot))


@pytest.mark.slow
def test_every_byte_changed_with_a_right_checksum(module: Module, samples: tuple[Path, list[bytes]]) -> None:
    folder, (_, sample) = samples
    assert "" == outcome(module, folder, sample)
    packed = Snapshot(sample).memories[0].chunks[-1]
    places = [*range(packed.at + 100), *range(packed.at + packed.size - 20, len(sample) - 4)]
    errors = 0
    for n in places:
        for value in {0, 0xFF, sample[n] ^ 1, sample[n] ^ 0x80} - {sample[n]}:
            changed = bytearray(sample)
            changed[n] = value
            errors += outcome(module, folder, resealed(bytes(changed))) != ""
        if n > 60:
            errors += outcome(module, folder, resealed(sample[:n] + bytes(4))) != ""
    assert errors > len(places)
