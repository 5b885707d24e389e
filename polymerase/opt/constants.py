"""Use a constant where a variable is known to hold it, and do not store it again.

    v1 = 0                          v1 = 0
    while true:                     while true:
        t2 = 0                          t2 = 0
        if p0:                          if p0:
            t2 = 0                          if p1:
            if p1:                              t2 = i32_load(p0)
                t2 = i32_load(p0)       p1 = i32_add(p1, 0)
        p1 = i32_add(p1, v1)

A forward walk that knows, at each point, which variables hold which constants on every path that leads there: a join
keeps what all ways agree on, a loop starts with what its body never sets. Sound, because the assignment that is left
out would store what is there. Integers alone are put in place of reads; conditions and switches stay as they are, so
that no branch becomes a constant here. A first store that nobody reads any more is `dead_stores`' to drop.

Linear: at most `MAX_KNOWN` constants are followed at a time, the oldest dropped first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from polymerase.ir import nodes as n
from polymerase.ir.walk import statements
from polymerase.wasm.module import Module
from polymerase.wasm.types import I32, I64

MAX_KNOWN = 32

Known = dict[str, n.Const]


def constants(f: n.Func, module: Module) -> n.Func:
    """`f` with known constants in place."""
    walk = _Constants(f)
    body, _ = walk.body(f.body, {})
    return replace(f, body=body)


class _Constants:
    """`breaks`: what is known at each Break of the innermost While so far; None until there is one."""

    def __init__(self, f: n.Func) -> None:
        self.assigned = {id(s): _assigned(s.body) for s in statements(f.body) if isinstance(s, n.While)}
        self.breaks: Known | None = None

    def body(self, body: n.Body, known: Known | None) -> tuple[n.Body, Known | None]:
        """The statements, and what is known after them (None: control does not get there). Changes `known`."""
        new: list[n.Stmt] = []
        for s in body:
            if known is None:  # unreachable, and the structure makes none of that
                new.append(s)
                continue
            s_new, known = self.statement(s, known)
            if s_new is not None:
                new.append(s_new)
        return tuple(new), known

    def statement(self, s: n.Stmt, known: Known) -> tuple[n.Stmt | None, Known | None]:
        match s:
            case n.Set(var=var, e=e):
                e = _use(e, known)
                if isinstance(e, n.Const):
                    if known.get(var.name) == e:
                        return None, known
                    known.pop(var.name, None)
                    known[var.name] = e
                    if len(known) > MAX_KNOWN:
                        del known[next(iter(known))]
                else:
                    known.pop(var.name, None)
                return (s if e is s.e else replace(s, e=e)), known
            case n.SetMany(vars=vars_) | n.Move(vars=vars_):
                new: n.Stmt = s
                if isinstance(s, n.Move):
                    new = replace(s, es=tuple(_use(e, known) for e in s.es))
                for var in vars_:
                    known.pop(var.name, None)
                return new, known
            case n.Eval() | n.GlobalSet():
                e = _use(s.e, known)
                return (s if e is s.e else replace(s, e=e)), known
            case n.Store():
                return replace(s, addr=_use(s.addr, known), value=_use(s.value, known)), known
            case n.If():
                then, after_then = self.body(s.then, dict(known))
                orelse, after_else = self.body(s.orelse, known)
                after = _join(after_then, after_else)
                if then:
                    return replace(s, then=then, orelse=orelse), after
                # An empty `then` is dead_stores' to tidy: keep what was there.
                return replace(s, orelse=orelse), after
            case n.While():
                assigned = self.assigned[id(s)]
                outer, self.breaks = self.breaks, None
                body, _ = self.body(s.body, {name: c for name, c in known.items() if name not in assigned})
                after, self.breaks = self.breaks, outer
                return replace(s, body=body), after
            case n.Switch():
                default, after = self.body(s.default, dict(known))
                cases = []
                for values, case in s.cases:
                    inner, after_case = self.body(case, dict(known))
                    after = _join(after, after_case)
                    cases.append((values, inner))
                return replace(s, cases=tuple(cases), default=default), after
            case n.Break():
                self.breaks = known if self.breaks is None else _join(self.breaks, known)
                return s, None
            case n.Return():
                return replace(s, es=tuple(_use(e, known) for e in s.es)), None
            case n.Charge():
                return s, known
            case n.Continue() | n.TailCall() | n.Unreachable():
                return s, None
            case _:
                assert_never(s)


def _join(a: Known | None, b: Known | None) -> Known | None:
    """What is known where two ways meet."""
    if a is None or b is None:
        return b if a is None else a
    return {name: c for name, c in a.items() if b.get(name) == c}


def _assigned(body: n.Body) -> frozenset[str]:
    """The variables that are set somewhere in `body`."""
    names: set[str] = set()
    for s in statements(body):
        if isinstance(s, n.Set):
            names.add(s.var.name)
        elif isinstance(s, (n.SetMany, n.Move)):
            names.update(var.name for var in s.vars)
    return frozenset(names)


def _use(e: n.Expr, known: Known) -> n.Expr:
    """`e` with integers in place of the variables known to hold them; the same object if there are none."""
    match e:
        case n.Get(var=var):
            return known.get(var.name, e) if var.type in (I32, I64) else e
        case n.Const() | n.Null() | n.GlobalGet():
            return e
        case n.Op() | n.Call() | n.Sys():
            args = tuple(_use(arg, known) for arg in e.args)
            return e if all(map(_is, args, e.args)) else replace(e, args=args)
        case n.CallIndirect():
            args = tuple(_use(arg, known) for arg in e.args)
            index = _use(e.index, known)
            return e if index is e.index and all(map(_is, args, e.args)) else replace(e, args=args, index=index)
        case n.Load():
            addr = _use(e.addr, known)
            return e if addr is e.addr else replace(e, addr=addr)
        case n.Logic() | n.Select():
            return e  # conditions
        case _:
            assert_never(e)


def _is(a: object, b: object) -> bool:
    return a is b
