"""The interpreter: runs prepared bodies (polymerase/lower/prepare.py) as closures (closures.py) over registers.

A function is a list of segments, each `(kind, cost, ops, x)`: closures to call in turn, then what `kind` says with `x`.
The guest's call stack is a list, not Python's, so it may be as deep as its limits let it, be kept when the guest is
suspended, and be saved. All state of a function is in its registers whenever a segment begins.

    BRANCH    x(r) is the next segment             RETURN  x(r) is the result: nothing, a value, or a tuple
    CALL      x: (function, arguments, results, offset)             TAIL           the same, results None
    INDIRECT  x: (table, index, arguments, results, offset)         INDIRECT_TAIL  the same, results None
    LOOP      x: a compiled loop                       MAKE    the segment has never been run and is not made yet
    ENTER, LOOK   of no segment: what fails is entering a function, or going on

Interpreted functions are in the namespace as stubs, so that compiled code, tables and exports call them as any other;
the interpreter calls whatever is not interpreted as compiled code would.

One function of this module is longer than a screen: what it does for a segment takes 100 ns, of which a call of a
helper would be half.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import accumulate
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from . import border
from .closures import FILE, FIRST, Builder, Node, Op
from .controls import OutOfFuel, refuel, stop
from .func import Func
from .interrupts import timed
from .loading import Load, make_stub, replace
from .tail import TailCall
from .traps import KEPT_FRAMES, STACK_EXHAUSTED, UNDEFINED_ELEMENT, Frame, PolymeraseError, Trap
from .types import FuncType, ModuleInfo

if TYPE_CHECKING:
    from .instance import CodeSource, Instance

__polymerase_helper__ = True  # frames of this module may be the guest's innermost ones (see border.py)

Body = tuple[tuple[str, ...], int, int, int, tuple[Any, ...]]
Segment = tuple[int, int, tuple[Op, ...], Any]

BRANCH, CALL, RETURN, INDIRECT, TAIL, INDIRECT_TAIL, LOOP, MAKE, ENTER, LOOK = range(10)
SLICE = 4000  # cost after which the interpreter looks at the world: 1 to 4 ms
MAX_FRAMES = border.MAX_DEPTH
_BULK = SLICE // 8  # what an operation on a whole memory or table counts for: 64 MB take 7 ms


class SavedFrame(NamedTuple):
    """A function of a suspended stack: its index, the segment to go on at, its registers in internal form."""

    func: int
    pc: int
    registers: list[Any]


class Suspend(Exception):
    """Raised by a host function, it suspends the interpreted guest that called it: `Instance.resume` gives the call's
    results. Compiled code cannot be suspended: there it reaches whoever called the guest."""

    def __init__(
        self, message: str = 'cannot suspend: compiled code is on the call stack (see engine="interp")'
    ) -> None:
        super().__init__(message)


class Suspended(PolymeraseError):
    """The guest was suspended: the instance's `suspended` is its stack, `resume` goes on."""


class Suspension:
    """A suspended call: `frames`, outermost first; `entry`, the function that the host called; `awaiting`, whether the
    innermost frame waits for the results of a host function, whose types are `results`."""

    __slots__ = ("awaiting", "frames", "results")

    def __init__(self, frames: list[SavedFrame], awaiting: bool, results: tuple[str, ...] = ()) -> None:
        self.frames = frames
        self.awaiting = awaiting
        self.results = results

    @property
    def entry(self) -> int:
        """The function that the host called."""
        return self.frames[0].func

    def __repr__(self) -> str:
        return f"<Suspension of {len(self.frames)} frames>"


# --- Functions


class Code:
    """A function ready to run: its segments, what fills the registers after its parameters, and for each segment the
    block that it belongs to and that block's loop (-1: none). Shared by the instances of a module."""

    __slots__ = (
        "_builder",
        "_canonical",
        "_metered",
        "_statements",
        "at",
        "blocks",
        "body",
        "compiled_loops",
        "covered",
        "heat",
        "i",
        "loop_heat",
        "loops",
        "pad",
        "params",
        "segments",
        "sizes",
        "slots",
        "starts",
        "types",
    )

    def __init__(self, i: int, body: Body, builder: Builder, types: Callable[[int], int], metered: bool) -> None:
        self.i = i
        self.types, self.params, self.slots, self.at, self.body = body
        self.pad = [_ZERO.get(t) for t in self.types[self.params :]]
        self.loops = [header for *_, header in self.body]  # of each block
        self.sizes = [1 + len(stmts) for _, _, stmts, _, _ in self.body]  # of each block
        self.starts = _starts(self.body)
        self.blocks = [n for n, count in enumerate(map(_count, self.body)) for _ in range(count)]  # of each segment
        self.segments: list[Segment] = [(MAKE, 0, (), None)] * len(self.blocks)
        self.heat = 0  # slices used up, in all and by the loop of each header; see polymerase/engine.py
        self.loop_heat: dict[int, int] = {}
        self.compiled_loops: set[int] = set()
        self.covered: dict[int, Segment] = {}  # what was at the segments of compiled loops
        self._builder = builder
        self._canonical = types
        self._metered = metered
        self._statements: dict[Optional[int], int] = {}  # noqa: UP045 - 3.9

    def segment(self, pc: int) -> Segment:
        """Segment `pc`, made with its block if it has not been yet. Most blocks of most functions never run."""
        found = self.segments[pc]
        if found[0] == MAKE:
            n = self.blocks[pc]
            cost, _, stmts, term, _ = self.body[n]
            if not self._metered:  # what is counted then serves to look around now and then
                cost = self.sizes[n] + _BULK * sum(map(_is_bulk, stmts))
            made = list(_segments(cost, stmts, term, self._builder.fresh(), self.starts, self._canonical))
            at = self.starts[n]
            for k, segment in enumerate(made, at):
                if self.segments[k][0] == MAKE:
                    self.segments[k] = segment
            found = self.segments[pc]
        return found

    def typed_tables(self) -> set[tuple[int, int]]:
        """The tables and types that the function calls through."""
        calls = [(s[3], s[2]) for _, _, stmts, _, _ in self.body for s in stmts if s[0] == "calli"]
        calls += [(term[2], term[1]) for _, _, _, term, _ in self.body if term[0] == "taili"]
        return {(table, self._canonical(t)) for table, t in calls}

    def statements(self, head: int | None = None) -> int:
        """How many statements the function, or the loop headed by a block, has; not those of loops inside."""
        found = self._statements.get(head)
        if found is None:
            found = sum(n for n, loop in zip(self.sizes, self.loops) if head is None or loop == head)
            self._statements[head] = found
        return found

    def install_loop(self, head: int, loop: CompiledLoop) -> None:
        """From now on the loop headed by block `head` is `loop`."""
        at = self.starts[head]
        self.covered[at] = self.segment(at)
        self.segments[at] = LOOP, 0, (), loop

    def call_before(self, pc: int) -> Segment:
        """The segment whose call a frame waits for that goes on at segment `pc`."""
        return self.covered.get(pc - 1) or self.segment(pc - 1)


_BULKY = frozenset(f"{kind}_{what}" for kind in ("memory", "table") for what in ("copy", "fill", "grow", "init"))
_ZERO: dict[str, Any] = {"i32": 0, "i64": 0, "v128": 0, "f32": 0.0, "f64": 0.0}


def _count(block: tuple[Any, ...]) -> int:
    """The segments of a block."""
    return 1 + sum(s[0] in ("call", "calli") for s in block[2])


def _is_bulk(s: Node) -> bool:
    """Whether a statement fills, copies or makes any amount of memory or table."""
    e: Node = s[1] if s[0] == "eval" else s[2] if s[0] == "set" else s
    return e[0] == "sys" and e[1] in _BULKY


def _starts(blocks: tuple[Any, ...]) -> list[int]:
    """The first segment of each block."""
    return list(accumulate(map(_count, blocks), initial=0))[:-1]


def _segments(
    cost: int, stmts: tuple[Node, ...], term: Node, builder: Builder, starts: list[int], types: Callable[[int], int]
) -> Iterator[Segment]:
    """The segments of a block: a call ends one."""
    run = _Run(builder)
    for s in stmts:
        if s[0] == "call":
            _, results, i, args, at = s
            make = run.last(_registers(args, builder))
            yield CALL, cost, run.take(), (i, make, _results(results), at)
        elif s[0] == "calli":
            _, results, type_index, table, index, args, at = s
            make = run.last(_registers(args, builder))
            name = f"table{table}_t{types(type_index)}"
            yield INDIRECT, cost, run.take(), (name, _value(index, builder), make, _results(results), at)
        else:
            run.add(s)
            continue
        cost = 0
        run = _Run(builder)
    kind = term[0]
    x: Any
    if kind == "return":
        es = term[1]
        x = run.last(lambda: builder.value(es[0]) if len(es) == 1 else _tuple(es, builder))
        yield RETURN, cost, run.take(), x
    elif kind == "tail":
        x = (term[1], run.last(_registers(term[2], builder)), None, term[3])
        yield TAIL, cost, run.take(), x
    elif kind == "taili":
        _, type_index, table, index, args, at = term
        make = run.last(_registers(args, builder))
        name = f"table{table}_t{types(type_index)}"
        yield INDIRECT_TAIL, cost, run.take(), (name, _value(index, builder), make, None, at)
    else:
        x = run.last(lambda: _target(term, builder, starts))
        yield BRANCH, cost, run.take(), x


def _results(registers: tuple[int, ...]) -> Any:
    """Where results go: None, a register, or a tuple of them."""
    if len(registers) == 1:
        return registers[0] + FIRST
    return tuple(k + FIRST for k in registers) or None


def _registers(args: tuple[Node, ...], builder: Builder) -> Callable[[], str]:
    return lambda: f"[{', '.join(['r[0]', 'r[1]', *map(builder.value, args)])}]"


def _tuple(es: tuple[Node, ...], builder: Builder) -> str:
    return f"({', '.join(map(builder.value, es))})" if es else "None"


def _value(e: Node, builder: Builder) -> Op:
    builder.start()
    return builder.finish(builder.value(e))


def _target(term: Node, builder: Builder, starts: list[int]) -> str:
    """The text of the next segment's number."""
    if term[0] == "goto":
        return builder.param("b", starts[term[1]])
    if term[0] == "if":
        cond = builder.condition(term[1])
        return f"{builder.param('b', starts[term[2]])} if {cond} else {builder.param('b', starts[term[3]])}"
    if term[0] == "switch":
        value = builder.value(term[1])
        row = builder.param("b", tuple(starts[b] for b in term[2]))
        size = builder.param("c", len(term[2]))
        return f"{row}[k] if (k := {value}) < {size} else {builder.param('b', starts[term[3]])}"
    return "-1"  # after a trap


class _Run:
    """Statements on their way into closures."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.ops: list[Op] = []
        builder.start()

    def add(self, s: Node) -> None:
        builder = self.builder
        if builder.is_full():
            self.ops.append(builder.finish())
            builder.start()
        builder.statement(s)

    def last(self, result: Callable[[], str]) -> Op:
        """The closure that ends the run and returns what the text `result()` says."""
        builder = self.builder
        if builder.is_full():
            self.ops.append(builder.finish())
            builder.start()
        return builder.finish(result())

    def take(self) -> tuple[Op, ...]:
        return tuple(self.ops)


class CompiledLoop:
    """A loop that goes on as compiled code: the function `name`, which `define` puts into a namespace. It takes the
    registers `ins`, gives the number of an exit and the registers `outs`; `exits` are segments."""

    __slots__ = ("define", "exits", "ins", "name", "outs")

    def __init__(
        self,
        name: str,
        define: Callable[[dict[str, Any]], None],
        ins: tuple[int, ...],
        outs: tuple[int, ...],
        exits: tuple[int, ...],
    ) -> None:
        self.name = name
        self.define = define
        self.ins = tuple(k + FIRST for k in ins)
        self.outs = tuple(k + FIRST for k in outs)
        self.exits = exits

    def run(self, namespace: dict[str, Any], r: list[Any]) -> int:
        """Run the loop; the segment to go on at."""
        f = namespace.get(self.name)
        if f is None:
            self.define(namespace)
            f = namespace[self.name]
        result = f(*[r[k] for k in self.ins])
        number: int = result[0] if self.outs else result
        if self.outs:
            for k, v in zip(self.outs, result[1:]):
                r[k] = v
        return self.exits[number]


# --- One instance


class Bodies:
    """The interpreted functions of a module, shared by its instances: `body(i)` prepares function `i`."""

    def __init__(self, info: ModuleInfo, body: Callable[[int], Body]) -> None:
        self.info = info
        self.body = body
        self.codes: dict[int, Code] = {}
        self.checksums: dict[int, int] = {}  # for snapshots
        first: dict[FuncType, int] = {}
        self._canonical = [first.setdefault(t, k) for k, t in enumerate(info.types)]

    def look(self, machine: Machine, code: Code, pc: int) -> None:
        """The interpreter has used up a slice and is about to run segment `pc` of `code`."""

    def code(self, i: int) -> Code:
        """Function `i`, prepared when it is first asked for. Raises what `body` does."""
        code = self.codes.get(i)
        if code is None:
            builder = Builder(self.info.global_names, self.info.global_cells)
            metered = "fuel" in self.info.controls
            code = self.codes[i] = Code(i, self.body(i), builder, self._canonical.__getitem__, metered)
        return code


class Machine:
    """The interpreter's state in one instance: `codes` are its interpreted functions, None those that are not (yet)."""

    def __init__(self, instance: Instance, bodies: Bodies, interpreted: frozenset[int]) -> None:
        self.instance = instance
        self.namespace = instance.namespace
        self.info = instance.info
        self.bodies = bodies
        self.interpreted = set(interpreted)
        self.codes: list[Optional[Code]] = [None] * len(instance.info.funcs)  # noqa: UP045 - 3.9
        self.stubs: dict[Any, int] = {}
        self.memory: Any = None
        self.left = SLICE
        self.metered = "fuel" in instance.info.controls
        self.counted = "depth" in instance.info.controls
        self.suspended: Suspension | None = None
        self.stopping = False
        self.most_frames = MAX_FRAMES  # so many of the largest function fit, as with Instance.bound_depth
        self.stack: list[Any] = []  # of the `_go` that runs now
        self.below = 0  # frames on the stacks of those that it interrupts
        for i in interpreted:
            stub = self._stub(i)
            self.stubs[stub] = i
            self.namespace[self.info.func_names[i]] = stub

    def start(self) -> None:
        """The instance's memory is there."""
        if self.instance.memories:
            self.memory = self.instance.memories[0]
            self.memory.expose()

    def _stub(self, i: int) -> Callable[..., Any]:
        """The plain function that runs function `i`; its `tail` may return a TailCall."""

        def interpreted(*args: Any) -> Any:
            return self.run(i, args, False)

        def tail(*args: Any) -> Any:
            return self.run(i, args, True)

        interpreted.tail = tail  # type: ignore[attr-defined] # a function has the attributes it is given
        return interpreted

    def interpret(self, i: int) -> None:
        """Interpret function `i` from now on."""
        name = self.info.func_names[i]
        stub = self._stub(i)
        self.stubs[stub] = i
        self.interpreted.add(i)
        replace(self.instance, i, self.namespace.get(name), stub)

    def release(self, i: int, load: Load) -> None:
        """Interpret function `i` no more: `load` defines it when it is next called."""
        name = self.info.func_names[i]
        self.interpreted.discard(i)
        self.codes[i] = None
        replace(self.instance, i, self.namespace[name], make_stub(self.namespace, i, name, load))

    def run(self, i: int, args: tuple[Any, ...], tail: bool) -> Any:
        """A raw call of function `i`. With `tail` it may return a TailCall."""
        code = self.codes[i] or self._load(i)
        if code is None:
            return self.namespace[self.info.func_names[i]](*args)
        registers = [self.memory, self.namespace, *args]
        registers += code.pad
        return self._go([], code, 0, registers, tail)

    def _load(self, i: int) -> Code | None:
        """Function `i` if it is interpreted."""
        if i not in self.interpreted:
            return None
        try:
            code = self.bodies.code(i)
        except RecursionError:  # anew, so that it is the guest's whose stack is exhausted, and not the compiler's
            raise RecursionError(f"no stack to prepare func {i}") from None
        self.most_frames = min(self.most_frames, border.depth_of(len(code.types)))
        for table, t in code.typed_tables():
            name = f"table{table}_t{t}"
            if name not in self.namespace:
                self.namespace[name] = self.instance.tables[table].calls(self.info.types[t])
        self.codes[i] = code
        return code

    def _go(self, stack: list[Any], code: Code, pc: int, r: list[Any], tail: bool) -> Any:
        """Run from segment `pc` of `code` with registers `r`, called by `stack`, until that returns.

        Entries of the stack: (code, segment to go on at, registers, where results go, offset of the call).
        """
        outer = self.stack
        below = self.below
        self.stack = stack
        self.below = under = below + len(outer)
        room = self.most_frames - under
        codes = self.codes
        stubs = self.stubs
        namespace = self.namespace
        names = self.info.func_names
        metered = self.metered
        left: int = namespace["fuel"] if metered else self.left
        counted = self.counted
        depth: int = namespace["depth"]  # see controls.py; less by what is on the stack here
        slots: int = namespace["slots"]
        before = depth, slots
        segments = code.segments
        kind: Any
        x: Any
        f: Any
        kind = op = x = f = None
        error: Exception | None
        try:
            if counted:
                depth -= len(stack) + 1
                slots -= sum(entry[0].slots for entry in stack) + code.slots
                if depth < 0 or slots < 0:
                    kind = ENTER
                    raise Trap(STACK_EXHAUSTED)
            while True:
                kind, cost, ops, x = segments[pc]
                if left < cost or metered and not namespace["running"]:
                    kind = LOOK
                    left = self._look(left, cost, code, pc)
                    continue
                left -= cost
                if ops:
                    for op in ops:
                        op(r)
                if kind == BRANCH:
                    pc = x(r)
                    continue
                if kind == RETURN:
                    value = x(r)
                elif kind == MAKE:
                    code.segment(pc)
                    continue
                elif kind == LOOP:
                    if metered:
                        namespace["fuel"] = left
                        left = -1
                    pc = x.run(namespace, r)
                    if metered:
                        left = namespace["fuel"]
                    continue
                else:
                    if kind == CALL or kind == TAIL:
                        i, make, into, at = x
                        args = make(r)
                        callee = codes[i]
                        if callee is None:
                            f = namespace[names[i]]
                    else:
                        table, index, make, into, at = x
                        args = make(r)
                        f = _element(namespace[table], index(r))
                        i = stubs.get(f)
                        callee = None if i is None else codes[i]
                    if callee is None and i is not None:
                        callee = self._load(i)
                        room = self.most_frames - under
                    if callee is not None:
                        if kind < TAIL:
                            if len(stack) >= room:
                                raise Trap(STACK_EXHAUSTED)
                            stack.append((code, pc + 1, r, into, at))
                        if counted:
                            if kind < TAIL:
                                depth -= 1
                            else:
                                slots += code.slots
                            slots -= callee.slots
                            if depth < 0 or slots < 0:
                                kind = ENTER
                                code = callee
                                raise Trap(STACK_EXHAUSTED)
                        r = args
                        r += callee.pad
                        code = callee
                        segments = callee.segments
                        pc = 0
                        continue
                    if tail and kind >= TAIL and not stack:
                        return TailCall(f, tuple(args[FIRST:]))
                    if metered:
                        namespace["fuel"] = left
                        left = -1
                    if counted:
                        if kind >= TAIL:
                            depth += 1
                            slots += code.slots
                        namespace["depth"] = depth
                        namespace["slots"] = slots
                    value = f(*args[FIRST:])
                    room = self.most_frames - under  # the callee may have called larger functions
                    if metered:
                        left = namespace["fuel"]
                if kind == RETURN or kind >= TAIL:
                    if counted and kind == RETURN:
                        depth += 1
                        slots += code.slots
                    if not stack:
                        return value
                    code, pc, r, into, at = stack.pop()
                    segments = code.segments
                else:
                    pc += 1
                if into is not None:
                    if type(into) is int:
                        r[into] = value
                    else:
                        for k, v in zip(into, value):
                            r[k] = v
        except (Suspend, OutOfFuel) as e:
            error = self._suspend(e, stack, code, pc, r, kind, x)
        except Exception as e:
            try:
                error = self._failed(e, stack, code, pc, kind, x, op)
            except RecursionError:  # no stack to look at it: who called has more
                raise e from None
            if error is None:
                raise
        finally:
            self.stack = outer
            self.below = below
            if not metered:
                self.left = left
            elif left >= 0:
                namespace["fuel"] = left
            if counted:
                namespace["depth"] = before[0]
                namespace["slots"] = before[1]
        raise error

    def _look(self, left: int, cost: int, code: Code, pc: int) -> int:
        """A slice is used up, with `left` units left and `cost` wanted for segment `pc`: what is left then."""
        if not self.namespace["running"]:
            if self.stopping:
                self.stopping = False
                raise _Paused
            stop(self.instance)
        self.bodies.look(self, code, pc)
        return refuel(self.instance, left, cost) if self.metered else max(SLICE, cost)

    # --- Errors

    def _failed(
        self, e: Exception, stack: list[Any], code: Code, pc: int, kind: Any, x: Any, op: Any
    ) -> Exception | None:
        """The Trap that an exception in `_go` means, with the guest's frames; None if it is to pass as it is."""
        at = None if e.__traceback__ is None else _offset(e.__traceback__.tb_next, kind, x, op)
        error = border.translate(e, False)
        if isinstance(error, Trap):
            most = KEPT_FRAMES + 1
            entries = stack if len(stack) <= 2 * most else stack[:most] + stack[-most:]
            frames = [self._frame(caller.i, offset) for caller, _, _, _, offset in entries]
            if kind == ENTER:
                at = code.at
            elif kind == LOOK:
                at = code.body[code.blocks[pc]][1]
            if kind != LOOP or at is not None:  # a compiled loop has a frame of its own
                frames.append(self._frame(code.i, at))
            border.prepend_frames(error, frames, len(stack) - len(entries))
        return error

    def _frame(self, i: int, at: int | None) -> Frame:
        return Frame(i, self.info.wasm_names.get(i), at)

    # --- Suspending and going on

    def _suspend(
        self, e: Suspend | OutOfFuel, stack: list[Any], code: Code, pc: int, r: list[Any], kind: Any, x: Any
    ) -> Suspended | PolymeraseError:
        """Keep the stack, if nothing but the guest's functions lies between the host's call and here."""
        if self.suspended is not None:
            return PolymeraseError("cannot suspend: another call of the instance is already suspended")
        between = e.__traceback__ is not None and _passed_guest(e.__traceback__.tb_next)
        if between or not _called_by_host():
            return PolymeraseError("cannot suspend: a host function or compiled code is on the call stack")
        frames = [SavedFrame(caller.i, after, registers) for caller, after, registers, _, _ in stack]
        if isinstance(e, (_Paused, OutOfFuel)):
            frames.append(SavedFrame(code.i, pc, r))
            self.suspended = Suspension(frames, False)
        else:
            if kind == CALL or kind == INDIRECT:
                frames.append(SavedFrame(code.i, pc + 1, r))
            if not frames:
                return PolymeraseError("cannot suspend: the host function is called in place of its caller")
            self.suspended = Suspension(frames, True, self._callee_type(kind, x).results)
        return Suspended("the guest is suspended: resume() goes on")

    def _callee_type(self, kind: int, x: Any) -> FuncType:
        direct = kind == CALL or kind == TAIL
        t: int = self.info.funcs[x[0]] if direct else int(x[0].partition("_t")[2])
        return self.info.types[t]

    def resume(self, *values: Any) -> Any:
        """Go on after a suspension; `values`, internal, are the results of the host function that suspended."""
        suspension = self.suspended
        if suspension is None:
            raise PolymeraseError("nothing to resume: the instance is not suspended")
        stack = []
        for frame, inner in zip(suspension.frames, suspension.frames[1:] + [suspension.frames[-1]]):
            code = self.codes[frame.func] or self._load(frame.func)
            if code is None:
                raise PolymeraseError(f"cannot resume: func {frame.func} is not interpreted")
            into, at = None, None
            if frame is not inner or suspension.awaiting:
                *_, into, at = code.call_before(frame.pc)[3]
            stack.append((code, frame.pc, frame.registers, into, at))
        code, pc, r, into, _ = stack.pop()
        if suspension.awaiting and into is not None:
            for k, v in zip((into,) if type(into) is int else into, values):
                r[k] = v
        self.suspended = None
        return self._go(stack, code, pc, r, False)


class InterpretedCode:
    """A module's functions as a CodeSource: those in `interpreted` run from `bodies`, the rest are `compiled`'s."""

    def __init__(self, bodies: Bodies, interpreted: frozenset[int], compiled: CodeSource | None = None) -> None:
        self.bodies = bodies
        self.interpreted = interpreted
        self.compiled = compiled

    @property
    def can_suspend(self) -> bool:
        """Whether nothing is compiled, so that the guest can be suspended wherever it runs out of fuel."""
        return self.compiled is None

    def bind(self, namespace: dict[str, Any]) -> None:
        """Define the functions, or stubs of them, in an instance's namespace; give the instance its machine."""
        if self.compiled is not None:
            self.compiled.bind(namespace)
        instance = namespace["instance"]
        instance.machine = Machine(instance, self.bodies, self.interpreted)

    def locate(self, filename: str, lineno: int) -> int | None:
        """The byte offset of a line of compiled code."""
        return None if self.compiled is None else self.compiled.locate(filename, lineno)


class _Paused(Suspend):
    """The interpreter suspends by itself, before a segment."""


def _element(table: list[Any], i: int) -> Any:
    try:
        return table[i]
    except IndexError:
        raise Trap(UNDEFINED_ELEMENT) from None


def _offset(tb: TracebackType | None, kind: Any, x: Any, op: Any) -> int | None:
    """The byte offset of what failed: by the frame `tb` below that of `_go`, and what that was about to call."""
    code: CodeType | None = None if tb is None else tb.tb_frame.f_code
    if tb is None or code is None or code.co_filename != FILE:
        if kind in (CALL, INDIRECT, TAIL, INDIRECT_TAIL):
            at: int = x[-1]
            return at
        return None
    candidates = [op, *(x if type(x) is tuple else (x,))]
    found: Any = next((c for c in reversed(candidates) if getattr(c, "__code__", None) is code), None)
    while found is not None and type(found) is not int:
        found = found.__dict__.get("at", {}).get(tb.tb_lineno)
        if callable(found):
            tb = tb.tb_next
            if tb is None:
                return None
    return found


def _called_by_host() -> bool:
    """Whether the interpreter that asks was called from Python, and no other one runs further out."""
    frame: FrameType | None = sys._getframe(1)
    interpreters = 0
    while frame is not None and (frame.f_code.co_filename == __file__ or frame.f_code is timed.__code__):
        interpreters += frame.f_code is Machine._go.__code__
        frame = frame.f_back
    if frame is None:
        return False
    code = frame.f_code
    if code.co_filename != border.FILE and code is not Func.again.__code__ and code.co_name != "__call__":
        return False
    while frame is not None:
        interpreters += frame.f_code is Machine._go.__code__
        frame = frame.f_back
    return interpreters == 1


def _passed_guest(tb: TracebackType | None) -> bool:
    """Whether an exception with these frames, those below `_go`'s, came through compiled code or another interpreter,
    whose frames are gone now."""
    while tb is not None:
        code = tb.tb_frame.f_code
        if code is Machine._go.__code__ or code.co_filename != FILE and "__polymerase__" in tb.tb_frame.f_globals:
            return True
        tb = tb.tb_next
    return False
