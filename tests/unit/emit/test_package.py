"""Packages: what is written, when, and what it does when imported."""

from __future__ import annotations

import ast
import importlib
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import polymerase
import polymerase_runtime
from polymerase import driver
from polymerase.emit import chunks, package
from polymerase.emit.chunks import Lowered
from polymerase.emit.module import blob, compile_in_memory
from polymerase.emit.package import write_package
from polymerase.errors import PolymeraseError, UnsupportedError
from polymerase.options import Controls, Options
from polymerase.wasm.module import Module
from polymerase_runtime.loading import is_loaded

RUNTIME = Path(polymerase_runtime.__file__).parent

CALLS = """
(module
  (type $t (func (param i32) (result i32)))
  (table 4 funcref)
  (elem (i32.const 0) $double $square $trap)
  (memory (export "memory") 1)
  (data (i32.const 8) "hello")
  (global $count (mut i32) (i32.const 0))
  (func $double (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $square (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
  (func $trap (param i32) (result i32) (i32.div_u (i32.const 1) (i32.const 0)))
  (func (export "apply") (param i32 i32) (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (call_indirect (type $t) (local.get 1) (local.get 0)))
  (func (export "count") (result i32) (global.get $count)))
"""

COMMAND = r"""
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (if (i32.eq (i32.load (i32.const 0)) (i32.const 1)) (then unreachable))
    (call $exit (i32.load (i32.const 0)))))
"""

HOSTILE = [
    "__init__",
    "__getattr__",
    "__all__",
    "instantiate",
    "Trap",
    "Exit",
    "Wasi",
    "_package",
    "_info",
    "_module",
    "class",
    "print",
    'a"""\nimport os\nos.system("touch pwned")\n"""',
    "\\",
    "😀" * 3000,
    "fib",
    "a b",
    "a.b",
    "int",
    "_os",
]


@pytest.fixture
def write(wat: Callable[[str], bytes], tmp_path: Path) -> Callable[..., Path]:
    """Compile text format to a package in `tmp_path`."""

    def write(text: str, name: str = "made", **options: Any) -> Path:
        module = driver.load(wat(text), "fib.wasm")
        write_package(module, Lowered(lowered(module), str, frozenset()), tmp_path / name, Options(**options))
        return tmp_path / name

    return write


def lowered(module: Module) -> Callable[[int], Any]:
    return lambda n: driver.ir_of(module, n, Options())


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., ModuleType]]:
    """Import a package from `tmp_path`."""
    monkeypatch.syspath_prepend(tmp_path)
    names: list[str] = []

    def load(name: str = "made") -> ModuleType:
        names.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield load
    for name in [m for m in sys.modules if m.partition(".")[0] in names]:
        del sys.modules[name]


def run(python: str, folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": "", **env}
    return subprocess.run([python, *args], cwd=folder, env=env, capture_output=True, text=True, timeout=60)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("target", ["cpython", "pypy", "both"])
def test_exports_are_attributes(target: str, write: Callable[..., Path], load: Callable[..., Any]) -> None:
    write(CALLS, target=target)
    made = load()
    assert (14, 49) == (made.apply(0, 7), made.apply(1, 7))
    assert 2 == made.count()
    assert b"hello" == made.memory[8:13]
    other = made.instantiate()
    assert 0 == other.exports.count()
    offered = ["Caller", "Exit", "Limits", "LinkError", "SnapshotError", "Trap", "Wasi", "instantiate", "restore"]
    assert sorted([*offered, "apply", "count", "memory"]) == dir(made)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = made.missing


def test_the_default_instance_is_made_when_it_is_used(write: Callable[..., Path], load: Callable[..., Any]) -> None:
    write('(module (func $f unreachable) (start $f) (func (export "g")))')
    made = load()
    for _ in range(2):
        with pytest.raises(made.Trap, match="unreachable"):
            _ = made.g


def test_a_package_with_imports_is_instantiated_by_hand(write: Callable[..., Path], load: Callable[..., Any]) -> None:
    write('(module (import "env" "f" (func $f (result i32))) (func (export "g") (result i32) (call $f)))')
    made = load()
    with pytest.raises(AttributeError, match="made.instantiate"):
        _ = made.g
    assert 5 == made.instantiate({"env": {"f": lambda: 5}}).exports.g()


@pytest.mark.parametrize("target", ["cpython", "pypy"])
def test_a_package_keeps_to_limits_of_sizes(target: str, write: Callable[..., Path], load: Callable[..., Any]) -> None:
    write(
        """(module (memory (export "memory") 2 9) (table (export "t") 4 funcref)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "grow_t") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))""",
        target=target,
    )
    made = load()
    grown = made.instantiate(limits=made.Limits(memory_pages=4, table_elements=6)).exports
    assert [2, -1, 2] == [grown.grow(2), grown.grow(1), grown.grow(0) - 2]
    assert [4, -1] == [grown.grow_t(2), grown.grow_t(1)]
    shared = made.instantiate(limits=made.Limits(total_bytes=4 * 65536)).exports  # 32 bytes of them are the table's
    assert [2, -1, 4, -1] == [shared.grow(1), shared.grow(1), shared.grow_t(8188), shared.grow_t(1)]
    with pytest.raises(Exception, match="a memory of 2 pages, but the limit memory_pages is 1"):
        made.instantiate(limits=made.Limits(memory_pages=1))
    with pytest.raises(TypeError, match="limits: expected Limits, got 5"):
        made.instantiate(limits=5)


def test_the_same_input_gives_the_same_bytes(write: Callable[..., Path]) -> None:
    one = contents(write(CALLS, "one", target="both", standalone=True))
    assert one == contents(write(CALLS, "two", target="both", standalone=True))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_number_of_processes_does_not_show(
    method: str, wat: Callable[[str], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system does not {method}")
    monkeypatch.setattr(multiprocessing, "get_context", lambda get=multiprocessing.get_context: get(method))
    monkeypatch.setattr(package, "BATCH", 10)
    monkeypatch.setattr(chunks, "MAX_CHUNK", 300)
    module = driver.load(wat(CALLS), "fib.wasm")
    for jobs in (1, 3):
        seen: list[tuple[int, int]] = []
        options = Options(target="both", standalone=True, format=True)
        summary = driver.compile_package(
            module, tmp_path / str(jobs) / "made", options, lambda *step, seen=seen: seen.append(step), jobs
        )
        assert (10, 10) == seen[-1]
        assert sorted(seen) == seen
        assert 5 == summary.functions
    assert 5 < len(contents(tmp_path / "1" / "made"))
    assert contents(tmp_path / "1" / "made") == contents(tmp_path / "3" / "made")


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_function_that_fails_is_the_error(
    jobs: int, wat: Callable[[str], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "BATCH", 1)
    module = driver.load(wat(CALLS), "fib.wasm")

    def fails(n: int) -> Any:
        time.sleep(0.1 if n == 1 else 0)
        raise UnsupportedError(f"function {n}", feature="such functions")

    with pytest.raises(UnsupportedError, match="function 0"):
        write_package(module, Lowered(fails, str, frozenset()), tmp_path / "made", Options(), jobs=jobs)
    assert [] == os.listdir(tmp_path)


def test_a_process_that_dies_leaves_the_old_package(
    write: Callable[..., Path], tmp_path: Path, wat: Callable[[str], bytes]
) -> None:
    folder = write(CALLS)
    before = contents(folder)
    module = driver.load(wat(CALLS), "fib.wasm")
    with pytest.raises(polymerase.PolymeraseError, match="worker process ended before .*killed by signal 9"):
        write_package(module, Lowered(lambda n: os.kill(os.getpid(), 9), str, frozenset()), folder, Options(), jobs=2)
    assert before == contents(folder)
    assert ["made"] == sorted(os.listdir(tmp_path))


def test_a_standalone_package_holds_the_runtime_unchanged(write: Callable[..., Path]) -> None:
    folder = write(CALLS, standalone=True)
    assert contents(RUNTIME) == contents(folder / "_runtime")


def test_every_file_is_written_in_the_grammar_of_3_9(write: Callable[..., Path]) -> None:
    for name, data in contents(write(CALLS, target="both")).items():
        if name.endswith((".py", ".pyi")):
            ast.parse(data, name, feature_version=(3, 9))
            data.decode("ascii")


def test_hostile_names_reach_no_code(
    write: Callable[..., Path], load: Callable[..., Any], tmp_path: Path, wat: Callable[[str], bytes]
) -> None:
    def quoted(name: str) -> str:
        return '"' + "".join(f"\\{byte:02x}" for byte in name.encode()) + '"'

    funcs = "".join(f"(func (export {quoted(name)}) (result i32) (i32.const {i}))\n" for i, name in enumerate(HOSTILE))
    folder = write(f"(module {funcs})", target="cpython")
    made = load()
    exports = made.instantiate().exports
    assert list(range(len(HOSTILE))) == [exports[name]() for name in HOSTILE]
    assert HOSTILE.index("fib") == made.fib()
    assert sorted(set(dir(made))) == dir(made)
    assert made.Trap is polymerase_runtime.Trap
    assert made.Exit is polymerase_runtime.Exit
    assert "made" == made.__name__
    assert not (tmp_path / "pwned").exists()
    for name, data in contents(folder).items():
        if name.startswith("_module"):
            calls = [node for node in ast.walk(ast.parse(data)) if isinstance(node, ast.Call)]
            assert [] == calls


def test_an_export_that_hides_internals_is_reached_through_an_instance(
    write: Callable[..., Path], load: Callable[..., Any]
) -> None:
    write(
        '(module (func (export "_info") (result i32) i32.const 1) (func (export "_package") (result i32) i32.const 2))'
    )
    made = load()
    exports = made.instantiate().exports
    assert (1, 2) == (exports["_info"](), exports["_package"]())


def test_a_foreign_folder_is_not_touched(write: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="--force"):
        write(CALLS)
    assert {"thesis.txt": b"years of work"} == contents(folder)
    write(CALLS, force=True)
    assert "thesis.txt" not in contents(folder)


def test_the_current_folder_is_never_replaced(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "made" / "deep")
    with pytest.raises(FileExistsError, match="current folder"):
        write(CALLS, force=True)


def test_what_a_killed_compilation_left_is_swept(write: Callable[..., Path], tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (
        f".made.new-{dead.pid}-abc",
        f".made.old-{dead.pid}-abc",
        f".made.new-{os.getpid()}-abc",
        ".made.new-x",
    ):
        (tmp_path / name).mkdir()
    write(CALLS)
    assert sorted([f".made.new-{os.getpid()}-abc", ".made.new-x", "made"]) == sorted(os.listdir(tmp_path))


def test_a_file_is_not_replaced(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "made").write_text("a file")
    with pytest.raises(FileExistsError):
        write(CALLS)


def test_a_folder_of_ours_with_a_file_of_yours_is_not_touched(write: Callable[..., Path], tmp_path: Path) -> None:
    folder = write(CALLS)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        write(CALLS)


def test_a_package_of_ours_is_replaced(write: Callable[..., Path], tmp_path: Path) -> None:
    write(CALLS, target="both", standalone=True)
    folder = write("(module)", target="cpython")
    assert "_module_cpython.py" not in contents(folder)
    assert ["made"] == sorted(os.listdir(tmp_path))


def test_a_failed_compilation_leaves_the_old_package(
    write: Callable[..., Path], tmp_path: Path, wat: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(CALLS)
    before = contents(folder)
    module = driver.load(wat(CALLS), "fib.wasm")

    def fails(n: int) -> Any:
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        write_package(module, Lowered(fails, str, frozenset()), folder, Options())
    rename = os.rename

    def no_rename(a: Any, b: Any) -> None:
        if Path(a).name == "new":
            raise OSError("disk full")
        rename(a, b)

    monkeypatch.setattr(os, "rename", no_rename)
    with pytest.raises(OSError, match="disk full"):
        write_package(module, Lowered(lowered(module), str, frozenset()), folder, Options())
    assert before == contents(folder)
    assert ["made"] == sorted(os.listdir(tmp_path))


@pytest.mark.parametrize("target", ["cpython", "pypy"])
def test_chunks_are_loaded_when_they_are_called(
    target: str, write: Callable[..., Path], load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "MAX_CHUNK", 100)
    folder = write(CALLS, target=target)
    assert 3 <= len(list(folder.glob("_module*.py")))
    made = load()
    instance = made.instantiate()
    names = instance.namespace
    stubs = {name: names[name] for name in instance.info.func_names}
    assert 5 == len(stubs)
    assert not any(is_loaded(names, name) for name in stubs)
    apply = instance.exports.apply
    assert (14, 49, 14) == (apply(0, 7), apply(1, 7), apply(0, 7))
    assert names["table0_t0"][0] is names["func0_double"] is not stubs["func0_double"]
    with pytest.raises(made.Trap, match="integer divide by zero") as caught:
        apply(2, 0)
    assert [3, 2] == [frame.func for frame in caught.value.frames]
    assert all(frame.offset for frame in caught.value.frames)


def test_a_function_keeps_its_chunk_when_others_come(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "MAX_CHUNK", 500)

    def text(count: int) -> str:
        funcs = "".join(f'(func (export "name{i}") (result i32) (i32.const {i}))' for i in range(count))
        return f"(module {funcs})"

    def defined(folder: Path) -> dict[str, list[str]]:
        files = contents(folder)
        return {f: re.findall(r"def (\w+)", files[f].decode()) for f in files if f.startswith("_module")}

    one, two = defined(write(text(30), "one")), defined(write(text(31), "two"))
    assert len(one) > 4
    moved = [name for name, functions in one.items() if not set(functions) <= set(two.get(name, ()))]
    assert len(moved) <= 1  # one chunk may have been halved


@pytest.mark.parametrize("layout", ["plain", "format"])
def test_a_trap_names_the_offset(
    layout: str, write: Callable[..., Path], load: Callable[..., Any], wat: Callable[[str], bytes]
) -> None:
    if layout == "format":
        pytest.importorskip("black", reason="black formats")
    write(CALLS, format=layout == "format")
    made = load()
    with pytest.raises(made.Trap) as caught:
        made.apply(2, 0)
    offsets = [frame.offset for frame in caught.value.frames]
    memory = in_memory(wat(CALLS))
    with pytest.raises(made.Trap) as expected:
        memory.exports.apply(2, 0)
    assert [frame.offset for frame in expected.value.frames] == offsets


@pytest.mark.parametrize(
    "text, env, fault",
    [
        (COMMAND, {"POLYMERASE_DIR": "nowhere"}, "nowhere: No such file or directory"),
        (
            '(module (table 4000000000 funcref) (func (export "_start")))',
            {},
            'cannot instantiate "fib.wasm": a table of 4000000000 elements; at most 10000000 can be had',
        ),
    ],
)
def test_a_command_that_cannot_start_says_so_in_a_line(
    text: str, env: dict[str, str], fault: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    write(text, standalone=True)
    done = run(sys.executable, tmp_path, "-m", "made", **env)
    assert (1, "", f"made: {fault}\n") == (done.returncode, done.stdout, done.stderr)


def in_memory(data: bytes) -> Any:
    module = driver.load(data, "fib.wasm")
    info, code = compile_in_memory(module, lowered(module), Options())
    return polymerase_runtime.instantiate(info, code, blob=blob(module))


def test_a_command_runs_with_arguments_and_exit_code(write: Callable[..., Path], tmp_path: Path) -> None:
    write(COMMAND, standalone=True)
    done = run(sys.executable, tmp_path, "-m", "made", "a", "b")
    assert (3, "", "") == (done.returncode, done.stdout, done.stderr)
    trapped = run(sys.executable, tmp_path, "-m", "made")
    assert 134 == trapped.returncode
    assert "unreachable" in trapped.stderr
    assert '"_start"' in trapped.stderr
    assert "Traceback (most" not in trapped.stderr


def test_another_abi_is_refused_with_what_to_do(
    write: Callable[..., Path], load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(CALLS)
    monkeypatch.setattr(polymerase_runtime, "ABI", 99)
    with pytest.raises(ImportError, match="compile it again"):
        load()


def test_without_the_runtime_the_import_says_what_is_missing(write: Callable[..., Path], tmp_path: Path) -> None:
    write(CALLS)
    done = run(sys.executable, tmp_path, "-S", "-c", "import made")
    assert "ImportError: made needs polymerase" in done.stderr


def test_a_package_runs_from_a_zip_file(write: Callable[..., Path], tmp_path: Path) -> None:
    write(CALLS, standalone=True)
    archive = shutil.make_archive(str(tmp_path / "lib"), "zip", tmp_path, "made")
    done = run(sys.executable, tmp_path.parent, "-c", "import made; print(made.apply(0, 21))", PYTHONPATH=archive)
    assert "42\n" == done.stdout, done.stderr


def test_stubs_are_what_a_type_checker_reads(write: Callable[..., Path]) -> None:
    stub = (write(CALLS) / "__init__.pyi").read_text()
    assert "\ndef apply(p0: int, p1: int, /) -> int: ...\n" in stub
    assert "\nmemory: Memory\n" in stub


IMPORTS = """
(module
  (import "env" "f" (func $f))
  (memory (export "memory") 1)
  (global (export "pi") f64 (f64.const 3))
  (func (export "apply") (param i32 f64) (result i64 f32) (i64.const 1) (f32.const 2))
  (func (export "_start"))
  (func (export "get"))
  (func (export "_by_name"))
  (func (export "not a name")))
"""


@pytest.mark.slow
def test_the_exports_of_an_instance_have_types(write: Callable[..., Path], tmp_path: Path) -> None:
    stub = (write(IMPORTS) / "__init__.pyi").read_text()
    assert "\ndef apply" not in stub  # there is no default instance
    (tmp_path / "right.py").write_text(
        "import made\n"
        "exports = made.instantiate({}).exports\n"
        "a, b = exports.apply(1, 2.0)\n"
        "c: int = a\n"
        "d: float = b\n"
        "exports._start()\n"
        "e: int = len(exports.memory)\n"
        "f = exports.get('apply')\n"
        "exports.pi.value\n"
        "made.restore(b'').exports.apply(1, 1)\n"
    )
    (tmp_path / "wrong.py").write_text("import made\nmade.instantiate({}).exports.apply('one')\n")
    paths = os.pathsep.join([str(tmp_path), str(RUNTIME.parent)])
    command = ["-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", "right.py", "wrong.py"]
    checked = run(sys.executable, tmp_path, *command, MYPYPATH=paths)
    errors = checked.stdout.splitlines()[:-1]
    assert errors and all(line.startswith("wrong.py:2:") for line in errors), checked.stdout + checked.stderr


def test_a_trap_names_the_files_and_lines_of_the_package(write: Callable[..., Path], load: Callable[..., Any]) -> None:
    folder = write(CALLS)
    made = load()
    with pytest.raises(made.Trap) as caught:
        made.apply(2, 0)
    text = (folder / "_module.py").read_text().splitlines()
    apply, trap = caught.value.frames
    assert str(folder / "_module.py") == trap.file == apply.file
    assert "//" in text[trap.line - 1]
    assert "table0_t0[" in text[apply.line - 1]
    assert polymerase_runtime.format_trap(caught.value).endswith(f'"trap" at {trap.offset:#x} (_module.py:{trap.line})')


def test_limits_and_fuel_of_a_snapshot(wat: Callable[[str], bytes], tmp_path: Path, load: Callable[..., Any]) -> None:
    module = polymerase.Module(wat('(module (func (export "f") (loop $l (br $l))) (func (export "g") nop))'))
    polymerase.compile_package(module, tmp_path / "made", controls=Controls(fuel=driver.fuel_table(1)))
    made = load()
    instance = made.instantiate(limits=made.Limits(fuel=1000))
    instance.exports.g()
    again = made.restore(instance.snapshot())
    assert (999, 1) == (again.fuel, again.fuel_used)
    with pytest.raises(made.Trap, match="all fuel consumed"):
        again.exports.f()
    with pytest.raises(PolymeraseError, match="limits: call_depth=5"):
        made.instantiate(limits=made.Limits(call_depth=5))
