"""Names in a module are hostile text. What is emitted from any of them still compiles and imports, calls nothing that a
module with harmless names does not call, and does only what the wasm says."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import polymerase
from polymerase import Module, Trap, compile_package
from tests.guests.oracle import CLIENT

PAYLOAD = "open('pwned', 'w').close()"

NAMES = [
    "",
    " ",
    "_",
    "0",
    "def",
    "None",
    "lambda",
    "match",
    "print",
    "len",
    "range",
    "__init__",
    "__name__",
    "__file__",
    "__path__",
    "__all__",
    "__dict__",
    "__class__",
    "__builtins__",
    "__getattr__",
    "__polymerase__",
    "instantiate",
    "Trap",
    "Wasi",
    "exports",
    "instance",
    "memory",
    "mem0",
    "u8",
    "u32",
    "data",
    "func0",
    "func1_",
    "g0",
    "p0",
    "v1",
    "table0",
    "_package",
    "_INFO",
    "_runtime",
    "keys",
    "items",
    "get",
    "os.system('touch pwned')",
    f'"; {PAYLOAD}; "',
    f"'; {PAYLOAD}; '",
    f'"""\n{PAYLOAD}\n"""',
    f"'''\n{PAYLOAD}\n'''",
    f"\n{PAYLOAD}\n",
    f"\r{PAYLOAD}\r",
    f"\r\n{PAYLOAD}",
    f"\f{PAYLOAD}",
    f"\x0b\x1c\x1d\x1e\x85\u2028\u2029{PAYLOAD}",
    f"*/ {PAYLOAD} /*",
    f"#\n{PAYLOAD}",
    f"{{{PAYLOAD}}}",
    f"\\\n{PAYLOAD}",
    "x\\",
    "\\",
    "\\'",
    '\\"',
    '"""',
    '\\"""',
    "'''",
    "%s%n%d{0}{x!r}$x`id`$(id)",
    "a\0b",
    "\0",
    "\x00\x01\x02\x1b[31mred\x1b[0m\x07\x08\x7f",
    "\u202egnirts\u202c",
    "\u200f\u200e\u2066\u2069\ufeff",
    "a-b",
    "a.b",
    "a_b",
    "a b",
    "a/b",
    "../../../../tmp/pwned",
    "/etc/passwd",
    "C:\\CON",
    "é",
    "e\u0301",
    "\ufb01",
    "fi",
    "K",
    "\u212a",
    "ªº",
    "日本語",
    "\U0001f600" * 2560,  # 10 KB
    "\U000e0001\U0010ffff\ue000\uffff",
    "x" * 100_000,
    "func" + "_" * 5000,
    "<b>&amp;",
    "# -*- coding: utf-7 -*-",
    "+AG8-",
    "coding: rot13",
    f"coding: utf-7 +AAo-{PAYLOAD}+AAo-",
    f"coding=utf-7 +AAo-{PAYLOAD}+AAo-",
]


# --- A module with given names everywhere


def leb(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def sleb(n: int) -> bytes:
    out = bytearray()
    while not -64 <= n < 64:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n & 127])


def text(name: str) -> bytes:
    data = name.encode()
    return leb(len(data)) + data


def vec(items: list[bytes]) -> bytes:
    return leb(len(items)) + b"".join(items)


def section(i: int, payload: bytes) -> bytes:
    return bytes([i]) + leb(len(payload)) + payload


def build(names: list[str], imports: list[str], traps: bool = False) -> bytes:
    """A module that exports function `names[i]`, which returns 1000 + i and counts its calls in a global; imports a
    function from and under each of `imports` and sums them up in the export "sum". All names are in the name section,
    too, for functions, locals, the globals and the module. With `traps`, the functions trap instead."""
    n, first = len(names), len(imports)
    types = vec([b"\x60\x00\x01\x7f"])
    imported = vec([text(name) + text(name) + b"\x00\x00" for name in imports])
    funcs = vec([b"\x00"] * (n + 1))
    globals_ = vec([b"\x7f\x01\x41\x00\x0b"] * 2)
    exports = vec(
        [text(name) + b"\x00" + leb(first + i) for i, name in enumerate(names)]
        + [text("sum") + b"\x00" + leb(first + n)]
    )
    bodies = []
    for i in range(n):
        count = b"\x23\x00\x41\x01\x6a\x24\x00"
        code = (
            b"\x01\x01\x7f" + count + (b"\x00" if traps else b"") + b"\x41" + sleb(1000 + i) + b"\x21\x00\x20\x00\x0b"
        )
        bodies.append(leb(len(code)) + code)
    code = b"\x00" + b"\x23\x00" + b"".join(b"\x10" + leb(i) + b"\x6a" for i in range(first)) + b"\x0b"
    bodies.append(leb(len(code)) + code)
    everything = [*imports, *names]
    maps = [leb(i) + text(name) for i, name in enumerate(everything)]
    locals_ = [leb(first + i) + vec([b"\x00" + text(name)]) for i, name in enumerate(names)]
    module_name = names[0] if len(names) == 1 else "many"
    subsections = [
        section(0, text(module_name)),
        section(1, vec(maps)),
        section(2, vec(locals_)),
        section(7, vec([leb(i) + text(name) for i, name in enumerate(everything[:2])])),
    ]
    wasm = b"\0asm\1\0\0\0" + section(0, text((names or ["x"])[0]) + b"custom")
    for i, payload in ((1, types), (2, imported), (3, funcs), (6, globals_), (7, exports), (10, vec(bodies))):
        wasm += section(i, payload)
    return wasm + section(0, text("name") + b"".join(subsections))


def test_the_builder_builds_valid_modules() -> None:
    wasmtime = pytest.importorskip("wasmtime")
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, build(NAMES, NAMES))
    assert [*NAMES, "sum"] == [e.name for e in module.exports]


# --- In memory


@pytest.mark.parametrize("target", ["cpython", "pypy"])
def test_in_memory_all_at_once(target: str) -> None:
    options = polymerase.Options(target=target)  # type: ignore[arg-type]  # a literal, above
    module = Module(build(NAMES, NAMES), f'"""{PAYLOAD}', options=options)
    given: dict[str, dict[str, object]] = {name: {name: lambda i=i: i} for i, name in enumerate(NAMES)}
    exports = module.instantiate(given).exports
    assert [1000 + i for i in range(len(NAMES))] == [exports[name]() for name in NAMES]
    assert len(NAMES) + sum(range(len(NAMES))) == exports["sum"]()
    assert {*NAMES, "sum"} == set(exports)


# --- Packages


def shape(folder: Path) -> set[str]:
    """What the code of a package does, names of the module's own things left out: each call, import and assignment
    target, with strings erased."""
    found = set()
    for file in sorted(folder.rglob("*.py*")):
        if file.suffix not in (".py", ".pyi") or "_runtime" in file.parts:
            continue
        source = file.read_bytes()
        assert source.isascii(), file
        compile(source, str(file), "exec")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.Call, ast.Import, ast.ImportFrom)):
                node = node.func if isinstance(node, ast.Call) else node
                found.add(re.sub(r"'(func|g)\d+\w*'", r"'\1'", ast.dump(node)))
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and file.suffix == ".py":
                found.add(f"def {re.sub(r'^func[0-9]+.*', 'func', node.name)}")
    return found


def run_package(
    folder: Path, package: str, calls: list[tuple[str, list[object]]], python: str = sys.executable
) -> list[object]:
    (folder / "calls.json").write_text(json.dumps(calls))
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [python, "-W", "error", "-c", CLIENT, package, "calls.json"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-3000:]
    outcomes: list[object] = json.loads(done.stdout)
    return outcomes


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], set[str]]:
    """The shape of a package with so many exports and imports, by harmless names."""

    @cache
    def make(exports: int, imports: int) -> set[str]:
        wasm = build([f"f{i}" for i in range(exports)], [f"i{i}" for i in range(imports)])
        folder = tmp_path_factory.mktemp("harmless") / "harmless_py"
        compile_package(Module(wasm, "harmless.wasm"), folder, standalone=True, target="both")
        return shape(folder)

    return make


@pytest.fixture(autouse=True)
def nothing_escapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tests run in a folder of their own; no file of a payload's is there afterwards."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob("*pwned*")) and not Path("/tmp/pwned").exists()


def test_package_of_all_names(tmp_path: Path, harmless: Callable[[int, int], set[str]]) -> None:
    compile_package(Module(build(NAMES, []), "names.wasm"), tmp_path / "names_py", standalone=True, target="both")
    assert shape(tmp_path / "names_py") <= harmless(len(NAMES), 0)
    calls: list[tuple[str, list[object]]] = [(name, []) for name in [*NAMES, "sum"]]
    expected = [["ok", 1000 + i] for i in range(len(NAMES))] + [["ok", len(NAMES)]]
    assert expected == run_package(tmp_path, "names_py", calls)


def test_formatted_package(tmp_path: Path, harmless: Callable[[int, int], set[str]]) -> None:
    module = Module(build(NAMES, []), "coding: rot13")
    compile_package(module, tmp_path / "names_py", standalone=True, target="both", format=True)
    assert shape(tmp_path / "names_py") <= harmless(len(NAMES), 0)
    assert [["ok", 1000 + NAMES.index("def")]] == run_package(tmp_path, "names_py", [("def", [])])


def test_package_on_pypy(tmp_path: Path, pypy: str) -> None:
    compile_package(Module(build(NAMES, []), "names.wasm"), tmp_path / "names_py", standalone=True, target="pypy")
    expected = [["ok", 1000 + i] for i in range(len(NAMES))]
    assert expected == run_package(tmp_path, "names_py", [(name, []) for name in NAMES], pypy)


def test_package_that_needs_the_installed_runtime(tmp_path: Path, root: Path) -> None:
    compile_package(Module(build(NAMES, []), "names.wasm"), tmp_path / "names_py", target="both")
    script = "import names_py; print([names_py.instantiate().exports[n]() for n in eval(input())])"
    env = {**os.environ, "PYTHONPATH": str(root / "runtime")}
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=env, input=ascii(NAMES), capture_output=True, text=True)
    assert (f"{list(range(1000, 1000 + len(NAMES)))}\n", "") == (done.stdout, done.stderr)


def test_package_that_imports_all_names(tmp_path: Path, harmless: Callable[[int, int], set[str]]) -> None:
    compile_package(Module(build(["f"], NAMES), "names.wasm"), tmp_path / "names_py", standalone=True, target="both")
    assert shape(tmp_path / "names_py") <= harmless(1, len(NAMES))


@pytest.mark.parametrize("name", NAMES, ids=[ascii(name[:20]) for name in NAMES])
def test_package_of_one_name_everywhere(tmp_path: Path, name: str, harmless: Callable[[int, int], set[str]]) -> None:
    """The name is that of the file, too, as far as file systems allow."""
    module = Module(build([name], []), name)
    compile_package(module, tmp_path / "name_py", standalone=True, target="both")
    assert shape(tmp_path / "name_py") <= harmless(1, 0)
    assert [["ok", 1000], ["ok", 1]] == run_package(tmp_path, "name_py", [(name, []), ("sum", [])])


def test_attributes_of_a_package_are_its_own_first(tmp_path: Path) -> None:
    names = ["instantiate", "Trap", "__name__", "__file__", "keys", "a_b", "K", "fi"]
    compile_package(Module(build(names, [])), tmp_path / "own_py", standalone=True, target="both")
    script = """
import own_py
assert own_py.__name__ == "own_py" and own_py.__file__.endswith("__init__.py")
assert issubclass(own_py.Trap, Exception)
exports = own_py.instantiate().exports
assert [exports[n]() for n in %r] == list(range(1000, 1008))
assert own_py.keys() == 1004 and own_py.a_b() == 1005 and own_py.K() == 1006 and own_py.fi() == 1007
assert "a_b" in dir(own_py)
for missing in ("nothing", "__wrapped__", "f0"):
    try:
        getattr(own_py, missing)
    except AttributeError as error:
        assert missing in str(error)
    else:
        raise AssertionError(missing)
from own_py import *
assert instantiate is own_py.instantiate
"""
    subprocess.run([sys.executable, "-c", script % names], cwd=tmp_path, check=True, timeout=100)


# --- What people are told


@pytest.mark.parametrize("name", ["\x1b[2Jgone", 'a\nfunc 7 "other" at 0x10', "\u202egnirts", "x" * 100_000, "\0"])
def test_messages_show_names_escaped(tmp_path: Path, name: str) -> None:
    trapping = Module(build([name], [], traps=True), name)
    with pytest.raises(Trap) as trap:
        trapping.instantiate().exports[name]()
    with pytest.raises(polymerase.LinkError) as missing:
        Module(build([name], [name]), name).instantiate()
    with pytest.raises(TypeError) as arguments:
        trapping.instantiate().exports[name](1)
    texts = [polymerase.api.format_trap(trap.value), *getattr(trap.value, "__notes__", [])]
    texts += [str(e.value) for e in (missing, arguments)]
    for shown in texts:
        assert all(c.isprintable() or c == "\n" for c in shown), ascii(shown[:300])
        assert 'func 7 "other"' not in shown
        assert len(shown) < 2000
