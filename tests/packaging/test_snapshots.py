"""Snapshots of packages cross from one Python to another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from polymerase import Module, Options, SnapshotError, compile_package

PROGRAM = r"""
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "env" "log" (func $log (param i32) (result i32)))
  (type $f (func (param i32) (result i32)))
  (memory (export "memory") 1 100)
  (table $t 4 funcref)
  (elem $e func $double $log)
  (data $d "passive")
  (data (i32.const 16) "\40\00\00\00\02\00\00\00")
  (data (i32.const 32) "file")
  (global $s (mut f32) (f32.const 0))
  (global $d (export "d") (mut f64) (f64.const 0))
  (global $l (mut i64) (i64.const 0))
  (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $read2 (result i32)
    (drop (call $read (i32.const 4) (i32.const 16) (i32.const 1) (i32.const 8)))
    (i32.load16_u (i32.const 64)))
  (func (export "begin") (result i32)
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 4) (i32.const 0)
      (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)))
    (drop (memory.grow (i32.const 5)))
    (memory.init $d (i32.const 300000) (i32.const 0) (i32.const 7))
    (table.init $t $e (i32.const 1) (i32.const 0) (i32.const 2))
    (elem.drop $e)
    (global.set $s (f32.reinterpret_i32 (i32.const 0x7f800001)))
    (global.set $d (f64.reinterpret_i64 (i64.const 0xfff0000000000001)))
    (global.set $l (i64.const -9223372036854775807))
    (call $read2))
  (func (export "end") (result i32 i32 i32 i32 i64 i64 i32)
    (call_indirect $t (type $f) (i32.const 21) (i32.const 1))
    (call_indirect $t (type $f) (i32.const 21) (i32.const 2))
    (i32.load (i32.const 300000))
    (i32.reinterpret_f32 (global.get $s))
    (i64.reinterpret_f64 (global.get $d))
    (global.get $l)
    (call $read2)))
"""
SCRIPT = """
import sys
import prog

imports = {"env": {"log": lambda x: x + 1}}
with prog.Wasi(args=["p"], dirs={"/": "."}) as wasi:
    if sys.argv[1] == "take":
        instance = prog.instantiate(imports, wasi=wasi)
        assert instance.exports.begin() == 0x6161
        data = instance.snapshot()
        open(sys.argv[2], "wb").write(data)
    else:
        data = open(sys.argv[2], "rb").read()
        instance = prog.restore(data, imports, wasi=wasi)
        assert instance.snapshot(0) == prog.restore(
            data, imports, wasi=prog.Wasi(dirs={"/": "."})
        ).snapshot(0)
        assert instance.exports.end() == (
            42, 22, 0x73736170, 0x7F800001, -0xFFFFFFFFFFFFF, -(2**63) + 1, 0x6262
        ), instance.exports.end()
        try:
            prog.restore(data[:-1], imports, wasi=wasi)
        except prog.SnapshotError as e:
            print(e)
"""
PYTHONS = ["python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "pypy3"]


def find(name: str) -> str | None:
    python = (name == "pypy3" and os.environ.get("POLYMERASE_PYPY")) or shutil.which(name)
    return python if python and not subprocess.run([python, "-c", ""], capture_output=True).returncode else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, wat: Callable[[str], bytes]) -> Path:
    """A folder with the package `prog` and the script."""
    folder = tmp_path_factory.mktemp("snapshots")
    compile_package(Module(wat(PROGRAM), "prog.wasm"), folder / "prog", target="both", standalone=True)
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "file").write_bytes(b"aabbcc")
    return folder


def run(python: str, folder: Path, what: str, file: str, script: str = "script.py") -> str:
    done = subprocess.run(
        [python, script, what, file],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def test_to_pypy_and_back(folder: Path, pypy: str) -> None:
    for one, other in ((sys.executable, pypy), (pypy, sys.executable)):
        run(one, folder, "take", "data")
        assert "ends after" in run(other, folder, "restore", "data")


@pytest.mark.slow
def test_from_every_python_to_every_other(folder: Path) -> None:
    pythons = {name: python for name in PYTHONS if (python := find(name))}
    for name, python in pythons.items():
        run(python, folder, "take", name)
    taken = {(folder / name).read_bytes() for name in pythons}
    assert 1 == len(taken)  # where all have the same zlib
    for name in pythons:
        for python in pythons.values():
            run(python, folder, "restore", name)


def test_a_package_goes_on_from_the_api_and_back(folder: Path, wat: Callable[[str], bytes]) -> None:
    from polymerase import Wasi

    module = Module(wat(PROGRAM), "prog.wasm")
    imports = {"env": {"log": lambda x: x + 1}}
    with Wasi(args=["p"], dirs={"/": folder}) as wasi:
        instance = module.instantiate(imports, wasi=wasi)
        instance.exports.begin()
        (folder / "api").write_bytes(instance.snapshot())
    run(sys.executable, folder, "restore", "api")
    run(sys.executable, folder, "take", "package")
    with Wasi(dirs={"/": folder}) as wasi:
        assert 42 == module.restore((folder / "package").read_bytes(), imports, wasi=wasi).exports.end()[0]
    with pytest.raises(SnapshotError, match="of another module"):
        Module(wat("(module)")).restore((folder / "package").read_bytes())


SUSPENDS = """
(module
  (import "env" "ask" (func $ask (param i64) (result i64)))
  (memory (export "memory") 1)
  (func $deep (param $n i32) (param $x f32) (result i64)
    (local $y f64)
    (local.set $y (f64.reinterpret_i64 (i64.const 0x7ff4000000000000)))
    (i64.add
      (if (result i64) (local.get $n)
        (then (call $deep (i32.sub (local.get $n) (i32.const 1)) (local.get $x)))
        (else (call $ask (i64.const 5))))
      (i64.add (i64.extend_i32_u (i32.reinterpret_f32 (local.get $x))) (i64.reinterpret_f64 (local.get $y)))))
  (func (export "f") (param i32) (result i64)
    (call $deep (local.get 0) (f32.reinterpret_i32 (i32.const 0x7f800001)))))
"""
SUSPEND_SCRIPT = """
import sys
import slow
from slow._runtime.interpreter import Suspend, Suspended

def ask(x):
    raise Suspend

if sys.argv[1] == "take":
    instance = slow.instantiate({"env": {"ask": ask}})
    try:
        instance.exports.f(20)
    except Suspended:
        open(sys.argv[2], "wb").write(instance.snapshot())
else:
    data = open(sys.argv[2], "rb").read()
    instance = slow.restore(data, {"env": {"ask": ask}})
    assert instance.snapshot() == data
    print(instance.resume(-3), slow.instantiate({"env": {"ask": lambda x: -3}}).exports.f(20))
"""


@pytest.fixture(scope="module")
def slow(folder: Path, wat: Callable[[str], bytes]) -> Path:
    """A folder with an interpreted package `slow` and a script."""
    module = Module(wat(SUSPENDS), "slow.wasm", options=Options(interpret=("*",)))
    compile_package(module, folder / "slow", target="both", standalone=True)
    (folder / "suspend.py").write_text(SUSPEND_SCRIPT, encoding="utf-8")
    return folder


def test_a_suspended_call_goes_on_in_pypy_and_back(slow: Path, pypy: str, wat: Callable[[str], bytes]) -> None:
    for one, other in ((sys.executable, pypy), (pypy, sys.executable)):
        run(one, slow, "take", "suspended", "suspend.py")
        resumed, direct = run(other, slow, "restore", "suspended", "suspend.py").split()
        assert direct == resumed
        module = Module(wat(SUSPENDS), "slow.wasm")
        again = module.restore((slow / "suspended").read_bytes(), {"env": {"ask": print}})
        assert int(direct) == again.resume(-3)


@pytest.mark.slow
def test_a_suspended_call_goes_on_in_every_python(slow: Path) -> None:
    pythons = {name: python for name in PYTHONS if (python := find(name))}
    for name, python in pythons.items():
        run(python, slow, "take", f"suspended-{name}", "suspend.py")
    assert 1 == len({(slow / f"suspended-{name}").read_bytes() for name in pythons})
    for python in pythons.values():
        resumed, direct = run(python, slow, "restore", f"suspended-{name}", "suspend.py").split()
        assert direct == resumed
