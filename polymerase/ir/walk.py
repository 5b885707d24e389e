"""What every stage asks of an IR tree: its effects, its children, the variables it reads, its negation.

Effects are a set of bits. READS: the value depends on state that others can change (memory, mutable globals, tables).
TRAPS: it may trap. WRITES: it may change state or do anything at all (calls). An expression without effects depends
on its variables alone, and may be evaluated early, late, twice or never.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from polymerase.ir import nodes as n
from polymerase.ir.nodes import (
    Body,
    Call,
    CallIndirect,
    Const,
    Expr,
    Get,
    GlobalGet,
    If,
    Load,
    Logic,
    Null,
    Op,
    Select,
    Stmt,
    Switch,
    Sys,
    While,
)
from polymerase.wasm.types import I32

READS = 1
WRITES = 2
TRAPS = 4

# Numeric operations that may trap (spec 4.3.2).
TRAPPING = frozenset(
    [f"{t}_{op}_{sign}" for t in ("i32", "i64") for op in ("div", "rem") for sign in "su"]
    + [f"{i}_trunc_{f}_{sign}" for i in ("i32", "i64") for f in ("f32", "f64") for sign in "su"]
)

SYS_EFFECTS = {
    "memory_size": READS,
    "memory_grow": READS | WRITES,
    "memory_fill": READS | WRITES | TRAPS,
    "memory_copy": READS | WRITES | TRAPS,
    "memory_init": READS | WRITES | TRAPS,
    "data_drop": WRITES,
    "table_get": READS | TRAPS,
    "table_set": WRITES | TRAPS,
    "table_size": READS,
    "table_grow": READS | WRITES,
    "table_fill": READS | WRITES | TRAPS,
    "table_copy": READS | WRITES | TRAPS,
    "table_init": READS | WRITES | TRAPS,
    "elem_drop": WRITES,
    "ref_func": 0,
}


def own_effects(e: Expr) -> int:
    """The effects of `e`'s root, its operands' left out."""
    match e:
        case Const() | Null() | Get() | Logic() | Select():
            return 0
        case GlobalGet():
            return READS
        case Op():
            return TRAPS if e.name in TRAPPING else 0
        case Load():
            return READS | TRAPS
        case Call() | CallIndirect():
            return READS | WRITES | TRAPS
        case Sys():
            return SYS_EFFECTS[e.name]
        case _:
            assert_never(e)


def effects(e: Expr) -> int:
    """All effects of evaluating `e`."""
    fx = own_effects(e)
    for child in children(e):
        fx |= effects(child)
    return fx


def conflict(first: int, second: int) -> bool:
    """Whether two evaluations with these effects may not change places."""
    return bool((first & WRITES and second) or (second & WRITES and first) or (first & TRAPS and second & TRAPS))


def children(e: Expr) -> tuple[Expr, ...]:
    """The operands of `e` in the order in which WebAssembly evaluates them."""
    match e:
        case Const() | Null() | Get() | GlobalGet():
            return ()
        case Op() | Call() | Sys():
            return e.args
        case Logic():
            return (e.a, e.b)
        case Select():
            return (e.a, e.b, e.cond)
        case Load():
            return (e.addr,)
        case CallIndirect():
            return (*e.args, e.index)
        case _:
            assert_never(e)


def bodies(s: Stmt) -> tuple[Body, ...]:
    """The statement lists directly inside `s`."""
    match s:
        case If():
            return (s.then, s.orelse)
        case While():
            return (s.body,)
        case Switch():
            return (*(body for _, body in s.cases), s.default)
        case _:
            return ()


def exprs(s: Stmt) -> tuple[Expr, ...]:
    """The expressions directly in `s`, in evaluation order."""
    match s:
        case n.Set() | n.SetMany() | n.Eval() | n.GlobalSet() | n.TailCall() | n.Switch():
            return (s.e,)
        case n.Move() | n.Return():
            return s.es
        case n.Store():
            return (s.addr, s.value)
        case n.If():
            return (s.cond,)
        case n.While() | n.Break() | n.Continue() | n.Unreachable() | n.Charge():
            return ()
        case _:
            assert_never(s)


def statements(body: Body) -> Iterator[Stmt]:
    """Every statement of `body`, nested ones included, in source order."""
    for s in body:
        yield s
        for inner in bodies(s):
            yield from statements(inner)


_INVERSE = {
    f"{t}_{a}": f"{t}_{b}"
    for t in ("i32", "i64")
    for x, y in (("eq", "ne"), ("lt_s", "ge_s"), ("lt_u", "ge_u"), ("gt_s", "le_s"), ("gt_u", "le_u"))
    for a, b in ((x, y), (y, x))
} | {f"{t}_{a}": f"{t}_{b}" for t in ("f32", "f64") for a, b in (("eq", "ne"), ("ne", "eq"))}


def negate(cond: Expr) -> Expr:
    """A condition that is 0 exactly when `cond` is not. The result is a condition: only zero or not zero counts.

    Ordered float comparisons have no inverse (NaN), so they are wrapped in `i32_eqz`.
    """
    match cond:
        case Op(name="i32_eqz", args=(e,)):
            return e
        case Op(name=name, args=args, type=t, at=at) if name in _INVERSE:
            return Op(_INVERSE[name], args, t, at)
        case Const(value=value):
            return Const(I32, 0 if value else 1)
        case Logic(is_and=is_and, a=a, b=b):
            return Logic(not is_and, negate(a), negate(b))
        case _:
            return Op("i32_eqz", (cond,), I32, getattr(cond, "at", 0))
