"""One wasm body to IR: instructions become expressions and statements in a control flow graph, which gets structure.

Values that cross a join (results of blocks, parameters of loops) go through temporaries of the label, assigned on each
edge. Code that cannot be reached is skipped: no block is made for it. Nothing here recurses, and no step looks at more
than a bounded number of operands, so that the time is linear in the body whatever its shape.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from polymerase.errors import UnsupportedError, Where
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
    Move,
    Null,
    Op,
    Return,
    Select,
    Set,
    SetMany,
    Store,
    Sys,
    TailCall,
    Unreachable,
    Var,
)
from polymerase.ir.walk import READS, SYS_EFFECTS, TRAPPING, TRAPS, WRITES, children, conflict
from polymerase.lower.cfg import (
    EXIT,
    Block,
    Branch,
    Choose,
    Goto,
    defer_charges,
    reverse_postorder,
    simplify,
    successors,
)
from polymerase.lower.control import structure
from polymerase.lower.stack import Operand, OperandStack
from polymerase.options import UNCONTROLLED, Controls
from polymerase.wasm.decode import decode_body
from polymerase.wasm.module import Module
from polymerase.wasm.ops import OPS, OpRow
from polymerase.wasm.types import FUNCREF, I32, FuncType, NumType, RefType, ValType

CALL_EFFECTS = READS | WRITES | TRAPS
# Float operations whose result may be a NaN of any sign and payload (spec 4.3.3), those to which all NaNs are one, and
# what makes NaNs canonical.
NAN_MAKERS = frozenset(
    [
        f"{t}_{op}"
        for t in ("f32", "f64")
        for op in ("add", "sub", "mul", "div", "sqrt", "ceil", "floor", "trunc", "nearest", "min", "max")
    ]
    + ["f32_demote_f64", "f64_promote_f32"]
)
NAN_BLIND = NAN_MAKERS | frozenset(
    [f"{t}_{op}" for t in ("f32", "f64") for op in ("eq", "ne", "lt", "gt", "le", "ge")]
    + [
        f"{i}_{op}_{t}_{s}"
        for i in ("i32", "i64")
        for op in ("trunc", "trunc_sat")
        for t in ("f32", "f64")
        for s in "su"
    ]
)
CANONICAL = frozenset(["f32_canonical", "f64_canonical"])
MAX_INIT_BITS = 1 << 28  # blocks times locals up to which it is worth asking which locals need their first zero


def lower(module: Module, i: int, controls: Controls = UNCONTROLLED) -> Func:
    """The IR of defined function number `i` (an index into `module.codes`) of a valid module.

    `controls.fuel` puts a charge at the start of each basic block, `controls.deterministic` makes NaNs canonical.
    Raises UnsupportedError for an instruction that is not compiled (SIMD).
    """
    return Lowering(module, i, controls).run()


@lru_cache(maxsize=4)
def fuel_costs(table: tuple[tuple[str, int], ...] | None) -> dict[str, int]:
    """What each instruction takes when it is executed: by name, those that take nothing left out.

    `else` and `end` are no instructions but where others end: they are in no table. What `loop` takes, it takes at
    each turn: it belongs to the block that the turns begin with.
    """
    return {name: cost for name, cost in table or () if cost}


class _Frame:
    """A control frame: a label, where it leads, and what its values go through.

    `vars` are the label's: a loop's parameters, the results of the others. `join` is where the label leads; for all
    but loops it is reached at `end`. `orelse` is the other arm of an `if` whose `else` has not come yet.
    """

    __slots__ = ("height", "is_loop", "join", "orelse", "params", "type", "used", "vars")

    def __init__(self, type_: FuncType, height: int) -> None:
        self.type = type_
        self.height = height
        self.is_loop = False
        self.join = Block()
        self.vars: tuple[Var, ...] | None = None
        self.used = False
        self.orelse: Block | None = None
        self.params: list[Operand] = []


class Lowering:
    """The state while one body is read. `block` is where statements go; None while code cannot be reached.

    `calls_apart`: every call is a statement of its own, `t = f(…)`, whose operands hold no other call.
    """

    def __init__(self, module: Module, i: int, controls: Controls, calls_apart: bool = False) -> None:
        self.module = module
        self.costs = fuel_costs(controls.fuel)
        self.deterministic = controls.deterministic
        self.calls_apart = calls_apart
        self.number = i
        self.i = module.imported_funcs + i
        self.code = module.codes[i]
        self.type = module.func_type(self.i)
        types: list[ValType] = list(self.type.params)
        for count, t in self.code.locals:
            types.extend([t] * count)
        first_local = len(self.type.params)
        self.locals = [Var(f"{'p' if k < first_local else 'v'}{k}", t) for k, t in enumerate(types)]
        self.gets = [Get(var) for var in self.locals]
        self.temps = len(types)
        self.entry = Block()
        self.block: Block | None = self.entry
        # For each block, which locals it reads before it sets them, and which it sets (bit per local).
        self.exposed: dict[Block, int] = {}
        self.written: dict[Block, int] = {}
        self.stack = OperandStack(self.emit, self.new_temp)
        self.frames: list[_Frame] = []

    def run(self) -> Func:
        """The function's IR."""
        entry, order = self.graph()
        defer_charges(order)
        body = structure(entry, order, self.new_temp)
        self.release(order)
        return Func(self.i, self.type, tuple(self.locals[: len(self.type.params)]), body, self.code.start)

    def graph(self) -> tuple[Block, list[Block]]:
        """The function's control flow graph: its entry, and its blocks in reverse postorder."""
        self.read()
        self.initialise_locals()
        return simplify(self.entry)

    def release(self, order: list[Block]) -> None:
        """Blocks refer to each other in circles, and this object to itself: leave nothing for the garbage collector."""
        for block in (*self.exposed, *self.written, *order):
            block.preds = []
            block.term = None
        self.stack.emit = self.stack.new_temp = None  # type: ignore[assignment]

    # --- building blocks

    def emit(self, s: object) -> None:
        self.block.stmts.append(s)  # type: ignore[union-attr,arg-type]  # only called while code can be reached

    def new_temp(self, t: ValType) -> Var:
        self.temps += 1
        return Var(f"t{self.temps - 1}", t)

    def label_vars(self, frame: _Frame) -> tuple[Var, ...]:
        if frame.vars is None:
            frame.vars = tuple(map(self.new_temp, frame.type.results))
        return frame.vars

    def assign(self, block: Block, vars_: tuple[Var, ...], operands: list[Operand], at: int) -> None:
        """Set the variables of a label on an edge, all at once where one operand reads another's variable."""
        pairs = [(var, o.e) for var, o in zip(vars_, operands, strict=True) if o.e != Get(var)]
        names = {var.name for var, _ in pairs}
        if len(pairs) > 1 and any(isinstance(e, Get) and e.var.name in names or _reads(e, names) for _, e in pairs):
            block.stmts.append(Move(tuple(var for var, _ in pairs), tuple(e for _, e in pairs), at))
        else:
            block.stmts.extend(Set(var, e, at) for var, e in pairs)

    def edge(self, frame: _Frame, operands: list[Operand], at: int) -> Block:
        """The block to go to for a branch to `frame`'s label with these values."""
        if frame is self.frames[0]:
            block = Block()
            self.leave(block, operands, at)
            return block
        frame.used = True
        if not operands:
            return frame.join
        block = Block()
        self.assign(block, self.label_vars(frame), operands, at)
        block.term = Goto(frame.join, at)
        return block

    def leave(self, block: Block, operands: list[Operand], at: int) -> None:
        """Return from the function with these values."""
        if operands:
            block.stmts.append(Return(tuple(o.e for o in operands), at))
        else:
            block.term = Goto(EXIT, at)

    def arity(self, frame: _Frame) -> int:
        return len(frame.type.params if frame.is_loop else frame.type.results)

    def branch(self, frame: _Frame, at: int) -> None:
        """An unconditional branch to `frame`'s label; the code after it cannot be reached."""
        operands = self.stack.pop_many(self.arity(frame))
        self.stack.flush_effects(at)
        block = self.block
        assert block is not None
        if frame is self.frames[0]:
            self.leave(block, operands, at)
        else:
            frame.used = True
            if operands:
                self.assign(block, self.label_vars(frame), operands, at)
            block.term = Goto(frame.join, at)
        self.block = None

    def push_expr(self, e: Expr, t: ValType, operands: list[Operand], fx: int, at: int, levels: int = 1) -> None:
        """Push an expression made of `operands`, `levels` above them, with the effects `fx` of its own."""
        reads = 0
        depth = 0
        size = 1
        for o in operands:
            fx |= o.fx
            reads |= o.reads
            size += o.size
            if o.depth > depth:
                depth = o.depth
        self.stack.push(e, t, fx, reads, depth + levels, size, at)

    def effect(self, s: object, operands: list[Operand], fx: int, at: int) -> None:
        """Emit a statement made of `operands` with the effects `fx` of its own."""
        for o in operands:
            fx |= o.fx
        self.stack.flush(fx, 0, at)
        self.emit(s)

    def call(self, e: Call | CallIndirect, operands: list[Operand], at: int) -> None:
        """Make a call: one result waits on the stack, none or several are a statement."""
        if len(e.results) == 1 and not self.calls_apart:
            self.push_expr(e, e.results[0], operands, CALL_EFFECTS, at)
        elif len(e.results) == 1:
            temp = self.new_temp(e.results[0])
            self.effect(Set(temp, e, at), operands, CALL_EFFECTS, at)
            self.stack.push(Get(temp), temp.type)
        elif not e.results:
            self.effect(Eval(e, at), operands, CALL_EFFECTS, at)
        else:
            temps = tuple(map(self.new_temp, e.results))
            self.effect(SetMany(temps, e, at), operands, CALL_EFFECTS, at)
            for temp in temps:
                self.stack.push(Get(temp), temp.type)

    def system(self, name: str, imm: tuple[int, ...], count: int, t: ValType | None, at: int) -> None:
        """An operation on the instance's state with `count` operands and at most one result."""
        operands = self.stack.pop_many(count)
        e = Sys(name, imm, tuple(o.e for o in operands), t, at)
        if t is None:
            self.effect(Eval(e, at), operands, SYS_EFFECTS[name], at)
        else:
            self.push_expr(e, t, operands, SYS_EFFECTS[name], at)

    # --- the instructions

    def read(self) -> None:
        """Read the whole body."""
        self.frames.append(_Frame(self.type, 0))
        handlers = _HANDLERS
        costs = self.costs
        skipped = 0  # blocks opened in code that cannot be reached
        for op, imm, at in decode_body(self.module, self.number):
            row = OPS[op]
            if self.block is None:
                if row.name in ("block", "loop", "if"):
                    skipped += 1
                elif row.name == "end" and skipped:
                    skipped -= 1
                elif not skipped and row.name in ("else", "end"):
                    handlers[row.name](self, row, imm, at)
                continue
            handler = handlers.get(row.name) or handlers.get(row.kind)
            if handler is None:
                where = Where(self.module.file, self.i, self.module.names.funcs.get(self.i), at)
                raise UnsupportedError(f"{row.feature} is not compiled yet: {row.name}", where, row.feature)
            cost = costs.get(row.name) if costs else 0
            if cost and row.name != "loop":
                self.block.add_cost(cost, at)
            handler(self, row, imm, at)
            if cost and row.name == "loop":
                self.block.add_cost(cost, at)

    def op_block(self, row: OpRow, imm: FuncType, at: int) -> None:
        self.stack.settle(at)
        self.frames.append(_Frame(imm, len(self.stack.items) - len(imm.params)))

    def op_loop(self, row: OpRow, imm: FuncType, at: int) -> None:
        operands = self.stack.pop_many(len(imm.params))
        self.stack.settle(at)
        frame = _Frame(imm, len(self.stack.items))
        frame.is_loop = True
        frame.vars = tuple(map(self.new_temp, imm.params))
        block = self.block
        assert block is not None
        self.assign(block, frame.vars, operands, at)
        block.term = Goto(frame.join, at)
        self.block = frame.join
        for var in frame.vars:
            self.stack.push(Get(var), var.type)
        self.frames.append(frame)

    def op_if(self, row: OpRow, imm: FuncType, at: int) -> None:
        cond = self.stack.pop()
        self.stack.settle(at)
        frame = _Frame(imm, len(self.stack.items) - len(imm.params))
        frame.params = self.stack.items[frame.height :]
        then = Block()
        frame.orelse = Block()
        block = self.block
        assert block is not None
        block.term = Branch(cond.e, then, frame.orelse, cond.depth, at)
        self.block = then
        self.frames.append(frame)

    def finish_arm(self, frame: _Frame, at: int) -> None:
        """Take the results of the code before `else` or `end` to the label."""
        block = self.block
        if block is None:
            return
        operands = self.stack.pop_many(len(frame.type.results))
        self.stack.flush_effects(at)
        if operands:
            self.assign(block, self.label_vars(frame), operands, at)
        block.term = Goto(frame.join, at)
        frame.used = True

    def op_else(self, row: OpRow, imm: None, at: int) -> None:
        frame = self.frames[-1]
        self.finish_arm(frame, at)
        self.stack.cut(frame.height)
        for o in frame.params:
            self.stack.push(o.e, o.type)
        self.block = frame.orelse
        frame.orelse = None

    def op_end(self, row: OpRow, imm: None, at: int) -> None:
        frame = self.frames[-1]
        if len(self.frames) == 1:
            if self.block is not None:
                operands = self.stack.pop_many(len(frame.type.results))
                self.leave(self.block, operands, at)
                self.block = None
            self.frames.pop()
            return
        if frame.orelse is not None:  # an `if` without `else` passes its parameters on
            orelse, params = frame.orelse, frame.params
            self.finish_arm(frame, at)
            if params:
                self.assign(orelse, self.label_vars(frame), params, at)
            orelse.term = Goto(frame.join, at)
            frame.used = True
        elif frame.is_loop or not frame.used:
            # Nothing branches to the end: the results stay where they are.
            self.frames.pop()
            if self.block is None:
                self.stack.cut(frame.height)
            return
        else:
            self.finish_arm(frame, at)
        self.frames.pop()
        self.stack.cut(frame.height)
        self.block = frame.join
        for var in self.label_vars(frame):
            self.stack.push(Get(var), var.type)

    def op_br(self, row: OpRow, imm: int, at: int) -> None:
        self.branch(self.frames[-1 - imm], at)

    def op_return(self, row: OpRow, imm: None, at: int) -> None:
        self.branch(self.frames[0], at)

    def op_unreachable(self, row: OpRow, imm: None, at: int) -> None:
        self.stack.flush_effects(at)
        self.emit(Unreachable(at))
        self.block = None

    def op_br_if(self, row: OpRow, imm: int, at: int) -> None:
        cond = self.stack.pop()
        self.stack.flush(cond.fx, 0, at)
        self.stack.flush_effects(at)
        frame = self.frames[-1 - imm]
        count = self.arity(frame)
        first = len(self.stack.items) - count
        for k in range(first, len(self.stack.items)):
            if self.stack.items[k].size > 1:  # needed twice: on the edge, and here
                self.stack.spill(k, at)
        operands = self.stack.items[first:]
        block = self.block
        assert block is not None
        on = Block()
        block.term = Branch(cond.e, self.edge(frame, operands, at), on, cond.depth, at)
        self.block = on

    def op_br_table(self, row: OpRow, imm: tuple[int, ...], at: int) -> None:
        selector = self.stack.pop()
        self.stack.flush(selector.fx, 0, at)
        self.stack.flush_effects(at)
        block = self.block
        assert block is not None
        e = selector.e
        if not isinstance(e, Get):
            var = self.new_temp(I32)
            block.stmts.append(Set(var, e, at))
            e = Get(var)
        count = self.arity(self.frames[-1 - imm[-1]])
        for k in range(len(self.stack.items) - count, len(self.stack.items)):
            if self.stack.items[k].size > 1:  # needed once for each target
                self.stack.spill(k, at)
        operands = self.stack.pop_many(count)
        values: dict[int, list[int]] = {}
        for value, label in enumerate(imm[:-1]):
            if label != imm[-1]:
                values.setdefault(label, []).append(value)
        edges = {label: self.edge(self.frames[-1 - label], operands, at) for label in (*values, imm[-1])}
        block.term = Choose(e, [(tuple(vs), edges[label]) for label, vs in values.items()], edges[imm[-1]], at)
        self.block = None

    def op_call(self, row: OpRow, imm: int, at: int) -> None:
        t = self.module.func_type(imm)
        operands = self.stack.pop_many(len(t.params))
        self.call(Call(imm, tuple(o.e for o in operands), t.results, at), operands, at)

    def indirect(self, imm: tuple[int, int], at: int) -> tuple[CallIndirect, list[Operand]]:
        """A call through a table; Python looks the element up first, so effects of the arguments come before."""
        type_index, table = imm
        t = self.module.types[type_index]
        index = self.stack.pop()
        first = len(self.stack.items) - len(t.params)
        fx = 0
        for o in self.stack.items[first:]:
            fx |= o.fx
        if fx & (TRAPS | WRITES) or conflict(fx, index.fx):
            for k in range(first, len(self.stack.items)):
                if self.stack.items[k].fx:
                    self.stack.spill(k, at)
        operands = self.stack.pop_many(len(t.params))
        e = CallIndirect(type_index, table, index.e, tuple(o.e for o in operands), t.results, at)
        return e, [*operands, index]

    def op_call_indirect(self, row: OpRow, imm: tuple[int, int], at: int) -> None:
        e, operands = self.indirect(imm, at)
        self.call(e, operands, at)

    def op_return_call(self, row: OpRow, imm: int, at: int) -> None:
        t = self.module.func_type(imm)
        operands = self.stack.pop_many(len(t.params))
        self.stack.flush_effects(at)
        block = self.block
        assert block is not None
        if imm == self.i:
            self.assign(block, tuple(self.locals[: len(t.params)]), operands, at)
            block.term = Goto(self.entry, at)
        else:
            block.stmts.append(TailCall(Call(imm, tuple(o.e for o in operands), t.results, at), at))
        self.block = None

    def op_return_call_indirect(self, row: OpRow, imm: tuple[int, int], at: int) -> None:
        e, _ = self.indirect(imm, at)
        self.stack.flush_effects(at)
        self.emit(TailCall(e, at))
        self.block = None

    def op_nop(self, row: OpRow, imm: None, at: int) -> None:
        pass

    def op_drop(self, row: OpRow, imm: None, at: int) -> None:
        operand = self.stack.pop()
        if operand.fx & (TRAPS | WRITES):
            self.effect(Eval(operand.e, at), [operand], 0, at)

    def op_select(self, row: OpRow, imm: object, at: int) -> None:
        items = self.stack.items
        cond = items[-1]
        for k in (len(items) - 3, len(items) - 2):
            # Python evaluates the condition first, then one of the two.
            if items[k].fx & (TRAPS | WRITES) or conflict(items[k].fx, cond.fx):
                self.stack.spill(k, at)
        a, b, cond = self.stack.pop_many(3)
        self.push_expr(Select(cond.e, a.e, b.e, a.type), a.type, [a, b, cond], 0, at)

    def op_local_get(self, row: OpRow, imm: int, at: int) -> None:
        block = self.block
        assert block is not None
        bit = 1 << imm
        if not self.written.get(block, 0) & bit:
            self.exposed[block] = self.exposed.get(block, 0) | bit
        self.stack.push(self.gets[imm], self.locals[imm].type, 0, bit, 1, 1, at)

    def op_local_set(self, row: OpRow, imm: int, at: int) -> None:
        self.set_local(imm, self.stack.pop(), at)

    def op_local_tee(self, row: OpRow, imm: int, at: int) -> None:
        self.set_local(imm, self.stack.pop(), at)
        self.stack.push(self.gets[imm], self.locals[imm].type, 0, 1 << imm, 1, 1, at)

    def set_local(self, i: int, operand: Operand, at: int) -> None:
        block = self.block
        assert block is not None
        if operand.e == self.gets[i]:
            return
        self.stack.flush(operand.fx, 1 << i, at)
        self.written[block] = self.written.get(block, 0) | 1 << i
        block.stmts.append(Set(self.locals[i], operand.e, at))

    def op_global_get(self, row: OpRow, imm: int, at: int) -> None:
        g = self.module.global_types[imm]
        self.stack.push(GlobalGet(imm, g.type), g.type, READS if g.mutable else 0, 0, 1, 1, at)

    def op_global_set(self, row: OpRow, imm: int, at: int) -> None:
        operand = self.stack.pop()
        self.effect(GlobalSet(imm, operand.e, at), [operand], WRITES, at)

    def op_const(self, row: OpRow, imm: int, at: int) -> None:
        t = row.results[0]
        self.stack.push(Const(t, imm), t)

    def op_numeric(self, row: OpRow, imm: None, at: int) -> None:
        operands = self.stack.pop_many(len(row.params))
        t = row.results[0]
        es = tuple(o.e for o in operands)
        if self.deterministic and row.ident in NAN_BLIND:
            es = tuple(e.args[0] if isinstance(e, Op) and e.name in CANONICAL else e for e in es)
        e = Op(row.ident, es, t, at)
        if self.deterministic and row.ident in NAN_MAKERS:
            # Whoever looks at the bits gets the canonical NaN; arithmetic takes it off again, so that chains pay once.
            self.push_expr(Op(f"{t}_canonical", (e,), t, at), t, operands, 0, at, levels=2)
        else:
            self.push_expr(e, t, operands, TRAPS if row.ident in TRAPPING else 0, at)

    def op_load(self, row: OpRow, imm: tuple[int, int, int], at: int) -> None:
        align, offset, memory = imm
        addr = self.stack.pop()
        t = row.results[0]
        e = Load(row.ident, memory, addr.e, offset, align, t, at)
        self.push_expr(e, t, [addr], READS | TRAPS, at)

    def op_store(self, row: OpRow, imm: tuple[int, int, int], at: int) -> None:
        align, offset, memory = imm
        items = self.stack.items
        if conflict(items[-2].fx, items[-1].fx):
            self.stack.spill(len(items) - 2, at)
        addr, value = self.stack.pop_many(2)
        s = Store(row.ident, memory, addr.e, offset, align, value.e, at)
        self.effect(s, [addr, value], WRITES | TRAPS, at)

    def op_ref_null(self, row: OpRow, imm: RefType, at: int) -> None:
        self.stack.push(Null(imm), imm)

    def op_ref_is_null(self, row: OpRow, imm: None, at: int) -> None:
        operand = self.stack.pop()
        self.push_expr(Op("ref_is_null", (operand.e,), I32, at), I32, [operand], 0, at)

    def op_ref_func(self, row: OpRow, imm: int, at: int) -> None:
        self.push_expr(Sys("ref_func", (imm,), (), FUNCREF, at), FUNCREF, [], 0, at)

    def op_system(self, row: OpRow, imm: int | tuple[int, ...], at: int) -> None:
        indices = (imm,) if isinstance(imm, int) else tuple(imm)
        params, result = _SYSTEM[row.ident]
        if row.ident == "table_get":
            result = self.module.table_types[indices[0]].element
        self.system(row.ident, indices, params, result, at)

    # --- locals

    def initialise_locals(self) -> None:
        """Set to zero or null, at the start, the locals that some path reads before it sets them (spec 4.4.10)."""
        order = reverse_postorder(self.entry)
        params = len(self.type.params)
        count = len(self.locals)
        needed = 0
        if count == params:
            return
        if len(order) * count > MAX_INIT_BITS:
            for exposed in self.exposed.values():
                needed |= exposed
        else:
            # Which locals may still be unset at the start of a block. What a back edge brings is a subset of what came
            # in at the loop's start, so one pass in reverse postorder is enough.
            unset: dict[Block, int] = {self.entry: (1 << count) - (1 << params)}
            for block in order:
                here = unset.pop(block, 0)
                needed |= here & self.exposed.get(block, 0)
                here &= ~self.written.get(block, 0)
                for to in successors(block):
                    if to is not EXIT and to.id > block.id:
                        unset[to] = unset.get(to, 0) | here
        needed >>= params
        zeros: list[Set] = []
        for k, digit in enumerate(reversed(bin(needed)[2:]), params):
            if digit == "1":
                var = self.locals[k]
                zeros.append(Set(var, _zero(var.type), self.code.start))
        self.entry.stmts[:0] = zeros


def _zero(t: ValType) -> Expr:
    return Const(t, 0) if isinstance(t, NumType) else Null(t)


def _reads(e: Expr, names: set[str]) -> bool:
    """Whether `e` reads one of the variables."""
    if isinstance(e, Get):
        return e.var.name in names
    return any(_reads(child, names) for child in children(e))


# Operations on the instance's state: how many operands, and the type of the result.
_SYSTEM: dict[str, tuple[int, ValType | None]] = {
    "memory_size": (0, I32),
    "memory_grow": (1, I32),
    "memory_fill": (3, None),
    "memory_copy": (3, None),
    "memory_init": (3, None),
    "data_drop": (0, None),
    "table_get": (1, None),
    "table_set": (2, None),
    "table_size": (0, I32),
    "table_grow": (2, I32),
    "table_fill": (3, None),
    "table_copy": (3, None),
    "table_init": (3, None),
    "elem_drop": (0, None),
}

# By instruction name where one is special, else by the kind of its row.
_HANDLERS: dict[str, Callable[[Lowering, OpRow, Any, int], None]] = {
    "block": Lowering.op_block,
    "loop": Lowering.op_loop,
    "if": Lowering.op_if,
    "else": Lowering.op_else,
    "end": Lowering.op_end,
    "br": Lowering.op_br,
    "br_if": Lowering.op_br_if,
    "br_table": Lowering.op_br_table,
    "return": Lowering.op_return,
    "unreachable": Lowering.op_unreachable,
    "nop": Lowering.op_nop,
    "call": Lowering.op_call,
    "call_indirect": Lowering.op_call_indirect,
    "return_call": Lowering.op_return_call,
    "return_call_indirect": Lowering.op_return_call_indirect,
    "drop": Lowering.op_drop,
    "select": Lowering.op_select,
    "select_t": Lowering.op_select,
    "local.get": Lowering.op_local_get,
    "local.set": Lowering.op_local_set,
    "local.tee": Lowering.op_local_tee,
    "global.get": Lowering.op_global_get,
    "global.set": Lowering.op_global_set,
    "ref.null": Lowering.op_ref_null,
    "ref.is_null": Lowering.op_ref_is_null,
    "ref.func": Lowering.op_ref_func,
    "const": Lowering.op_const,
    "numeric": Lowering.op_numeric,
    "load": Lowering.op_load,
    "store": Lowering.op_store,
    "memory": Lowering.op_system,
    "table": Lowering.op_system,
}
