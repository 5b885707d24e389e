"""The programs in examples/ do under polymerase what they do under wasmtime, and their scripts and commands work."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from polymerase import Exit, Module, Options, compile_package
from polymerase_runtime.wasi import Wasi
from tests.guests.oracle import Call, by_polymerase, by_wasmtime

# name, arguments, standard input or the name of an example file that holds it
COMMANDS: list[tuple[str, tuple[str, ...], bytes | str]] = [
    ("wordcount", (), b"one two\n\n three"),
    ("wordcount", ("/src/fib.c", "/src/none.c", "/src/../../etc/passwd", "fib.c"), b""),
    ("mandelbrot", ("40", "12", "50"), b""),
    ("mandelbrot", (), b""),
    ("sha256sum", (), b""),
    ("sha256sum", (), b"x" * 55),
    ("sha256sum", (), b"x" * 1000),
    ("sha256sum", ("/src/fib.wasm", "/src/README.md", "/none"), b""),
    ("forth", (), "primes.fth"),
    ("forth", ("1 0 /",), b""),
    ("forth", (': hi ." hello, " . cr ; 3 0 do i hi loop', "words"), b""),
    ("forth", (": square dup * ; -7 square . 255 0x10 mod . nonsense",), b""),
]

SCRIPTS = {
    "fib": """['[i64 i64] -> [i64]']
6765 21 1.414213562373095 1.75
-4249290049419214848
trap: integer divide by zero
""",
    "host": """link error: unknown import: "env"."scale": func [f64] -> [f64]
guest says: HELLO, WORLD!
10 b'HELLO' 17
82.5
logged 3
55.0 b'HELLO'
""",
    "command": """(0, b'      1       2      10\\n')
(0, b'7f072b2a5cb98854e71db4d8e4b093fddca458916ba02aa000373a1b3a961a32  /src/primes.fth\\n')
(1, b'144 \\nerror: unknown word nonsense\\n')
""",
    "life": """Resolve func: env __life_log
Resolve func: env print_i64
Resolve func: env __life_ping
[app] hello from WebAssembly
[app] print_i64: -1
[app] print_i64: 1099511627776
return value = 42, duration = … s
""",
    "package": """6 functions
610 6
3628800
""",
}


@pytest.fixture
def examples(root: Path) -> Path:
    return root / "examples"


def _stdin(examples: Path, stdin: bytes | str) -> bytes:
    return (examples / stdin).read_bytes() if isinstance(stdin, str) else stdin


def _expected(examples: Path, name: str, args: tuple[str, ...], stdin: bytes) -> tuple[int, bytes, str]:
    from tools.guests.check import under_wasmtime

    run = under_wasmtime(examples / f"{name}.wasm", args, stdin, {"/src": examples})
    return run.code, run.stdout, run.error


@pytest.mark.parametrize("target", ["cpython", "pypy"])
@pytest.mark.parametrize(("name", "args", "stdin"), COMMANDS)
def test_command_as_wasmtime(examples: Path, name: str, args: tuple[str, ...], stdin: bytes | str, target: str) -> None:
    data = _stdin(examples, stdin)
    out, err = io.BytesIO(), io.BytesIO()
    options = Options(target=target)  # type: ignore[arg-type]  # a literal, above
    module = Module.from_file(examples / f"{name}.wasm", options=options)
    code = 0
    with Wasi([f"{name}.wasm", *args], dirs={"/src": examples}, stdin=io.BytesIO(data), stdout=out, stderr=err) as wasi:
        try:
            module.instantiate(wasi=wasi).exports["_start"]()
        except Exit as end:
            code = end.code
    assert _expected(examples, name, args, data) == (code, out.getvalue(), err.getvalue().decode())


@pytest.mark.parametrize("target", ["cpython", "pypy"])
def test_library_as_wasmtime(examples: Path, target: str) -> None:
    calls: list[Call] = [("fib", (n,)) for n in range(16)]
    calls += [("factorial", (n,)) for n in (0, 1, 20, 21, 66)]
    calls += [("gcd", pair) for pair in ((1071, 462), (0, 5), (-1, 10), (2**62, -(2**63)))]
    calls += [("divide", pair) for pair in ((7, -2), (-7, 2), (1, 0), (-(2**31), -1))]
    calls += [("newton_sqrt", (x,)) for x in (2.0, 0.25, 0.0, -1.0, 1e308, float("inf"))]
    calls += [("average", pair) for pair in ((1.0, 2.5), (3e38, 3e38), (0.1, 0.2))]
    wasm = (examples / "fib.wasm").read_bytes()
    assert by_wasmtime(wasm, calls) == by_polymerase(wasm, calls, target)


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_script(examples: Path, name: str) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(examples.parent), str(examples.parent / "runtime")))}
    done = subprocess.run([sys.executable, examples / f"{name}.py"], env=env, capture_output=True, text=True)
    assert (SCRIPTS[name], "") == (re.sub(r"duration = [\d.]+", "duration = …", done.stdout), done.stderr)


def test_every_script_is_run(examples: Path) -> None:
    assert sorted(SCRIPTS) == sorted(p.stem for p in examples.glob("*.py") if p.stem != "build")


def test_commands_in_the_readme_run(examples: Path) -> None:
    text = (examples / "README.md").read_text()
    commands = [cell.split("`")[1] for cell in text.split("|") if cell.strip().startswith("`polymerase run")]
    assert len(commands) == 5
    paths = (examples.parent, examples.parent / "runtime")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    for command in commands:
        words, _, given = command.partition(" < ")
        stdin = (examples.parent / given).read_bytes() if given else b""
        argv = [sys.executable, "-m", *shlex.split(words)]
        done = subprocess.run(argv, cwd=examples.parent, env=env, input=stdin, capture_output=True)
        assert (0, b"") == (done.returncode, done.stderr), command
        assert done.stdout, command


def test_package_runs_on_pypy_and_this_python_without_polymerase(examples: Path, tmp_path: Path, pypy: str) -> None:
    for name, args, stdin in (COMMANDS[1], COMMANDS[8]):
        data = _stdin(examples, stdin)
        expected = _expected(examples, name, args, data)
        compile_package(examples / f"{name}.wasm", tmp_path / f"{name}_py", standalone=True, target="both")
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        env["POLYMERASE_DIR"] = f"{examples}::/src"
        for python in (sys.executable, pypy):
            command = [python, "-m", f"{name}_py", *args]
            done = subprocess.run(command, cwd=tmp_path, env=env, input=data, capture_output=True)
            assert expected == (done.returncode, done.stdout, done.stderr.decode()), python


@pytest.mark.slow
def test_committed_modules_are_what_the_sources_give(examples: Path, tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="ziglang builds the examples")
    done = subprocess.run([sys.executable, "-m", "ziglang", "version"], capture_output=True, text=True, check=True)
    if done.stdout.strip() not in (examples / "README.md").read_text():
        pytest.skip(f"another ziglang than the README's: {done.stdout.strip()}")
    script = examples / "build.py"
    for source in sorted(examples.glob("*.c")):
        (tmp_path / "examples").mkdir(exist_ok=True)
        (tmp_path / "examples" / source.name).write_bytes(source.read_bytes())
    (tmp_path / "examples" / "build.py").write_bytes(script.read_bytes())
    (tmp_path / "tools").symlink_to(examples.parent / "tools")
    subprocess.run([sys.executable, tmp_path / "examples" / "build.py"], check=True, capture_output=True)
    for built in sorted((tmp_path / "examples").glob("*.wasm")):
        assert (examples / built.name).read_bytes() == built.read_bytes(), built.name
