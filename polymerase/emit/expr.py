"""IR expressions -> Python expressions, whatever the target. `cpython.py` and `pypy.py` add what differs: memory
access, the form of 64-bit values, rounding.

Every integer comes with bounds (`build.Int`), so masks and sign conversions appear where a consumer needs an exact
value and the bounds do not already show it. Consumers say what they want: any form congruent to the value, the
unsigned one, the signed one, or the signed one if it is free (the view through which a load is done decides).

    i32.and (i32.load8_s p) 255          ->  u8[p]             (s8[p] & 255, but for the view)
    i32.lt_s p 10                        ->  p < 10 or p >= 0x80000000
    i32.eqz (i32.eqz p)                  ->  p, where a condition is wanted; 1 if p else 0 where a number is

Operations without a spelling here call the function of the runtime that has their name. Evaluation stays left to
right; an operand is written twice only when it is a local or a constant, or named by `:=` right before.

Longer than most files: one class whose methods call each other for every operand. What stands alone is in `build.py`
and `ints.py`.
"""

from __future__ import annotations

import ast
import struct
from abc import ABC, abstractmethod
from typing import assert_never

from polymerase.emit import build as b
from polymerase.emit.build import Int, is_bool_node, is_local
from polymerase.emit.ints import Ints, half_of, is_const, is_signed, is_unsigned, mask_of, to_signed
from polymerase.emit.names import suffix
from polymerase.ir import walk
from polymerase.ir.nodes import (
    Call,
    CallIndirect,
    Const,
    Expr,
    Get,
    GlobalGet,
    Load,
    Logic,
    Null,
    Op,
    Select,
    Store,
    Sys,
    Var,
)
from polymerase.wasm.types import F32, I32, I64, V128, NumType, ValType

ANY, UNSIGNED, SIGNED, PREFER_SIGNED = range(4)

_INVERSE = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}
_SWAPPED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}
_INT_COMPARISONS = frozenset(
    f"{t}_{c}" for t in ("i32", "i64") for c in ("eq", "ne", *(f"{c}_{s}" for c in _SWAPPED for s in "su"))
)
_FLOAT_COMPARISONS = frozenset(f"{t}_{c}" for t in ("f32", "f64") for c in b.COMPARISONS)
_EQZ = frozenset(["i32_eqz", "i64_eqz"])
_BITWISE = {"i32_and": True, "i32_or": False}


def width_of(name: str) -> int:
    """Bits that a load or store named `i64_load32_u` moves."""
    digits = "".join(c for c in name.partition("_")[2] if c.isdigit())
    return int(digits or name[1:3])


class Exprs(Ints, ABC):
    """Spells expressions. One instance serves one module; `cells` are the globals that live in a `Global` object."""

    float_fuel = False  # whether floats are added and compared faster than ints

    # Results of these are rounded, quiet numbers: not a NaN whose payload the program chose.
    quiet = frozenset(
        f"{t}_{op}"
        for t in ("f32", "f64")
        for op in ("add", "sub", "mul", "div", "sqrt", "ceil", "floor", "trunc", "nearest", "min", "max")
    ) | frozenset(
        [f"{f}_convert_{i}_{s}" for f in ("f32", "f64") for i in ("i32", "i64") for s in "su"]
        + ["f32_canonical", "f32_demote_f64", "f64_canonical", "f64_promote_f32"]
    )

    def __init__(
        self,
        func_names: tuple[str, ...],
        global_names: tuple[str, ...],
        cells: frozenset[int],
        canonical: tuple[int, ...],
    ) -> None:
        """`canonical`: for each type index the smallest of an equal type."""
        super().__init__()
        self.canonical = canonical
        self.func_names = func_names
        self.global_names = global_names
        self.cells = cells
        self.typed_tables: set[tuple[int, int]] = set()
        # Of the function that is being emitted: how many calls it makes, and the lowest index that it calls.
        self.calls = 0
        self.lowest_callee = 0

    # --- What a target decides

    @abstractmethod
    def home(self, t: ValType) -> int:
        """The form, UNSIGNED or SIGNED, in which variables of integer type `t` are held."""

    @abstractmethod
    def load(self, e: Load, want: int) -> Int:
        """An integer load."""

    @abstractmethod
    def load_float(self, e: Load, payload: bool) -> ast.expr:
        """A float load; without `payload` nobody will see a NaN's payload."""

    @abstractmethod
    def store(self, s: Store) -> list[ast.stmt]:
        """The statements of a store."""

    def may_grow(self, e: Expr) -> bool:
        """Whether evaluating `e` may replace the views of a memory: a view named before is then too short."""
        return bool(walk.effects(e) & walk.WRITES)

    def evaluated_first(self, p: ast.expr) -> tuple[ast.expr, ast.expr]:
        """A test that evaluates the address `p` and is true, and the name of its value from then on."""
        return self.compare(self.walrus("a", p), b.GE, self.const(0)), self.name("a")

    def entered(self, var: Var) -> ast.expr | None:
        """What `var` is set to where it arrived in the form of values between functions; None if that is its own."""
        return None

    def round_f32(self, x: ast.expr) -> ast.expr:
        """The f32 nearest to the result of an f64 operation."""
        return self.call(self.helper("f32_round"), x)

    # --- Values

    def value(self, e: Expr) -> ast.expr:
        """`e` in the form in which variables of its type are held."""
        t = type_of(e)
        if t is I32 or t is I64:
            return self.number(self.whole(e, self.home(t)))
        return self.other(e)

    def outer(self, e: Expr) -> ast.expr:
        """`e` in the form in which values pass between functions and lie in globals."""
        t = type_of(e)
        if t is I32 or t is I64:
            return self.number(self.whole(e, UNSIGNED))
        return self.other(e)

    def number(self, v: Int) -> ast.expr:
        """The node of `v`; a bool becomes an int."""
        if not v.is_bool:
            return v.node
        if isinstance(v.node, ast.UnaryOp) and isinstance(v.node.op, ast.Not):
            return self.if_exp(v.node.operand, self.const(0), self.const(1))
        return self.if_exp(v.node, self.const(1), self.const(0))

    def whole(self, e: Expr, want: int = ANY) -> Int:
        """The integer expression `e` in a form that `want` accepts."""
        v = self._whole(e, want)
        if want == UNSIGNED:
            return self.unsigned(v, bits_of(e))
        if want == SIGNED:
            return self.signed(v, bits_of(e))
        return v

    def _whole(self, e: Expr, want: int) -> Int:
        match e:
            case Const():
                signed = want in (SIGNED, PREFER_SIGNED)
                return self.integer(to_signed(e.value, bits_of(e)) if signed else e.value)
            case Get():
                return self._held(self.name(e.var.name), e.var.type, self.home(e.var.type))
            case GlobalGet():
                return self._held(self.global_(e.i), e.type, UNSIGNED)
            case Op():
                return self.operation(e, want)
            case Logic():
                return self._truth(self.condition(e))
            case Select():
                return self._select(e, want)
            case Load():
                return self.load(e, want)
            case Call() | CallIndirect() | Sys():
                return self._held(self.invocation(e), type_of(e), UNSIGNED)
            case Null():
                raise TypeError("not a number")
            case _:
                assert_never(e)

    def _held(self, node: ast.expr, t: ValType, form: int) -> Int:
        n = 32 if t is I32 else 64
        if form == SIGNED:
            return Int(node, -half_of(n), half_of(n) - 1)
        return Int(node, 0, mask_of(n))

    def _truth(self, node: ast.expr) -> Int:
        """A condition as a number."""
        if isinstance(node, ast.Constant):
            return self.integer(1 if node.value else 0)
        if is_bool_node(node):
            return Int(node, 0, 1, 0, True)
        return Int(self.if_exp(node, self.const(1), self.const(0)), 0, 1)

    def _select(self, e: Select, want: int) -> Int:
        test = self.condition(e.cond)
        if want == PREFER_SIGNED:
            want = ANY
        x, y = self.whole(e.a, want), self.whole(e.b, want)
        node = self.if_exp(test, self.number(x), self.number(y))
        return Int(node, min(x.lo, y.lo), max(x.hi, y.hi), min(x.zeros, y.zeros))

    def global_(self, i: int) -> ast.expr:
        name = self.name(self.global_names[i])
        return self.attribute(name, "value") if i in self.cells else name

    # --- Conditions

    def condition(self, e: Expr, negated: bool = False) -> ast.expr:
        """A Python expression that is true exactly when `e` is not 0, or is 0 if `negated`."""
        match e:
            case Const():
                return self.const(bool(e.value) != negated)
            case Op(name=name) if name in _EQZ:
                return self.condition(e.args[0], not negated)
            case Op(name=name) if name in _INT_COMPARISONS:
                return self._int_comparison(e, negated)
            case Op(name=name) if name in _FLOAT_COMPARISONS:
                return self._float_comparison(e, negated)
            case Op(name="ref_is_null"):
                return self.compare(self.other(e.args[0]), b.IS_NOT if negated else b.IS, self.const(None))
            case Op(name=name) if name[4:] in ("xor", "sub") and name[0] == "i":
                before = self.go(e.at or self.at)
                node = self._equality("eq" if negated else "ne", bits_of(e), *e.args)
                self.go(before)
                return node
            case Op(name=name) if name in _BITWISE and all(map(_is_condition, e.args)) and not walk.effects(e.args[1]):
                is_and = _BITWISE[name] != negated
                return self.bool_op(is_and, [self.condition(a, negated) for a in e.args])
            case Logic():
                return self.bool_op(e.is_and != negated, [self.condition(e.a, negated), self.condition(e.b, negated)])
            case _:
                n = bits_of(e)
                v = self.whole(e)
                if not -1 << n < v.lo or v.hi >> n:
                    v = self.masked(v, mask_of(n))
                return self.not_(v.node) if negated else v.node

    def _float_comparison(self, e: Op, negated: bool) -> ast.expr:
        before = self.go(e.at or self.at)
        kind = e.name[4:]
        x, y = self.real(e.args[0], False), self.real(e.args[1], False)
        if negated and kind in ("eq", "ne"):
            kind, negated = _INVERSE[kind], False
        node = self.compare(x, b.COMPARISONS[kind], y)
        self.go(before)
        return self.not_(node) if negated else node

    def _int_comparison(self, e: Op, negated: bool) -> ast.expr:
        before = self.go(e.at or self.at)
        n = 32 if e.name[1] == "3" else 64
        kind, sign = e.name[4:6], e.name[7:]
        if negated:
            kind = _INVERSE[kind]
        x, y = e.args
        if not sign:
            node = self._equality(kind, n, x, y)
        elif sign == "u":
            node = self._unsigned_order(kind, n, x, y)
        else:
            node = self._signed_order(kind, n, x, y)
        self.go(before)
        return node

    def _equality(self, kind: str, n: int, x: Expr, y: Expr) -> ast.expr:
        if isinstance(y, Const):
            if y.value == 0:
                return self.condition(x, kind == "eq")
            v = self.whole(x, PREFER_SIGNED if y.value >= half_of(n) else ANY)
            if v.lo >= 0 and v.hi < 1 << n or v.lo >= -half_of(n) and v.hi < half_of(n):
                c = y.value if v.lo >= 0 else to_signed(y.value, n)
                return self.compare(v.node, b.COMPARISONS[kind], self.integer(c).node)
            return self.compare(self.unsigned(v, n).node, b.COMPARISONS[kind], self.const(y.value))
        v, w = self.whole(x), self.whole(y)
        if max(v.hi, w.hi) - min(v.lo, w.lo) >> n:  # equal modulo 2^n need not be equal
            v, w = self.unsigned(v, n), self.unsigned(w, n)
        return self.compare(v.node, b.COMPARISONS[kind], w.node)

    def _unsigned_order(self, kind: str, n: int, x: Expr, y: Expr) -> ast.expr:
        v, w = self.whole(x, UNSIGNED), self.whole(y, UNSIGNED)
        return self.compare(v.node, b.COMPARISONS[kind], w.node)

    def _signed_order(self, kind: str, n: int, x: Expr, y: Expr) -> ast.expr:
        if isinstance(x, Const) and not isinstance(y, Const):
            return self._signed_order(_SWAPPED[kind], n, y, x)
        v, w = (
            u if not is_const(u) else self.signed(u, n)
            for u in (self.whole(x, PREFER_SIGNED), self.whole(y, PREFER_SIGNED))
        )
        if is_signed(v, n) and is_signed(w, n):
            return self.compare(v.node, b.COMPARISONS[kind], w.node)
        if is_const(w):
            return self._signed_bound(kind, n, v, w.lo)
        if is_unsigned(v, n) and is_unsigned(w, n) and is_local(v.node) and is_local(w.node):
            # Three comparisons at most, one or two as a rule; the two conversions of `signed` cost twice as much.
            half = half_of(n)
            if kind in ("gt", "ge"):
                kind, v, w = _SWAPPED[kind], w, v
            op = b.COMPARISONS[kind]
            small, large = self.compare(v.node, op, w.node), self.compare(v.node, b.GE, self.mask(half))
            if w.hi < half:
                return self.bool_op(False, [small, large])
            if v.hi < half:
                return self.between(v.node, op, w.node, b.LT, self.mask(half))
            return self.if_exp(
                self.compare(w.node, b.LT, self.mask(half)),
                self.bool_op(False, [small, large]),
                self.between(self.mask(half), b.LE, v.node, op, w.node),
            )
        return self.compare(self.signed(v, n).node, b.COMPARISONS[kind], self.signed(w, n).node)

    def _signed_bound(self, kind: str, n: int, v: Int, c: int) -> ast.expr:
        """`v` against the constant `c`, signed; `v` is in no signed form."""
        half = half_of(n)
        if kind in ("le", "gt"):
            if c == half - 1:
                return self.compare(self.signed(v, n).node, b.COMPARISONS[kind], self.const(c))
            kind, c = ("lt" if kind == "le" else "ge"), c + 1
        less = kind == "lt"
        if c == 0:
            if is_unsigned(v, n):
                return self.compare(v.node, b.GE if less else b.LT, self.mask(half))
            sign = self.binop(v.node, b.AND, self.mask(half))
            return sign if less else self.not_(sign)
        v = self.unsigned(v, n)
        if is_local(v.node):
            if c > 0 and less:
                parts = [self.compare(v.node, b.LT, self.const(c)), self.compare(v.node, b.GE, self.mask(half))]
                return self.bool_op(False, parts)
            if c < 0 and not less:
                bound = self.mask(c + (1 << n))
                return self.bool_op(
                    False, [self.compare(v.node, b.LT, self.mask(half)), self.compare(v.node, b.GE, bound)]
                )
        if c > 0:
            inside = self.between(self.const(c), b.LE, v.node, b.LT, self.mask(half))
            return self.not_(inside) if less else inside
        inside = self.between(self.mask(half), b.LE, v.node, b.LT, self.mask(c + (1 << n)))
        return inside if less else self.not_(inside)

    # --- Integer operations

    def operation(self, e: Op, want: int) -> Int:
        """The integer result of an operation."""
        before = self.go(e.at or self.at)
        v = self._operation(e, want)
        self.go(before)
        return v

    def _operation(self, e: Op, want: int) -> Int:
        n = 64 if e.type is I64 else 32
        name, args = e.name, e.args
        if name in _EQZ or name in _INT_COMPARISONS or name in _FLOAT_COMPARISONS or name == "ref_is_null":
            return self._truth(self.condition(e))
        if name in _BITWISE and _is_condition(e) and not walk.effects(args[1]):
            return self._truth(self.condition(e))
        match name[4:]:
            case "add":
                return self.add(self.whole(args[0]), self.whole(args[1]), n)
            case "sub":
                return self.sub(self.whole(args[0]), self.whole(args[1]), n)
            case "mul":
                return self.mul(self.whole(args[0]), self.whole(args[1]), n)
            case "and":
                return self._and(e, n)
            case "or":
                return self.or_(self.whole(args[0]), self.whole(args[1]), n)
            case "xor":
                inverted = isinstance(args[1], Const) and args[1].value == mask_of(n)
                return self.xor(self.whole(args[0], want if inverted else ANY), self.whole(args[1]), n)
            case "shl":
                return self._shl(e, n, want)
            case "shr_u":
                return self._shr_u(e, n)
            case "shr_s":
                return self._shr_s(e, n, want)
            case "rotl" | "rotr":
                return self._rotate(e, n)
            case "clz":
                x = self.whole(args[0], UNSIGNED)
                length = self.call(self.attribute(x.node, "bit_length"))
                return Int(self.binop(self.const(n), b.SUB, length), 0, n)
            case "ctz":
                return self._ctz(self.whole(args[0], UNSIGNED), n)
            case "div_u" | "rem_u":
                return self._div_u(e, n)
            case "div_s" | "rem_s":
                return self._div_s(e, n)
            case "extend8_s" | "extend16_s" | "extend32_s":
                return self._extend(e, int_of(name), n, want)
            case "wrap_i64":
                v = self.whole(args[0], PREFER_SIGNED if want in (SIGNED, PREFER_SIGNED) else ANY)
                return v if self.fits(v.lo, v.hi, 32) else self.masked(v, mask_of(32))
            case "extend_i32_s":
                return self.sign_extended(self.whole(args[0], PREFER_SIGNED), 32, 64, want == UNSIGNED)
            case "extend_i32_u":
                return self.whole(args[0], UNSIGNED)
            case "trunc_f32_s" | "trunc_f32_u" | "trunc_f64_s" | "trunc_f64_u":
                return self._trunc(e, n)
            case _:
                return self._held(self.helper_call(e), e.type, UNSIGNED)

    def helper_call(self, e: Op) -> ast.expr:
        """The runtime's function for `e`."""
        return self.call(self.helper(e.name), *map(self.outer, e.args))

    def _and(self, e: Op, n: int) -> Int:
        x, y = e.args
        if isinstance(x, Const) and not isinstance(y, Const):
            x, y = y, x
        if isinstance(y, Const):
            # The operand's own mask or sign extension is idle where it leaves these bits alone.
            x = self._demanded(x, y.value)
        return self.and_(self.whole(x), self.whole(y), n)

    def _demanded(self, e: Expr, mask: int) -> Expr:
        """`e`, or something cheaper that has the same bits under `mask`."""
        match e:
            case Op(name=name, args=(x, Const(value=c))) if name[4:] == "and" and name[0] == "i" and c & mask == mask:
                return self._demanded(x, mask)
            case Op(name=name, args=(x,)) if name[4:10] == "extend" and name[4:] in _EXTENDS:
                if mask >> int_of(name) == 0:
                    return self._demanded(x, mask)
            case Load(name=name) if name.endswith("_s") and mask >> width_of(name) == 0:
                return Load(name[:-1] + "u", e.memory, e.addr, e.offset, e.align, e.type, e.at)
        return e

    def _shl(self, e: Op, n: int, want: int) -> Int:
        x, count = e.args
        if isinstance(count, Const):
            return self.shl(self.whole(x), count.value & n - 1, n, want == UNSIGNED)
        v = self.reduce(self.whole(x), n)
        k = self._count(count, n)
        return Int(self.binop(v.node, b.SHL, k.node), min(v.lo << k.hi, v.lo), max(v.hi << k.hi, v.hi), v.zeros)

    def _count(self, count: Expr, n: int) -> Int:
        """A shift count, taken modulo `n`."""
        return self.masked(self.whole(count), n - 1)

    def _shr(self, x: Int, count: Expr, n: int) -> Int:
        if isinstance(count, Const):
            return self.shr(x, count.value & n - 1)
        k = self._count(count, n)
        return Int(self.binop(x.node, b.SHR, k.node), min(x.lo, 0), max(x.hi, 0))

    def _shr_u(self, e: Op, n: int) -> Int:
        return self._shr(self.whole(e.args[0], UNSIGNED), e.args[1], n)

    def _shr_s(self, e: Op, n: int, want: int) -> Int:
        match e.args:
            case (Op(name=name, args=(x, Const(value=c))), Const(value=d)) if name[4:] == "shl" and name[0] == "i":
                if c == d and 0 < c < n:  # the old way to write a sign extension
                    return self.sign_extended(self.whole(x, PREFER_SIGNED), n - c, n, want == UNSIGNED)
        return self._shr(self.whole(e.args[0], SIGNED), e.args[1], n)

    def _rotate(self, e: Op, n: int) -> Int:
        left = e.name.endswith("l")
        x, count = e.args
        if isinstance(count, Const):
            k = (count.value if left else -count.value) & n - 1
            v = self.whole(x, UNSIGNED)
            if k == 0:
                return v
            if is_const(v):
                return self.integer((v.lo << k | v.lo >> n - k) & mask_of(n))
            return self.rotl(v, k, n)
        v = self.whole(x, UNSIGNED)
        twice = self.binop(v.node, b.MUL, self.mask((1 << n) + 1))
        k_ = self.whole(count)
        if left:
            k_ = self.sub(self.integer(0), k_, n)
        k_ = self.masked(k_, n - 1)
        return Int(self.binop(twice, b.SHR, k_.node), 0, mask_of(2 * n))

    def _ctz(self, x: Int, n: int) -> Int:
        test = x.node
        if not b.is_name(x.node):
            test = self.walrus("x", x.node)
            x = Int(self.name("x"), x.lo, x.hi)
        lowest = self.binop(x.node, b.AND, self.neg(x.node))
        length = self.call(self.attribute(lowest, "bit_length"))
        node = self.if_exp(test, self.binop(length, b.SUB, self.const(1)), self.const(n))
        return Int(node, 0, n)

    def _div_u(self, e: Op, n: int) -> Int:
        # Python's own ZeroDivisionError becomes the trap, at the border.
        x, y = self.whole(e.args[0], UNSIGNED), self.whole(e.args[1], UNSIGNED)
        if e.name.endswith("div_u"):
            return Int(self.binop(x.node, b.FLOORDIV, y.node), 0, x.hi // max(y.lo, 1))
        return Int(self.binop(x.node, b.MOD, y.node), 0, min(x.hi, max(y.hi - 1, 0)))

    def _div_s(self, e: Op, n: int) -> Int:
        divide = e.name.endswith("div_s")
        match e.args[1]:
            case Const(value=c) if 0 < c < half_of(n):
                x = self.whole(e.args[0], SIGNED)
                op = b.FLOORDIV if divide else b.MOD
                lo, hi = (x.lo // c, x.hi // c + 1) if divide else (max(1 - c, x.lo), c - 1)
                if x.lo >= 0:
                    return Int(self.binop(x.node, op, self.const(c)), 0, hi)
                test = x.node
                if not is_local(test):
                    test = self.walrus("x", test)
                    x = Int(self.name("x"), x.lo, x.hi)
                elif isinstance(test, ast.Constant):
                    return self._held(self.helper_call(e), e.type, UNSIGNED)
                positive = self.binop(x.node, op, self.const(c))
                negative = self.neg(self.binop(self.neg(x.node), op, self.const(c)))
                return Int(self.if_exp(self.compare(test, b.GE, self.const(0)), positive, negative), lo, hi)
        return self._held(self.helper_call(e), e.type, UNSIGNED)

    def _extend(self, e: Op, n: int, wide: int, want: int) -> Int:
        x = e.args[0]
        match x:
            case Load(name=name) if width_of(name) == n and name.endswith("_u"):
                return self.load(Load(name[:-1] + "s", x.memory, x.addr, x.offset, x.align, x.type, x.at), SIGNED)
        return self.sign_extended(self.whole(x, PREFER_SIGNED), n, wide, want == UNSIGNED)

    def _trunc(self, e: Op, n: int) -> Int:
        """`int(x)`, where the range test passes; the runtime's function for the traps. NaN fails the test."""
        x = self.real(e.args[0], False)
        if e.name.endswith("_s"):
            lo, hi = -half_of(n), half_of(n)
        else:
            lo, hi = 0, 1 << n
        # -2^31 - 1 is an f64; of 64 bits the next below -2^63 is far away.
        low, op = (float(lo - 1), b.LT) if n == 32 or lo == 0 else (float(lo), b.LE)
        first = x
        if not is_local(x):
            first, x = self.walrus("x", x), self.name("x")
        low_node = self.neg(self.const(-low)) if low < 0 else self.const(low)
        test = self.between(low_node, op, first, b.LT, self.const(float(hi)))
        exact = self.call(self.name("int"), x)
        return Int(self.if_exp(test, exact, self.call(self.helper(e.name), x)), lo, hi - 1)

    # --- Floats and references

    def other(self, e: Expr) -> ast.expr:
        """`e` of float, vector or reference type."""
        return self.real(e, True)

    def real(self, e: Expr, payload: bool = True) -> ast.expr:
        """`e` of float or any other type but an integer. Without `payload` nobody looks at the bits of a NaN."""
        match e:
            case Const():
                return self._float_constant(e)
            case Null():
                return self.const(None)
            case Get():
                return self.name(e.var.name)
            case GlobalGet():
                return self.global_(e.i)
            case Op():
                before = self.go(e.at or self.at)
                node = self._float_operation(e, payload)
                self.go(before)
                return node
            case Select():
                test = self.condition(e.cond)
                return self.if_exp(test, self.real(e.a, payload), self.real(e.b, payload))
            case Load():
                return self.load_float(e, payload)
            case Call() | CallIndirect() | Sys():
                return self.invocation(e)
            case Logic():
                raise TypeError("not a float")
            case _:
                assert_never(e)

    def _float_constant(self, e: Const) -> ast.expr:
        if e.type is V128:
            return self.mask(e.value)
        if e.type is F32:
            exponent, fraction = e.value >> 23 & 0xFF, e.value & 0x7FFFFF
            value = struct.unpack("<f", struct.pack("<I", e.value))[0]
        else:
            exponent, fraction = e.value >> 52 & 0x7FF, e.value & 0xFFFFFFFFFFFFF
            value = struct.unpack("<d", struct.pack("<Q", e.value))[0]
        if exponent == (0xFF if e.type is F32 else 0x7FF):
            if not fraction:  # 1e999 is how Python's own repr of a literal gets at infinity
                infinite = self.helper("inf")
                return self.neg(infinite) if value < 0 else infinite
            name = "f32_reinterpret_i32" if e.type is F32 else "f64_reinterpret_i64"
            return self.call(self.helper(name), self.mask(e.value))
        if e.value >> (31 if e.type is F32 else 63):
            return self.neg(self.const(-value))
        return self.const(value)

    def is_quiet(self, e: Expr) -> bool:
        """Whether `e` is proven to be no NaN with a payload of the program's choice."""
        match e:
            case Op():
                return e.name in self.quiet
            case Const():
                return e.value & 0x7FFFFFFF <= 0x7F800000 if e.type is F32 else e.value & mask_of(63) <= 0x7FF << 52
            case Select():
                return self.is_quiet(e.a) and self.is_quiet(e.b)
            case _:
                return False

    def _float_operation(self, e: Op, payload: bool) -> ast.expr:
        if e.type is F32:
            match e.name[4:]:
                case "add" | "sub" | "mul" | "convert_i32_s" | "convert_i32_u":
                    return self.round_f32(self.unrounded(e))
                case "div" if (node := self._division(e)) is not None:
                    return node
        match e.name:
            case "f64_add" | "f64_sub" | "f64_mul" | "f64_convert_i32_s" | "f64_convert_i32_u":
                return self.unrounded(e)
            case "f64_convert_i64_s" | "f64_convert_i64_u":
                return self.unrounded(e)
            case "f64_div" if (node := self._division(e)) is not None:
                return node
            case "f32_neg" | "f64_neg":
                return self.neg(self.real(e.args[0], payload))
            case "f32_abs" | "f64_abs":
                return self.call(self.name("abs"), self.real(e.args[0], payload))
            case "f64_promote_f32":
                x = self.real(e.args[0], False)
                if not payload or self.is_quiet(e.args[0]):
                    return x
                return self.binop(x, b.MUL, self.const(1.0))  # makes a signaling NaN quiet, changes nothing else
            case "f32_canonical" | "f64_canonical":
                x = self.real(e.args[0], False)
                if not payload:
                    return x
                test = x
                if not is_local(x):
                    test, x = self.walrus("x", x), self.name("x")
                return self.if_exp(self.compare(test, b.EQ, x), x, self.helper("nan"))
            case "f64_sqrt":
                return self._sqrt(e)
            case "f64_min" | "f64_max" | "f32_min" | "f32_max":
                return self._min_max(e)
            case _:
                return self.helper_call(e)

    def unrounded(self, e: Op) -> ast.expr:
        """The operation in double precision."""
        match e.name[4:]:
            case "add":
                op: ast.operator = b.ADD
            case "sub":
                op = b.SUB
            case "mul":
                op = b.MUL
            case "convert_i32_s" | "convert_i64_s":
                return self.binop(self.number(self.whole(e.args[0], SIGNED)), b.ADD, self.const(0.0))
            case "convert_i32_u" | "convert_i64_u":
                return self.binop(self.number(self.whole(e.args[0], UNSIGNED)), b.ADD, self.const(0.0))
            case _:
                raise TypeError(e.name)
        x, y = self.real(e.args[0], False), self.real(e.args[1], False)
        return self.binop(x, op, y)

    def _division(self, e: Op) -> ast.expr | None:
        """`x / y`, but for Python's opinion of 1 / 0; None when the operands are too big to be written twice."""
        a, c = e.args
        rounded = self.round_f32 if e.type is F32 else _same
        if isinstance(c, Const) and c.value & mask_of(63 if e.type is not F32 else 31):
            return rounded(self.binop(self.real(a, False), b.DIV, self.real(c, False)))
        x = self.real(a, False)
        if not is_local(x):
            return None
        y = self.real(c, False)
        test = y
        if not is_local(y):
            test, y = self.walrus("x", y), self.name("x")
        slow = self.call(self.helper(e.name), x, y)
        return self.if_exp(test, rounded(self.binop(x, b.DIV, y)), slow)

    def _sqrt(self, e: Op) -> ast.expr:
        x = self.real(e.args[0], False)
        test = x
        if not is_local(x):
            test, x = self.walrus("x", x), self.name("x")
        test = self.compare(test, b.GE, self.const(0.0))
        return self.if_exp(test, self.call(self.helper("sqrt"), x), self.call(self.helper(e.name), x))

    def _min_max(self, e: Op) -> ast.expr:
        x, y = self.real(e.args[0], False), self.real(e.args[1], False)
        if not (isinstance(x, ast.Name) and isinstance(y, ast.Name) and is_local(x) and is_local(y)):
            return self.call(self.helper(e.name), x, y)
        first, second = (x, y) if e.name.endswith("min") else (y, x)
        # Equal operands may be zeros of both signs, NaNs are in no order: both go to the runtime.
        slow = self.call(self.helper(e.name), x, y)
        inner = self.if_exp(self.compare(second, b.LT, first), y, slow)
        return self.if_exp(self.compare(first, b.LT, second), x, inner)

    # --- Calls and the instance's state

    def invocation(self, e: Call | CallIndirect | Sys) -> ast.expr:
        before = self.go(e.at)
        match e:
            case Call():
                self.calls += 1
                node: ast.expr = self.call(self.callee(e), *map(self.outer, e.args))
            case CallIndirect():
                self.calls += 1
                node = self.call(self.callee(e), *map(self.outer, e.args))
            case Sys():
                node = self._sys(e)
            case _:
                assert_never(e)
        self.go(before)
        return node

    def callee(self, e: Call | CallIndirect) -> ast.expr:
        """The callable that a call reaches."""
        if isinstance(e, Call):
            self.lowest_callee = min(self.lowest_callee, e.i)
            return self.name(self.func_names[e.i])
        self.lowest_callee = -1
        k = self.canonical[e.type_index]
        self.typed_tables.add((e.table, k))
        return self.index(self.name(f"table{e.table}_t{k}"), self.outer(e.index))

    def _sys(self, e: Sys) -> ast.expr:
        args = [self.outer(a) for a in e.args]
        state: list[ast.expr]
        match e.name:
            case "memory_size":
                length = self.call(self.name("len"), self.name("u8" + suffix(e.imm[0])))
                return self.binop(length, b.SHR, self.const(16))
            case "memory_grow" | "memory_fill" | "memory_copy":
                state = [self.name(f"mem{i}") for i in e.imm]
            case "memory_init":
                return self._init(e, args, ("mem", "seg", "d", "s", "n"), f"mem{e.imm[1]}", f"data_seg{e.imm[0]}")
            case "table_init":
                return self._init(e, args, ("table", "seg", "d", "s", "n"), f"table{e.imm[1]}", f"elem_seg{e.imm[0]}")
            case "ref_func":
                state = [self.name("instance"), self.const(e.imm[0])]
            case _:
                state = [self.name(f"table{i}") for i in e.imm]
        return self.call(self.helper(e.name), *state, *args)

    def _init(self, e: Sys, args: list[ast.expr], params: tuple[str, ...], target: str, segment: str) -> ast.expr:
        """`memory.init` or `table.init`: arguments that may drop the segment are written before it."""
        state: list[ast.expr] = [self.name(target), self.name(segment)]
        node = self.call(self.helper(e.name), *state, *args)
        if any(walk.effects(a) & walk.WRITES for a in e.args):
            named = [*zip(params[2:], args, strict=True), *zip(params, state, strict=False)]
            node.args = []
            node.keywords = [ast.keyword(name, value, **self.pos) for name, value in named]
        return node


_EXTENDS = frozenset(["extend8_s", "extend16_s", "extend32_s"])


def _same(x: ast.expr) -> ast.expr:
    return x


def int_of(name: str) -> int:
    """8 of `i32_extend8_s`."""
    return int("".join(c for c in name[4:] if c.isdigit()))


def _is_condition(e: Expr) -> bool:
    """Whether `e` is 0 or 1 and cheapest as a Python condition."""
    match e:
        case Op(name=name):
            if name in _EQZ or name in _INT_COMPARISONS or name in _FLOAT_COMPARISONS:
                return True
            return name in _BITWISE and all(map(_is_condition, e.args))
        case Logic():
            return True
        case _:
            return False


def bits_of(e: Expr) -> int:
    """32 or 64: the width of an integer expression."""
    return 64 if type_of(e) is I64 else 32


def type_of(e: Expr) -> ValType:
    """The type of an expression with exactly one result."""
    match e:
        case Get():
            return e.var.type
        case Call() | CallIndirect():
            return e.results[0]
        case Logic():
            return I32
        case Sys():
            assert e.type is not None
            return e.type
        case _:
            return e.type


def is_int(t: ValType) -> bool:
    """Whether values of type `t` are ints modulo 2^bits."""
    return isinstance(t, NumType) and (t is I32 or t is I64)
