"""A body for the interpreter: its control flow graph as plain tuples, every jump a block's number.

    (types, params, slots, at, blocks)                     registers hold the variables, parameters first; slots:
                                                           parameters and locals; at: where the function begins

    block       (cost, at, statements, terminator, header) header: the loop around the block, -1 if none

    statement   ("set", k, e, at)                          register k = e
                ("move", (k, …), (e, …), at)               all at once
                ("eval", e, at)                            for its effects
                ("gset", i, e, at)                         global i = e
                ("store", name, memory, addr, offset, value, at)
                ("call", (k, …), i, (e, …), at)            function i; registers of the results
                ("calli", (k, …), type, table, index, (e, …), at)
                ("unreachable", at)
    terminator  ("goto", block)
                ("if", cond, block, block)                 not 0, 0
                ("switch", e, blocks, default)             block by value; default beyond their number
                ("return", (e, …))
                ("tail", i, (e, …), at), ("taili", type, table, index, (e, …), at)
                ("stop",)                                  never reached
    expression  ("get", k), ("const", type, value), ("null",), ("gget", i)
                ("op", name, at, e, …), ("load", name, memory, addr, offset, at)
                ("and", e, e), ("or", e, e), ("select", cond, e, e), ("sys", name, immediates, at, e, …)

Operations are named as in the runtime, `at` is a byte offset, numbers are unsigned, floats their IEEE 754 bits. Calls
stand apart, so that between statements all of a function's state is in its registers: there the interpreter may stop,
and a loop may go on as compiled code. Temporaries that one block alone uses share registers with those of others.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, assert_never

from polymerase.ir.nodes import (
    Call,
    CallIndirect,
    Const,
    Eval,
    Expr,
    Func,
    Get,
    GlobalGet,
    GlobalSet,
    Load,
    Logic,
    Move,
    Null,
    Op,
    Return,
    Select,
    Set,
    SetMany,
    Stmt,
    Store,
    Sys,
    TailCall,
    Unreachable,
    Var,
)
from polymerase.ir.walk import children, exprs
from polymerase.lower.body import Lowering
from polymerase.lower.cfg import (
    EXIT,
    Block,
    Branch,
    Choose,
    Goto,
    block_at,
    defer_charges,
    redirect,
    reverse_postorder,
    successors,
)
from polymerase.lower.control import structure
from polymerase.lower.dominators import find_loops
from polymerase.options import UNCONTROLLED, Controls
from polymerase.wasm.module import Module
from polymerase.wasm.types import I32, FuncType

Body = tuple[tuple[str, ...], int, int, int, tuple[Any, ...]]


def prepare(module: Module, i: int, controls: Controls = UNCONTROLLED) -> Body:
    """The prepared body of defined function number `i` of a valid module. Raises UnsupportedError."""
    graph = _Graph(module, i, controls)
    body = graph.body()
    graph.release()
    return body


class Loop:
    """A loop as a function of its own: `f` takes the registers `ins` and returns (number of the exit, then the
    registers `outs`); `exits` are the blocks to go on at."""

    __slots__ = ("exits", "f", "ins", "outs")

    def __init__(self, f: Func, ins: tuple[int, ...], outs: tuple[int, ...], exits: tuple[int, ...]) -> None:
        self.f = f
        self.ins = ins
        self.outs = outs
        self.exits = exits


def extract_loop(module: Module, i: int, header: int, controls: Controls = UNCONTROLLED) -> Loop:
    """The loop headed by block `header` of the prepared body of defined function number `i`.

    A natural loop has one way in, so as a function it is as reducible as it was; every way out becomes a return.
    """
    graph = _Graph(module, i, controls)
    loop = graph.loop(header)
    graph.release()
    return loop


class _Graph:
    """The graph of a body, and the registers of its variables."""

    def __init__(self, module: Module, i: int, controls: Controls) -> None:
        self.lowering = Lowering(module, i, controls, calls_apart=True)
        self.entry, self.order = self.lowering.graph()
        for block in self.order:
            self._call_apart(block)
        self.is_header, self.around = find_loops(self.order)
        self.types = [str(var.type) for var in self.lowering.locals]
        self.registers: dict[str, int] = {var.name: k for k, var in enumerate(self.lowering.locals)}
        self._place_temporaries()

    def release(self) -> None:
        self.lowering.release(self.order)

    def _call_apart(self, block: Block) -> None:
        """`return f()`, which `simplify` makes, becomes `t = f(); return t`."""
        if block.stmts and isinstance(last := block.stmts[-1], Return) and len(last.es) == 1:
            e = last.es[0]
            if isinstance(e, Call | CallIndirect):
                temp = self.lowering.new_temp(e.results[0])
                block.stmts[-1:] = [Set(temp, e, last.at), Return((Get(temp),), last.at)]

    def _place_temporaries(self) -> None:
        """Registers for temporaries: one each for those that several blocks use, a shared one for the others."""
        homes: dict[str, int] = {}  # the only block that uses it; -1: several
        variables: dict[str, Var] = {}
        first = len(self.types)
        for block in self.order:
            for var in _variables(block):
                if int(var.name[1:]) >= first:
                    variables.setdefault(var.name, var)
                    if homes.setdefault(var.name, block.id) != block.id:
                        homes[var.name] = -1
        shared: dict[str, list[int]] = {}  # by type
        used: dict[tuple[int, str], int] = {}
        for name, home in homes.items():
            t = str(variables[name].type)
            if home < 0:
                self.registers[name] = len(self.types)
                self.types.append(t)
                continue
            pool = shared.setdefault(t, [])
            number = used.get((home, t), 0)
            used[home, t] = number + 1
            if number == len(pool):
                pool.append(len(self.types))
                self.types.append(t)
            self.registers[name] = pool[number]

    # --- The whole body

    def body(self) -> Body:
        """All of it."""
        exit_number = len(self.order)
        blocks = [self._block(block, exit_number) for block in self.order]
        if any(EXIT in successors(block) for block in self.order):
            blocks.append((0, 0, (), ("return", ()), -1))
        lowering = self.lowering
        params = len(lowering.type.params)
        return tuple(self.types), params, len(lowering.locals), lowering.code.start, tuple(blocks)

    def _block(self, block: Block, exit_number: int) -> tuple[Any, ...]:
        def number(to: Block) -> int:
            return exit_number if to is EXIT else to.id

        stmts = block.stmts
        term: tuple[Any, ...]
        match block.term:
            case None:
                last = stmts[-1]
                stmts = stmts[:-1]
                term = self._last(last)
                if not term:
                    stmts = block.stmts
                    term = ("stop",)
            case Goto(to=to):
                term = ("goto", number(to))
            case Branch(cond=cond, then=then, orelse=orelse):
                term = ("if", self.expr(cond), number(then), number(orelse))
            case Choose(e=e, cases=cases, default=default):
                targets = {value: number(to) for values, to in cases for value in values}
                rest = number(default)
                row = tuple(targets.get(value, rest) for value in range(max(targets, default=-1) + 1))
                term = ("switch", self.expr(e), row, rest)
            case _:
                assert_never(block.term)
        header = block.id if self.is_header[block.id] else self.around[block.id]
        return block.cost, block_at(block), tuple(map(self.stmt, stmts)), term, header

    def _last(self, s: Stmt) -> tuple[Any, ...]:
        """A statement that leaves the function as a terminator; empty if it is `unreachable`."""
        match s:
            case Return(es=es):
                return "return", tuple(map(self.expr, es))
            case TailCall(e=Call() as e, at=at):
                return "tail", e.i, tuple(map(self.expr, e.args)), at
            case TailCall(e=CallIndirect() as e, at=at):
                return "taili", e.type_index, e.table, self.expr(e.index), tuple(map(self.expr, e.args)), at
            case _:
                return ()

    def stmt(self, s: Stmt) -> tuple[Any, ...]:
        match s:
            case Set(var=var, e=Call() | CallIndirect() as e, at=at):
                return self._call((var,), e, at)
            case SetMany(vars=variables, e=e, at=at):
                return self._call(variables, e, at)
            case Eval(e=Call() | CallIndirect() as e, at=at):
                return self._call((), e, at)
            case Set(var=var, e=e, at=at):
                return "set", self.registers[var.name], self.expr(e), at
            case Move(vars=variables, es=es, at=at):
                return "move", tuple(self.registers[v.name] for v in variables), tuple(map(self.expr, es)), at
            case Eval(e=e, at=at):
                return "eval", self.expr(e), at
            case GlobalSet(i=i, e=e, at=at):
                return "gset", i, self.expr(e), at
            case Store():
                return "store", s.name, s.memory, self.expr(s.addr), s.offset, self.expr(s.value), s.at
            case Unreachable(at=at):
                return "unreachable", at
            case _:
                raise AssertionError(f"not a statement of a graph: {s}")

    def _call(self, variables: tuple[Var, ...], e: Call | CallIndirect, at: int) -> tuple[Any, ...]:
        results = tuple(self.registers[v.name] for v in variables)
        args = tuple(map(self.expr, e.args))
        if isinstance(e, Call):
            return "call", results, e.i, args, e.at
        return "calli", results, e.type_index, e.table, self.expr(e.index), args, e.at

    def expr(self, e: Expr) -> tuple[Any, ...]:
        match e:
            case Get(var=var):
                return "get", self.registers[var.name]
            case Const(type=t, value=value):
                return "const", t.name, value  # type: ignore[union-attr] # a number's type
            case Op(name=name, args=args, at=at):
                return "op", name, at, *map(self.expr, args)
            case Load():
                return "load", e.name, e.memory, self.expr(e.addr), e.offset, e.at
            case Logic(is_and=is_and, a=a, b=b):
                return "and" if is_and else "or", self.expr(a), self.expr(b)
            case Select(cond=cond, a=a, b=b):
                return "select", self.expr(cond), self.expr(a), self.expr(b)
            case GlobalGet(i=i):
                return "gget", i
            case Null():
                return ("null",)
            case Sys(name=name, imm=imm, args=args, at=at):
                return "sys", name, imm, at, *map(self.expr, args)
            case Call() | CallIndirect():
                raise AssertionError("a call inside an expression")
            case _:
                assert_never(e)

    # --- One loop

    def loop(self, header: int) -> Loop:
        """The loop as a function."""
        if not 0 <= header < len(self.order) or not self.is_header[header]:
            raise ValueError(f"block {header} heads no loop")
        members = [b for b in range(header, len(self.order)) if self._lies_in(b, header)]
        inside = {self.order[b] for b in members}
        variables: dict[int, Var] = {}
        written: set[int] = set()
        for b in members:
            for var in _variables(self.order[b]):
                variables.setdefault(self.registers[var.name], var)
            written |= {self.registers[var.name] for s in self.order[b].stmts for var in _assigned(s)}
        # A shared register is dead outside the block that uses it, and none of the loop's inputs.
        users = Counter(self.registers.values())
        ins = tuple(sorted(k for k in variables if users[k] == 1))
        outs = tuple(k for k in ins if k in written)
        exits: list[int] = []
        doors: dict[Block, Block] = {}
        exit_number = len(self.order)
        entry = self.order[header]
        for b in members:
            for to in successors(self.order[b]):
                if to not in inside and to not in doors:
                    door = doors[to] = Block()
                    at = self.lowering.code.start
                    values: tuple[Expr, ...] = (Const(I32, len(exits)), *(Get(variables[k]) for k in outs))
                    door.stmts.append(Return(values, at))
                    exits.append(exit_number if to is EXIT else to.id)
        for b in members:
            redirect(self.order[b], doors)
        start = Block()
        start.term = Goto(entry, 0)
        order = reverse_postorder(start)
        defer_charges(order)
        params = tuple(variables[k] for k in ins)
        t = FuncType(tuple(v.type for v in params), (I32, *(variables[k].type for k in outs)))
        body = structure(start, order, self.lowering.new_temp)
        self.order += [block for block in order if block not in inside]
        return Loop(Func(self.lowering.i, t, params, body, self.lowering.code.start), ins, outs, tuple(exits))

    def _lies_in(self, b: int, header: int) -> bool:
        while b > header:
            b = self.around[b]
        return b == header


def _assigned(s: Stmt) -> tuple[Var, ...]:
    match s:
        case Set(var=var):
            return (var,)
        case SetMany(vars=variables) | Move(vars=variables):
            return variables
        case _:
            return ()


def _variables(block: Block) -> list[Var]:
    """The variables that a block mentions."""
    found: list[Var] = []
    work: list[Expr] = []
    for s in block.stmts:
        found += _assigned(s)
        work += exprs(s)
    match block.term:
        case Branch(cond=cond):
            work.append(cond)
        case Choose(e=selector):
            work.append(selector)
    while work:
        e = work.pop()
        if isinstance(e, Get):
            found.append(e.var)
        else:
            work += children(e)
    return found
