"""Bounds of integer arithmetic, and how CPython's spelling wraps sums."""

from __future__ import annotations

import ast

import pytest

from polymerase.emit.build import Int
from polymerase.emit.cpython import CPython
from polymerase.emit.ints import Ints, half_of, is_signed, mask_of

TERMS = [1, 2, 8, 0x7FFFFFFF, -1, -2, -8, -0x7FFFFFFF]


def text(v: Int) -> str:
    """The Python of `v`; masks are constants that `unparse` does not know by their class."""

    class Plain(ast.NodeTransformer):
        def visit_Hex(self, node: ast.Constant) -> ast.Constant:
            return ast.Constant(node.value)

    return ast.unparse(ast.fix_missing_locations(Plain().visit(v.node)))


@pytest.mark.parametrize("n", [32, 64])
def test_bitwise_result_of_signed_operands_is_signed(n: int) -> None:
    make = Ints()
    a, b = (Int(make.name(x), -half_of(n), half_of(n) - 1) for x in "ab")
    for v in (make.xor(a, b, n), make.or_(a, b, n), make.and_(a, b, n)):
        assert is_signed(v, n)


@pytest.mark.parametrize("n", [32, 64])
@pytest.mark.parametrize("c", TERMS)
def test_sum_of_variable_and_constant_is_taken_modulo_width(n: int, c: int) -> None:
    make = CPython((), (), frozenset(), ())
    total = make.add(Int(make.name("x"), 0, mask_of(n)), make.integer(c), n)
    code = compile(text(make.unsigned(total, n)), "sum", "eval")
    edge = -c & mask_of(n)
    for x in {0, 1, (edge - 1) & mask_of(n), edge, (edge + 1) & mask_of(n), mask_of(n)}:
        assert x + c & mask_of(n) == eval(code, {"x": x}), (x, c)


def test_sum_that_cannot_overflow_is_not_wrapped() -> None:
    make = CPython((), (), frozenset(), ())
    total = make.add(Int(make.name("x"), 0, 255), make.integer(1), 32)
    assert "x + 1" == text(make.unsigned(total, 32))


def test_steps_by_one_read_well() -> None:
    make = CPython((), (), frozenset(), ())

    def step(c: int) -> str:
        return text(make.unsigned(make.add(Int(make.name("x"), 0, mask_of(32)), make.integer(c), 32), 32))

    assert "x + 1 if x != 4294967295 else 0" == step(1)
    assert "x - 1 if x else 4294967295" == step(-1)
    assert "x + 8 if x < 4294967288 else x - 4294967288" == step(8)
    assert "x - 8 if x >= 8 else x + 4294967288" == step(-8)
