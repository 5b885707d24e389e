"""What every pass may rely on, and must keep. `check` is for tests and `--check`: it raises InternalError.

- An expression is at most 50 levels deep; statements nest at most 84 levels (a Switch counts as the binary search it
  becomes), `While` at most 16.
- `Break` and `Continue` stand inside a `While`; nothing follows a statement that never falls.
- Whatever Python evaluates in another order than WebAssembly (a store's value before its address, a called table
  element before the arguments, a select's condition before its arms) does not conflict.
- Names of variables are unique; a Switch's values are disjoint; `If.then` is not empty; a `Charge` is positive.
- No pass drops, moves or repeats a `Charge`: what a path pays is part of what the function does.
"""

from __future__ import annotations

from polymerase.errors import InternalError
from polymerase.ir import nodes as n
from polymerase.ir.walk import TRAPS, WRITES, children, conflict, effects, exprs

MAX_EXPR = 50
MAX_NEST = 84
MAX_WHILES = 16


def check(f: n.Func) -> None:
    """Raises InternalError naming the function and what it breaks."""
    _Check(f).body(f.body, 0, 0)


class _Check:
    def __init__(self, f: n.Func) -> None:
        self.f = f
        self.types = {var.name: var.type for var in f.params}

    def require(self, cond: bool, what: str) -> None:
        if not cond:
            raise InternalError("check", f"func {self.f.i}: {what}")

    def variable(self, var: n.Var) -> None:
        self.require(self.types.setdefault(var.name, var.type) == var.type, f"{var.name} has two types")

    def body(self, body: n.Body, nest: int, whiles: int) -> None:
        self.require(nest <= MAX_NEST, "statements nest too deep")
        self.require(whiles <= MAX_WHILES, "loops nest too deep")
        for k, s in enumerate(body):
            self.require(k == len(body) - 1 or falls(s), f"unreachable statement after {type(s).__name__} at {s.at:#x}")
            for e in exprs(s):
                self.expr(e, 1)
            match s:
                case n.Set():
                    self.variable(s.var)
                case n.SetMany() | n.Move():
                    for var in s.vars:
                        self.variable(var)
                case n.Store():
                    self.require(not conflict(effects(s.addr), effects(s.value)), f"store order at {s.at:#x}")
                case n.If():
                    self.require(bool(s.then), f"empty then at {s.at:#x}")
                    self.body(s.then, nest + 1, whiles)
                    self.body(s.orelse, nest + 1, whiles)
                case n.While():
                    self.body(s.body, nest + 1, whiles + 1)
                case n.Charge():
                    self.require(s.cost > 0, f"a charge of {s.cost} at {s.at:#x}")
                case n.Break() | n.Continue():
                    self.require(whiles > 0, f"break outside a loop at {s.at:#x}")
                case n.Switch():
                    values = [value for case in s.cases for value in case[0]]
                    self.require(len(set(values)) == len(values), f"switch values at {s.at:#x}")
                    levels = 1 + len(s.cases).bit_length()
                    for _, inner in (*s.cases, ((), s.default)):
                        self.body(inner, nest + levels, whiles)
                case _:
                    pass

    def expr(self, e: n.Expr, depth: int) -> None:
        self.require(depth <= MAX_EXPR, "expression too deep")
        match e:
            case n.Select():
                arms = effects(e.a) | effects(e.b)
                self.require(not arms & (TRAPS | WRITES), "effects in a select")
                self.require(not conflict(arms, effects(e.cond)), "select order")
            case n.CallIndirect():
                args = 0
                for arg in e.args:
                    args |= effects(arg)
                self.require(not args & (TRAPS | WRITES), f"call_indirect order at {e.at:#x}")
                self.require(not conflict(args, effects(e.index)), f"call_indirect order at {e.at:#x}")
            case n.Call():
                self.require(depth == 1 or len(e.results) == 1, f"call at {e.at:#x} as an operand")
            case _:
                pass
        for child in children(e):
            self.expr(child, depth + 1)


def falls(s: n.Stmt) -> bool:
    """Whether control can go on after `s`."""
    match s:
        case n.Break() | n.Continue() | n.Return() | n.TailCall() | n.Unreachable():
            return False
        case n.If():
            return not s.orelse or _falls(s.then) or _falls(s.orelse)
        case n.Switch():
            return _falls(s.default) or any(_falls(body) for _, body in s.cases)
        case n.While():
            return _breaks(s.body)
        case _:
            return True


def _falls(body: n.Body) -> bool:
    return not body or falls(body[-1])


def _breaks(body: n.Body) -> bool:
    """Whether a Break of the loop with this body is in it."""
    for s in body:
        match s:
            case n.Break():
                return True
            case n.If():
                if _breaks(s.then) or _breaks(s.orelse):
                    return True
            case n.Switch():
                if _breaks(s.default) or any(_breaks(inner) for _, inner in s.cases):
                    return True
            case _:
                pass
    return False
