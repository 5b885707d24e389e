"""The command line: what is printed where, and the exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from polymerase.emit import package
from polymerase.version import __version__
from tests.command import Call, Done

MATH = r"""
(module
  (func $div (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "swap") (param i32 i64) (result i64 i32) (local.get 1) (local.get 0))
  (func (export "half") (param f32) (result f32) (f32.mul (local.get 0) (f32.const 0.5)))
  (func (export "double") (param f64) (result f64) (f64.add (local.get 0) (local.get 0)))
  (func (export "same") (param externref) (result externref) (local.get 0))
  (memory (export "mem\1b[31m") 1 2)
  (global (export "g") (mut i64) (i64.const 3)))
"""
COMMAND = r"""
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  ;; prints all arguments after the first, each with its NUL, and exits with their number
  (func (export "_start")
    (local $first i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 64) (i32.const 1024)))
    (if (i32.gt_u (i32.load (i32.const 0)) (i32.const 1))
      (then
        (i32.store (i32.const 16) (i32.load (i32.const 68)))
        (i32.store (i32.const 20)
          (i32.sub (i32.add (i32.const 1024) (i32.load (i32.const 4))) (i32.load (i32.const 68))))
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))))
    (call $exit (i32.sub (i32.load (i32.const 0)) (i32.const 1)))))
"""


SPIN = r"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "ready")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 5))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (loop (br 0))))
"""


@pytest.fixture
def math(wat: Callable[[str], bytes], tmp_path: Path) -> str:
    (tmp_path / "math.wasm").write_bytes(wat(MATH))
    return "math.wasm"


@pytest.fixture
def command(wat: Callable[[str], bytes], tmp_path: Path) -> str:
    (tmp_path / "command.wasm").write_bytes(wat(COMMAND))
    return "command.wasm"


def test_version(call: Call) -> None:
    assert Done(0, f"polymerase, version {__version__}\n", "") == call("--version")


@pytest.mark.parametrize(
    "entry, args, out",
    [
        ("div", ("-7", "2"), "-3\n"),
        ("div", ("0xfffffff9", "0x2"), "-3\n"),
        ("div", ("010", "1"), "10\n"),
        ("swap", ("1", "-9223372036854775808"), "-9223372036854775808\n1\n"),
        ("half", ("0.2",), "0.1\n"),
        ("half", ("-inf",), "-inf\n"),
        ("double", ("0x1.8p1",), "6.0\n"),
        ("double", ("nan",), "nan\n"),
        ("same", ("null",), "null\n"),
    ],
)
def test_entry_parses_arguments_by_type_and_prints_results(
    call: Call, math: str, entry: str, args: tuple[str, ...], out: str
) -> None:
    assert Done(0, out, "") == call("run", "--aot", "--entry", entry, math, *args)


@pytest.mark.parametrize(
    "entry, args, fault",
    [
        ("div", ("1",), '"div" takes 2 arguments (i32 i32), got 1'),
        ("div", ("1", "x"), '"x" is not an i32'),
        ("div", ("4294967296", "1"), '"4294967296" is not an i32'),
        ("half", ("1..2",), '"1..2" is not an f32'),
        ("same", ("7",), '"7" is not an externref'),
    ],
)
def test_wrong_arguments_are_usage_errors(call: Call, math: str, entry: str, args: tuple[str, ...], fault: str) -> None:
    done = call("run", "--entry", entry, math, *args)
    assert (2, "") == (done.code, done.out)
    assert fault in done.err


@pytest.mark.parametrize("entry, fault", [("nope", 'no export "nope"'), ("g", 'export "g" is a global')])
def test_an_entry_must_be_an_exported_function(call: Call, math: str, entry: str, fault: str) -> None:
    done = call("run", "--entry", entry, math)
    assert (1, "") == (done.code, done.out)
    assert fault in done.err and '"div"' in done.err


def test_a_trap_prints_the_wasm_functions_and_exits_134(call: Call, math: str) -> None:
    done = call("run", "--entry", "div", math, "1", "0")
    assert (134, "") == (done.code, done.out)
    assert "integer divide by zero" in done.err
    assert "div" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_a_command_gets_its_arguments_as_they_are_and_gives_its_exit_code(call: Call, command: str) -> None:
    done = call("run", "--aot", command, "--entry", "-x", "--", "--help", "é")
    assert Done(5, "--entry\0-x\0--\0--help\0é\0", "") == done


def test_run_fills_the_cache_and_says_so_if_asked(
    call: Call, math: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POLYMERASE_CACHE_DIR", str(tmp_path / "cache"))
    run = ("run", "--aot", "--entry", "div", math, "7", "2")
    assert Done(0, "3\n", "") == call(*run[:1], "--no-cache", *run[1:])
    assert not (tmp_path / "cache").exists()
    assert Done(0, f"folder: {tmp_path / 'cache'}\nentries: 0\nsize: 0 bytes of 536,870,912\n", "") == call(
        "cache", "info"
    )
    for what in ("miss", "hit"):
        command = [sys.executable, "-m", "polymerase", *run[:1], "-v", *run[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "3\n" == done.stdout
        assert all(line.startswith("cache: ") for line in done.stderr.splitlines())
        assert f": {what}" in done.stderr
        assert (what == "miss") == ("wrote math.wasm, 1 functions" in done.stderr)
    assert Done(0, "3\n", "") == call(*run)
    assert "entries: 2\n" in call("cache", "info").out
    rows = call("cache", "list").out.splitlines()
    assert 2 == len(rows)
    assert all(row.endswith("functions  math.wasm") for row in rows)
    assert Done(0, "removed 2 entries\n", "") == call("cache", "clear")
    assert Done(0, "", "") == call("cache", "list")


def test_a_program_that_the_cache_has_starts_without_the_compiler(
    call: Call, math: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POLYMERASE_CACHE_DIR", str(tmp_path / "cache"))
    program = """
import atexit, sys
atexit.register(lambda: print(sorted(set(sys.modules) & {"astor", "polymerase.driver", "polymerase.wasm.ops"})))
from polymerase.cli import main
main(["run", "--aot", "--entry", "div", "math.wasm", "7", "2"])
"""
    command = [sys.executable, "-c", program]
    outs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert ["3\n['astor', 'polymerase.driver', 'polymerase.wasm.ops']\n", "3\n[]\n"] == outs


def test_a_size_of_the_cache_that_makes_no_sense_is_named(
    call: Call, math: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYMERASE_CACHE_SIZE", "much")
    done = call("run", "--entry", "div", math, "7", "2")
    assert Done(1, "", "polymerase: POLYMERASE_CACHE_SIZE: expected bytes such as 512M, got 'much'\n") == done
    assert 0 == call("run", "--no-cache", "--entry", "div", math, "7", "2").code


def test_a_command_without_start_is_refused(call: Call, math: str) -> None:
    done = call("run", math)
    assert (1, "") == (done.code, done.out)
    assert '"_start"' in done.err and "--entry" in done.err


def test_a_start_that_wants_arguments_is_no_command(call: Call, wat: Callable[[str], bytes], tmp_path: Path) -> None:
    (tmp_path / "m.wasm").write_bytes(wat('(module (func (export "_start") (param i32)))'))
    done = Done(1, "", "polymerase: m.wasm: not a WASI command: _start is [i32] -> [], not [] -> []\n")
    assert done == call("run", "m.wasm")


def test_a_missing_import_is_named(call: Call, wat: Callable[[str], bytes], tmp_path: Path) -> None:
    (tmp_path / "m.wasm").write_bytes(wat('(module (import "env" "log" (func (param i32))) (func (export "f")))'))
    done = call("run", "--entry", "f", "m.wasm")
    assert (1, "") == (done.code, done.out)
    assert "env" in done.err and "log" in done.err


@pytest.fixture
def linked(wat: Callable[[str], bytes], tmp_path: Path) -> Callable[[str], str]:
    """`linked(name)` is the file of one of three modules that import from those before them."""
    texts = {
        "a": """(module (memory (export "memory") 1 9)
            (func (export "_initialize") (i32.store (i32.const 0) (i32.const 40)))
            (func (export "get") (result i32) (i32.load (i32.const 0)))
            (func (export "trap") unreachable))""",
        "b": """(module (import "a" "get" (func $get (result i32)))
            (func (export "two") (result i32) (i32.add (call $get) (i32.const 2))))""",
        "c": """(module (import "b" "two" (func $two (result i32))) (import "a" "memory" (memory 1))
            (import "a" "trap" (func $trap))
            (func (export "run") (param i32) (result i32) (i32.add (call $two) (local.get 0)))
            (func (export "fail") (call $trap))
            (func (export "_start") (i32.store (i32.const 0) (i32.const 1)) (drop (call $two))))""",
    }

    def file(name: str) -> str:
        path = tmp_path / f"{name}.wasm"
        path.write_bytes(wat(texts[name]))
        return str(path)

    return file


def test_preloaded_modules_are_what_later_ones_import(call: Call, linked: Callable[[str], str]) -> None:
    options = ("--preload", f"a={linked('a')}", "--preload", f"b={linked('b')}")
    assert Done(0, "45\n", "") == call("run", *options, "--entry", "run", linked("c"), "3")
    assert Done(0, "", "") == call("run", *options, linked("c"))
    code, _, err = call("run", *options, "--entry", "fail", linked("c"))
    assert 134 == code and "unreachable" in err


def test_faults_of_preloads_name_them(call: Call, linked: Callable[[str], str]) -> None:
    a, b, c = map(linked, "abc")
    code, _, err = call("run", "--preload", f"b={b}", "--entry", "run", c, "3")
    assert 1 == code and 'b.wasm: unknown import: "a"."get"' in err
    assert (1, True) == ((done := call("run", "--preload", "a=missing.wasm", c)).code, "missing.wasm" in done.err)
    done = call("run", "--max-memory", "0", "--preload", f"a={a}", "--preload", f"b={b}", c)
    assert (
        1 == done.code
        and 'cannot instantiate "a.wasm": a memory of 1 pages, but the limit memory_pages is 0' in done.err
    )
    for options, fault in (
        (("--preload", "a"), "'a' is not NAME=FILE"),
        (("--preload", "a="), "'a=' is not NAME=FILE"),
        (("--preload", f"a={a}", "--preload", f"a={b}"), "'a' given twice"),
    ):
        code, _, err = call("run", *options, c)
        assert 2 == code and fault in err


@pytest.mark.parametrize("option", ["--dir=", "--env=novalue", "--env==v", "--dir=x::"])
def test_malformed_options_are_usage_errors(call: Call, command: str, option: str) -> None:
    assert 2 == call("run", option, command).code


def test_a_preopen_must_exist(call: Call, command: str) -> None:
    done = call("run", "--dir=missing::/data", command)
    assert Done(1, "", "polymerase: missing: not a directory\n") == done


def test_compile_writes_a_package_and_says_what(call: Call, math: str, tmp_path: Path) -> None:
    done = call("compile", math, "-o", "math_py")
    assert (0, "") == (done.code, done.err)
    assert done.out.startswith("math_py: 5 functions, ")
    assert done.out.endswith(" s\n")
    code = "import math_py; print(math_py.div(-7, 2))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    assert "-3\n" == subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True).stdout


def test_format_without_black_is_an_error_before_any_work(
    call: Call, math: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "find_spec", {}.get)
    done = call("compile", "--format", math, "-o", "math_py")
    assert Done(1, "", "polymerase: formatting needs black, which is not installed: pip install black\n") == done
    assert not (tmp_path / "math_py").exists()


@pytest.mark.parametrize(
    "args",
    [
        ("-j", "2", "PROG", "-o", "out"),
        ("-j2", "PROG", "-o", "out"),
        ("-j", "PROG", "-o", "out"),
        ("PROG", "-o", "out", "--jobs"),
        ("-j", "0", "-o", "out", "--", "PROG"),
    ],
)
def test_compile_takes_a_number_of_processes_or_none(
    args: tuple[str, ...], call: Call, math: str, tmp_path: Path
) -> None:
    assert 0 == call("compile", math, "-o", "one").code
    done = call("compile", *(math if a == "PROG" else a for a in args))
    assert (0, "") == (done.code, done.err)
    one, out = ({p.name: p.read_bytes() for p in (tmp_path / d).iterdir()} for d in ("one", "out"))
    assert one == out
    assert 2 == call("compile", math, "-o", "x", "-j", "-1").code


def test_compile_leaves_a_foreign_folder_alone_without_force(call: Call, math: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = call("compile", math, "-o", "mine")
    assert (1, "") == (done.code, done.out)
    assert "mine" in done.err and "--force" in done.err
    assert ["thesis.txt"] == os.listdir("mine")
    assert 0 == call("compile", math, "-o", "mine", "--force").code
    assert 0 == call("compile", math, "-o", "mine").code  # ours now


@pytest.mark.parametrize("output", ["", ".", "..", "/"])
def test_the_current_directory_is_never_replaced(call: Call, math: str, output: str) -> None:
    done = call("compile", math, "-o", output, "--force")
    assert (2, "") == (done.code, done.out)
    assert os.path.exists(math)


@pytest.mark.parametrize("command", ["validate", "inspect", "run", "dump"])
@pytest.mark.parametrize(
    "name, content, fault",
    [
        ("missing.wasm", None, "polymerase: missing.wasm: No such file or directory\n"),
        (".", None, "polymerase: .: Is a directory\n"),
        ("empty.wasm", b"", "unexpected end"),
        ("png.wasm", b"\x89PNG\r\n\x1a\n", "magic header not detected"),
        ("text.wat", b"  (module)", "looks like text format; assemble it with wat2wasm"),
        ("component.wasm", b"\0asm\x0d\0\1\0", "a component, not a core module"),
        ("short.wasm", b"\0asm\1\0\0\0\1", "short.wasm:0x"),
    ],
)
def test_what_is_no_module_is_one_line_on_stderr(
    call: Call, tmp_path: Path, command: str, name: str, content: bytes | None, fault: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = call(command, name)
    assert (1, "") == (done.code, done.out)
    assert fault in done.err and 1 == done.err.count("\n")


def test_validate(call: Call, math: str) -> None:
    assert Done(0, "math.wasm: valid\n", "") == call("validate", math)


def test_inspect_shows_imports_exports_and_sections(call: Call, command: str) -> None:
    done = call("inspect", command)
    assert (0, "") == (done.code, done.err)
    lines = done.out.splitlines()
    assert '  func    "wasi_snapshot_preview1" "proc_exit" [i32] -> []' in lines
    assert any(line.startswith('  memory  "memory"') for line in lines)
    assert any(line.startswith("  code ") for line in lines)


def test_inspect_json(call: Call, command: str) -> None:
    facts = json.loads(call("inspect", "--json", command).out)
    assert {"module": "wasi_snapshot_preview1", "name": "proc_exit", "kind": "func", "type": "[i32] -> []"} in facts[
        "imports"
    ]
    assert Path(command).stat().st_size == facts["bytes"]
    assert {"type", "import", "memory", "export", "code"} <= {section["name"] for section in facts["sections"]}


def test_names_reach_the_terminal_escaped(call: Call, math: str) -> None:
    done = call("inspect", math)
    assert "\x1b" not in done.out
    assert r'"mem\x1b[31m"' in done.out


def test_dump_shows_ir(call: Call, math: str) -> None:
    done = call("dump", "--func", "div", "--after=lower", math)
    assert (0, "") == (done.code, done.err)
    assert "i32_div_s" in done.out and "f32_mul" not in done.out
    assert done == call("dump", "--func", "0", "--after=lower", math)
    assert "f32_mul" in call("dump", math).out


@pytest.mark.parametrize("options", [("--func", "nope"), ("--func", "99"), ("--after", "nope")])
def test_dump_of_what_is_not_there_is_an_error(call: Call, math: str, options: tuple[str, ...]) -> None:
    done = call("dump", *options, math)
    assert done.code in (1, 2)
    assert options[1] in done.err and "Traceback" not in done.err


def start(*argv: str, cwd: Path) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-m", "polymerase", *argv], cwd=cwd, env=env, stdout=pipe, stderr=pipe)


def test_a_broken_pipe_is_silent(math: str, tmp_path: Path) -> None:
    process = start("inspect", math, cwd=tmp_path)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (b"", 1) == (process.stderr.read(), process.wait())
    process.stderr.close()


def test_interrupting_a_guest_exits_130(wat: Callable[[str], bytes], tmp_path: Path) -> None:
    (tmp_path / "spin.wasm").write_bytes(wat(SPIN))
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        pytest.skip("this process ignores SIGINT, and so do those that it starts")
    process = start("run", "spin.wasm", cwd=tmp_path)
    try:
        assert process.stdout is not None
        assert b"ready" == process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()  # or it would spin for ever
    assert (b"", 130) == (out, process.returncode)
    assert b"Traceback" not in err
