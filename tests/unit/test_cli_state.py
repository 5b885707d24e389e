"""`run --suspend-to FILE` and `run --resume FILE`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from polymerase import Module
from polymerase.cli import _run

COUNT = r"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (data (i32.const 16) ".")
  (func $count (param $n i32) (result i32)
    (local $i i32)
    (loop $l
      (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 100)))
        (then (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (local.get $n))))
    (drop (call $sizes (i32.const 32) (i32.const 36)))
    (i32.load (i32.const 32)))
  (func (export "count") (param i32) (result i32) (call $count (local.get 0)))
  (func (export "_start") (call $exit (call $count (i32.const 1000))))
  (func (export "forever")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (loop $l (br $l))))
"""


@pytest.fixture
def prog(wat: Callable[[str], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("POLYMERASE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("count.wasm").write_bytes(wat(COUNT))
    return "count.wasm"


def test_a_program_goes_on_by_and_by(prog: str, capfd: pytest.CaptureFixture[str]) -> None:
    code = _run(["run", "--fuel", "3000", "--suspend-to", "state", prog, "a", "b"])
    turns = 0
    while code == 75:
        out, err = capfd.readouterr()
        assert err.startswith("count.wasm: suspended into state, ")
        turns += out.count(".")
        code = _run(["run", "--resume", "state", "--fuel", "3000", "--suspend-to", "state", prog])
    out, err = capfd.readouterr()
    assert (3, "", 10) == (code, err, turns + out.count("."))
    assert 1 < turns < 10
    assert sorted(["cache", "count.wasm", "state"]) == sorted(set(os.listdir()) | {"cache"})


def test_results_of_an_entry_come_in_the_end(prog: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert 75 == _run(["run", "--fuel", "1000", "--suspend-to", "state", "--entry", "count", prog, "300"])
    assert 0 == _run(["run", "--resume", "state", prog])
    assert "...1\n" == capfd.readouterr().out


@pytest.mark.parametrize("engine", ["interp", "aot", "auto"])
def test_exports_of_what_was_saved_between_calls(prog: str, engine: str, capfd: pytest.CaptureFixture[str]) -> None:
    instance = Module.from_file(prog).instantiate()
    instance.exports.memory[16] = ord("!")
    Path("state").write_bytes(instance.snapshot())
    assert 0 == _run(["run", "--engine", engine, "--resume", "state", "--entry", "count", prog, "200"])
    assert "!!1\n" == capfd.readouterr().out
    assert 1 == _run(["run", "--engine", engine, "--resume", "state", prog])
    assert "!" * 10 == capfd.readouterr().out


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--suspend-to", "s", "--aot"], "--suspend-to and --aot exclude each other"),
        (["--suspend-to", "s", "--engine", "auto"], "--suspend-to needs the interpreter, not --engine auto"),
        (["--suspend-to", "s", "--preload", "m=count.wasm"], "--suspend-to and --preload exclude each other"),
        (["--resume", "s", "--preload", "m=count.wasm"], "--resume and --preload exclude each other"),
        (["--resume", "s", "--env", "A=b"], "--resume and --env exclude each other"),
    ],
)
def test_options_that_exclude_each_other(
    prog: str, options: list[str], error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert 2 == _run(["run", *options, prog])
    assert error in capfd.readouterr().err


def test_arguments_of_a_program_are_those_it_had(prog: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert 2 == _run(["run", "--resume", "s", prog, "argument"])
    assert "--resume and ARGS exclude each other" in capfd.readouterr().err


def test_what_is_wrong_with_the_file_is_said(prog: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert 1 == _run(["run", "--resume", "missing", prog])
    assert "polymerase: missing: No such file" in capfd.readouterr().err
    Path("bad").write_bytes(b"nonsense")
    assert 1 == _run(["run", "--resume", "bad", prog])
    assert "polymerase: snapshot:0x0: not a snapshot" in capfd.readouterr().err
    assert 75 == _run(["run", "--fuel", "1000", "--suspend-to", "state", prog])
    capfd.readouterr()
    assert 1 == _run(["run", "--resume", "state", "--entry", "count", prog, "1"])
    assert "a call is suspended: no other can be made before it has ended" in capfd.readouterr().err
    assert 1 == _run(["run", "--fuel", "1000", "--suspend-to", "nowhere/state", prog])
    assert "nowhere" in capfd.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_ctrl_c_suspends(prog: str) -> None:
    command = [sys.executable, "-m", "polymerase", "run", "--suspend-to", "state", "--entry", "forever", prog]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "." == process.stdout.read(1)  # it runs
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (75, True) == (process.returncode, err.startswith("count.wasm: suspended into state")), err
    assert Path("state").stat().st_size > 100
