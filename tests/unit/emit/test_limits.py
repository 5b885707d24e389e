"""Whatever the shape of a module, none of Python's limits is reached: nested loops and blocks, indentation,
parentheses, depth of trees, numbers of arguments and results."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import polymerase_runtime
from polymerase import driver
from polymerase.emit.chunks import Lowered
from polymerase.emit.module import blob, compile_in_memory
from polymerase.emit.package import write_package
from polymerase.options import Options

pytestmark = pytest.mark.slow


def func(body: str, locals: str = "") -> str:
    return f'(module (memory 1) (func (export "f") (param i32) (result i32) {locals} {body}))'


def add(i: int) -> str:
    return f"(local.set 0 (i32.add (local.get 0) (i32.const {i})))"


def loops(n: int) -> str:
    count = "(local.set 1 (i32.add (local.get 1) (i32.const 1)))"
    again = (f"(br_if $l{i} (i32.lt_u (local.get 1) (i32.const {30 + i}))))" for i in reversed(range(n)))
    return func("".join(f"(loop $l{i} " for i in range(n)) + count + "".join(again) + "(local.get 1)", "(local i32)")


def blocks(n: int) -> str:
    leave = "".join(f"(br_if $b{i} (i32.eq (local.get 0) (i32.const {i})))" for i in range(n))
    ends = "".join(f") {add(i)}" for i in range(n))
    return func("".join(f"(block $b{i} " for i in reversed(range(n))) + leave + ends + "(local.get 0)")


def ifs(n: int) -> str:
    return func("(if (result i32) (local.get 0) (then " * n + "(i32.const 5)" + ") (else (i32.const 7)))" * n)


def table(n: int) -> str:
    labels = " ".join(f"$b{i}" for i in range(n))
    ends = "".join(f") (return (i32.const {i}))" for i in range(n - 1))
    blocks = "".join(f"(block $b{i} " for i in reversed(range(n)))
    return func(f"{blocks} (br_table {labels} (local.get 0)) {ends} ) (i32.const 9)")


def many(n: int) -> str:
    values = " ".join(f"(local.get {i})" for i in range(n))
    pass_on = f"(func $g (param {'i32 ' * n}) (result {'i32 ' * n}) {values})"
    call = "(local.get 0) " * n + "(call $g) " + "i32.add " * (n - 1)
    return f'(module {pass_on} (func (export "f") (param i32) (result i32) {call}))'


def chain(n: int) -> str:
    sets = "".join(f"(local.set {i + 1} (i32.add (local.get {i}) (i32.const 1)))" for i in range(n))
    return func(f"{sets} (local.get {n})", f"(local {'i32 ' * n})")


LOAD_AND_ADD = "(local.set 0 (i32.add (i32.load (local.get 0)) (i32.const 1)))"

# Module, argument, result
CASES = {
    "25 nested loops": (loops(25), 0, 54),
    "150 nested blocks": (blocks(150), 3, 3 + sum(range(3, 150))),
    "150 nested ifs": (ifs(150), 1, 5),
    "5,000-way br_table": (table(5000), 77, 77),
    "5,000-way br_table, default": (table(5000), 12345, 9),
    "20,000 operators deep on the left": (func("(local.get 0)" + "(local.get 0) i32.add " * 20000), 1, 20001),
    "20,000 operators deep on the right": (func("(local.get 0)" * 20001 + "i32.sub " * 20000), 1, 1),
    "100,000 instructions": (func(LOAD_AND_ADD * 20000 + "(local.get 0)"), 1, 1),
    "10,000 locals": (chain(10000), 1, 10001),
    "1,000 parameters and results": (many(1000), 3, 3000),
}


@pytest.mark.parametrize("target", ["cpython", "pypy"])
@pytest.mark.parametrize("name", CASES)
def test_nothing_in_the_input_reaches_a_limit_of_python(
    name: str, target: str, wat: Callable[[str], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, argument, expected = CASES[name]
    module = driver.load(wat(text), "limits.wasm")
    options = Options(target=target)  # type: ignore[arg-type]
    funcs = [driver.ir_of(module, n, options) for n in range(len(module.codes))]
    info, code = compile_in_memory(module, funcs.__getitem__, options)
    assert expected == polymerase_runtime.instantiate(info, code, blob=blob(module)).exports.f(argument)

    write_package(module, Lowered(funcs.__getitem__, str, frozenset()), tmp_path / "limits_py", options)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    try:
        assert expected == importlib.import_module("limits_py").f(argument)
    finally:
        for made in [m for m in sys.modules if m.partition(".")[0] == "limits_py"]:
            del sys.modules[made]
