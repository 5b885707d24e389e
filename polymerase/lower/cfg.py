"""The control flow graph of one body, between reading its instructions and giving it structure.

A block ends in one terminator: `Goto`, `Branch`, `Choose`, or None when its last statement leaves the function.
`EXIT` is where a function without results ends. WebAssembly has structured control, so the graph is reducible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from polymerase.ir.nodes import Charge, Const, Eval, Expr, Get, Logic, Move, Null, Return, Set, Stmt, Var
from polymerase.ir.walk import TRAPS, WRITES, effects, exprs, negate
from polymerase.wasm.types import ValType


class Block:
    """A straight line of statements. `reverse_postorder` fills in `id` and `preds`, each once; EXIT has none.

    `cost` is the fuel that the block's instructions take, all of it before the first of them runs; 0 if not metered.
    What a path through the graph costs is the same before and after each simplification. `paid_at` is the first of
    them. `owed` are charges, (cost, at), of blocks before it that it pays first (see `defer_charges`).
    """

    __slots__ = ("cost", "id", "owed", "paid_at", "preds", "stmts", "term")

    def __init__(self) -> None:
        self.cost = 0
        self.paid_at = 0
        self.owed: tuple[tuple[int, int], ...] = ()
        self.stmts: list[Stmt] = []
        self.term: Term | None = None
        self.preds: list[Block] = []
        self.id = -1

    def __repr__(self) -> str:
        return f"b{self.id}"

    def add_cost(self, cost: int, at: int) -> None:
        """The block also runs instructions that cost this, the first of them at this offset."""
        if cost and not self.cost:
            self.paid_at = at
        self.cost += cost


@dataclass(slots=True)
class Goto:
    """Go on at `to`."""

    to: Block
    at: int


@dataclass(slots=True)
class Branch:
    """Go to `then` if `cond` is not 0, else to `orelse`. `depth` bounds the depth of `cond`."""

    cond: Expr
    then: Block
    orelse: Block
    depth: int
    at: int


@dataclass(slots=True)
class Choose:
    """Go where `e` says: `cases` hold (sorted values, block) with distinct blocks, all other values go to `default`."""

    e: Get
    cases: list[tuple[tuple[int, ...], Block]]
    default: Block
    at: int


Term = Goto | Branch | Choose

EXIT = Block()

NewTemp = Callable[[ValType], Var]

MAX_LOGIC = 12  # conditions joined by `and` and `or`, at most
ROUNDS = 4  # of simplification, at most
MAX_DEFERRED = 3  # charges that are put off at once
MAX_COPIES = 8  # how often a small last block may be repeated


def successors(block: Block) -> tuple[Block, ...]:
    """The blocks that control may go to, each once, in the order in which they are best laid out."""
    match block.term:
        case None:
            return ()
        case Goto(to=to):
            return (to,)
        case Branch(then=then, orelse=orelse):
            return (then, orelse) if then is not orelse else (then,)
        case Choose(cases=cases, default=default):
            return tuple(dict.fromkeys([*(to for _, to in cases), default]))


def redirect(block: Block, goes: dict[Block, Block]) -> None:
    """Send the edges of `block` to where `goes` maps their targets."""
    match block.term:
        case None:
            pass
        case Goto() as term:
            term.to = goes.get(term.to, term.to)
        case Branch() as term:
            term.then = goes.get(term.then, term.then)
            term.orelse = goes.get(term.orelse, term.orelse)
        case Choose() as term:
            merged: dict[Block, tuple[int, ...]] = {}
            default = goes.get(term.default, term.default)
            for values, to in term.cases:
                to = goes.get(to, to)
                if to is not default:
                    merged[to] = merged[to] + values if to in merged else values
            term.default = default
            term.cases = [(tuple(sorted(values)), to) for to, values in merged.items()]


def reverse_postorder(entry: Block) -> list[Block]:
    """All blocks that `entry` reaches, EXIT left out, each after its forward predecessors; fills `preds` and `id`."""
    order: list[Block] = []
    seen = {entry, EXIT}
    # Last successor first, so that the order follows the source: `then` before `orelse` before what comes after.
    stack = [(entry, iter(reversed(successors(entry))))]
    entry.preds = []
    while stack:
        block, rest = stack[-1]
        for to in rest:
            if to not in seen:
                seen.add(to)
                to.preds = []
                stack.append((to, iter(reversed(successors(to)))))
                break
        else:
            stack.pop()
            order.append(block)
    order.reverse()
    for i, block in enumerate(order):
        block.id = i
        for to in successors(block):
            if to is not EXIT:
                to.preds.append(block)
    return order


def single_ways_in(order: list[Block]) -> list[bool]:
    """For each block whether exactly one edge leads forward to it."""
    return [sum(pred.id < block.id for pred in block.preds) == 1 for block in order]


def simplify(entry: Block) -> tuple[Block, list[Block]]:
    """Thread empty blocks, join straight lines and short-circuit conditions, repeat small last blocks.

    Returns the entry and the blocks in reverse postorder. Linear but for a bounded number of rounds.
    """
    entry = _thread(entry)
    for _ in range(ROUNDS):
        changed = _join(reverse_postorder(entry))
        changed |= _short_circuit(reverse_postorder(entry))
        # Copies last: they hide that two conditions lead to one place.
        if not changed and not _copy_last_blocks(reverse_postorder(entry)):
            break
        entry = _thread(entry)
    order = reverse_postorder(entry)
    _drop_choices(order)
    return entry, order


def _thread(entry: Block) -> Block:
    """Skip blocks that only go on elsewhere."""
    order = reverse_postorder(entry)
    goes: dict[Block, Block] = {}
    for block in reversed(order):
        term = block.term
        if isinstance(term, Goto) and not block.stmts and not block.cost and term.to is not block:
            goes[block] = goes.get(term.to, term.to)
    for block in order:
        # A loop of empty blocks maps a block to itself: leave it alone.
        if goes.get(block) is block:
            del goes[block]
    if goes:
        for block in order:
            redirect(block, goes)
    _drop_choices(order)
    target = goes.get(entry, entry)
    return entry if target is EXIT else target


def _drop_choices(order: list[Block]) -> None:
    """A branch whose ways all lead to one block is no branch."""
    for block in order:
        if isinstance(term := block.term, Branch) and term.then is term.orelse:
            if effects(term.cond) & (TRAPS | WRITES):
                block.stmts.append(Eval(term.cond, term.at))
            block.term = Goto(term.then, term.at)
        elif isinstance(term, Choose) and not term.cases:
            block.term = Goto(term.default, term.at)


def _join(order: list[Block]) -> bool:
    """Append a block to its only predecessor when that goes nowhere else."""
    gone: set[Block] = set()
    for block in order:
        if block in gone:
            continue
        while isinstance(term := block.term, Goto):
            to = term.to
            if to is EXIT or to is block or len(to.preds) != 1 or to is order[0]:
                break
            block.stmts.extend(to.stmts)
            block.add_cost(to.cost, to.paid_at)
            block.term = to.term
            gone.add(to)
    return bool(gone)


def _is_simple(e: Expr) -> bool:
    return isinstance(e, (Const, Get, Null))


def _copy_last_blocks(order: list[Block]) -> bool:
    """Give each predecessor that jumps to a block `return x` its own copy of it."""
    changed = False
    for block in order:
        if block.term is not None or not 1 <= len(block.stmts) <= 2 or not 2 <= len(block.preds) <= MAX_COPIES:
            continue
        last = block.stmts[-1]
        if not isinstance(last, Return) or not all(map(_is_simple, last.es)) or len(last.es) > 1:
            continue
        if len(block.stmts) == 2 and not (isinstance(s := block.stmts[0], Set) and _is_simple(s.e)):
            continue
        for pred in block.preds:
            if isinstance(pred.term, Goto):
                pred.stmts.extend(block.stmts)
                pred.add_cost(block.cost, block.paid_at)
                pred.term = None
            else:
                copy = Block()
                copy.add_cost(block.cost, block.paid_at)
                copy.stmts = list(block.stmts)
                redirect(pred, {block: copy})
            changed = True
    for block in order:
        _return_what_was_set(block)
    return changed


def _return_what_was_set(block: Block) -> None:
    """`t = e; return t` is `return e`."""
    stmts = block.stmts
    if (
        len(stmts) >= 2
        and isinstance(last := stmts[-1], Return)
        and isinstance(before := stmts[-2], Set)
        and last.es == (Get(before.var),)
    ):
        stmts[-2:] = [replace(last, es=(before.e,), at=before.at)]


def _short_circuit(order: list[Block]) -> bool:
    """Join a branch and the branch it leads to into one, where both share a target and nothing lies between: no
    charge either, as the second condition is paid for only where it is reached."""
    changed = False
    for block in reversed(order):
        while isinstance(first := block.term, Branch):
            for to, other in ((first.then, first.orelse), (first.orelse, first.then)):
                second = to.term
                if (
                    to is not block
                    and to is not EXIT
                    and len(to.preds) == 1
                    and not to.stmts
                    and not to.cost
                    and isinstance(second, Branch)
                    and (second.then is other or second.orelse is other)
                    and to is not order[0]
                    and first.depth + second.depth < 2 * MAX_LOGIC + 16
                    and max(first.depth, second.depth) < MAX_LOGIC + 8
                ):
                    # As "a and b leads to `on`, everything else to `other`".
                    a = first.cond if to is first.then else negate(first.cond)
                    b, on = (
                        (second.cond, second.then) if second.orelse is other else (negate(second.cond), second.orelse)
                    )
                    depth = max(first.depth, second.depth) + 1
                    if to is first.then:
                        block.term = Branch(Logic(True, a, b), on, other, depth, first.at)
                    else:
                        block.term = Branch(Logic(False, negate(a), negate(b)), other, on, depth, first.at)
                    if other is not EXIT:
                        other.preds.remove(to)
                    if on is not EXIT:
                        on.preds[on.preds.index(to)] = block
                    changed = True
                    break
            else:
                break
            if block.term.then is block.term.orelse:
                break
    return changed


def statements_of(block: Block) -> list[Stmt]:
    """What the block does before its terminator, its charges first."""
    owed = [*block.owed, (block.cost, block.paid_at)] if block.cost else block.owed
    return [*(Charge(cost, at) for cost, at in owed), *block.stmts]


def defer_charges(order: list[Block]) -> None:
    """Let the two ways out of a block pay for it, where nobody can tell: it has no effects, reads nothing that others
    change, and no other way leads where it does. Each path then pays once for two blocks.

    block 0 (3): branch a -> 1, 2      block 0:           branch a -> 1, 2
    block 1 (4): ...                   block 1 (3, 4): ...
    block 2 (5): ...                   block 2 (3, 5): ...

    The charges stay apart, so that what cannot pay both stops where it always did.
    """
    for block in order:
        charges = (*block.owed, (block.cost, block.paid_at)) if block.cost else block.owed
        if not 0 < len(charges) <= MAX_DEFERRED or not isinstance(term := block.term, Branch):
            continue
        ways = (term.then, term.orelse)
        if term.then is term.orelse or any(to is EXIT or to is order[0] or len(to.preds) != 1 for to in ways):
            continue
        values = [e for s in block.stmts for e in exprs(s)]
        if any(map(effects, (*values, term.cond))) or not all(isinstance(s, Set | Move) for s in block.stmts):
            continue
        for to in ways:
            to.owed = (*charges, *to.owed)
        block.cost = 0
        block.owed = ()


def block_at(block: Block) -> int:
    """Where in the module the block begins."""
    if block.cost:
        return block.paid_at
    if block.stmts:
        return block.stmts[0].at
    return block.term.at if block.term is not None else 0
