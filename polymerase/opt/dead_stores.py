"""Drop assignments whose value nobody reads.

    v1 = 0                          if p0:
    if p0:                              v1 = i32_load(p0)
        v1 = 0                          return v1
        v1 = i32_load(p0)           return 0
        return v1
    return 0

A variable is live where some path ahead reads it before setting it, and only reads by what itself matters count
(strong liveness), so that a counter which only counts disappears with all it is made of. Sound, because an expression
without traps and writes can be left out when its value is not used; one that may trap or write stays, as `Eval`. A
condition whose arms become empty goes the same way. Other passes' work: copies, constants, stores to memory.

Loops take a few rounds over the function, as many as they nest and two more; a round costs time in proportion to
statements times variables over 64, and where that product is absurd (`MAX_BITS`) the function is left as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from polymerase.ir import nodes as n
from polymerase.ir.walk import TRAPS, WRITES, children, effects, exprs, negate, statements
from polymerase.wasm.module import Module

MAX_BITS = 1 << 32  # statements times variables


def dead_stores(f: n.Func, module: Module) -> n.Func:
    """`f` without assignments that nobody reads."""
    count = sum(1 for _ in statements(f.body))
    analysis = _Liveness()
    analysis.number(f)
    if count * len(analysis.bits) > MAX_BITS:
        return f
    while True:
        analysis.changed = False
        analysis.body(f.body, 0, 0, 0)
        if not analysis.changed:
            break
    analysis.rewriting = True
    body, _ = analysis.body(f.body, 0, 0, 0)
    return replace(f, body=body)


class _Liveness:
    """Sets of variables are ints, a bit for each. `heads[id(while)]`: what is live at the start of its body."""

    def __init__(self) -> None:
        self.bits: dict[str, int] = {}
        self.heads: dict[int, int] = {}
        self.read: dict[int, int] = {}
        self.changed = False
        self.rewriting = False

    def number(self, f: n.Func) -> None:
        """Give each variable its bit, and each statement the set that it reads."""
        for var in f.params:
            self.bit(var)
        for s in statements(f.body):
            reads = 0
            for e in exprs(s):
                reads |= self.reads(e)
            self.read[id(s)] = reads

    def bit(self, var: n.Var) -> int:
        return 1 << self.bits.setdefault(var.name, len(self.bits))

    def reads(self, e: n.Expr) -> int:
        """The variables in `e`."""
        if isinstance(e, n.Get):
            return self.bit(e.var)
        found = 0
        for child in children(e):
            found |= self.reads(child)
        return found

    def body(self, body: n.Body, after: int, on_break: int, on_continue: int) -> tuple[n.Body, int]:
        """The statements that stay (when rewriting), and what is live before them."""
        live = after
        kept: list[n.Stmt] = []
        for s in reversed(body):
            new, live = self.statement(s, live, on_break, on_continue)
            if new is not None:
                kept.append(new)
        kept.reverse()
        return tuple(kept), live

    def statement(self, s: n.Stmt, live: int, on_break: int, on_continue: int) -> tuple[n.Stmt | None, int]:
        """What is left of `s`, and what is live before it."""
        reads = self.read[id(s)]
        match s:
            case n.Set(var=var, e=e, at=at):
                if live & self.bit(var):
                    return s, live & ~self.bit(var) | reads
                return self.for_effects(e, at, live, reads)
            case n.Move():
                return self.move(s, live)
            case n.SetMany(vars=vars_):
                for var in vars_:
                    live &= ~self.bit(var)
                return s, live | reads
            case n.Eval() | n.GlobalSet() | n.Store() | n.Charge():
                return s, live | reads
            case n.If(cond=cond, at=at):
                then, live_then = self.body(s.then, live, on_break, on_continue)
                orelse, live_else = self.body(s.orelse, live, on_break, on_continue)
                if not then and not orelse and live_then == live_else == live:
                    return self.for_effects(cond, at, live, reads)
                before = live_then | live_else | reads
                if not self.rewriting:
                    return s, before
                if then:
                    return n.If(cond, then, orelse, at), before
                return n.If(negate(cond), orelse, (), at), before
            case n.While(at=at):
                head = self.heads.get(id(s), 0)
                inner, start = self.body(s.body, head, live, head)
                if start & ~head:
                    self.heads[id(s)] = head | start
                    self.changed = True
                return n.While(inner, at) if self.rewriting else s, head | start
            case n.Switch(e=e, cases=cases, at=at):
                default, before = self.body(s.default, live, on_break, on_continue)
                new: list[tuple[tuple[int, ...], n.Body]] = []
                for values, case in cases:
                    inner, start = self.body(case, live, on_break, on_continue)
                    new.append((values, inner))
                    before |= start
                if not self.rewriting:
                    return s, before | reads
                if not default and not any(inner for _, inner in new):
                    return None, live
                return n.Switch(e, tuple(new), default, at), before | reads
            case n.Break():
                return s, on_break
            case n.Continue():
                return s, on_continue
            case n.Return() | n.TailCall() | n.Unreachable():
                return s, reads
            case _:
                assert_never(s)

    def for_effects(self, e: n.Expr, at: int, live: int, reads: int) -> tuple[n.Stmt | None, int]:
        """What is left of `e` when its value is not used."""
        if effects(e) & (TRAPS | WRITES):
            return n.Eval(e, at), live | reads
        return None, live

    def move(self, s: n.Move, live: int) -> tuple[n.Stmt | None, int]:
        """A parallel assignment without the dead ones that have no effects."""
        pairs = [
            (var, e)
            for var, e in zip(s.vars, s.es, strict=True)
            if live & self.bit(var) or effects(e) & (TRAPS | WRITES)
        ]
        for var in s.vars:
            live &= ~self.bit(var)
        for _, e in pairs:
            live |= self.reads(e)
        if not pairs:
            return None, live
        if len(pairs) == 1:
            return n.Set(*pairs[0], s.at), live
        return n.Move(tuple(var for var, _ in pairs), tuple(e for _, e in pairs), s.at), live
