"""A function as one dispatch, for graphs that nest too deep for structure."""

from __future__ import annotations

from polymerase.ir.nodes import Const, Get, If, Return, Set, Stmt, Switch, Var, While
from polymerase.lower.cfg import EXIT, Block, Branch, Choose, Goto, NewTemp, block_at, single_ways_in, statements_of
from polymerase.wasm.types import I32


class Flat:
    """A function as one dispatch: every merge and loop header a state, single successors inlined a few levels deep.

    Slow, but right for any graph: nesting is bounded, whatever the shape.
    """

    MAX_INLINE = 8

    def __init__(self, order: list[Block], is_header: list[bool], new_temp: NewTemp) -> None:
        self.order = order
        self.state = Var("br" + new_temp(I32).name[1:], I32)
        self.single = single_ways_in(order)
        self.is_header = is_header
        self.states = {0: 0}
        self.heads = [0]

    def run(self) -> list[Stmt]:
        bodies: list[tuple[Stmt, ...]] = []
        for head in self.heads:  # grows while it is read
            bodies.append(tuple(self.block(head, 0)))
        at = block_at(self.order[0])
        cases = tuple(((k,), body) for k, body in enumerate(bodies[:-1]))
        last = (Switch(Get(self.state), cases, bodies[-1], at),) if cases else bodies[-1]
        return [Set(self.state, Const(I32, 0), at), While(last, at)]

    def block(self, x: int, level: int) -> list[Stmt]:
        block = self.order[x]
        out = list(statements_of(block))
        match block.term:
            case None:
                pass
            case Goto(to=to, at=at):
                out.extend(self.go(to, level, at))
            case Branch(cond=cond, then=then, orelse=orelse, at=at):
                body = self.go(then, level + 1, at)
                out.append(If(cond, tuple(body), tuple(self.go(orelse, level + 1, at)), at))
            case Choose(e=e, cases=cases, default=default, at=at):
                depth = self.MAX_INLINE if len(cases) > 16 else level + 4
                arms = tuple((values, tuple(self.go(to, depth, at))) for values, to in cases)
                out.append(Switch(e, arms, tuple(self.go(default, depth, at)), at))
        return out

    def go(self, to_block: Block, level: int, at: int) -> list[Stmt]:
        if to_block is EXIT:
            return [Return((), at)]
        to = to_block.id
        if self.single[to] and not self.is_header[to] and level < self.MAX_INLINE:
            return self.block(to, level)
        if to not in self.states:
            self.states[to] = len(self.heads)
            self.heads.append(to)
        return [Set(self.state, Const(I32, self.states[to]), at)]
