"""A control flow graph as Python's `if`, `while True`, `break` and `continue`.

The dominator tree says what lies inside what (after Ramsey, "Beyond Relooper", 2022). A block with one predecessor is
written where that predecessor branches to it. A block where paths meet (a *merge*) is written after the block that
dominates it, as the next segment of a sequence: to reach the next segment, control just falls. A loop is a `while
True:` around its header's sequence; what follows the loop is another sequence, and `break` leads there.

    block 0: branch a -> 1, 2         if a:
    block 1: ...; goto 3                  ...
    block 2: branch b -> 3, return    elif not b:
    block 3: ...                          return
                                      ...

A jump that neither falls, nor is the `break` or `continue` of the innermost `while`, needs help, in this order:
- a segment that is jumped to past others gets a `while True:` that runs once around those, so that `break` leads to it;
- past several `while`s a guard variable says, after each, where to go on;
- a sequence with many such segments becomes a dispatch: a `while True:` over a `Switch` on a state variable;
- where that nests too deep, all merges directly inside a loop become states of one dispatch, the loop's own `while`
  (`hoist`), first in the most crowded loops; what is too deep even so is one dispatch for the whole function (`flat`).
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable

from polymerase.errors import InternalError
from polymerase.ir.nodes import (
    Break,
    Const,
    Continue,
    Eval,
    Expr,
    Get,
    If,
    Op,
    Return,
    Set,
    Stmt,
    Switch,
    Var,
    While,
)
from polymerase.ir.walk import TRAPS, WRITES, effects, negate
from polymerase.lower.cfg import EXIT, Block, Branch, Choose, Goto, NewTemp, block_at, statements_of, successors
from polymerase.lower.dominators import find_loops
from polymerase.lower.flat import Flat
from polymerase.lower.tree import Tree, loop_depth
from polymerase.wasm.types import I32

MAX_NEST = 72  # statement levels; Switch counts its search tree
MAX_WHILES = 15  # nested; CPython allows 20 blocks
MAX_LABELS = 3  # whiles that run once in one sequence; more become a dispatch
MAX_CHAIN = 6  # conditions nested only to skip what follows them, before they become early exits


class _TooDeep(Exception):
    """The structure found nests deeper than Python allows."""


def structure(entry: Block, order: list[Block], new_temp: NewTemp) -> tuple[Stmt, ...]:
    """The statements of the graph; `order` is its reverse postorder with `id` and `preds` filled in."""
    limit = sys.getrecursionlimit()
    # Frames of Python functions called from Python take no C stack since CPython 3.11. The limit is the process's:
    # where it suffices, as while a guest runs, it is left alone, since other threads may be changing it.
    needed = 12 * len(order) + 2000
    if limit < needed:
        sys.setrecursionlimit(needed)
    try:
        is_header, around = find_loops(order)
        depth = loop_depth(is_header, around)
        if max(depth) > MAX_WHILES:  # no use trying; and below, climbing from loop to loop takes bounded time
            return tuple(Flat(order, is_header, new_temp).run())
        tree = Tree(order, is_header, around, depth)
        for forced, crowd in ((False, None), (True, None), (True, 2), (True, 0)):
            attempt = _Structure(order, tree, new_temp, forced)
            if crowd is not None:
                attempt = _Structure(order, tree.hoist(attempt.crowded(crowd)), new_temp, forced)
            try:
                return tuple(attempt.run())
            except _TooDeep:
                continue
        return tuple(Flat(order, is_header, new_temp).run())
    finally:
        if limit < needed:
            sys.setrecursionlimit(limit)


class _While:
    """A `while` being written: where `break` and `continue` lead, and which jumps leave through a guard variable."""

    __slots__ = ("break_to", "broken", "continue_to", "guard", "guards", "state", "states")

    def __init__(self, break_to: int, continue_to: int | None = None) -> None:
        self.break_to = break_to
        self.continue_to = continue_to
        self.broken = False
        self.guard: Var | None = None
        self.guards: dict[int, int] = {}
        self.state: Var | None = None
        self.states: dict[int, int] = {}


class _Structure:
    """Writes the statements of a tree. Methods append to `out` and tell whether control falls off its end.

    Blocks are numbers; `self.exit` stands for the end of the function. `end[x]`: where x with all that is written
    after it falls to; `follow[x]`: where x's own code falls to.
    """

    def __init__(self, order: list[Block], tree: Tree, new_temp: NewTemp, forced: bool) -> None:
        self.order = order
        self.tree = tree
        self.new_temp = new_temp
        self.exit = len(order)
        self.whiles: list[_While] = []
        self.nest = 0
        n = len(order)
        self.end = [self.exit] * n
        self.follow = [self.exit] * n
        self.break_to = [self.exit] * n
        for x in range(n):
            self._place(x)
        self.forced: set[int] = self._find_chains() if forced else set()
        self.labels = self._find_labels()

    def run(self) -> list[Stmt]:
        out: list[Stmt] = []
        self.unit(0, out)
        _tidy(out)
        return out

    # --- what falls where

    def _place(self, x: int) -> None:
        tree = self.tree
        end = self.end[x]
        if tree.is_header[x]:
            after = tree.after[x]
            self.break_to[x] = after[0] if after else end
            self._chain(after, end)
            end = x
        body = tree.body[x]
        self._chain(body, end)
        self.follow[x] = body[0] if body else end
        for to_block in successors(self.order[x]):
            to = to_block.id if to_block is not EXIT else self.exit
            if self.is_child(x, to):
                self.end[to] = self.follow[x]

    def _chain(self, segments: list[int], end: int) -> None:
        for b in reversed(segments):
            self.end[b] = end
            end = b

    def is_child(self, x: int, to: int) -> bool:
        """Whether block `to` is written inside the terminator of x."""
        return to != self.exit and self.tree.inlined[to] and self.tree.parent[to] == x and to > x

    def falls(self, x: int, to: int) -> bool:
        """Whether a jump from x's own code to `to` needs no statement."""
        return self.follow[x] == to and to not in self.forced

    def number(self, block: Block) -> int:
        return self.exit if block is EXIT else block.id

    def _find_chains(self) -> set[int]:
        """Where long chains of nested conditions skip to: better reached by leaving early than by falling."""
        chain = [0] * len(self.order)
        forced: set[int] = set()
        for x, block in enumerate(self.order):
            targets = [self.number(to) for to in successors(block)]
            skips = self.follow[x] in targets
            for to in targets:
                if self.is_child(x, to):
                    chain[to] = chain[x] + (1 if skips else 0)
                    if skips and chain[to] > MAX_CHAIN:
                        forced.add(self.follow[x])
        return forced

    def _find_labels(self) -> dict[int, dict[int, int]]:
        """Which merges need a `while` that runs once before them.

        For the head of each sequence (a header's after-sequence counts as its complement `~x`): merge -> index of the
        first segment that jumps to it past others.
        """
        tree = self.tree
        labels: dict[int, dict[int, int]] = {}
        positions: dict[int, list[int]] = {}
        for x, block in enumerate(self.order):
            for to_block in successors(block):
                to = self.number(to_block)
                if to == self.exit or self.is_child(x, to) or self.falls(x, to):
                    continue
                if to <= x:
                    continue  # a back edge: `continue`
                head = tree.parent[to]
                is_after = tree.is_after[to]
                within = tree.loop_out[head] if is_after else tree.loop_in[head]
                loop, outermost = tree.loop_in[x], -1
                while loop != within:
                    outermost = loop
                    loop = tree.loop_out[loop]
                if outermost >= 0 and self.break_to[outermost] == to:
                    continue
                key = ~head if is_after else head
                if key not in positions:
                    segments = tree.after[head] if is_after else tree.body[head]
                    positions[key] = [tree.position[b] for b in segments]
                first = bisect_right(positions[key], tree.position[x])
                found = labels.setdefault(key, {})
                found[to] = min(first, found.get(to, first))
        return labels

    def crowded(self, most: int) -> set[int]:
        """The loops (by their root) in which more than `most` whiles that are no loops nest."""
        tree = self.tree
        roots: set[int] = set()
        extra = [0] * len(self.order)  # such whiles around x, within the loop around it
        for x in range(len(self.order)):
            p = tree.parent[x]
            if p >= 0:
                key = ~p if tree.is_after[x] else p
                base = 0 if tree.is_header[p] and not tree.is_after[x] else extra[p]
                extra[x] = base + self._cost(key)
            for key, loop, base in (
                (x, tree.loop_in[x], 0 if tree.is_header[x] else extra[x]),
                (~x, tree.loop_out[x], extra[x]),
            ):
                if key in self.labels and base + self._cost(key) > most:
                    roots.add(tree.root(loop))
        return roots

    def _cost(self, key: int) -> int:
        count = len(self.labels.get(key, ()))
        return count if count <= MAX_LABELS else 1

    # --- writing

    def unit(self, x: int, out: list[Stmt]) -> bool:
        """Write block x and all that is written after it."""
        falls = True
        following: int | None = x
        while following is not None:
            x = following
            if self.tree.is_header[x]:
                following, falls = self.sequence(x, self.tree.after[x], self.loop, ~x, out)
            else:
                following, falls = self.sequence(x, self.tree.body[x], self.own, x, out)
        return falls

    def sequence(
        self,
        x: int,
        rest: list[int],
        first: Callable[[int, list[Stmt]], tuple[int | None, bool]],
        key: int,
        out: list[Stmt],
    ) -> tuple[int | None, bool]:
        """Write `first(x)` and the segments `rest`. What comes last is not written but returned, if nothing comes
        after it, so that long sequences do not recurse."""
        if not rest:
            return first(x, out)
        labels = self.labels.get(key)
        if labels is None:
            self.complete(*first(x, out), out)
            for b in rest[:-1]:
                self.unit(b, out)
            return rest[-1], True
        if len(labels) > MAX_LABELS or len(self.whiles) + len(labels) > MAX_WHILES - 4:
            return None, self.dispatch(x, rest, first, out)
        spans = _nest_spans([(labels[b], k) for k, b in enumerate(rest, 1) if b in labels])
        opened: list[tuple[int, list[Stmt]]] = []
        falls = True
        for k in range(len(rest) + 1):
            if opened and opened[-1][0] == k:
                _, outer = opened.pop()
                falls = self.close_once(out, outer, falls)
                out = outer
            if k == len(rest):
                break
            for first_segment, last in spans:
                if first_segment == k:
                    opened.append((last, out))
                    out = []
                    self.open(_While(rest[last - 1]))
            if k == 0:
                falls = self.complete(*first(x, out), out)
            else:
                falls = self.unit(rest[k - 1], out)
        return rest[-1], True

    def complete(self, following: int | None, falls: bool, out: list[Stmt]) -> bool:
        """Write what `first` left to its caller."""
        return falls if following is None else self.unit(following, out)

    def open(self, frame: _While) -> None:
        self.whiles.append(frame)
        self.nest += 1
        if len(self.whiles) > MAX_WHILES or self.nest > MAX_NEST:
            raise _TooDeep

    def close_once(self, body: list[Stmt], out: list[Stmt], falls: bool) -> bool:
        """End a `while` that runs once."""
        frame = self.whiles[-1]
        if falls:
            body.append(Break(_last_at(body)))
            frame.broken = True
        return self.close(body, out)

    def close(self, body: list[Stmt], out: list[Stmt]) -> bool:
        """End a `while`: after it, the guards of jumps that go further."""
        frame = self.whiles.pop()
        self.nest -= 1
        at = _first_at(body)
        guards = list(frame.guards.items())
        if frame.guard is not None and frame.broken:
            out.append(Set(frame.guard, Const(I32, 0), at))
        out.append(While(tuple(body), at))
        if not guards:
            return frame.broken
        assert frame.guard is not None
        rest: list[Stmt] = []
        for to, code in reversed(guards):
            go = self.jump(to, at)
            if not rest and not frame.broken:
                rest = go
            elif len(guards) == 1:
                rest = [If(Get(frame.guard), tuple(go), (), at)]
            else:
                rest = [If(_is(frame.guard, code, at), tuple(go), tuple(rest), at)]
        out.extend(rest)
        return frame.broken

    def jump(self, to: int, at: int) -> list[Stmt]:
        """The statements that go to `to` from inside all open whiles."""
        if not self.whiles:
            if to != self.exit:
                raise InternalError("lower", "a jump that leads nowhere")
            return [Return((), at)]
        frame = self.whiles[-1]
        if to in frame.states:
            assert frame.state is not None
            return [Set(frame.state, Const(I32, frame.states[to]), at), Continue(at)]
        if to == frame.continue_to:
            return [Continue(at)]
        if to == self.exit:
            return [Return((), at)]
        if to == frame.break_to:
            frame.broken = True
            return [Break(at)]
        if frame.guard is None:
            frame.guard = self.new_guard()
        code = frame.guards.setdefault(to, len(frame.guards) + 1)
        return [Set(frame.guard, Const(I32, code), at), Break(at)]

    def new_guard(self) -> Var:
        return Var("br" + self.new_temp(I32).name[1:], I32)

    def loop(self, x: int, out: list[Stmt]) -> tuple[None, bool]:
        """Write the loop that x heads."""
        rest = self.tree.body[x]
        labels = self.labels.get(x, {})
        if len(labels) > MAX_LABELS or len(self.whiles) + 1 + len(labels) > MAX_WHILES - 4 and labels:
            return None, self.dispatch(x, rest, self.own, out, is_loop=True)
        self.open(_While(self.break_to[x], x))
        body: list[Stmt] = []
        self.complete(*self.sequence(x, rest, self.own, x, body), body)
        return None, self.close(body, out)

    def dispatch(
        self,
        x: int,
        rest: list[int],
        first: Callable[[int, list[Stmt]], tuple[int | None, bool]],
        out: list[Stmt],
        is_loop: bool = False,
    ) -> bool:
        """Write a sequence as states of a `while`, the first of them x; if x heads a loop, of that loop's `while`."""
        at = block_at(self.order[x])
        frame = _While(self.break_to[x] if is_loop else self.end[rest[-1]])
        frame.state = self.new_guard()
        frame.states = {b: k for k, b in enumerate(rest, 1)}
        if is_loop:
            frame.states[x] = 0
        out.append(Set(frame.state, Const(I32, 0), at))
        self.open(frame)
        levels = 1 + len(rest).bit_length()
        self.nest += levels
        if self.nest > MAX_NEST:
            raise _TooDeep
        bodies: list[list[Stmt]] = []
        for k in range(len(rest) + 1):
            body: list[Stmt] = []
            if k == 0:
                falls = self.complete(*first(x, body), body)
            else:
                falls = self.unit(rest[k - 1], body)
            if falls:
                if k < len(rest):
                    body.append(Set(frame.state, Const(I32, k + 1), at))
                elif is_loop:
                    body.append(Set(frame.state, Const(I32, 0), at))
                else:
                    body.append(Break(at))
                    frame.broken = True
            bodies.append(body)
        self.nest -= levels
        cases = tuple(((k,), tuple(body)) for k, body in enumerate(bodies[1:-1], 1))
        others: tuple[Stmt, ...] = tuple(bodies[-1])
        if cases:
            others = (Switch(Get(frame.state), cases, others, at),)
        is_first = Op("i32_eqz", (Get(frame.state),), I32, at)
        return self.close([If(is_first, tuple(bodies[0]), others, at)], out)

    def own(self, x: int, out: list[Stmt]) -> tuple[int | None, bool]:
        """Write x's own statements and its terminator with what is inlined there. An inlined block that ends the
        list is not written but returned."""
        block = self.order[x]
        out.extend(statements_of(block))
        match block.term:
            case None:
                return None, False
            case Goto(to=to_block, at=at):
                to = self.number(to_block)
                if self.is_child(x, to):
                    return to, True
                return None, self.go(x, to, at, out)
            case Branch() as term:
                return self.branch(x, term, out)
            case Choose() as term:
                return None, self.choose(x, term, out)

    def go(self, x: int, to: int, at: int, out: list[Stmt]) -> bool:
        """Write a jump from x to a block that is not inlined."""
        if self.falls(x, to):
            return True
        out.extend(self.jump(to, at))
        return False

    def arm(self, x: int, to: int, at: int, extra: int = 1) -> tuple[tuple[Stmt, ...], bool]:
        """What goes into an arm of x's terminator."""
        body: list[Stmt] = []
        self.nest += extra
        if self.nest > MAX_NEST:
            raise _TooDeep
        falls = self.unit(to, body) if self.is_child(x, to) else self.go(x, to, at, body)
        self.nest -= extra
        return tuple(body), falls

    def branch(self, x: int, term: Branch, out: list[Stmt]) -> tuple[int | None, bool]:
        """Write a condition. An arm that does not fall leaves the other one at this level."""
        cond, at = term.cond, term.at
        then, orelse = self.number(term.then), self.number(term.orelse)
        first, second = then, orelse
        size = self.tree.size
        if self.is_child(x, first) and (not self.is_child(x, second) or size[second] < size[first]):
            first, second = second, first
        body, falls = self.arm(x, first, at)
        test = cond if first == then else negate(cond)
        if not falls:
            out.append(If(test, body, (), at))
            if self.is_child(x, second):
                return second, True
            return None, self.go(x, second, at, out)
        other, other_falls = self.arm(x, second, at)
        if not other_falls and body:
            out.append(If(negate(test), other, (), at))
            out.extend(body)
        elif body:
            if first == then or not other:
                out.append(If(test, body, other, at))
            else:
                out.append(If(cond, other, body, at))
        elif other:
            out.append(If(negate(test), other, (), at))
        elif effects(cond) & (TRAPS | WRITES):
            out.append(Eval(cond, at))
        return None, True

    def choose(self, x: int, term: Choose, out: list[Stmt]) -> bool:
        """Write a switch."""
        at = term.at
        extra = 1 + len(term.cases).bit_length()
        default, falls = self.arm(x, self.number(term.default), at, extra)
        cases = []
        for values, to in term.cases:
            body, body_falls = self.arm(x, self.number(to), at, extra)
            falls |= body_falls
            cases.append((values, body))
        out.append(Switch(term.e, tuple(cases), default, at))
        return falls


def _is(var: Var, code: int, at: int) -> Expr:
    return Op("i32_eq", (Get(var), Const(I32, code)), I32, at)


def _nest_spans(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Widen (first, last) spans, ordered by `last`, until each two nest or are apart; outer spans come first."""
    nested: list[tuple[int, int]] = []
    for first, last in spans:
        for other_first, other_last in nested:
            if other_first < first < other_last:
                first = other_first
        nested.append((first, last))
    return sorted(nested, key=lambda span: (span[0], -span[1]))


def _first_at(body: list[Stmt]) -> int:
    return body[0].at if body else 0


def _last_at(body: list[Stmt]) -> int:
    return body[-1].at if body else 0


def _tidy(out: list[Stmt]) -> None:
    """Drop a plain return at the very end."""
    while out and out[-1] == Return((), out[-1].at):
        out.pop()
