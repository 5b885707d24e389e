"""Makes nodes of Python's `ast`, each with its wasm byte offset as its line, and integers with what is known of them.

In memory the line of a node is the offset itself; for files `source.py` reads the offset from there and writes a table.
Nodes of names and constants may occur at several places of a tree, others must not.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ADD = ast.Add()
SUB = ast.Sub()
MUL = ast.Mult()
DIV = ast.Div()
FLOORDIV = ast.FloorDiv()
MOD = ast.Mod()
AND = ast.BitAnd()
OR = ast.BitOr()
XOR = ast.BitXor()
SHL = ast.LShift()
SHR = ast.RShift()
LT = ast.Lt()
LE = ast.LtE()
GT = ast.Gt()
GE = ast.GtE()
EQ = ast.Eq()
NE = ast.NotEq()
IS = ast.Is()
IS_NOT = ast.IsNot()
COMPARISONS: dict[str, ast.cmpop] = {"eq": EQ, "ne": NE, "lt": LT, "le": LE, "gt": GT, "ge": GE}
_NOT = ast.Not()
_NEG = ast.USub()
_INVERT = ast.Invert()
_LOAD = ast.Load()
_STORE = ast.Store()


class Hex(ast.Constant):
    """An integer written in hexadecimal: a mask. Everything but `source.py` sees a Constant."""


@dataclass(slots=True)
class Int:
    """An integer expression: `node` evaluates to an int in [lo, hi] that is congruent to the wasm value modulo 2^bits,
    and whose lowest `zeros` bits are 0. `is_bool`: Python's `True` or `False`."""

    node: ast.expr
    lo: int
    hi: int
    zeros: int = 0
    is_bool: bool = False


def trailing_zeros(value: int) -> int:
    """How many of the lowest bits are 0; 128, more than any type has, when all are."""
    return (value & -value).bit_length() - 1 if value else 128


def constant_of(node: ast.expr) -> int | None:
    """The int that `node` is, if it is one."""
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None


def is_local(node: ast.expr) -> bool:
    """Whether `node` is a local variable or a constant: it may be written twice, and evaluated early or late.
    Globals' names begin with g, no local's does."""
    return isinstance(node, ast.Constant) or isinstance(node, ast.Name) and node.id[0] != "g"


def is_name(node: ast.expr) -> bool:
    """Whether `node` may be written twice in a row: a variable, a global or a constant."""
    return isinstance(node, (ast.Name, ast.Constant))


class Builder:
    """Node constructors. `go(at)` sets the offset that nodes made from then on carry."""

    def __init__(self) -> None:
        self.helpers: set[str] = set()  # names of the runtime that were used
        self.at = 0
        self.pos: dict[str, Any] = {}  # the keywords of every node's constructor
        self.go(0)

    def go(self, at: int) -> int:
        """Nodes made from now on come from offset `at`; returns the offset that it was before."""
        before = self.at
        # Python's lines count from 1; offset 0 is the module's magic number, never an instruction.
        self.at = at
        self.pos = {"lineno": at or 1, "end_lineno": at or 1, "col_offset": 0, "end_col_offset": 0}
        return before

    def name(self, id: str) -> ast.Name:
        return ast.Name(id, _LOAD, **self.pos)

    def target(self, id: str) -> ast.Name:
        return ast.Name(id, _STORE, **self.pos)

    def helper(self, id: str) -> ast.Name:
        """A name of the runtime."""
        self.helpers.add(id)
        return ast.Name(id, _LOAD, **self.pos)

    def const(self, value: int | float | None | bool | bytes) -> ast.Constant:
        return ast.Constant(value, **self.pos)

    def mask(self, value: int) -> ast.Constant:
        """The second operand of a bitwise operation."""
        return Hex(value, **self.pos) if value > 255 else ast.Constant(value, **self.pos)

    def integer(self, value: int) -> Int:
        node: ast.expr = ast.Constant(value, **self.pos)
        if value < 0:  # as the parser would have it, so that text and tree are the same
            node = self.neg(ast.Constant(-value, **self.pos))
        return Int(node, value, value, trailing_zeros(value))

    def binop(self, a: ast.expr, op: ast.operator, b: ast.expr) -> ast.BinOp:
        return ast.BinOp(a, op, b, **self.pos)

    def compare(self, a: ast.expr, op: ast.cmpop, b: ast.expr) -> ast.Compare:
        return ast.Compare(a, [op], [b], **self.pos)

    def between(self, a: ast.expr, op: ast.cmpop, b: ast.expr, op2: ast.cmpop, c: ast.expr) -> ast.Compare:
        """`a < b <= c`."""
        return ast.Compare(a, [op, op2], [b, c], **self.pos)

    def not_(self, a: ast.expr) -> ast.expr:
        if isinstance(a, ast.UnaryOp) and isinstance(a.op, ast.Not) and is_bool_node(a.operand):
            return a.operand
        return ast.UnaryOp(_NOT, a, **self.pos)

    def neg(self, a: ast.expr) -> ast.UnaryOp:
        return ast.UnaryOp(_NEG, a, **self.pos)

    def invert(self, a: ast.expr) -> ast.UnaryOp:
        return ast.UnaryOp(_INVERT, a, **self.pos)

    def bool_op(self, is_and: bool, values: Sequence[ast.expr]) -> ast.BoolOp:
        """`a and b` or `a or b`; operands of the same kind are joined."""
        kind = ast.And if is_and else ast.Or
        flat: list[ast.expr] = []
        for value in values:
            flat += value.values if isinstance(value, ast.BoolOp) and isinstance(value.op, kind) else [value]
        return ast.BoolOp(kind(), flat, **self.pos)

    def if_exp(self, test: ast.expr, body: ast.expr, orelse: ast.expr) -> ast.IfExp:
        return ast.IfExp(test, body, orelse, **self.pos)

    def walrus(self, id: str, value: ast.expr) -> ast.NamedExpr:
        return ast.NamedExpr(self.target(id), value, **self.pos)

    def call(self, func: ast.expr, *args: ast.expr) -> ast.Call:
        return ast.Call(func, list(args), [], **self.pos)

    def attribute(self, value: ast.expr, attr: str) -> ast.Attribute:
        return ast.Attribute(value, attr, _LOAD, **self.pos)

    def attribute_target(self, value: ast.expr, attr: str) -> ast.Attribute:
        return ast.Attribute(value, attr, _STORE, **self.pos)

    def index(self, value: ast.expr, i: ast.expr) -> ast.Subscript:
        return ast.Subscript(value, i, _LOAD, **self.pos)

    def index_target(self, value: ast.expr, i: ast.expr) -> ast.Subscript:
        return ast.Subscript(value, i, _STORE, **self.pos)

    def tuple_(self, elts: list[ast.expr]) -> ast.Tuple:
        return ast.Tuple(elts, _LOAD, **self.pos)

    def tuple_target(self, elts: list[ast.expr]) -> ast.Tuple:
        return ast.Tuple(elts, _STORE, **self.pos)

    def assign(self, target: ast.expr, value: ast.expr) -> ast.Assign:
        return ast.Assign([target], value, **self.pos)

    def if_(self, test: ast.expr, body: list[ast.stmt], orelse: list[ast.stmt]) -> ast.If:
        return ast.If(test, body, orelse, **self.pos)

    def expr_stmt(self, value: ast.expr) -> ast.Expr:
        return ast.Expr(value, **self.pos)


def is_bool_node(node: ast.expr) -> bool:
    """Whether `node` always evaluates to `True` or `False`."""
    match node:
        case ast.Compare():
            return True
        case ast.UnaryOp(op=ast.Not()):
            return True
        case ast.BoolOp(values=values):
            return all(map(is_bool_node, values))
        case ast.IfExp(body=body, orelse=orelse):
            return is_bool_node(body) and is_bool_node(orelse)
        case ast.Constant(value=value):
            return isinstance(value, bool)
        case _:
            return False
