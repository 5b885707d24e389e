"""Text: the same program as the tree, and lines that lead back to the module."""

from __future__ import annotations

import ast
import random
import time

import pytest

from polymerase.emit.build import Hex
from polymerase.emit.cpython import CPython
from polymerase.emit.source import Source, line_map_of, to_source
from polymerase.emit.stmt import Functions
from polymerase.ir.nodes import Body, Call, Eval, Func, GlobalSet, If, Return, Set, Store, Var, While
from polymerase.wasm.types import F32, F64, I32, I64, FuncType
from tests.unit.emit.reference import TARGETS, define, get, i32, load, op, returned
from tests.unit.emit.test_expr import random_expr

PARAMS = tuple(Var(f"p{i}", t) for i, t in enumerate((I32, I64, F32, F64, I32)))


class _Plain(ast.NodeTransformer):
    def visit_Hex(self, node: Hex) -> ast.Constant:
        return ast.Constant(node.value)


def dumped(tree: ast.Module) -> str:
    return ast.dump(_Plain().visit(tree))


@pytest.mark.parametrize("target", TARGETS)
def test_the_text_parses_to_the_tree(target: str) -> None:
    rng = random.Random(f"text {target}")
    for _ in range(300):
        t = rng.choice(("i32", "i64", "f32", "f64"))
        e = random_expr(rng, t, rng.choice((2, 3, 5)))
        tree = define(target, Func(0, FuncType((), (I32,)), PARAMS, returned(e), 1))
        assert dumped(ast.parse(to_source(tree))) == dumped(tree)


BODY: Body = (
    Set(PARAMS[0], load("i32_load", get("p0"), 4), 20),
    While(
        (
            If(op("i32_eqz", get("p0")), (Return((get("p0"),), 33),), (), 30),
            Set(PARAMS[0], Call(0, (get("p0"),), (I32,), 41), 42),
            If(get("p4"), (Eval(Call(0, (i32(1),), (), 51), 51),), (GlobalSet(0, get("p0"), 53),), 50),
            Store("i32_store8", 0, get("p0"), 0, 0, get("p0"), 60),
        ),
        30,
    ),
)


def rendered() -> tuple[str, list[tuple[int, int]]]:
    spell = CPython(("func0",), ("g0",), frozenset(), (0,))
    source = Source("func 0")
    source.visit(ast.Module(Functions(spell).function(Func(0, FuncType((), (I32,)), PARAMS, BODY, 10)), []))
    return source.text(), source.line_map()


def test_lines_lead_to_what_may_trap_in_them() -> None:
    text, lines = rendered()
    by_line = dict(lines)
    found = {line.strip(): by_line.get(i) for i, line in enumerate(text.splitlines(), 1)}
    assert "# func 0" == text.splitlines()[0]
    assert 10 == found["def func0(p0, p1, p2, p3, p4):"]
    assert 9 == found["p0 = i32_load(u8, p0 + 4) if p0 & 3 else u32[p0 + 4 >> 2]"]
    assert 41 == found["p0 = func0(p0)"]
    assert 51 == found["func0(1)"]
    assert 60 == found["u8[p0] = p0 & 255"]
    assert None is found["else:"]


def test_the_line_map_survives_another_layout() -> None:
    text, lines = rendered()
    spread = text.replace("(p0)", "(\n\n        p0\n    )").replace(
        "\n    global g0\n", "\n\n    # why\n    global g0\n\n"
    )
    assert dumped(ast.parse(text)) == dumped(ast.parse(spread))
    moved = line_map_of(text, lines, spread)
    assert [offset for _, offset in lines] == [offset for _, offset in moved]
    assert moved != lines


def test_time_is_linear_in_a_line() -> None:
    def seconds(n: int) -> float:
        body = [Call(0, (get("p0"),), (I32,), k + 1) for k in range(n)]
        tree = define("cpython", Func(0, FuncType((), (I32,)), PARAMS, (Return(tuple(body), 1),), 1))
        start = time.process_time()
        to_source(tree)
        return time.process_time() - start

    seconds(1000)
    assert seconds(40_000) < 40 * max(seconds(4000), 0.002)
