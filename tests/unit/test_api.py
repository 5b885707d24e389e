"""The embedding API: modules, their imports and exports, instances, packages."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import polymerase
from polymerase_runtime import Caller

Wat = Callable[[str], bytes]

EVERYTHING = r"""
(module
  (import "env" "log" (func $log (param i32 f64) (result i64)))
  (import "env" "table" (table 1 10 funcref))
  (import "env" "base" (global i32))
  (memory (export "memory") 1 3)
  (global (export "counter") (mut i64) (i64.const -5))
  (func (export "fib") (param i32) (result i32) (local.get 0))
  (func (export "two words") (result f32) (f32.const 1.5))
  (func (export "log") (param i32 f64) (result i64) (call $log (local.get 0) (local.get 1)))
  (export "table" (table 0)))
"""


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Compile a module as package `name` and import it; forget it after the test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def importable(data: bytes, name: str, **options: Any) -> ModuleType:
        polymerase.compile_package(polymerase.Module(data, f"{name}.wasm"), tmp_path / name, **options)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield importable
    for name in set(sys.modules) - before:
        if not name.startswith("polymerase"):
            del sys.modules[name]


def test_the_public_names_are_sorted_and_there() -> None:
    assert sorted(polymerase.__all__) == list(polymerase.__all__)
    assert [] == [name for name in polymerase.__all__ if not hasattr(polymerase, name)]


def test_imports_and_exports_are_described(wat: Wat) -> None:
    module = polymerase.Module(wat(EVERYTHING), "all.wasm")
    assert [
        ("env", "log", "func", "[i32 f64] -> [i64]"),
        ("env", "table", "table", "table 1 10 funcref"),
        ("env", "base", "global", "i32"),
    ] == [(i.module, i.name, i.kind, str(i.type)) for i in module.imports]
    assert [
        ("memory", "memory", "memory 1 3"),
        ("counter", "global", "(mut i64)"),
        ("fib", "func", "[i32] -> [i32]"),
        ("two words", "func", "[] -> [f32]"),
        ("log", "func", "[i32 f64] -> [i64]"),
        ("table", "table", "table 1 10 funcref"),
    ] == [(e.name, e.kind, str(e.type)) for e in module.exports]


def test_from_file_names_the_module_after_its_file(wat: Wat, tmp_path: Path) -> None:
    (tmp_path / "some.wasm").write_bytes(wat("(module)"))
    assert "some.wasm" == polymerase.Module.from_file(tmp_path / "some.wasm").name
    assert "some.wasm" == polymerase.Module.from_file(str(tmp_path / "some.wasm")).name


def test_what_is_no_module_is_refused_with_its_place(wat: Wat) -> None:
    with pytest.raises(polymerase.MalformedError, match=r"^bad\.wasm:0x0: magic header not detected"):
        polymerase.Module(b"\x7fELF....", "bad.wasm")
    with pytest.raises(polymerase.MalformedError, match="looks like text format; assemble it with wat2wasm"):
        polymerase.Module(b";; comment\n(module)")
    invalid = b"\0asm\1\0\0\0\1\5\1\x60\0\1\x7f\3\2\1\0\x0a\4\1\2\0\x0b"  # an i32 result that never comes
    with pytest.raises(polymerase.InvalidError, match=r"^bad\.wasm:0x[0-9a-f]+: func 0: type mismatch"):
        polymerase.Module(invalid, "bad.wasm")


def test_exports_are_attributes_and_items(wat: Wat) -> None:
    log = lambda i, x: i + int(x)  # noqa: E731 - any callable will do
    table = polymerase.Module(wat('(module (table (export "t") 1 10 funcref))')).instantiate().exports.t
    module = polymerase.Module(wat(EVERYTHING))
    instance = module.instantiate({"env": {"log": log, "table": table, "base": 7}})
    assert 30 == instance.exports.fib(30) == instance.exports["fib"](30)
    assert 1.5 == instance.exports["two words"]()
    assert -3 == instance.exports.log(-7, 4.0)
    assert -5 == instance.exports.counter.value
    assert {"memory", "counter", "fib", "two words", "log", "table"} == set(instance.exports)
    assert "fib" in instance.exports and "nope" not in instance.exports
    with pytest.raises(AttributeError, match="nope"):
        _ = instance.exports.nope


@pytest.mark.parametrize(
    "imports, named",
    [
        ({}, "log"),
        ({"env": {}}, "log"),
        ({"env": {"log": 5}}, "log"),
        ({"env": {"log": print, "table": print}}, "table"),
    ],
)
def test_a_missing_or_ill_typed_import_is_named(wat: Wat, imports: dict[str, dict[str, object]], named: str) -> None:
    with pytest.raises(polymerase.LinkError, match=rf"env.*{named}"):
        polymerase.Module(wat(EVERYTHING)).instantiate(imports)


def test_memory_reads_writes_grows_and_is_a_buffer(wat: Wat) -> None:
    instance = polymerase.Module(
        wat('(module (memory (export "memory") 1 3) (data (i32.const 2) "abc") '
            '(func (export "peek") (param i32) (result i32) (i32.load8_u (local.get 0))))')
    ).instantiate()  # fmt: skip
    memory = instance.exports.memory
    assert b"\0\0ab" == memory[0:4]
    assert b"bc\0" == memory.read(3, 3)
    memory.write(3, b"xyz")
    assert ord("y") == instance.exports.peek(4)
    memory[4] = 255
    assert 255 == instance.exports.peek(4)
    assert (1, 65536) == (memory.size, len(memory))
    assert 1 == memory.grow(1)
    assert (2, 131072) == (memory.size, len(memory))
    with pytest.raises(ValueError, match="maximum is 3"):
        memory.grow(2)
    with memoryview(memory if sys.version_info >= (3, 12) else memory.view) as view:
        assert 131072 == view.nbytes
        view[9] = 9
    assert 9 == instance.exports.peek(9)
    with pytest.raises(IndexError):
        memory.read(131070, 3)
    with pytest.raises(IndexError):
        memory.write(131070, b"abc")


def test_results_are_signed_and_arguments_are_checked(wat: Wat) -> None:
    exports = polymerase.Module(
        wat('(module (func (export "i") (param i32) (result i32) (local.get 0))'
            '        (func (export "l") (param i64) (result i64) (local.get 0))'
            '        (func (export "f") (param f32) (result f32) (local.get 0))'
            '        (func (export "two") (result i32 i64) (i32.const -1) (i64.const -2)))')
    ).instantiate().exports  # fmt: skip
    assert -1 == exports.i(-1) == exports.i(0xFFFFFFFF)
    assert -1 == exports.l(-1) == exports.l((1 << 64) - 1)
    assert (-1, -2) == exports.two()
    assert 1.100000023841858 == exports.f(1.1)
    assert math.isnan(exports.f(math.nan))
    for bad, error in [(1 << 32, OverflowError), (-(1 << 31) - 1, OverflowError), ("1", TypeError), (1.0, TypeError)]:
        with pytest.raises(error, match="i"):
            exports.i(bad)
    with pytest.raises(TypeError):
        exports.i()


def test_a_host_function_sees_the_callers_memory(wat: Wat) -> None:
    seen = []

    def log(caller: Caller, p: int, n: int) -> None:
        seen.append(bytes(caller.memory.read(p, n)))

    text = (
        '(module (import "env" "log" (func $log (param i32 i32))) (memory (export "memory") 1)'
        ' (data (i32.const 8) "hello") (func (export "go") (call $log (i32.const 8) (i32.const 5))))'
    )
    polymerase.Module(wat(text)).instantiate({"env": {"log": log}}).exports.go()
    assert [b"hello"] == seen


def test_a_host_functions_exception_passes_untouched(wat: Wat) -> None:
    error = IndexError("mine")

    def fail() -> None:
        raise error

    text = '(module (import "env" "fail" (func $fail)) (func (export "go") (call $fail)))'
    with pytest.raises(IndexError) as raised:
        polymerase.Module(wat(text)).instantiate({"env": {"fail": fail}}).exports.go()
    assert error is raised.value


def test_instances_share_code_and_not_state(wat: Wat) -> None:
    text = (
        '(module (global $n (mut i32) (i32.const 0)) (func (export "next") (result i32)'
        " (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"
    )
    module = polymerase.Module(wat(text))
    a, b = module.instantiate(), module.instantiate()
    assert [1, 2, 1] == [a.exports.next(), a.exports.next(), b.exports.next()]


@pytest.mark.parametrize("data", [8, "\0asm", None, ["x"]])
def test_a_module_is_made_of_bytes(data: Any) -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        polymerase.Module(data)


def test_traps_carry_the_guests_frames(wat: Wat) -> None:
    text = (
        '(module (func $inner (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))'
        ' (func $outer (export "go") (result i32) (i32.add (i32.const 1) (call $inner (i32.const 0)))))'
    )  # fmt: skip
    module = polymerase.Module(wat(text))
    with pytest.raises(polymerase.Trap) as raised:
        module.instantiate().exports.go()
    assert "integer divide by zero" == str(raised.value)
    assert [(1, "outer"), (0, "inner")] == [(frame.func, frame.name) for frame in raised.value.frames]
    offsets = [frame.offset for frame in raised.value.frames]
    data = wat(text)
    assert all(offset is not None and 8 < offset < len(data) for offset in offsets)
    assert 0x6E == data[offsets[1] or 0]  # i32.div_u


def test_recursion_without_end_traps_and_the_host_lives(wat: Wat) -> None:
    module = polymerase.Module(wat('(module (func $f (export "f") (result i32) (i32.add (i32.const 1) (call $f))))'))
    instance = module.instantiate()
    for _ in range(2):
        with pytest.raises(polymerase.Trap, match="call stack exhausted"):
            instance.exports.f()


def test_wasi_streams_may_be_python_files(wat: Wat) -> None:
    text = r"""
    (module
      (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 100))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
    """
    out = BytesIO()
    wasi = polymerase.Wasi(stdin=BytesIO(b"from python"), stdout=out)
    polymerase.Module(wat(text)).instantiate(wasi=wasi).exports._start()
    assert b"from python" == out.getvalue()


def test_without_a_wasi_the_streams_are_this_process_s_and_there_is_nothing_else(
    wat: Wat, capfd: pytest.CaptureFixture[str]
) -> None:
    text = r"""
    (module
      (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 64) "hello")
      (func (export "folders") (result i32) (call $prestat (i32.const 3) (i32.const 0)))
      (func (export "counts") (result i32 i32)
        (drop (call $args (i32.const 0) (i32.const 4)))
        (drop (call $environ (i32.const 8) (i32.const 12)))
        (i32.load (i32.const 0)) (i32.load (i32.const 8)))
      (func (export "greet")
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 5))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
    """
    exports = polymerase.Module(wat(text)).instantiate().exports
    assert 8 == exports.folders()  # EBADF
    assert (1, 0) == exports.counts()
    exports.greet()
    assert "hello" == capfd.readouterr().out


def test_a_package_has_the_exports_as_attributes(wat: Wat, importable: Callable[..., ModuleType]) -> None:
    text = '(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))'
    made = importable(wat(text), "adder")
    assert -1 == made.add(2**31 - 1, 2**31)
    assert 3 == made.instantiate().exports.add(1, 2)
    assert made.instantiate() is not made.instantiate()


def test_a_package_that_needs_imports_is_instantiated_with_them(
    wat: Wat, importable: Callable[..., ModuleType]
) -> None:
    text = '(module (import "env" "f" (func $f (result i32))) (func (export "g") (result i32) (call $f)))'
    made = importable(wat(text), "needy")
    assert 4 == made.instantiate({"env": {"f": lambda: 4}}).exports.g()
    with pytest.raises(polymerase.LinkError, match="env"):
        made.instantiate()
    with pytest.raises((AttributeError, polymerase.LinkError)):
        made.g()


def test_a_summary_counts_what_was_written(wat: Wat, tmp_path: Path) -> None:
    text = '(module (func (export "a")) (func (export "b") (result i32) (i32.const 1)))'
    seen: list[tuple[int, int]] = []
    module = polymerase.Module(wat(text))
    summary = polymerase.compile_package(
        module, tmp_path / "p", progress=lambda done, total: seen.append((done, total))
    )
    files = [path for path in (tmp_path / "p").rglob("*") if path.is_file()]
    assert 2 == summary.functions
    assert sum(path.stat().st_size for path in files) == summary.bytes
    assert sum(path.read_bytes().count(b"\n") for path in files if path.suffix in (".py", ".pyi")) == summary.lines
    assert seen and seen[-1][0] == seen[-1][1]


def test_the_same_module_and_options_give_the_same_bytes(wat: Wat, tmp_path: Path) -> None:
    module = polymerase.Module(wat(EVERYTHING), "all.wasm")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        polymerase.compile_package(module, tmp_path / name / "all_py", target="both")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="target is one of"):
        polymerase.Options(target="jython")  # type: ignore[arg-type] - what the test is about
    with pytest.raises(ValueError, match="opt_level"):
        polymerase.Options(opt_level=3)


def test_what_is_no_wasi_is_a_type_error(wat: Wat) -> None:
    module = polymerase.Module(wat("(module)"))
    with pytest.raises(TypeError, match=r"wasi: expected a Wasi, got builtins\.int"):
        module.instantiate(wasi=3)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(TypeError, match="args: expected the arguments one by one"):
        polymerase.Wasi(args="tac")
