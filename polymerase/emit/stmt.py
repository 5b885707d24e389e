"""IR statements -> Python statements.

    While((If(c, (Break,)), ...))     ->  while not c: ...
    If(c, (..., Return), rest)        ->  if c: ...; return      followed by the rest, unindented
    Switch                            ->  binary search by `if x < 5`, equal neighbours as one range

What the embedder asked for (`Controls`) is written around that, and costs nothing where it was not asked for:

    Charge(5)      if fuel < 5:                         many functions have the fuel in a local, `left`, written back
                       fuel = refuel(instance, fuel, 5) at their end and around each call, whose callee charges, too
                   fuel -= 5
    several        if fuel < 8: each as above, else: fuel -= 8
    While          while running: ...                   so that `Instance.interrupt` stops it
                   else: stop(instance)

A switch whose larger bodies are reached by several ranges is searched twice: first for the number of the case, by a
tuple where the values are dense, then for the body, so that no body is written twice.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, assert_never

from polymerase.emit import build as b
from polymerase.emit.expr import Exprs, type_of
from polymerase.ir import walk
from polymerase.ir.nodes import (
    Body,
    Break,
    Call,
    CallIndirect,
    Charge,
    Continue,
    Eval,
    Expr,
    Func,
    GlobalSet,
    If,
    Move,
    Return,
    Set,
    SetMany,
    Stmt,
    Store,
    Switch,
    Sys,
    TailCall,
    Unreachable,
    Var,
    While,
)
from polymerase.options import UNCONTROLLED, Controls
from polymerase.wasm.types import I32, I64

Segment = tuple[int, int]  # (first value, number of the body): up to the next segment's first value
FUEL = "fuel"  # the global that holds the units left in the slice (see the runtime's controls.py)
LEFT = "left"  # the local that holds them in functions where that is faster (see _fuel_of)
FEW_CHARGES = 3
MAX_FLOAT_COST = 1 << 20  # of an instruction; then all that a block costs is exact as a float
_BULK = frozenset(f"{kind}_{what}" for kind in ("memory", "table") for what in ("copy", "fill", "grow", "init"))
SWITCH = "k"  # the variable that holds the number of a case
MAX_INDENT = 90  # of the 98 levels that Python reads


class Functions:
    """Makes function definitions, expressions spelled by `spell`. `value_slots(i)` are the parameters and locals of
    function `i`."""

    def __init__(
        self, spell: Exprs, controls: Controls = UNCONTROLLED, value_slots: Callable[[int], int] = lambda i: 0
    ) -> None:
        self.spell = spell
        self.controls = controls
        self.value_slots = value_slots
        self._assigned: set[str] = set()
        self._tail = False  # whether the function makes tail calls
        self._depth = 0  # levels of indentation
        self._fuel = FUEL  # the variable that holds the fuel
        self._floats = False  # whether that is a float

    def function(self, f: Func, name: str = "") -> list[ast.stmt]:
        """The statements that define `f`: a `def`, and the trampoline if it makes tail calls. `name` is another name
        than the function's own."""
        spell = self.spell
        spell.go(f.at)
        self._assigned = set()
        name = name or spell.func_names[f.i]
        self._tail = False
        spell.calls = 0
        spell.lowest_callee = len(spell.func_names)
        self._fuel, self._floats = FUEL, False
        if self.controls.fuel is not None:
            self._fuel, loops = _fuel_of(f.body)
            self._floats = loops and spell.float_fuel and max(cost for _, cost in self.controls.fuel) <= MAX_FLOAT_COST
        guarded = self.controls.depth or self._fuel == LEFT
        self._depth += guarded
        entry = [s for p in f.params for s in self._enter(p)]
        body = entry + self.body(f.body)
        if body and isinstance(body[-1], ast.Return) and body[-1].value is None:
            body.pop()
        self._depth -= guarded
        spell.go(f.at)
        if self._fuel == LEFT:
            body = self._with_fuel(body)
        if self.controls.polls and spell.lowest_callee <= f.i:
            # Of the calls of a cycle at least one leads to a function that is not after its caller: an import, too,
            # may call back, and what an indirect call reaches is not known.
            body.insert(0, self._poll())
        if self.controls.depth:
            body = self._with_depth(body, self.value_slots(f.i))
        if self._assigned:
            body.insert(0, ast.Global(sorted(self._assigned), **spell.pos))
        if not body:
            body.append(ast.Pass(**spell.pos))
        args = ast.arguments([], [ast.arg(p.name, **spell.pos) for p in f.params], None, [], [], None, [])
        # type_params is a field since 3.12, type_comment and returns stay empty
        inner = f"{name}_tail" if self._tail else name
        fields: dict[str, Any] = {"type_params": []} if "type_params" in ast.FunctionDef._fields else {}
        define = ast.FunctionDef(inner, args, body, [], None, None, **fields, **spell.pos)
        if not self._tail:
            return [define]
        wrap = spell.call(spell.helper("make_trampoline"), spell.name(inner))
        return [define, spell.assign(spell.target(name), wrap)]

    # --- The embedder's controls

    def _change(self, name: str, op: ast.operator, by: int) -> ast.stmt:
        """`name += by`."""
        return ast.AugAssign(self.spell.target(name), op, self.spell.const(by), **self.spell.pos)

    def _on_instance(self, helper: str, *args: ast.expr) -> ast.expr:
        return self.spell.call(self.spell.helper(helper), self.spell.name("instance"), *args)

    def _charges(self, body: Body, k: int) -> list[ast.stmt]:
        """The charges that follow each other from `body[k]` on, all at once if there is enough for all."""
        charges: list[Charge] = []
        while k < len(body) and isinstance(s := body[k], Charge):
            charges.append(s)
            k += 1
        if len(charges) == 1:
            return self._charge(charges[0].cost)
        one_by_one: list[ast.stmt] = []
        for s in charges:
            self.spell.go(s.at)
            one_by_one += self._charge(s.cost)
        self.spell.go(charges[0].at)
        total = sum(s.cost for s in charges)
        return [self.spell.if_(self._lacks(total), one_by_one, [self._take(total)])]

    def _charge(self, cost: int) -> list[ast.stmt]:
        """Pay for a block before it runs; what cannot be paid is not taken."""
        spell = self.spell
        more = self._on_instance("refuel", self._whole_fuel(), spell.const(cost))
        refuel = spell.assign(spell.target(self._fuel), self._as_left(more))
        return [spell.if_(self._lacks(cost), [refuel], []), self._take(cost)]

    def _lacks(self, cost: int) -> ast.expr:
        """The test whether there is too little fuel."""
        return self.spell.compare(self.spell.name(self._fuel), b.LT, self.spell.const(self._units(cost)))

    def _take(self, cost: int) -> ast.stmt:
        if self._fuel == FUEL:
            self._assigned.add(FUEL)
        units = self.spell.const(self._units(cost))
        return ast.AugAssign(self.spell.target(self._fuel), b.SUB, units, **self.spell.pos)

    def _units(self, cost: int) -> int | float:
        return float(cost) if self._floats else cost

    def _whole_fuel(self) -> ast.expr:
        """The fuel as the int that others want."""
        name = self.spell.name(self._fuel)
        return self.spell.call(self.spell.name("int"), name) if self._floats else name

    def _as_left(self, units: ast.expr) -> ast.expr:
        """An int in the form in which the local holds it."""
        return self.spell.binop(units, b.ADD, self.spell.const(0.0)) if self._floats else units

    def _write_back(self) -> ast.stmt:
        return self.spell.assign(self.spell.target(FUEL), self._whole_fuel())

    def _read_again(self) -> ast.stmt:
        return self.spell.assign(self.spell.target(LEFT), self._as_left(self.spell.name(FUEL)))

    def _with_fuel(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """A body that has the fuel in a local: whatever ends it, the global is right. While a call runs, the local is
        negative and the global holds what is left."""
        spell = self.spell
        self._assigned.add(FUEL)
        back = self._write_back()
        if spell.calls:
            back = spell.if_(spell.compare(spell.name(LEFT), b.GE, spell.const(0)), [back], [])
        return [self._read_again(), ast.Try(body, [], [], [back], **spell.pos)]

    def _around_calls(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Statements that call: the callee finds the fuel in the global, and leaves it there."""
        spell = self.spell
        before = [self._write_back(), spell.assign(spell.target(LEFT), spell.integer(-1).node)]
        if _ends(statements[-1]):
            return [*before, *statements]
        return [*before, *statements, self._read_again()]

    def _poll(self) -> ast.stmt:
        spell = self.spell
        return spell.if_(spell.not_(spell.name("running")), [spell.expr_stmt(self._on_instance("stop"))], [])

    def _with_depth(self, body: list[ast.stmt], slots: int) -> list[ast.stmt]:
        """A body that counts its frame and its values while it runs."""
        spell = self.spell
        self._assigned |= {"depth", "slots"}
        test: ast.expr = spell.compare(spell.name("depth"), b.LT, spell.const(1))
        if slots:
            few = spell.compare(spell.name("slots"), b.LT, spell.const(slots))
            test = spell.bool_op(False, [test, few])
        enter = [self._change("depth", b.SUB, 1)]
        leave = [self._change("depth", b.ADD, 1)]
        if slots:
            enter.append(self._change("slots", b.SUB, slots))
            leave.append(self._change("slots", b.ADD, slots))
        refuse = spell.if_(test, [spell.expr_stmt(self._on_instance("exhausted"))], [])
        return [refuse, *enter, ast.Try(body or [ast.Pass(**spell.pos)], [], [], leave, **spell.pos)]

    # --- Statements

    def _enter(self, p: Var) -> list[ast.stmt]:
        """What brings a parameter into the form in which variables are held."""
        converted = self.spell.entered(p)
        return [] if converted is None else [self.spell.assign(self.spell.target(p.name), converted)]

    def body(self, body: Body) -> list[ast.stmt]:
        """A statement list; nothing follows a statement that never ends."""
        out: list[ast.stmt] = []
        self._depth += 1
        for k, s in enumerate(body):
            if isinstance(s, Charge) and k and isinstance(body[k - 1], Charge):
                continue  # written with the first
            self.spell.go(s.at)
            calls = self.spell.calls
            new = self._charges(body, k) if isinstance(s, Charge) else self.statement(s)
            if self.controls.fuel is not None and not self.controls.polls and _is_bulk(s):
                new.insert(0, self._poll())  # a slice of fuel pays for hours of them
            if self._fuel == LEFT and self.spell.calls > calls and not isinstance(s, (If, While, Switch, TailCall)):
                self.spell.go(s.at)
                new = self._around_calls(new)
            out += new
            if out and _ends(out[-1]):
                break
        self._depth -= 1
        return out

    def block(self, body: Body) -> list[ast.stmt]:
        """As `body`, never empty."""
        return self.body(body) or [ast.Pass(**self.spell.pos)]

    def statement(self, s: Stmt) -> list[ast.stmt]:
        spell = self.spell
        match s:
            case Set():
                return [spell.assign(spell.target(s.var.name), spell.value(s.e))]
            case SetMany():
                return self._set_many(s)
            case Move():
                values = [spell.value(e) for e in s.es]
                return [spell.assign(spell.tuple_target([spell.target(v.name) for v in s.vars]), spell.tuple_(values))]
            case Eval():
                return self._eval(s.e)
            case GlobalSet():
                return [self._global_set(s)]
            case Store():
                return spell.store(s)
            case If():
                return self._if(s)
            case While():
                return [self._while(s)]
            case Break():
                return [ast.Break(**spell.pos)]
            case Continue():
                return [ast.Continue(**spell.pos)]
            case Switch():
                return self._switch(s)
            case Return():
                return [ast.Return(self._results(s.es), **spell.pos)]
            case TailCall():
                self._tail = True
                return [ast.Return(self._tail_call(s), **spell.pos)]
            case Charge():
                return self._charges((s,), 0)
            case Unreachable():
                return [spell.expr_stmt(spell.call(spell.helper("unreachable")))]
            case _:
                assert_never(s)

    def _results(self, es: tuple[Expr, ...]) -> ast.expr | None:
        values = [self.spell.outer(e) for e in es]
        if len(values) < 2:
            return values[0] if values else None
        return self.spell.tuple_(values)

    def _tail_call(self, s: TailCall) -> ast.expr:
        spell = self.spell
        args = spell.tuple_([spell.outer(a) for a in s.e.args])
        return spell.call(spell.helper("TailCall"), spell.callee(s.e), args)

    def _set_many(self, s: SetMany) -> list[ast.stmt]:
        spell = self.spell
        call = spell.invocation(s.e)
        out: list[ast.stmt] = [spell.assign(spell.tuple_target([spell.target(v.name) for v in s.vars]), call)]
        for var in s.vars:
            out += self._enter(var)
        return out

    def _eval(self, e: Expr) -> list[ast.stmt]:
        spell = self.spell
        if not walk.effects(e) & ~walk.READS:
            return []
        match e:
            case Sys(name="data_drop" | "elem_drop", imm=(i,)):
                name = f"{'data' if e.name == 'data_drop' else 'elem'}_seg{i}"
                self._assigned.add(name)
                empty = spell.const(b"") if e.name == "data_drop" else ast.List([], ast.Load(), **spell.pos)
                return [spell.assign(spell.target(name), empty)]
            case Call() | CallIndirect() | Sys():
                return [spell.expr_stmt(spell.invocation(e))]
            case _:
                return [spell.expr_stmt(spell.whole(e).node if type_of(e) in (I32, I64) else spell.other(e))]

    def _global_set(self, s: GlobalSet) -> ast.stmt:
        spell = self.spell
        value = spell.outer(s.e)
        name = spell.global_names[s.i]
        if s.i in spell.cells:
            return spell.assign(spell.attribute_target(spell.name(name), "value"), value)
        self._assigned.add(name)
        return spell.assign(spell.target(name), value)

    # --- Control

    def _if(self, s: If) -> list[ast.stmt]:
        spell = self.spell
        at = spell.at
        calls = spell.calls
        condition = spell.condition(s.cond)
        if self._fuel == LEFT and spell.calls > calls:
            result = "x"  # a name that expressions use: it holds nothing from one statement to the next
            first = self._around_calls([spell.assign(spell.target(result), condition)])
            then, orelse = self.body(s.then), self.body(s.orelse)
            spell.go(at)
            if not then:
                return [*first, spell.if_(spell.not_(spell.name(result)), orelse, [])] if orelse else first
            return [*first, spell.if_(spell.name(result), then, orelse)]
        then = self.body(s.then)
        orelse = self.body(s.orelse)
        spell.go(at)
        if not then:
            if not orelse:
                return [spell.expr_stmt(condition)] if walk.effects(s.cond) & ~walk.READS else []
            return [spell.if_(self._negated(s.cond), orelse, [])]
        if not orelse:
            return [spell.if_(condition, then, [])]
        if _ends(then[-1]):  # what follows needs no `else`
            return [spell.if_(condition, then, []), *orelse]
        if _ends(orelse[-1]):
            return [spell.if_(self._negated(s.cond), orelse, []), *then]
        if isinstance(condition, ast.UnaryOp) and isinstance(condition.op, ast.Not) and not _is_if(then):
            return [spell.if_(condition.operand, orelse, then)]
        return [spell.if_(condition, then, orelse)]

    def _negated(self, cond: Expr) -> ast.expr:
        return self.spell.condition(cond, negated=True)

    def _while(self, s: While) -> ast.stmt:
        spell = self.spell
        at = spell.at
        test: ast.expr = spell.const(True)
        inner = s.body
        match inner:
            case (If(cond, (Break(),), orelse, if_at), *rest) if self._fuel != LEFT or not _calls(cond):
                spell.go(if_at)
                test = spell.condition(cond, negated=True)
                inner = (*orelse, *rest)
        body = self.block(inner)
        repeats = _continues(body) or not _ends(body[-1])
        if len(body) > 1 and isinstance(body[-1], ast.Continue):
            body.pop()
        spell.go(at)
        if not repeats or not self.controls.polls:
            return ast.While(test, body, [], **spell.pos)
        running = spell.name("running")
        if isinstance(test, ast.Constant):
            return ast.While(running, body, [spell.expr_stmt(self._on_instance("stop"))], **spell.pos)
        return ast.While(spell.bool_op(True, [running, test]), body, [self._poll()], **spell.pos)

    def _inverted(self, test: ast.expr) -> ast.expr:
        """The opposite of a Python condition."""
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return operand
            case ast.Compare(ops=[op]) if type(op) in _OPPOSITE:
                return ast.copy_location(ast.Compare(test.left, [_OPPOSITE[type(op)]], test.comparators), test)
            case _:
                return self.spell.not_(test)

    # --- Switch

    def _switch(self, s: Switch) -> list[ast.stmt]:
        at = self.spell.at
        segments = _segments(s)
        levels = len(segments).bit_length()
        deep = self._depth + levels > MAX_INDENT
        self._depth += 0 if deep else levels
        bodies = [self.body(body) for _, body in s.cases]
        bodies.append(self.body(s.default))
        self._depth -= 0 if deep else levels
        self.spell.go(at)
        if deep:
            return self._flat(s, segments, bodies)
        count = [0] * len(bodies)
        for _, i in segments:
            count[i] += 1
        var = s.e.var.name
        if all(n == 1 or _light(body) for n, body in zip(count, bodies, strict=True)):
            return self._search(var, segments, bodies)
        numbers: list[list[ast.stmt]] = [
            [self.spell.assign(self.spell.target(SWITCH), self.spell.const(i))] for i in range(len(bodies))
        ]
        find = self._table(var, segments, len(bodies) - 1) or self._search(var, segments, numbers)
        return [*find, *self._search(SWITCH, [(i, i) for i in range(len(bodies))], bodies)]

    def _flat(self, s: Switch, segments: list[Segment], bodies: list[list[ast.stmt]]) -> list[ast.stmt]:
        """One `if` after the other, for want of levels of indentation: in linear time."""
        spell = self.spell
        number = f"{SWITCH}{self._depth}"  # bodies may hold other switches
        numbers: list[list[ast.stmt]] = [
            [spell.assign(spell.target(number), spell.const(i))] for i in range(len(bodies))
        ]
        out = self._search(s.e.var.name, segments, numbers)
        for i, body in enumerate(bodies):
            if body:
                out.append(spell.if_(spell.compare(spell.name(number), b.EQ, spell.const(i)), body, []))
        return out

    def _table(self, var: str, segments: list[Segment], default: int) -> list[ast.stmt] | None:
        """The case's number out of a tuple, if the values are small enough for one."""
        last = segments[-1][0]
        if last > 4 * len(segments) + 64 or segments[-1][1] != default:
            return None
        row: list[int] = []
        for (lo, i), (hi, _) in zip(segments, segments[1:], strict=False):
            row += [i] * (hi - lo)
        spell = self.spell
        table = spell.tuple_([spell.const(i) for i in row])
        pick = spell.index(table, spell.name(var))
        test = spell.compare(spell.name(var), b.LT, spell.const(last))
        return [spell.assign(spell.target(SWITCH), spell.if_exp(test, pick, spell.const(default)))]

    def _search(self, var: str, segments: list[Segment], bodies: list[list[ast.stmt]]) -> list[ast.stmt]:
        """Binary search for the segment that `var` lies in."""
        if len(segments) == 1:
            return bodies[segments[0][1]]
        spell = self.spell
        name = spell.name(var)
        first, second = segments[0], segments[1]
        test: ast.expr
        if len(segments) == 3 and segments[2][1] == first[1] and segments[2][0] == second[0] + 1:
            # One value among all others.
            test = spell.compare(name, b.EQ, spell.const(second[0]))
            return self._choose(test, bodies[second[1]], bodies[first[1]])
        if len(segments) == 2 and second[0] == first[0] + 1:
            test = spell.compare(name, b.EQ, spell.const(first[0])) if first[0] else spell.not_(name)
            return self._choose(test, bodies[first[1]], bodies[second[1]])
        middle = len(segments) // 2
        test = spell.compare(name, b.LT, spell.const(segments[middle][0]))
        low = self._search(var, segments[:middle], bodies)
        return self._choose(test, low, self._search(var, segments[middle:], bodies))

    def _choose(self, test: ast.expr, then: list[ast.stmt], orelse: list[ast.stmt]) -> list[ast.stmt]:
        spell = self.spell
        if not then:
            return [spell.if_(self._inverted(test), orelse, [])] if orelse else []
        if orelse and _ends(then[-1]) and not _is_if(orelse):
            return [spell.if_(test, then, []), *orelse]
        return [spell.if_(test, then, orelse)]


def _segments(s: Switch) -> list[Segment]:
    """All values, in order, as ranges of one case each; the default is number `len(s.cases)`."""
    default = len(s.cases)
    points = sorted((value, i) for i, (values, _) in enumerate(s.cases) for value in values)
    segments: list[Segment] = []
    expected = 0
    for value, i in points:
        if value > expected and (not segments or segments[-1][1] != default):
            segments.append((expected, default))
        if not segments or segments[-1][1] != i:
            segments.append((value, i))
        expected = value + 1
    if expected >> 32 == 0 and (not segments or segments[-1][1] != default):
        segments.append((expected, default))
    return segments


_OPPOSITE: dict[type[ast.cmpop], ast.cmpop] = {ast.Eq: b.NE, ast.NotEq: b.EQ, ast.Is: b.IS_NOT, ast.IsNot: b.IS}


def _light(body: list[ast.stmt]) -> bool:
    """Whether a body may be written several times."""
    return len(body) <= 2 and all(isinstance(s, (ast.Break, ast.Continue, ast.Return, ast.Assign)) for s in body)


def _is_if(body: list[ast.stmt]) -> bool:
    """Whether a list prints as `elif`."""
    return len(body) == 1 and isinstance(body[0], ast.If)


def _is_bulk(s: Stmt) -> bool:
    """Whether a statement fills, copies or makes any amount of memory or table."""
    return isinstance(s, Eval | Set) and isinstance(s.e, Sys) and s.e.name in _BULK


def _ends(s: ast.stmt) -> bool:
    """Whether nothing after `s` is reached."""
    match s:
        case ast.Return() | ast.Break() | ast.Continue():
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id="unreachable" | "stop"))):
            return True
        case ast.If(body=body, orelse=orelse) if orelse:
            return _ends(body[-1]) and _ends(orelse[-1])
        case ast.While(test=ast.Constant(value=True) | ast.Name(id="running"), body=body):
            return not _breaks(body)
        case _:
            return False


def _breaks(body: list[ast.stmt], kind: type[ast.stmt] = ast.Break) -> bool:
    """Whether a `break` leaves the loop with this body."""
    for s in body:
        match s:
            case ast.If(body=then, orelse=orelse):
                if _breaks(then, kind) or _breaks(orelse, kind):
                    return True
            case _ if isinstance(s, kind):
                return True
    return False


def _continues(body: list[ast.stmt]) -> bool:
    """Whether a `continue` starts the loop with this body again."""
    return _breaks(body, ast.Continue)


def _fuel_of(body: Body) -> tuple[str, bool]:
    """Where a function has its fuel, and whether it has a loop that calls nothing. A charge takes 19 ns of a local (15
    if that is a float) and 31 ns of the global (CPython 3.11), but a local takes 20 ns more around each call: it is for
    functions with such a loop, or that charge several times as often as they call."""
    charges = calls = 0
    loops = again = False
    for s in walk.statements(body):
        if isinstance(s, Charge):
            charges += not again  # several in turn are as one
        again = isinstance(s, Charge)
        if again:
            continue
        if _makes_call(s):
            calls += 1
        elif isinstance(s, While) and not any(map(_makes_call, walk.statements(s.body))):
            loops = True
    if charges and loops or charges >= FEW_CHARGES and charges > FEW_CHARGES * calls:
        return LEFT, loops
    return FUEL, False


def _makes_call(s: Stmt) -> bool:
    return any(map(_calls, walk.exprs(s)))


def _calls(e: Expr) -> bool:
    return isinstance(e, (Call, CallIndirect)) or any(map(_calls, walk.children(e)))
