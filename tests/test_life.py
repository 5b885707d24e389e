"""docs/life.md, row by row: what a row says does here what Life does, is done here.

Each row is held by the test whose docstring is the first name of the row. Long, because the table is.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import os
import re
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import polymerase
from polymerase import (
    Caller,
    Global,
    GlobalType,
    Instance,
    Limits,
    Memory,
    Module,
    SizeLimits,
    Table,
    TableType,
    Trap,
)
from tests.command import Call, Done

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "life.md"

KIT = r"""
(module
  (type $binary (func (param i32 i32) (result i32)))
  (memory (export "memory") 1 3)
  (table (export "table") 3 10 funcref)
  (elem (i32.const 0) $add $swap)
  (global (export "g") (mut i64) (i64.const -5))
  (data (i32.const 8) "hello")
  (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func $swap (export "swap") (param i32 i64) (result i64 i32) (local.get 1) (local.get 0))
  (func $fac (export "fac") (param i64) (result i64)
    (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 1))
      (else (i64.mul (local.get 0) (call $fac (i64.sub (local.get 0) (i64.const 1)))))))
  (func $down (export "down") (param i32)
    (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "grow_table") (param i32) (result i32) (table.grow (ref.null func) (local.get 0)))
  (func (export "indirect") (param i32) (result i32)
    (call_indirect (type $binary) (i32.const 2) (i32.const 3) (local.get 0)))
  (func (export "dead") unreachable)
  (func (export "get") (result i64) (global.get 0))
  (func $spin (export "spin") (loop (br 0)))
  (func (export "poke") (i32.store (i32.const 0) (i32.const 1))))
"""
FLOATS = r"""
(module
  (func $half (export "half") (param i64) (result i64)
    (i64.reinterpret_f64 (f64.mul (f64.reinterpret_i64 (local.get 0)) (f64.const 0.5)))))
"""
HOST = r"""
(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "text")
  (func (export "twice") (param i32) (result i32)
    (i32.add (call $ask (local.get 0)) (call $ask (i32.add (local.get 0) (i32.const 1)))))
  (func (export "one") (result i32) (i32.const 1)))
"""
MAGIC = r"""
(module
  (import "env" "__life_magic" (global $magic i64))
  (func (export "app_main") (result i64) (global.get $magic)))
"""
START = r"""
(module
  (global $g (export "g") (mut i32) (i32.const 0))
  (func $start (global.set $g (i32.const 1)))
  (start $start)
  (func (export "get") (result i32) (global.get $g)))
"""

Wat = Callable[[str], bytes]


def rows() -> Iterator[tuple[str, str]]:
    """(first name, whole row) of each row of the page's tables."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| Life |", "| ---")):
            cell = line.split("|")[1].strip()
            name = re.match(r"`([^`]*)`", cell)
            yield (name[1] if name else cell), line


def test_each_row_has_a_test_and_each_test_a_row() -> None:
    named = [name for name, _ in rows()]
    assert sorted(set(named)) == sorted(named)
    tests = [f.__doc__ for name, f in globals().items() if name.startswith("test_") and f.__doc__]
    assert sorted(set(tests)) == sorted(tests)
    assert {"rows without a test": [], "tests without a row": []} == {
        "rows without a test": sorted(set(named) - set(tests)),
        "tests without a row": sorted(set(tests) - set(named)),
    }


def test_each_name_stands_in_one_row() -> None:
    named = [name for _, line in rows() for name in re.findall(r"`([^`]*)`", line.split("|")[1])]
    assert [] == [name for name in set(named) if named.count(name) > 1]


def python(*argv: str | Path, cwd: Path = ROOT) -> Done:
    """Run a script or module of the checkout."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "runtime")])}
    done = subprocess.run([sys.executable, *argv], env=env, cwd=cwd, capture_output=True, text=True)
    return Done(done.returncode, done.stdout, done.stderr)


@functools.cache
def life(*argv: str | Path) -> Done:
    """Run examples/life.py."""
    return python(ROOT / "examples" / "life.py", *argv)


class Loaded:
    """A Module whose instances run in an engine, unless they are asked to run in another."""

    def __init__(self, module: Module, engine: str) -> None:
        self.module = module
        self.engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def instantiate(self, *args: Any, **options: Any) -> Instance:
        return self.module.instantiate(*args, **{"engine": self.engine, **options})


@pytest.fixture(scope="module", params=["aot", "interp"])
def engine(request: pytest.FixtureRequest) -> str:
    """What is said of one engine is true of the other."""
    return str(request.param)


@pytest.fixture(scope="module")
def kit(wat: Wat, engine: str) -> Loaded:
    return Loaded(Module(wat(KIT), "kit.wasm"), engine)


@pytest.fixture
def kit_file(wat: Wat, tmp_path: Path) -> Path:
    (tmp_path / "kit.wasm").write_bytes(wat(KIT))
    return tmp_path / "kit.wasm"


@pytest.fixture(scope="module")
def host(wat: Wat, engine: str) -> Loaded:
    return Loaded(Module(wat(HOST), "host.wasm"), engine)


def trap(instance: Instance, name: str, *args: Any) -> str:
    """The text of the trap that a call ends in."""
    with pytest.raises(Trap) as caught:
        instance.exports[name](*args)
    return str(caught.value)


# The command line


def test_command(call: Call, kit_file: Path) -> None:
    """life FILE [ARG…]"""
    assert Done(0, "5\n", "") == call("run", "--aot", "--entry", "add", kit_file, "2", "3")
    assert Done(0, "-7\n1\n", "") == call("run", "--aot", "--entry", "swap", kit_file, "1", "-7")


def test_entry(call: Call, kit_file: Path) -> None:
    """-entry NAME"""
    assert Done(0, "720\n", "") == call("run", "--entry", "fac", kit_file, "6")
    done = call("run", kit_file)
    assert (1, "") == done[:2] and 'no export "_start"' in done.err
    assert "return value = 9" in life("-entry", "collatz", ROOT / "examples" / "life.wasm", "12").out


def test_aot(call: Call, kit_file: Path) -> None:
    """-polymerase"""
    assert Done(0, "720\n", "") == call("run", "--aot", "--entry", "fac", kit_file, "6")
    assert "return value = 720" in life("-polymerase", "-entry", "fac", kit_file, "6").out


def test_start_function(wat: Wat) -> None:
    """the start function"""
    assert 1 == Module(wat(START)).instantiate().exports.get()


def test_entry_not_found(call: Call, kit_file: Path) -> None:
    """Entry function … not found; starting from 0."""
    done = call("run", "--entry", "app_main", kit_file)
    assert (1, "") == done[:2] and 'no export "app_main"; exported functions: "add", "swap"' in done.err


def test_arguments_are_not_printed(call: Call, kit_file: Path) -> None:
    """each argument, printed"""
    assert "5\n" == call("run", "--entry", "add", kit_file, "2", "3").out


def test_result(call: Call, kit_file: Path) -> None:
    """return value = …, duration = …"""
    assert "5\n" == call("run", "--entry", "add", kit_file, "2", "3").out
    assert re.search(r"^return value = 5, duration = [\d.]+ s\n\Z", life("-entry", "add", kit_file, "2", "3").out, re.M)


def test_stack_trace(call: Call, kit_file: Path) -> None:
    """--- Begin stack trace ---"""
    done = call("run", "--entry", "div", kit_file, "1", "0")
    trace = (
        r"kit.wasm: trap: integer divide by zero\nwasm traceback \(innermost last\):\n  func 4 \"div\" at 0x[0-9a-f]+\n"
    )
    assert done.code == 134 and re.fullmatch(trace, done.err), done.err
    done = life("-entry", "div", kit_file, "1", "0")
    assert "--- Begin stack trace ---\n<0> [4] div\n--- End stack trace ---\n" in done.out


def test_resolve_lines(call: Call) -> None:
    """Resolve func: …"""
    done = call("inspect", ROOT / "examples" / "life.wasm")
    assert '  func    "env" "__life_ping" [i32] -> [i32]\n' in done.out
    assert "Resolve func: env __life_ping\n" in life().out


def test_life_log() -> None:
    """env.__life_log"""
    assert "[app] hello from WebAssembly\n" in life().out


def test_print_i64() -> None:
    """env.print_i64"""
    assert "[app] print_i64: -1\n[app] print_i64: 1099511627776\n" in life().out


def test_life_ping() -> None:
    """env.__life_ping"""
    assert "return value = 42, " in life().out  # the ping of 41


def test_life_magic(wat: Wat, tmp_path: Path) -> None:
    """env.__life_magic"""
    (tmp_path / "magic.wasm").write_bytes(wat(MAGIC))
    out = life(tmp_path / "magic.wasm").out
    assert "Resolve global: env __life_magic\n" in out and "return value = 424, " in out


def test_compilation_lines(call: Call, kit_file: Path) -> None:
    """[Polymerase] Compilation started."""
    assert re.fullmatch(r"kit_py: 13 functions, .* bytes in [\d.]+ s\n", call("compile", kit_file, "-o", "kit_py").out)
    out = life("-polymerase", "-entry", "add", kit_file, "2", "3").out
    assert re.search(r"\[Polymerase] Compilation started.\n\[Polymerase] Compilation finished successfully in", out)


@pytest.mark.slow
def test_platforms(kit_file: Path, pypy: str, tmp_path: Path) -> None:
    """[Polymerase] The current platform is not yet supported."""
    polymerase.compile_package(kit_file, tmp_path / "kit_py", target="both", standalone=True)
    code = "import kit_py; print(kit_py.fac(6))"
    for each in (sys.executable, pypy):
        done = subprocess.run([each, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert (0, "720\n") == (done.returncode, done.stdout), each


def test_no_other_program_takes_part(kit_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """compiler warnings/errors:"""
    monkeypatch.setenv("PATH", "")
    polymerase.compile_package(kit_file, tmp_path / "kit_py")
    assert 720 == Module.from_file(kit_file).instantiate().exports.fac(6)


def test_no_jit_option() -> None:
    """Warning: JIT support is removed."""
    fields = {f.name for cls in (polymerase.Options, Limits) for f in dataclasses.fields(cls)}
    assert "opt_level" in fields and not [name for name in fields if "jit" in name]


def test_wasm_compile(call: Call, kit_file: Path, tmp_path: Path) -> None:
    """wasm-compile FILE"""
    assert 0 == call("compile", kit_file, "-o", "kit_py").code
    assert "def func2_fac(p0):" in "".join(p.read_text() for p in (tmp_path / "kit_py").glob("*.py"))


def test_bounds_checks_stay(kit: Loaded) -> None:
    """wasm-compile -no-mem-bound-check"""
    assert "out of bounds memory access" == trap(kit.instantiate(), "load", 65533)
    assert "out of bounds memory access" == trap(kit.instantiate(), "load", -1)


SCRIPT = """
(module (func (export "f") (result i32) (i32.div_u (i32.const 1) (i32.const 0)))
        (func $again (export "again") (call $again)))
(assert_trap (invoke "f") "integer divide by zero")
(assert_exhaustion (invoke "again") "call stack exhausted")
(assert_invalid (module (func (result i32))) "type mismatch")
(assert_malformed (module binary "") "unexpected end")
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite of one script."""
    pytest.importorskip("wasmtime", reason="wasmtime assembles the script's modules")
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "own.wast").write_text(SCRIPT)
    monkeypatch.setenv("POLYMERASE_SPEC_TESTS", str(tmp_path))
    return tmp_path


def test_official_suite(suite: Path) -> None:
    """run_spec_tests.py DIR"""
    done = python("-m", "spec", "core/own.wast")
    assert 0 == done.code and "1 passed" in done.out, done


def test_one_script(suite: Path) -> None:
    """test_runner FILE.json"""
    done = python("-m", "spec", suite / "core" / "own.wast", "--json", suite / "verdicts.json")
    assert 0 == done.code, done
    (report,) = json.loads((suite / "verdicts.json").read_text())["scripts"]
    assert ("passed", 5, 0) == (report["status"], report["passed"], report["failed"])


@pytest.mark.slow
def test_bench() -> None:
    """bench/"""
    pytest.importorskip("ziglang", reason="ziglang builds the kernels")
    done = python("-m", "tools.bench", "--only", "fib", "--rounds", "1", "--against", "wasmtime")
    assert 0 == done.code and "fib" in done.out, done


# VMConfig


def test_enable_jit() -> None:
    """VMConfig.EnableJIT"""
    with pytest.raises(TypeError):
        Limits(jit=True)  # type: ignore[call-arg]


def test_memory_pages(call: Call, kit: Loaded, kit_file: Path) -> None:
    """VMConfig.MaxMemoryPages"""
    grow = kit.instantiate(limits=Limits(memory_pages=2)).exports.grow
    assert [1, -1] == [grow(1), grow(1)]
    with pytest.raises(polymerase.PolymeraseError, match="memory_pages"):
        kit.instantiate(limits=Limits(memory_pages=0))
    assert "-1\n" == call("run", "--max-memory", "1", "--entry", "grow", kit_file, "1").out


def test_table_elements(call: Call, kit: Loaded, kit_file: Path) -> None:
    """VMConfig.MaxTableSize"""
    grow = kit.instantiate(limits=Limits(table_elements=4)).exports.grow_table
    assert [3, -1] == [grow(1), grow(1)]
    with pytest.raises(polymerase.PolymeraseError, match="table_elements"):
        kit.instantiate(limits=Limits(table_elements=2))
    assert "-1\n" == call("run", "--max-table", "3", "--entry", "grow_table", kit_file, "1").out


def test_value_slots(call: Call, kit: Loaded, kit_file: Path) -> None:
    """VMConfig.MaxValueSlots"""
    instance = kit.instantiate(limits=Limits(value_slots=100))
    instance.exports.down(99)
    assert "call stack exhausted" == trap(instance, "down", 100)
    done = call("run", "--max-value-slots", "100", "--entry", "down", kit_file, "100")
    assert 134 == done.code and "call stack exhausted" in done.err


def test_call_depth(call: Call, kit: Loaded, kit_file: Path) -> None:
    """VMConfig.MaxCallStackDepth"""
    instance = kit.instantiate(limits=Limits(call_depth=100))
    instance.exports.down(99)
    assert "call stack exhausted" == trap(instance, "down", 100)
    done = call("run", "--max-call-depth", "100", "--entry", "down", kit_file, "100")
    assert 134 == done.code and "call stack exhausted" in done.err


IMPORTS = r"""
(module
  (import "env" "memory" (memory 1))
  (import "env" "table" (table 1 funcref))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
  (func (export "size") (result i32) (table.size 0)))
"""


def test_imported_memory(wat: Wat) -> None:
    """VMConfig.DefaultMemoryPages"""
    memory = Memory(128)
    table = Table(TableType("funcref", SizeLimits(1)))
    Module(wat(IMPORTS)).instantiate({"env": {"memory": memory, "table": table}}).exports.store(8, 0x0102)
    assert (128 * 65536, b"\2\1") == (len(memory), memory.read(8, 2))


def test_imported_table(wat: Wat) -> None:
    """VMConfig.DefaultTableSize"""
    table = Table(TableType("funcref", SizeLimits(65536)))
    instance = Module(wat(IMPORTS)).instantiate({"env": {"memory": Memory(1), "table": table}})
    assert 65536 == instance.exports.size()


def test_fuel(call: Call, kit: Loaded, kit_file: Path) -> None:
    """VMConfig.GasLimit"""
    assert "all fuel consumed" == trap(kit.instantiate(limits=Limits(fuel=1000)), "spin")
    assert "all fuel consumed" == trap(kit.instantiate(limits=Limits(fuel=0)), "add", 2, 3)
    done = call("run", "--fuel", "1000", "--entry", "spin", kit_file)
    assert 134 == done.code and "all fuel consumed" in done.err


def test_no_floats(wat: Wat, tmp_path: Path) -> None:
    """VMConfig.DisableFloatingPoint"""
    with pytest.raises(polymerase.PolymeraseError, match=r'^floats.wasm:0x[0-9a-f]+: func 0 "half": '):
        Module(wat(FLOATS), "floats.wasm").instantiate(limits=Limits(floats=False))


def test_no_fp_flag(call: Call, wat: Wat, tmp_path: Path) -> None:
    """-no-fp"""
    (tmp_path / "floats.wasm").write_bytes(wat(FLOATS))
    done = call("run", "--no-floats", "--entry", "half", "floats.wasm", "3")
    assert (1, "") == done[:2] and 'func 0 "half"' in done.err
    assert "4602678819172646912\n" == call("run", "--entry", "half", "floats.wasm", "0x3ff0000000000000").out
    done = life("-no-fp", "-entry", "half", tmp_path / "floats.wasm", "3")
    assert (1, "") == done[:2] and 'func 0 "half"' in done.err


def test_compile_no_fp(call: Call, wat: Wat, tmp_path: Path) -> None:
    """wasm-compile -no-fp"""
    (tmp_path / "floats.wasm").write_bytes(wat(FLOATS))
    done = call("compile", "--no-floats", "floats.wasm", "-o", "floats_py")
    assert (1, "") == done[:2] and 'func 0 "half"' in done.err
    assert not (tmp_path / "floats_py").exists()


def test_suspend_without_fuel(kit: Loaded) -> None:
    """VMConfig.ReturnOnGasLimitExceeded"""
    instance = kit.instantiate(engine="interp", limits=Limits(fuel=20, on_fuel="suspend"))
    with pytest.raises(polymerase.Suspended):
        instance.exports.fac(6)
    instance.fuel = 1000
    assert 720 == instance.resume()


def test_deep_recursion(kit: Loaded) -> None:
    """DefaultCallStackSize"""
    kit.instantiate().exports.down(5000)


def test_page_size(kit: Loaded) -> None:
    """DefaultPageSize"""
    memory = kit.instantiate().memory
    assert 65536 == len(memory) // memory.size


def test_no_threshold() -> None:
    """JITCodeSizeThreshold"""
    assert "opt_level" in {f.name for f in dataclasses.fields(polymerase.Options)}


def test_little_endian(kit: Loaded) -> None:
    """LE"""
    memory = kit.instantiate().memory
    memory.write(0, struct.pack("<Id", 7, 0.5))
    assert (7, 0.5) == (int.from_bytes(memory.read(0, 4), "little"), struct.unpack("<d", memory.read(4, 8))[0])


# Modules


def test_new_module(wat: Wat) -> None:
    """NewModule"""
    module = Module(wat(HOST), "host.wasm")
    one, other = (module.instantiate({"env": {"ask": lambda x, n=n: x * n}}) for n in (1, 10))
    assert (3, 30) == (one.exports.twice(1), other.exports.twice(1))


def test_new_virtual_machine(wat: Wat) -> None:
    """NewVirtualMachine"""
    assert 5 == Module(wat(KIT)).instantiate({}, limits=Limits(memory_pages=3)).exports.add(2, 3)


def test_another_instance(kit: Loaded) -> None:
    """Module.NewVirtualMachine"""
    one, other = kit.instantiate(), kit.instantiate()
    one.memory[8] = 0
    one.exports.g.value = 9
    assert (b"hello", -5) == (other.memory.read(8, 5), other.exports.get())


def test_function_exports(kit: Loaded) -> None:
    """Module.GetFunctionExport"""
    assert ["[i32 i32] -> [i32]"] == [str(e.type) for e in kit.exports if (e.name, e.kind) == ("add", "func")]


def test_global_exports(kit: Loaded) -> None:
    """Module.GetGlobalExport"""
    assert ["(mut i64)"] == [str(e.type) for e in kit.exports if (e.name, e.kind) == ("g", "global")]


def test_module_config(wat: Wat) -> None:
    """Module.Config"""
    module = Module(wat(KIT), options=polymerase.Options(opt_level=1))
    assert (1, 3) == (module.options.opt_level, module.instantiate(limits=Limits(memory_pages=3)).limits.memory_pages)


def test_decoded_module(call: Call, host: Loaded, kit_file: Path) -> None:
    """Module.Module"""
    assert (1, 3) == (len(host.imports), len(host.exports))
    facts = json.loads(call("inspect", "--json", kit_file).out)
    assert (13, "code") == (facts["functions"], facts["sections"][7]["name"])


def test_function_code(call: Call, kit_file: Path) -> None:
    """Module.FunctionCode"""
    assert "return i32_add(p0, p1)" in call("dump", "--func", "add", kit_file).out


def test_function_imports(host: Loaded) -> None:
    """Module.FunctionImports"""
    assert [("env", "ask", "func", "[i32] -> [i32]")] == [(i.module, i.name, i.kind, str(i.type)) for i in host.imports]


def test_module_table(kit: Loaded) -> None:
    """Module.Table"""
    table = kit.instantiate().exports["table"]
    assert (3, None) == (len(table), table[2])


def test_module_globals(kit: Loaded) -> None:
    """Module.Globals"""
    assert -5 == kit.instantiate().exports["g"].value


def test_module_gas_policy(kit: Loaded) -> None:
    """Module.GasPolicy"""
    assert {"call": 10} == kit.instantiate(limits=Limits(fuel=1, fuel_costs={"call": 10})).limits.fuel_costs


def test_resolver_is_not_kept(host: Loaded) -> None:
    """Module.ImportResolver"""
    env = {"ask": lambda x: x}
    instance = host.instantiate({"env": env})
    env.clear()
    assert 3 == instance.exports.twice(1)


@pytest.fixture
def package(kit_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """KIT as a package."""
    polymerase.compile_package(kit_file, tmp_path / "life_kit_py")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield importlib.import_module("life_kit_py")
    for name in [name for name in sys.modules if name.split(".")[0] == "life_kit_py"]:
        del sys.modules[name]


def test_compile_module(package: ModuleType) -> None:
    """Module.NCompile"""
    assert 720 == package.fac(6)


def test_package_environment(package: ModuleType) -> None:
    """Module.GenerateNEnv"""
    assert package.__file__ is not None and package.__file__.endswith("__init__.py")
    assert (3, -5) == (len(package.table), package.g.value)


def test_exports_by_name(package: ModuleType) -> None:
    """Module.NBuildAliasDef"""
    assert (120, (2, 1)) == (package.fac(5), package.swap(1, 2))


def test_no_unchecked_memory(package: ModuleType) -> None:
    """NCompileConfig.DisableMemBoundCheck"""
    with pytest.raises(Trap, match="out of bounds memory access"):
        package.load(65536)


def test_validate(call: Call, wat: Wat, tmp_path: Path) -> None:
    """ValidateWasm"""
    broken = wat("(module (func (result i32) (i32.const 0)))").replace(b"\x41\x00\x0b", b"\x01\x01\x0b")
    with pytest.raises(polymerase.InvalidError, match="func 0: type mismatch"):
        Module(broken)
    (tmp_path / "broken.wasm").write_bytes(broken)
    done = call("validate", "broken.wasm")
    assert (1, "") == done[:2] and "func 0: type mismatch" in done.err


def test_own_validator() -> None:
    """ValidatorCode"""
    with pytest.raises(polymerase.MalformedError, match="<module>:0x0"):
        Module(b"not a module")


# Imports


def test_imports_of_every_form(host: Loaded, wat: Wat) -> None:
    """ImportResolver"""
    asked = []

    def resolve(module: str, name: str, wanted: object) -> object:
        asked.append((module, name, str(wanted)))
        return lambda x: x * 10

    other = Module(wat('(module (func (export "ask") (param i32) (result i32) (i32.const 21)))')).instantiate()
    mapping = {"env": {"ask": lambda x: x}}
    given = (mapping, {"env": other}, resolve)
    assert [3, 42, 30] == [host.instantiate(imports).exports.twice(1) for imports in given]
    assert [("env", "ask", "[i32] -> [i32]")] == asked


def test_resolved_at_link_time(host: Loaded) -> None:
    """ImportResolver.ResolveFunc"""
    with pytest.raises(polymerase.LinkError, match='"env"."ask"'):
        host.instantiate({"env": {}})


def test_imported_globals(wat: Wat) -> None:
    """ImportResolver.ResolveGlobal"""
    assert 424 == Module(wat(MAGIC)).instantiate({"env": {"__life_magic": 424}}).exports.app_main()
    text = """(module (import "env" "g" (global $g (mut i64)))
        (func (export "inc") (global.set $g (i64.add (global.get $g) (i64.const 1)))))"""
    shared = Global(GlobalType("i64", True), 41)
    Module(wat(text)).instantiate({"env": {"g": shared}}).exports.inc()
    assert 42 == shared.value


def test_no_imports(kit: Loaded, host: Loaded) -> None:
    """NopResolver"""
    assert 5 == kit.instantiate().exports.add(2, 3)
    with pytest.raises(polymerase.LinkError):
        host.instantiate()


def test_host_functions(host: Loaded) -> None:
    """FunctionImport"""

    def ask(caller: Caller, x: int) -> int:
        return caller.memory[x]

    assert ord("t") + ord("e") == host.instantiate({"env": {"ask": ask}}).exports.twice(0)
    with pytest.raises(TypeError, match='"env"."ask"'):
        host.instantiate({"env": {"ask": lambda x: "text"}}).exports.twice(0)


def test_import_types(host: Loaded) -> None:
    """FunctionImportInfo.ModuleName"""
    (wanted,) = host.imports
    assert ("env", "ask") == (wanted.module, wanted.name)


def test_refused_imports(host: Loaded) -> None:
    """func import not allowed"""
    with pytest.raises(polymerase.LinkError, match=r'^unknown import: "env"."ask": func \[i32\] -> \[i32\]$'):
        host.instantiate()


def test_unknown_imports(host: Loaded) -> None:
    """unknown field: …"""
    for imports in ({"env": {"other": len}}, {"other": {"ask": len}}):
        with pytest.raises(polymerase.LinkError, match='unknown import: "env"."ask"'):
            host.instantiate(imports)


def test_memory_and_table_imports(wat: Wat) -> None:
    """cannot import another memory while we already have one"""
    text = '(module (import "env" "t" (table 1 funcref)) (table (export "own") 2 funcref))'
    table = Table(TableType("funcref", SizeLimits(1)))
    assert 2 == len(Module(wat(text)).instantiate({"env": {"t": table}}).exports.own)
    with pytest.raises(polymerase.UnsupportedError, match="multi-memory"):
        Module(wat('(module (import "env" "m" (memory 1)) (memory 1))'))


def test_import_kinds() -> None:
    """import kind not supported: …"""
    with pytest.raises(polymerase.MalformedError, match="import kind"):
        Module(b"\0asm\1\0\0\0\2\7\1\1m\1n\x7f\0")


def test_imports_are_resolved_before_anything_runs(wat: Wat) -> None:
    """cannot resolve import"""
    text = """(module (import "env" "f" (func $f)) (import "env" "g" (func)) (start $f))"""
    ran: list[int] = []
    with pytest.raises(polymerase.LinkError, match='"env"."g"'):
        Module(wat(text)).instantiate({"env": {"f": lambda: ran.append(1)}})
    assert [] == ran


# Running


def test_get_function(kit: Loaded) -> None:
    """VirtualMachine.GetFunctionExport"""
    assert 120 == kit.instantiate().exports["fac"](5)


def test_get_global(kit: Loaded) -> None:
    """VirtualMachine.GetGlobalExport"""
    assert -5 == kit.instantiate().exports["g"].value


def test_run(kit: Loaded) -> None:
    """VirtualMachine.Run"""
    exports = kit.instantiate().exports
    assert (120, (2, 1)) == (exports.fac(5), exports.swap(1, 2))


def test_run_with_fuel(host: Loaded, kit: Loaded) -> None:
    """VirtualMachine.RunWithGasLimit"""
    instance = kit.instantiate(limits=Limits(fuel=1000))
    instance.fuel = 3
    assert 5 == instance.exports.add(2, 3)
    assert 0 == instance.fuel
    assert "all fuel consumed" == trap(instance, "add", 2, 3)


def suspended(kit: Loaded, fuel: int = 10) -> Instance:
    """An instance in the middle of the faculty of 6."""
    instance = kit.instantiate(engine="interp", limits=Limits(fuel=fuel, on_fuel="suspend"))
    with pytest.raises(polymerase.Suspended):
        instance.exports.fac(6)
    return instance


def test_ignite(kit: Loaded) -> None:
    """VirtualMachine.Ignite"""
    instance = suspended(kit, fuel=0)
    assert instance.suspended is not None and 0 == instance.fuel_used


def test_execute(kit: Loaded) -> None:
    """VirtualMachine.Execute"""
    instance = suspended(kit)
    turns = 1
    while instance.suspended:
        instance.fuel = 10
        try:
            assert 720 == instance.resume()
        except polymerase.Suspended:
            turns += 1
    assert turns > 3


def test_delegate(host: Loaded) -> None:
    """VirtualMachine.Delegate"""

    def ask(x: int) -> int:
        raise polymerase.Suspend

    instance = host.instantiate({"env": {"ask": ask}}, engine="interp")
    with pytest.raises(polymerase.Suspended):
        instance.exports.twice(0)
    with pytest.raises(polymerase.Suspended):
        instance.resume(40)
    assert 42 == instance.resume(2)


def test_exited(kit: Loaded) -> None:
    """VirtualMachine.Exited"""
    assert kit.instantiate(engine="interp").suspended is None
    instance = suspended(kit)
    assert instance.suspended is not None
    instance.fuel = 1000
    assert (720, None) == (instance.resume(), instance.suspended)


def test_exit_error(kit: Loaded, host: Loaded) -> None:
    """VirtualMachine.ExitError"""
    assert "unreachable" == trap(kit.instantiate(), "dead")
    with pytest.raises(ZeroDivisionError):
        host.instantiate({"env": {"ask": lambda x: x // 0}}).exports.twice(1)


def test_return_value(kit: Loaded) -> None:
    """VirtualMachine.ReturnValue"""
    assert 5 == kit.instantiate().exports.add(2, 3)


def test_traceback(kit: Loaded) -> None:
    """VirtualMachine.StackTrace"""
    with pytest.raises(Trap) as caught:
        kit.instantiate().exports.div(1, 0)
    assert 'func 4 "div"' in "".join(traceback.format_exception(caught.value))


def test_print_stack_trace(kit: Loaded) -> None:
    """VirtualMachine.PrintStackTrace"""
    with pytest.raises(Trap) as caught:
        kit.instantiate().exports.div(1, 0)
    (frame,) = caught.value.frames
    assert (4, "div") == (frame.func, frame.name)
    assert polymerase.format_trap(caught.value).startswith("trap: integer divide by zero\nwasm traceback")


def test_one_thread_at_a_time(host: Loaded) -> None:
    """VirtualMachine.InsideExecute"""
    faults: list[str] = []

    def ask(x: int) -> int:
        def other() -> None:
            with pytest.raises(polymerase.PolymeraseError) as caught:
                instance.exports.one()
            faults.append(str(caught.value))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return x

    instance = host.instantiate({"env": {"ask": ask}})
    assert 3 == instance.exports.twice(1)
    assert 2 == len(faults) and "thread" in faults[0]


def test_memory(kit: Loaded) -> None:
    """VirtualMachine.Memory"""
    memory = kit.instantiate().memory
    memory.view[8:10] = b"HE"
    assert b"HEllo" == memory.read(8, 5)


def test_table(kit: Loaded) -> None:
    """VirtualMachine.Table"""
    assert 5 == kit.instantiate().exports["table"][0](2, 3)


def test_globals(kit: Loaded) -> None:
    """VirtualMachine.Globals"""
    instance = kit.instantiate()
    instance.exports["g"].value = 7
    assert 7 == instance.exports.get()


def test_config(kit: Loaded) -> None:
    """VirtualMachine.Config"""
    limits = Limits(memory_pages=3)
    assert limits == kit.instantiate(limits=limits).limits


def test_module_of_instance(kit: Loaded) -> None:
    """VirtualMachine.Module"""
    assert {e.name for e in kit.exports} == set(kit.instantiate().exports)


def test_code_of_instance(call: Call, kit_file: Path) -> None:
    """VirtualMachine.FunctionCode"""
    assert 13 == call("dump", kit_file).out.count("func ")


def test_imports_of_instance(host: Loaded) -> None:
    """VirtualMachine.FunctionImports"""
    assert ["ask"] == [i.name for i in host.imports]


def test_resolver_of_instance(host: Loaded) -> None:
    """VirtualMachine.ImportResolver"""
    asked: list[str] = []
    instance = host.instantiate(lambda module, name, wanted: asked.append(name) or (lambda x: x))
    assert (3, 5, ["ask"]) == (instance.exports.twice(1), instance.exports.twice(2), asked)


def test_compile_from_instance(package: ModuleType) -> None:
    """VirtualMachine.NCompile"""
    assert 5 == package.add(2, 3)


@pytest.mark.parametrize("which", ["aot", "interp", "auto"])
def test_engines(kit: Loaded, which: str) -> None:
    """VirtualMachine.SetAOTService"""
    assert 720 == kit.instantiate(engine=which).exports.fac(6)


def test_engines_share_state(kit: Loaded) -> None:
    """AOTService.Initialize"""
    instance = kit.instantiate(engine="auto")
    memory = instance.memory
    assert [int.from_bytes(b"hell", "little")] * 2000 == [instance.exports.load(8) for _ in range(2000)]
    memory[8] = 0
    assert int.from_bytes(b"\0ell", "little") == instance.exports.load(8)


def test_any_number_of_parameters(wat: Wat) -> None:
    """AOTService.UnsafeInvokeFunction_0"""
    body = "(local.get 0)" + "".join(f"(local.get {i}) i32.add " for i in range(1, 9))
    text = f'(module (func (export "sum") (param {"i32 " * 9}) (result i32) {body}))'
    assert 45 == Module(wat(text)).instantiate(engine="aot").exports.sum(*range(1, 10))


def test_compile_all(kit: Loaded) -> None:
    """FullAOTCompile"""
    assert 720 == kit.instantiate(engine="aot").exports.fac(6)


# The stack


def test_call_stack(kit: Loaded) -> None:
    """VirtualMachine.CallStack"""
    instance = suspended(kit)
    assert instance.suspended is not None and {2} == {frame.func for frame in instance.suspended.frames}
    assert 1 < len(instance.suspended.frames)


def test_arguments_are_arguments(host: Loaded) -> None:
    """VirtualMachine.GetCurrentFrame"""
    got: list[int] = []
    host.instantiate({"env": {"ask": lambda x: got.append(x) or 0}}).exports.twice(7)
    assert [7, 8] == got


def test_value_slots_are_bounded(kit: Loaded) -> None:
    """VirtualMachine.NumValueSlots"""
    assert "call stack exhausted" == trap(kit.instantiate(limits=Limits(value_slots=10)), "down", 10)


def test_values_of_jumps(kit: Loaded) -> None:
    """VirtualMachine.Yielded"""
    instance = suspended(kit)
    restored = kit.restore(instance.snapshot(), engine="interp")
    restored.fuel = 1000
    assert 720 == restored.resume()


def test_frame_function(kit: Loaded) -> None:
    """Frame.FunctionID"""
    instance = suspended(kit)
    assert instance.suspended is not None and 2 == instance.suspended.frames[0].func


def test_frame_place(kit: Loaded) -> None:
    """Frame.IP"""
    instance = suspended(kit)
    assert instance.suspended is not None and isinstance(instance.suspended.frames[0].pc, int)
    with pytest.raises(Trap) as caught:
        kit.instantiate().exports.dead()
    assert isinstance(caught.value.frames[0].offset, int)


def test_frame_registers(kit: Loaded) -> None:
    """Frame.Regs"""
    instance = suspended(kit)
    assert instance.suspended is not None
    depth = len(instance.suspended.frames)
    assert [6, 5, 4, 3, 2, 1, 0][:depth] == [frame.registers[2] for frame in instance.suspended.frames]


def test_frame_is_three_values(kit: Loaded) -> None:
    """Frame.Code"""
    instance = suspended(kit)
    assert instance.suspended is not None
    assert ("func", "pc", "registers") == instance.suspended.frames[0]._fields


def test_frames_come_and_go(kit: Loaded) -> None:
    """Frame.Init"""
    instance = kit.instantiate(limits=Limits(call_depth=10))
    assert [None] * 100 == [instance.exports.down(9) for _ in range(100)]


# Gas


@pytest.mark.parametrize("costs", [10, {"call": 8, "local.get": 1}, lambda op: 8 if op == "call" else 1])
def test_fuel_costs(kit: Loaded, costs: Any) -> None:
    """GasPolicy"""
    instance = kit.instantiate(limits=Limits(fuel=10_000, fuel_costs=costs))
    instance.exports.down(1)
    # local.get if local.get i32.const i32.sub call, then local.get if
    assert (80 if costs == 10 else 15) == instance.fuel_used


def test_simple_policy(kit: Loaded) -> None:
    """SimpleGasPolicy.GasPerInstruction"""
    instance = kit.instantiate(limits=Limits(fuel=100))
    instance.exports.add(2, 3)
    assert (3, 97) == (instance.fuel_used, instance.fuel)


def test_counters(kit: Loaded) -> None:
    """InsertGasCounters"""
    instance = kit.instantiate(limits=Limits(fuel=2))
    assert "all fuel consumed" == trap(instance, "poke")  # three instructions, of which none ran
    assert (2, 0) == (instance.fuel, instance.memory[0])


def test_fuel_used(kit: Loaded) -> None:
    """VirtualMachine.Gas"""
    instance = kit.instantiate(limits=Limits(fuel=100))
    assert (0, 100) == (instance.fuel_used, instance.fuel)
    instance.exports.add(2, 3)
    assert (3, 97) == (instance.fuel_used, instance.fuel)


def test_policy_of_instance(kit: Loaded) -> None:
    """VirtualMachine.GasPolicy"""
    assert 7 == kit.instantiate(limits=Limits(fuel=100, fuel_costs=7)).limits.fuel_costs


def test_fuel_exceeded(kit: Loaded) -> None:
    """VirtualMachine.GasLimitExceeded"""
    assert "all fuel consumed" == trap(kit.instantiate(limits=Limits(fuel=10)), "fac", 6)
    assert suspended(kit).suspended


def test_charge(host: Loaded) -> None:
    """VirtualMachine.AddAndCheckGas"""

    def ask(caller: Caller, x: int) -> int:
        caller.charge(50)
        return x

    instance = host.instantiate({"env": {"ask": ask}}, limits=Limits(fuel=120))
    assert 3 == instance.exports.twice(1)
    assert 100 < instance.fuel_used < 120
    assert "all fuel consumed" == trap(instance, "twice", 1)


def test_out_of_fuel(kit: Loaded) -> None:
    """gas limit exceeded"""
    assert "all fuel consumed" == trap(kit.instantiate(limits=Limits(fuel=100)), "spin")


def test_large_fuel(kit: Loaded) -> None:
    """gas overflow"""
    instance = kit.instantiate(limits=Limits(fuel=2**80, fuel_costs=2**70))
    instance.exports.add(2, 3)
    assert 3 * 2**70 == instance.fuel_used
    with pytest.raises((polymerase.PolymeraseError, ValueError)):
        kit.instantiate(limits=Limits(fuel=1, fuel_costs=-1))


# Snapshots


def test_snapshot(kit: Loaded) -> None:
    """VirtualMachine.ReadSnapshot"""
    instance = kit.instantiate()
    instance.exports.grow_table(2)
    instance.exports.g.value = 9
    instance.memory[8] = 0
    snapshot = instance.snapshot()
    instance.memory[8] = 1
    restored = kit.restore(snapshot)
    assert (5, 9, b"\0ello") == (len(restored.exports["table"]), restored.exports.get(), restored.memory.read(8, 5))


def test_restore(kit: Loaded, host: Loaded, kit_file: Path, call: Call) -> None:
    """VirtualMachine.WriteSnapshot"""
    assert 75 == call("run", "--fuel", "20", "--suspend-to", "kit.snapshot", "--entry", "fac", kit_file, "6").code
    assert (0, "720\n") == call("run", "--resume", "kit.snapshot", kit_file)[:2]
    snapshot = suspended(kit).snapshot()
    restored = kit.restore(snapshot, engine="interp")
    restored.fuel = 1000
    assert 720 == restored.resume()
    with pytest.raises(polymerase.PolymeraseError):
        host.restore(snapshot, {"env": {"ask": int}})


def test_snapshots_are_bytes(kit: Loaded) -> None:
    """Snapshot"""
    snapshot = kit.instantiate().snapshot()
    assert isinstance(snapshot, bytes)
    with pytest.raises(polymerase.PolymeraseError):
        kit.restore(snapshot[:-1])


# The compiler's parts


def test_load_module(kit_file: Path) -> None:
    """LoadModule"""
    assert "kit.wasm" == Module.from_file(kit_file).name == Module(kit_file.read_bytes(), "kit.wasm").name


def test_function_names(call: Call, kit_file: Path, package: ModuleType) -> None:
    """Module.FunctionNames"""
    assert "func 11" in call("dump", "--func", "spin", kit_file).out
    with pytest.raises(Trap) as caught:
        package.div(1, 0)
    assert "div" == caught.value.frames[0].name


def test_sections(call: Call, kit_file: Path) -> None:
    """Module.Base"""
    facts = json.loads(call("inspect", "--json", kit_file).out)
    assert ["type", "function", "table"] == [s["name"] for s in facts["sections"]][:3]


def test_module_floats(wat: Wat) -> None:
    """Module.DisableFloatingPoint"""
    with pytest.raises(polymerase.PolymeraseError):
        Module(wat(FLOATS)).instantiate(limits=Limits(floats=False))


def test_interpreter(kit: Loaded) -> None:
    """CompileForInterpreter"""
    assert 720 == kit.instantiate(engine="interp").exports.fac(6)


def test_source(kit_file: Path, tmp_path: Path) -> None:
    """CompileWithNGen"""
    summary = polymerase.compile_package(kit_file, tmp_path / "source_py")
    assert 13 == summary.functions and summary.lines > 50


def test_intermediate_form(call: Call, kit_file: Path) -> None:
    """NewSSAFunctionCompiler"""
    assert "i64_mul(" in call("dump", "--after", "lower", "--func", "fac", kit_file).out


def test_no_compiler_interface() -> None:
    """SSAFunctionCompiler.NextValueID"""
    assert not [name for name in polymerase.__all__ if "ompiler" in name]


def test_filter_floats(wat: Wat) -> None:
    """SSAFunctionCompiler.FilterFloatingPoint"""
    text = "(module (func (drop (f32.reinterpret_i32 (i32.const 0)))))"
    with pytest.raises(polymerase.UnsupportedError, match="0x[0-9a-f]+: func 0: "):
        Module(wat(text)).instantiate(limits=Limits(floats=False))


def test_control_flow(call: Call, kit_file: Path) -> None:
    """NewCFGraph"""
    assert "while true:" in call("dump", "--func", "spin", kit_file).out


def test_registers(kit_file: Path, tmp_path: Path) -> None:
    """RegAlloc"""
    polymerase.compile_package(kit_file, tmp_path / "registers_py")
    assert "return p0 + p1 & 0xFFFFFFFF" in "".join(p.read_text() for p in (tmp_path / "registers_py").glob("*.py"))


def test_no_bytecode() -> None:
    """Serialize"""
    assert not [name for name in polymerase.__all__ if "code" in name.lower()]


def test_names_in_source(kit_file: Path, tmp_path: Path) -> None:
    """NGEN_FUNCTION_PREFIX"""
    polymerase.compile_package(kit_file, tmp_path / "names_py")
    assert "def func2_fac(p0):" in "".join(p.read_text() for p in (tmp_path / "names_py").glob("*.py"))


def test_errors_are_exceptions(host: Loaded) -> None:
    """CatchPanic"""
    with pytest.raises(polymerase.PolymeraseError):
        host.instantiate()
    with pytest.raises(polymerase.PolymeraseError):
        Module(b"")


# What goes wrong


def test_unreachable(kit: Loaded) -> None:
    """wasm: unreachable executed"""
    assert "unreachable" == trap(kit.instantiate(), "dead")


def test_division_by_zero(kit: Loaded) -> None:
    """integer division by zero"""
    assert "integer divide by zero" == trap(kit.instantiate(), "div", 1, 0)


def test_overflow(kit: Loaded) -> None:
    """signed integer overflow"""
    assert "integer overflow" == trap(kit.instantiate(), "div", -(2**31), -1)


def test_memory_bounds(kit: Loaded) -> None:
    """memory access out of bounds"""
    assert "out of bounds memory access" == trap(kit.instantiate(), "load", 65533)


def test_table_bounds(kit: Loaded) -> None:
    """table entry out of bounds"""
    assert "undefined element" == trap(kit.instantiate(), "indirect", 3)


def test_null_entry(kit: Loaded) -> None:
    """table entry is null"""
    assert "uninitialized element" == trap(kit.instantiate(), "indirect", 2)


def test_indirect_type(kit: Loaded) -> None:
    """type mismatch"""
    assert "indirect call type mismatch" == trap(kit.instantiate(), "indirect", 1)


def test_stack_exhausted(wat: Wat) -> None:
    """max call stack depth exceeded"""
    module = Module(wat('(module (func $f (export "f") (call $f)))'))
    for limits in (Limits(), Limits(call_depth=10), Limits(value_slots=0, call_depth=10)):
        assert "call stack exhausted" == trap(module.instantiate(limits=limits), "f")


def test_floats_refused(wat: Wat) -> None:
    """wasm: floating point disabled"""
    with pytest.raises(polymerase.UnsupportedError):
        Module(wat(FLOATS)).instantiate(limits=Limits(floats=False))


def test_too_large(kit: Loaded) -> None:
    """max memory exceeded"""
    for limits in (Limits(memory_pages=0), Limits(table_elements=2)):
        with pytest.raises(polymerase.PolymeraseError):
            kit.instantiate(limits=limits)


def test_growing_too_far(kit: Loaded) -> None:
    """memory size overflow"""
    assert -1 == kit.instantiate().exports.grow(-1)


def test_wrong_number_of_arguments(kit: Loaded) -> None:
    """param count mismatch"""
    with pytest.raises(TypeError, match=r"add: expected 2 arguments \[i32 i32\], got 1"):
        kit.instantiate().exports.add(1)


def test_call_after_trap(kit: Loaded) -> None:
    """last execution exited with error; cannot ignite."""
    instance = kit.instantiate()
    assert "unreachable" == trap(instance, "dead")
    assert 5 == instance.exports.add(2, 3)


def test_reentrant(host: Loaded) -> None:
    """call stack not empty; cannot ignite."""

    def ask(caller: Caller, x: int) -> int:
        one: int = caller.exports.one()
        return one

    assert 2 == host.instantiate({"env": {"ask": ask}}).exports.twice(5)


def test_nothing_to_resume(kit: Loaded) -> None:
    """attempting to execute an exited vm"""
    with pytest.raises(polymerase.PolymeraseError):
        kit.instantiate(engine="interp").resume()


def test_host_functions_return(host: Loaded) -> None:
    """delegate not cleared"""
    assert 3 == host.instantiate({"env": {"ask": int}}).exports.twice(1)


def test_unknown_instructions(wat: Wat) -> None:
    """unknown instruction"""
    data = wat("(module (func nop))")
    with pytest.raises(polymerase.MalformedError, match="illegal opcode"):
        Module(data.replace(b"\x01\x0b", b"\xff\x0b"))
    data = wat("(module (global i32 (i32.const 7)))")
    with pytest.raises(polymerase.InvalidError, match="constant expression required"):
        Module(data.replace(b"\x41\x07\x0b", b"\x01\x01\x0b"))


def test_invalid_code(wat: Wat) -> None:
    """stack underflow"""
    data = wat("(module (func nop nop))")
    with pytest.raises(polymerase.InvalidError, match="0x[0-9a-f]+: func 0: type mismatch"):
        Module(data.replace(b"\x01\x01\x0b", b"\x01\x1a\x0b"))


def test_memory_is_short(wat: Wat) -> None:
    """cannot setup memory mapping"""
    module = Module(wat("(module (table 4294967295 funcref))"))
    with pytest.raises(polymerase.PolymeraseError, match="cannot instantiate"):
        module.instantiate()


def test_no_such_export(kit: Loaded) -> None:
    """function not found"""
    with pytest.raises(AttributeError, match='exports no "nothing"'):
        kit.instantiate().exports.nothing  # noqa: B018  # what is tested
    with pytest.raises(KeyError):
        kit.instantiate().exports["nothing"]
