"""The operand stack while a body is read: not values but the expressions that compute them, as late as is right.

An operand waits on the stack unevaluated until an instruction consumes it, and so becomes part of that instruction's
expression. It has to be evaluated earlier, into a temporary, when a statement comes first that it may not pass:
one that sets a local it reads, or whose effects conflict with its own (`walk.conflict`); and when control splits or
joins. Operands below it that may not be passed by its own evaluation are evaluated with it, in order.
"""

from __future__ import annotations

from collections.abc import Callable

from polymerase.ir.nodes import Const, Expr, Get, Null, Set, Stmt, Var
from polymerase.ir.walk import TRAPS, WRITES, conflict
from polymerase.wasm.types import ValType

MAX_DEPTH = 24  # of an expression tree; deeper ones go through a temporary
MAX_SIZE = 100  # nodes of an expression tree that waits to become part of another
MAX_WAITING = 64  # operands that are neither constant nor temporary; keeps each flush cheap, whatever the input


class Operand:
    """An expression on the stack: `fx` its effects, `reads` the set of wasm locals it reads (bit per local),
    `depth` the height of its tree, `size` the number of its nodes."""

    __slots__ = ("depth", "e", "fx", "reads", "size", "type")

    def __init__(self, e: Expr, type_: ValType, fx: int = 0, reads: int = 0, depth: int = 1, size: int = 1) -> None:
        self.e = e
        self.type = type_
        self.fx = fx
        self.reads = reads
        self.depth = depth
        self.size = size


def _is_settled(operand: Operand) -> bool:
    return isinstance(operand.e, (Const, Null)) or (isinstance(operand.e, Get) and not operand.reads)


class OperandStack:
    """A stack of operands that emits statements through `emit` when operands have to be evaluated.

    Operands below `settled` are constants and temporaries.
    """

    __slots__ = ("emit", "items", "new_temp", "settled")

    def __init__(self, emit: Callable[[Stmt], None], new_temp: Callable[[ValType], Var]) -> None:
        self.items: list[Operand] = []
        self.settled = 0
        self.emit = emit
        self.new_temp = new_temp

    def push(
        self, e: Expr, type_: ValType, fx: int = 0, reads: int = 0, depth: int = 1, size: int = 1, at: int = 0
    ) -> None:
        """Push an operand; one that is too large is evaluated at once."""
        items = self.items
        items.append(Operand(e, type_, fx, reads, depth, size))
        if depth > MAX_DEPTH or size > MAX_SIZE:
            self.spill(len(items) - 1, at)
        if len(items) - self.settled > MAX_WAITING:
            settled = len(items) - MAX_WAITING // 2
            for i in range(self.settled, settled):
                self.spill(i, at)
            self.settled = settled

    def pop(self) -> Operand:
        """Take the top operand."""
        operand = self.items.pop()
        if self.settled > len(self.items):
            self.settled = len(self.items)
        return operand

    def pop_many(self, count: int) -> list[Operand]:
        """Take the top `count` operands, deepest first."""
        if not count:
            return []
        operands = self.items[-count:]
        del self.items[-count:]
        self.settled = min(self.settled, len(self.items))
        return operands

    def cut(self, height: int) -> None:
        """Drop everything above `height`, unevaluated."""
        del self.items[height:]
        self.settled = min(self.settled, height)

    def spill(self, i: int, at: int) -> None:
        """Evaluate operand `i` into a temporary, after those below it that it may not pass."""
        items = self.items
        due = [i]
        fx = items[i].fx
        if fx:
            for k in range(i - 1, self.settled - 1, -1):
                if items[k].fx and conflict(items[k].fx, fx):
                    due.append(k)
                    fx |= items[k].fx
        for k in reversed(due):
            operand = items[k]
            if not _is_settled(operand):
                temp = self.new_temp(operand.type)
                self.emit(Set(temp, operand.e, at))
                items[k] = Operand(Get(temp), operand.type)

    def flush(self, fx: int, writes: int, at: int) -> None:
        """Evaluate what a statement with effects `fx` that sets the locals `writes` may not pass."""
        items = self.items
        for i in range(self.settled, len(items)):
            operand = items[i]
            if operand.reads & writes or (fx and operand.fx and conflict(operand.fx, fx)):
                self.spill(i, at)

    def flush_effects(self, at: int) -> None:
        """Evaluate all that traps or writes, before control may leave."""
        items = self.items
        for i in range(self.settled, len(items)):
            if items[i].fx & (TRAPS | WRITES):
                self.spill(i, at)

    def settle(self, at: int) -> None:
        """Evaluate everything, before control splits or joins: only constants and temporaries remain."""
        for i in range(self.settled, len(self.items)):
            self.spill(i, at)
        self.settled = len(self.items)
