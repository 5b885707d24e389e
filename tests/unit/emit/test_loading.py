"""Packages of several chunks: a function is compiled when it is called, and its code is kept for the next start."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

import polymerase_runtime
from polymerase import driver
from polymerase.emit import chunks
from polymerase.options import Options
from polymerase_runtime.chunks import HEAD
from polymerase_runtime.loading import is_loaded

COUNT = 12
FUNCS = "".join(f"""(func $f{i} (export "f{i}") (param i32) (result i32)
      (if (i32.eqz (local.get 0)) (then unreachable))
      (i32.add (local.get 0) (i32.const {i})))""" for i in range(COUNT))
MODULE = f"""(module
  (type $t (func (param i32) (result i32)))
  (table (export "table") {COUNT} funcref) (elem (i32.const 0) {" ".join(f"$f{i}" for i in range(COUNT))})
  {FUNCS}
  (func $even (export "even") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
    (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
  (func $odd (export "odd") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
    (return_call $even (i32.sub (local.get 0) (i32.const 1))))
  (func (export "apply") (param i32 i32) (result i32)
    (call_indirect (type $t) (local.get 1) (local.get 0))))"""


@pytest.fixture
def folder(tmp_path: Path, wat: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of many functions in few chunks."""
    monkeypatch.setattr(chunks, "MAX_CHUNK", 2000)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    module = driver.load(wat(MODULE), "many.wasm")
    driver.compile_package(module, tmp_path / "many", Options())
    sources = list((tmp_path / "many").glob("_module*.py"))
    assert 2 <= len(sources) < COUNT
    return tmp_path / "many"


@pytest.fixture
def start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], ModuleType]]:
    """Import the package as a new process would."""
    monkeypatch.syspath_prepend(folder.parent)

    def forget() -> None:
        for name in [m for m in sys.modules if m.partition(".")[0] == "many"]:
            del sys.modules[name]

    def start() -> ModuleType:
        forget()
        invalidate_caches()
        return import_module("many")

    yield start
    forget()


def compiled_by(made: ModuleType) -> list[int]:
    """The functions that were compiled, and not read, since the package was imported."""
    files = set(made._package._chunk_of.values())
    return sorted(i for f in files for i in f._codes if f._cache is None or i not in f._cache.found)


def loaded(instance: Any) -> set[str]:
    return {name for name in instance.info.func_names if is_loaded(instance.namespace, name)}


def test_a_function_is_compiled_when_it_is_called_and_no_other(start: Callable[[], Any]) -> None:
    made = start()
    instance = made.instantiate()
    assert set() == loaded(instance)
    assert 12 == instance.exports.f5(7)
    assert {"func5_f5"} == loaded(instance)
    assert [-1, 5] == compiled_by(made)
    assert 15 == instance.exports.apply(8, 7)
    assert {"func5_f5", "func8_f8", "func14_apply"} == loaded(instance)


def test_calls_and_tables_hold_the_function_itself_once_it_is_loaded(start: Callable[[], Any]) -> None:
    instance = start().instantiate()
    f, names = instance.exports.f3, instance.namespace
    before = f.raw
    assert 4 == f(1) == instance.exports.table[3](1)
    assert before is not f.raw is names["func3_f3"] is instance.exports.table[3].raw
    assert 5 == instance.exports.apply(4, 1)
    assert names["table0_t0"][3:5] == [names["func3_f3"], names["func4_f4"]]


def test_tail_calls_load_what_they_call(start: Callable[[], Any]) -> None:
    made = start()
    assert (1, 0) == (made.even(5000), made.odd(5000))


def test_what_was_compiled_is_read_at_the_next_start(start: Callable[[], Any], folder: Path) -> None:
    assert 12 == start().f5(7)
    made = start()
    assert 12 == made.f5(7)
    assert [] == compiled_by(made)
    assert 13 == made.f6(7)
    assert 6 in compiled_by(made)
    made = start()
    assert (12, 13) == (made.f5(7), made.f6(7))
    assert [] == compiled_by(made)
    assert 14 == made.instantiate().exports.f7(7)


@pytest.mark.parametrize("where", ["first start", "second start", "bytecode", "zip"])
def test_a_trap_names_function_and_offset(
    where: str,
    start: Callable[[], Any],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    wat: Callable[[str], bytes],
) -> None:
    if where == "second start":
        assert 6 == start().f5(1)
    elif where == "bytecode":
        assert compileall.compile_dir(folder, quiet=1)
    elif where == "zip":
        monkeypatch.syspath_prepend(shutil.make_archive(str(folder.parent / "lib"), "zip", folder.parent, "many"))
        shutil.rmtree(folder)
    made = start()
    with pytest.raises(made.Trap, match="unreachable") as caught:
        made.f5(0)
    (frame,) = caught.value.frames
    assert (5, "f5") == (frame.func, frame.name)
    data = wat(MODULE)
    assert frame.offset is not None and data[frame.offset] == 0  # the opcode of unreachable
    if where == "bytecode":
        assert {HEAD} == {min(f._codes, default=HEAD) for f in made._package._chunk_of.values()}


def test_lines_are_those_of_the_file(start: Callable[[], Any], folder: Path) -> None:
    made = start()
    instance = made.instantiate()
    for export in instance.exports.values():
        if isinstance(export, polymerase_runtime.Func):
            export(1, 1) if len(export.type.params) == 2 else export(1)
    for path in folder.glob("_module*.py"):
        whole = compile(path.read_bytes(), str(path), "exec")
        for code in whole.co_consts:
            if isinstance(code, CodeType):
                own = instance.namespace[code.co_name].__code__
                assert (code.co_filename, list(code.co_lines())) == (own.co_filename, list(own.co_lines()))


def test_what_python_has_compiled_is_used(start: Callable[[], Any], folder: Path) -> None:
    assert compileall.compile_dir(folder, quiet=1)
    made = start()
    instance = made.instantiate()
    assert (12, 15, 1) == (instance.exports.f5(7), instance.exports.apply(8, 7), instance.exports.even(100))
    assert {5, 8, 14, 12, 13} == {
        i for i, name in enumerate(instance.info.func_names) if is_loaded(instance.namespace, name)
    }
    assert [] == compiled_by(made)
    assert not list(folder.rglob("*.functions"))
    again = made.instantiate()
    assert 12 == again.exports.f5(7)
    assert again.namespace["func5_f5"].__globals__ is again.namespace


def records(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.functions")}


def test_nothing_is_kept_where_python_keeps_nothing(
    start: Callable[[], Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert 12 == start().f5(7)
    assert {} == records(folder)


def test_a_folder_that_cannot_be_written_is_no_error(start: Callable[[], Any], folder: Path) -> None:
    (folder / "__pycache__").write_text("in the way, also of root")
    assert 12 == start().f5(7)


def test_what_is_kept_goes_where_python_keeps_bytecode(
    start: Callable[[], Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "prefix"))
    assert 12 == start().f5(7)
    assert not (folder / "__pycache__").exists()
    assert 1 == len(records(tmp_path / "prefix"))


def test_an_edited_file_is_read_anew(start: Callable[[], Any], folder: Path) -> None:
    assert 12 == start().f5(7)
    for path in folder.glob("_module*.py"):
        path.write_text(path.read_text().replace("p0 + 5", "1000 * p0 + 55"))
        os.utime(path, ns=(1, 1))
    made = start()
    assert 7055 == made.f5(7)
    made = start()
    assert 7055 == made.f5(7)
    assert [] == compiled_by(made)


@pytest.mark.parametrize(
    "edit, result",
    [
        (
            lambda text: text.replace("def func5_f5", "def twice(x):\n    return 2 * x\n\ndef func5_f5").replace(
                "p0 + 5", "twice(p0) + 5"
            ),
            19,
        ),
        (lambda text: text.replace("def func5_f5", "@(lambda f: lambda x: f(x) + 100)\ndef func5_f5"), 112),
        (lambda text: text.replace("\n", "\r\n"), 12),
    ],
)
def test_edits_of_any_kind_work(
    edit: Callable[[str], str], result: int, start: Callable[[], Any], folder: Path
) -> None:
    for path in folder.glob("_module*.py"):
        path.write_bytes(edit(path.read_text()).encode())
    for _ in range(2):
        assert result == start().f5(7)


def test_a_mistake_in_an_edit_names_file_and_line(start: Callable[[], Any], folder: Path) -> None:
    (path,) = (p for p in folder.glob("_module*.py") if "def func5_f5" in p.read_text())
    text = path.read_text().replace("p0 + 5", "p0 + )")
    path.write_text(text)
    with pytest.raises(SyntaxError) as caught:
        start().f5(7)
    line = text[: text.index("p0 + )")].count("\n") + 1
    assert (str(path), line) == (caught.value.filename, caught.value.lineno)


def test_the_files_of_another_module_are_not_mixed_with_those_that_run(
    start: Callable[[], Any], folder: Path, wat: Callable[[str], bytes]
) -> None:
    made = start()
    assert 12 == made.f5(7)
    module = driver.load(wat(MODULE.replace("unreachable", "nop")), "many.wasm")
    driver.compile_package(module, folder, Options())
    with pytest.raises(ImportError, match="must have been replaced: start again|is missing"):
        for i in range(COUNT):
            made.instantiate().exports[f"f{i}"](7)


@pytest.mark.parametrize("damage", ["cut", "flipped", "appended", "zeros", "other python", "emptied", "no file"])
def test_damaged_records_are_compiled_anew(damage: str, start: Callable[[], Any], folder: Path) -> None:
    made = start()
    for i in range(COUNT):
        assert 7 + i == made.instantiate().exports[f"f{i}"](7)
    for path in folder.rglob("*.functions"):
        data = bytearray(path.read_bytes())
        if damage == "cut":
            del data[-3:]
        elif damage == "flipped":
            data[len(data) // 2] ^= 1
        elif damage == "appended":
            data += b"\xff" * 100
        elif damage == "zeros":
            data[20:] = bytes(len(data))
        elif damage == "other python":
            data[:4] = b"\0\1\r\n"
        elif damage == "emptied":
            data.clear()
        path.write_bytes(data)
        if damage == "no file":
            path.unlink()
    for _ in range(2):
        made = start()
        for i in range(COUNT):
            assert 7 + i == made.f0(7) + i == made.instantiate().exports[f"f{i}"](7)
    assert [] == compiled_by(made)
    assert all(b"\xff" * 50 not in data for data in records(folder).values()) or damage == "appended"


def test_writers_at_once_leave_what_can_be_read(folder: Path, start: Callable[[], Any]) -> None:
    script = f"import many\nfor i in range({COUNT}): many.instantiate().exports[f'f{{i}}'](7)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPATH"] = os.pathsep.join([str(folder.parent), str(Path(polymerase_runtime.__file__).parent.parent)])
    writers = [subprocess.Popen([sys.executable, "-c", script], env=env) for _ in range(3)]
    assert [0, 0, 0] == [p.wait(60) for p in writers]
    made = start()
    for i in range(COUNT):
        assert 7 + i == made.instantiate().exports[f"f{i}"](7)
    assert [] == compiled_by(made)
