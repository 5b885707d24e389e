"""Statements: what runs, and what is read."""

from __future__ import annotations

import ast
import textwrap

import pytest

from polymerase.emit.cpython import CPython
from polymerase.emit.source import to_source
from polymerase.emit.stmt import Functions
from polymerase.ir.nodes import (
    Body,
    Break,
    Call,
    Continue,
    Eval,
    Func,
    GlobalSet,
    If,
    Move,
    Return,
    Set,
    SetMany,
    Stmt,
    Switch,
    Sys,
    TailCall,
    Unreachable,
    Var,
    While,
)
from polymerase.wasm.types import I32, FuncType
from tests.unit.emit.reference import TARGETS, compiled, define, get, i32, op

P, V = Var("p0", I32), Var("v1", I32)


def lines(*body: Stmt, target: str = "cpython") -> str:
    """The body of a function as text."""
    text = to_source(define(target, Func(0, FuncType((I32,), (I32,)), (P,), body, 1)))
    return textwrap.dedent(text.partition("\n")[2])


def run(*body: Stmt) -> object:
    return compiled("cpython", (P,), body, bytearray(64), (I32,))


def ret(e: object) -> Return:
    return Return((e,), 1)  # type: ignore[arg-type]


def setv(value: int) -> Set:
    return Set(V, i32(value), 1)


def text(source: str) -> str:
    return textwrap.dedent(source).lstrip("\n")


def test_nothing_is_written_after_a_statement_that_never_ends() -> None:
    assert text("""
        return p0
    """) == lines(ret(get("p0")), setv(1))


def test_a_branch_that_ends_needs_no_else() -> None:
    body = If(get("p0"), (ret(i32(1)),), (setv(2),), 1)
    assert text("""
        if p0:
            return 1
        v1 = 2
    """) == lines(body)


def test_an_else_that_ends_comes_first() -> None:
    assert text("""
        if not p0:
            return 1
        v1 = 2
        return v1
    """) == lines(If(get("p0"), (setv(2),), (ret(i32(1)),), 1), ret(get("v1")))


def test_a_loop_that_begins_with_a_way_out_has_a_condition() -> None:
    loop = While((If(op("i32_eqz", get("p0")), (Break(1),), (), 1), Set(P, op("i32_sub", get("p0"), i32(1)), 1)), 1)
    assert lines(loop).startswith("while p0:\n")


def test_the_last_continue_of_a_loop_is_not_written() -> None:
    assert text("""
        while True:
            v1 = 1
    """) == lines(While((setv(1), Continue(1)), 1))


def test_an_empty_function_passes() -> None:
    assert "pass\n" == lines(Return((), 1))


def test_else_if_is_elif() -> None:
    inner = If(op("i32_eq", get("p0"), i32(2)), (setv(2),), (setv(3),), 1)
    assert text("""
        if p0 == 1:
            v1 = 1
        elif p0 == 2:
            v1 = 2
        else:
            v1 = 3
    """) == lines(If(op("i32_eq", get("p0"), i32(1)), (setv(1),), (inner,), 1))


def test_unreachable_ends_a_body() -> None:
    assert "unreachable()\n" == lines(Unreachable(1), setv(1))


def test_a_move_is_parallel() -> None:
    assert "p0, v1 = v1, p0\n" == lines(Move((P, V), (get("v1"), get("p0")), 1))


def test_several_results_are_unpacked() -> None:
    assert "p0, v1 = func0(1)\n" == lines(SetMany((P, V), Call(0, (i32(1),), (I32, I32), 1), 1))


def test_an_operation_without_effects_is_dropped() -> None:
    assert "pass\n" == lines(Eval(op("i32_add", get("p0"), i32(1)), 1))


def test_a_division_is_evaluated_for_its_trap() -> None:
    assert "1 // p0\n" == lines(Eval(op("i32_div_u", i32(1), get("p0")), 1))


def test_a_segment_that_arguments_may_drop_is_looked_up_after_them() -> None:
    call = Call(0, (), (I32,), 1)
    init = Sys("memory_init", (3, 0), (call, i32(1), i32(2)), None, 1)
    assert "memory_init(d=func0(), s=1, n=2, mem=mem0, seg=data_seg3)\n" == lines(Eval(init, 1))


def test_a_tail_call_returns_what_to_call() -> None:
    assert text("""
        return TailCall(func0, (p0,))


        func0 = make_trampoline(func0_tail)
    """).replace("\n", "") == lines(TailCall(Call(0, (get("p0"),), (I32,), 1), 1)).replace("\n", "").replace("    ", "")


def cases(*groups: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], Body], ...]:
    """Case i returns i."""
    return tuple((group, (ret(i32(i)),)) for i, group in enumerate(groups))


LONG: Body = (setv(5), Set(V, op("i32_add", get("v1"), i32(1)), 1), Set(V, op("i32_add", get("v1"), get("p0")), 1))
SWITCHES = {
    "one": cases((0,)),
    "dense": cases((0,), (1,), (2,), (3,), (4,)),
    "scattered": cases((0, 2, 4), (1, 3, 900), (7, 8, 9, 10)),
    "high": cases((0xFFFFFFFF,), (0x80000000,), (0,)),
    "sparse and long": tuple((values, (*LONG, ret(get("v1")))) for values in ((1, 5, 70000), (3, 9), (1000000,))),
    "dense and long": tuple((values, (*LONG, ret(get("v1")))) for values in ((1, 5, 7), (3, 9), (2, 4, 8))),
    "many": cases(*((i * 3, i * 3 + 1) for i in range(300))),
}
PROBES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 899, 900, 901, 70000, 1000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@pytest.mark.parametrize("depth", [0, 89])
@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_runs_the_case_of_its_value(name: str, depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if depth:  # as if it stood so deep that there is no room for a tree
        monkeypatch.setattr("polymerase.emit.stmt.MAX_INDENT", 0)
    table = SWITCHES[name]
    f = compiled("cpython", (P,), (Switch(get("p0"), table, (ret(i32(999)),), 1),), bytearray(64), (I32,))
    for value in PROBES:
        for values, body in table:
            if value in values:
                last = body[-1]
                assert isinstance(last, Return)
                expected = 6 + value if len(body) > 1 else last.es[0].value  # type: ignore[union-attr]
                break
        else:
            expected = 999
        assert expected & 0xFFFFFFFF == f(value), value


def test_a_switch_takes_logarithmic_time() -> None:
    tree = define(
        "cpython", Func(0, FuncType((I32,), (I32,)), (P,), (Switch(get("p0"), SWITCHES["many"], LONG, 1),), 1)
    )

    def depth(node: ast.AST) -> int:
        inner = [depth(child) for child in ast.iter_child_nodes(node)]
        return max(inner, default=0) + isinstance(node, ast.If)

    assert depth(tree) <= 11


@pytest.mark.parametrize("target", TARGETS)
def test_limits_of_python_are_not_reached(target: str) -> None:
    params = tuple(Var(f"p{i}", I32) for i in range(1000))
    body: Body = (setv(1),)
    for i in range(60):
        body = (If(get(f"p{i}"), body, (Set(V, i32(i), 1),), 1),)
    wide = Switch(get("p0"), cases(*((i,) for i in range(5000))), (ret(i32(1)),), 1)
    for i in range(44):
        wide = If(get(f"p{i}"), (wide,), (setv(3),), 1)  # type: ignore[assignment]
    results = Return(tuple(get(p.name) for p in params), 1)
    f = Func(0, FuncType((I32,) * 1000, (I32,) * 1000), params, (*body, wide, results), 1)
    tree = define(target, f)
    compile(tree, "<wasm>", "exec")
    compile(to_source(tree), "<wasm>", "exec")


def test_globals_are_declared_once() -> None:
    f = Func(0, FuncType((), ()), (), (GlobalSet(0, i32(1), 1), GlobalSet(1, i32(2), 1), GlobalSet(0, i32(3), 1)), 1)
    spell = CPython(("func0",), ("g0", "g1_x"), frozenset([1]), (0,))
    source = to_source(ast.Module(Functions(spell).function(f), []))
    assert text("""
        def func0():
            global g0
            g0 = 1
            g1_x.value = 2
            g0 = 3
    """) == source
