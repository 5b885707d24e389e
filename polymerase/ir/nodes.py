"""The trees between wasm bodies and Python source: structured statements over expression trees. Data, no decisions.

Control flow is what Python has: `If`, `While` (endless), `Break` and `Continue` of the innermost `While`, `Return`.
Values are WebAssembly's: an expression of type i32 stands for a value mod 2^32; which Python int holds it is the
emitter's choice. What every pass may rely on is listed, and checked, in `ir/check.py`.

Short names used everywhere: `f` func, `i` index, `t` type, `e` expr, `s` stmt, `at` byte offset in the module.
"""

from __future__ import annotations

from dataclasses import dataclass

from polymerase.wasm.types import FuncType, ValType


@dataclass(frozen=True, slots=True)
class Var:
    """A local variable of the emitted function. Names are unique in a function: p0 (parameter), v1 (local),
    t4 (temporary), br5 (branch guard or dispatch state, i32)."""

    name: str
    type: ValType


# --- Expressions. Evaluated left to right, arguments first: that order is the wasm order, and must be kept
# --- wherever it can be seen (see `walk.Effects`).


@dataclass(frozen=True, slots=True)
class Const:
    """A number. Integers and v128 are unsigned; floats are held as their IEEE 754 bits, so that NaNs compare."""

    type: ValType
    value: int


@dataclass(frozen=True, slots=True)
class Null:
    """A null reference."""

    type: ValType


@dataclass(frozen=True, slots=True)
class Get:
    """The value of a variable."""

    var: Var


@dataclass(frozen=True, slots=True)
class GlobalGet:
    """The value of global `i`."""

    i: int
    type: ValType


@dataclass(frozen=True, slots=True)
class Op:
    """A numeric operation of the instruction table, `name` as in the runtime (`i32_div_s`). Depends on nothing but
    its arguments; may trap (see `walk.TRAPPING`)."""

    name: str
    args: tuple[Expr, ...]
    type: ValType
    at: int


@dataclass(frozen=True, slots=True)
class Logic:
    """Short-circuit `and` or `or` (`is_and`) of two i32 conditions: 0 or not 0, with `b` evaluated only if needed."""

    is_and: bool
    a: Expr
    b: Expr


@dataclass(frozen=True, slots=True)
class Select:
    """`a` if `cond` is not 0 else `b`. `a` and `b` have no effects, so evaluating one of them after `cond` is right."""

    cond: Expr
    a: Expr
    b: Expr
    type: ValType


@dataclass(frozen=True, slots=True)
class Load:
    """`name` (`i32_load8_u`) of memory `memory` at the unsigned address `addr` plus `offset` (bytes). Traps when out of
    bounds. `align` is the memarg's log2 hint: never proof."""

    name: str
    memory: int
    addr: Expr
    offset: int
    align: int
    type: ValType
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call of function `i`. `results` may have any length; as an operand only with length 1."""

    i: int
    args: tuple[Expr, ...]
    results: tuple[ValType, ...]
    at: int


@dataclass(frozen=True, slots=True)
class CallIndirect:
    """A call through element `index` of table `table`, checked against type `type_index`.
    Wasm evaluates `args`, then `index`; either all of `args` or `index` is free of effects, so Python may look the
    element up first."""

    type_index: int
    table: int
    index: Expr
    args: tuple[Expr, ...]
    results: tuple[ValType, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Sys:
    """An operation on the instance's state other than those above, named as in the runtime, its static immediates
    in `imm`: memory_size, memory_grow, memory_fill, memory_copy, memory_init, data_drop, table_get, table_set,
    table_size, table_grow, table_fill, table_copy, table_init, elem_drop, ref_func (imm: indices, in the order of
    the binary format). `type` is None when it has no result."""

    name: str
    imm: tuple[int, ...]
    args: tuple[Expr, ...]
    type: ValType | None
    at: int


Expr = Const | Null | Get | GlobalGet | Op | Logic | Select | Load | Call | CallIndirect | Sys


# --- Statements


@dataclass(frozen=True, slots=True)
class Set:
    """var = e."""

    var: Var
    e: Expr
    at: int


@dataclass(frozen=True, slots=True)
class SetMany:
    """Several results of one call, in order; at least two variables."""

    vars: tuple[Var, ...]
    e: Call | CallIndirect
    at: int


@dataclass(frozen=True, slots=True)
class Move:
    """Parallel assignment: all of `es` are evaluated before any variable is set; at least two."""

    vars: tuple[Var, ...]
    es: tuple[Expr, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Eval:
    """Evaluate for effects, drop the results."""

    e: Expr
    at: int


@dataclass(frozen=True, slots=True)
class GlobalSet:
    """global i = e."""

    i: int
    e: Expr
    at: int


@dataclass(frozen=True, slots=True)
class Store:
    """`name` (`i64_store32`) of `value` at `addr` plus `offset`. `addr` or `value` is free of effects, so that Python
    may evaluate the value first."""

    name: str
    memory: int
    addr: Expr
    offset: int
    align: int
    value: Expr
    at: int


@dataclass(frozen=True, slots=True)
class If:
    """`then` if `cond` is not 0, else `orelse`. `then` is never empty."""

    cond: Expr
    then: Body
    orelse: Body
    at: int


@dataclass(frozen=True, slots=True)
class While:
    """An endless loop, left by Break, Return, TailCall or a trap. One that always leaves runs once: a forward block."""

    body: Body
    at: int


@dataclass(frozen=True, slots=True)
class Break:
    """Leave the innermost While."""

    at: int


@dataclass(frozen=True, slots=True)
class Continue:
    """Start the innermost While again."""

    at: int


@dataclass(frozen=True, slots=True)
class Switch:
    """Case `i` runs for the values in `cases[i][0]` (unsigned, sorted, in no other case), `default` for all others.
    `e` is a Get, evaluated once; to be searched in logarithmic time."""

    e: Get
    cases: tuple[tuple[tuple[int, ...], Body], ...]
    default: Body
    at: int


@dataclass(frozen=True, slots=True)
class Return:
    """Return values: none, one, or a tuple."""

    es: tuple[Expr, ...]
    at: int


@dataclass(frozen=True, slots=True)
class TailCall:
    """Return what the call returns, without keeping this frame."""

    e: Call | CallIndirect
    at: int


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Trap "unreachable"."""

    at: int


@dataclass(frozen=True, slots=True)
class Charge:
    """Take `cost` units of fuel, at least 1, or trap: what the basic block that begins here costs."""

    cost: int
    at: int


Stmt = (
    Set
    | SetMany
    | Move
    | Eval
    | GlobalSet
    | Store
    | If
    | While
    | Break
    | Continue
    | Switch
    | Return
    | TailCall
    | Unreachable
    | Charge
)
Body = tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class Func:
    """A defined function: `i` in the function index space; `params` are its first variables; `at` its byte offset.

    Falling off the end of `body` happens only when the function has no results."""

    i: int
    type: FuncType
    params: tuple[Var, ...]
    body: Body
    at: int
