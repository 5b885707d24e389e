"""PyPy's spelling: memory through `struct`, and no integer wider than the machine word, which its JIT would have to
allocate.

    unpack_u32(data, p + 8)[0]        any alignment, its own bounds check
    int_mul(p0, p1) & 0xFFFFFFFF      the product of two u32, modulo 2^64
    int_add(v1, v2)                   an i64 sum: i64 variables hold the signed form

Values of i64 are converted where they enter and leave a function: between functions they are unsigned on every target.
All of it is right on CPython, too, if slow.
"""

from __future__ import annotations

import ast

from polymerase.emit import build as b
from polymerase.emit.build import Int, is_local, is_name
from polymerase.emit.expr import PREFER_SIGNED, SIGNED, UNSIGNED, Exprs, width_of
from polymerase.emit.ints import half_of, is_const, is_signed, is_unsigned, mask_of, to_signed
from polymerase.emit.names import suffix
from polymerase.ir.nodes import Const, Expr, Get, Load, Op, Store, Var
from polymerase.wasm.types import F32, I64, ValType

_WORD = 1 << 63


class PyPy(Exprs):
    """Spells expressions and stores for PyPy."""

    limits = {32: _WORD, 64: _WORD}

    def home(self, t: ValType) -> int:
        return SIGNED if t is I64 else UNSIGNED

    def entered(self, var: Var) -> ast.expr | None:
        if var.type is not I64:
            return None
        return self.signed(Int(self.name(var.name), 0, mask_of(64)), 64).node

    # --- Forms

    def unsigned(self, v: Int, n: int) -> Int:
        """Of 64 bits a mask would be a long integer, and with it the result."""
        if n != 64 or is_unsigned(v, n) or is_const(v):
            return super().unsigned(v, n)
        v = self.signed(v, n)
        test, x = self._twice(v.node)
        if v.lo >= 0:
            return v
        wide = self.binop(x, b.ADD, self.mask(1 << 64))
        return Int(self.if_exp(self.compare(test, b.GE, self.const(0)), x, wide), 0, mask_of(64), v.zeros)

    def signed(self, v: Int, n: int) -> Int:
        if is_signed(v, n) or is_const(v):
            return super().signed(v, n)
        half = half_of(n)
        if n != 64:  # without a branch, which may go either way
            v = self.unsigned(v, n)
            flipped = self.binop(v.node, b.XOR, self.mask(half))
            return Int(self.binop(flipped, b.SUB, self.mask(half)), -half, half - 1, min(v.zeros, n))
        if not is_unsigned(v, n):  # only where `fits` had to give up
            v = self.masked(v, mask_of(n))
        test, x = self._twice(v.node)
        small = self.compare(test, b.LE, self.mask(half - 1))
        return Int(self.if_exp(small, x, self.binop(x, b.SUB, self.mask(1 << n))), -half, half - 1, min(v.zeros, n))

    def _twice(self, node: ast.expr) -> tuple[ast.expr, ast.expr]:
        """`node`, and what stands for it when it has been evaluated."""
        return (node, node) if is_name(node) else (self.walrus("x", node), self.name("x"))

    def _whole(self, e: Expr, want: int) -> Int:
        if isinstance(e, Const) and e.type is I64:
            return self.integer(e.value if want == UNSIGNED else to_signed(e.value, 64))
        return super()._whole(e, want)

    def reduce(self, v: Int, n: int) -> Int:
        return self.signed(v, n) if n == 64 else super().reduce(v, n)

    # --- Arithmetic

    def _word(self, name: str, x: Int, y: Int, zeros: int) -> Int:
        """An operation modulo 2^64 on machine words."""
        return Int(self.call(self.helper(name), x.node, y.node), -_WORD, _WORD - 1, zeros)

    def term(self, c: int, n: int) -> int:
        return c  # the product of two u32 would be wider than a word

    def add(self, x: Int, y: Int, n: int) -> Int:
        if n == 64 and not (is_const(x) and is_const(y)):
            x, y = self.signed(x, n), self.signed(y, n)
            if not self.fits(x.lo + y.lo, x.hi + y.hi, n):
                return self._word("int_add", x, y, min(x.zeros, y.zeros))
        return super().add(x, y, n)

    def sub(self, x: Int, y: Int, n: int) -> Int:
        if n == 64 and not is_const(y):
            x, y = self.signed(x, n), self.signed(y, n)
            if not self.fits(x.lo - y.hi, x.hi - y.lo, n):
                return self._word("int_sub", x, y, min(x.zeros, y.zeros))
        return super().sub(x, y, n)

    def mul(self, x: Int, y: Int, n: int) -> Int:
        if is_const(x) and is_const(y):
            return super().mul(x, y, n)
        x, y = self.reduce(x, n), self.reduce(y, n)
        corners = (x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi)
        if self.fits(min(corners), max(corners), n):
            return super().mul(x, y, n)
        if is_const(y) and n == 32:
            y = self.integer(to_signed(y.lo, n))
            if self.fits(min(x.lo * y.lo, x.hi * y.lo), max(x.lo * y.lo, x.hi * y.lo), n):
                return super().mul(x, y, n)
        return self._word("int_mul", x, y, min(x.zeros + y.zeros, n))

    def and_(self, x: Int, y: Int, n: int) -> Int:
        if n == 64:
            x, y = self.signed(x, n), self.signed(y, n)
            if is_const(x) and not is_const(y):
                x, y = y, x
            if is_const(y) and not is_const(x) and y.lo < 0:
                if y.lo == -1:
                    return x
                lo = 0 if x.lo >= 0 else -_WORD
                zeros = max(x.zeros, y.zeros)
                return Int(self.binop(x.node, b.AND, y.node), lo, max(x.hi, 0), zeros)
        return super().and_(x, y, n)

    def or_(self, x: Int, y: Int, n: int) -> Int:
        return super().or_(self.reduce(x, n), self.reduce(y, n), n)

    def xor(self, x: Int, y: Int, n: int) -> Int:
        return super().xor(self.reduce(x, n), self.reduce(y, n), n)

    def shl(self, x: Int, k: int, n: int, exact: bool) -> Int:
        if n == 64 and not is_const(x) and k:
            x = self.signed(x, n)
            if not self.fits(x.lo << k, x.hi << k, n):
                return self._word("int_lshift", x, self.integer(k), min(x.zeros + k, n))
        return super().shl(x, k, n, exact and n == 32)

    def _shl(self, e: Op, n: int, want: int) -> Int:
        if n == 32 or isinstance(e.args[1], Const):
            return super()._shl(e, n, want)
        x = self.whole(e.args[0], SIGNED)
        return self._word("int_lshift", x, self._count(e.args[1], n), 0)

    def _shr_u(self, e: Op, n: int) -> Int:
        if n == 32:
            return super()._shr_u(e, n)
        x = self.whole(e.args[0], SIGNED)
        if x.lo >= 0:
            return self._shr(x, e.args[1], n)
        if isinstance(e.args[1], Const):
            k = e.args[1].value & 63
            if not k:
                return x
            shifted = self.binop(x.node, b.SHR, self.const(k))
            return Int(self.binop(shifted, b.AND, self.mask(mask_of(64 - k))), 0, mask_of(64 - k))
        return self._word("uint_rshift", x, self._count(e.args[1], n), 0)

    def rotl(self, x: Int, k: int, n: int) -> Int:
        """Two shifts: a product of the two copies would be wider than a word."""
        first, second = self._twice(x.node)
        if n == 32:
            high: ast.expr = self.binop(first, b.SHL, self.const(k))
            low: ast.expr = self.binop(second, b.SHR, self.const(n - k))
            return Int(self.binop(high, b.OR, low), 0, mask_of(n + k))
        high = self.call(self.helper("int_lshift"), first, self.const(k))
        low = self.call(self.helper("uint_rshift"), second, self.const(n - k))
        return Int(self.binop(high, b.OR, low), -_WORD, _WORD - 1)

    def _rotate(self, e: Op, n: int) -> Int:
        x, count = e.args
        form = UNSIGNED if n == 32 else SIGNED
        if isinstance(count, Const):
            k = (count.value if e.name.endswith("l") else -count.value) & n - 1
            v = self.whole(x, form)
            if k == 0:
                return v
            if is_const(v):
                value = v.lo & mask_of(n)
                return self.reduce(self.integer((value << k | value >> n - k) & mask_of(n)), n)
            return self.rotl(v, k, n)
        k_ = self.whole(count)
        if not is_local(k_.node) or is_const(k_):
            return self._held(self.helper_call(e), e.type, UNSIGNED)
        v = self.whole(x, form)
        first, second = self._twice(v.node)
        there = self.binop(k_.node, b.AND, self.const(n - 1))
        back = self.binop(self.neg(k_.node), b.AND, self.const(n - 1))
        left, right = (there, back) if e.name.endswith("l") else (back, there)
        if n == 32:
            node = self.binop(self.binop(first, b.SHL, left), b.OR, self.binop(second, b.SHR, right))
            return Int(node, 0, mask_of(63))
        high = self.call(self.helper("int_lshift"), first, left)
        low = self.call(self.helper("uint_rshift"), second, right)
        return Int(self.binop(high, b.OR, low), -_WORD, _WORD - 1)

    def _div_u(self, e: Op, n: int) -> Int:
        if n == 32:
            return super()._div_u(e, n)
        x, y = self.whole(e.args[0], SIGNED), self.whole(e.args[1], SIGNED)
        if x.lo >= 0 and y.lo >= 0:
            return super()._div_u(e, n)
        return self._word("s64" + e.name[3:], x, y, 0)

    def _div_s(self, e: Op, n: int) -> Int:
        if n == 32 or isinstance(e.args[1], Const) and 0 < e.args[1].value < _WORD:
            return super()._div_s(e, n)
        return self._word("s64" + e.name[3:], self.whole(e.args[0], SIGNED), self.whole(e.args[1], SIGNED), 0)

    def _unsigned_order(self, kind: str, n: int, x: Expr, y: Expr) -> ast.expr:
        if n == 32:
            return super()._unsigned_order(kind, n, x, y)
        v, w = self.whole(x, SIGNED), self.whole(y, SIGNED)
        if v.lo < 0 or w.lo < 0:  # with the sign bit flipped, signed order is unsigned order
            v, w = self._flipped(v), self._flipped(w)
        return self.compare(v.node, b.COMPARISONS[kind], w.node)

    def _signed_order(self, kind: str, n: int, x: Expr, y: Expr) -> ast.expr:
        if n == 32 and isinstance(x, Get) and isinstance(y, Get):
            # Without a branch: sorting goes either way. Unsigned order with the sign bits flipped is signed order.
            half = half_of(n)
            v, w = (self.binop(self.name(e.var.name), b.XOR, self.mask(half)) for e in (x, y))
            return self.compare(v, b.COMPARISONS[kind], w)
        return super()._signed_order(kind, n, x, y)

    def _flipped(self, v: Int) -> Int:
        if is_const(v):
            return self.integer(v.lo ^ -_WORD)
        return Int(self.binop(v.node, b.XOR, self.integer(-_WORD).node), -_WORD, _WORD - 1)

    # --- Memory

    def address(self, addr: Expr, offset: int) -> ast.expr:
        """The effective address: no longer modulo 2^32."""
        v = self.whole(addr, UNSIGNED)
        if is_const(v):
            return self.const(v.lo + offset)
        return self.binop(v.node, b.ADD, self.const(offset)) if offset else v.node

    def unpacked(self, kind: str, memory: int, p: ast.expr) -> ast.expr:
        values = self.call(self.helper(f"unpack_{kind}"), self.name("data" + suffix(memory)), p)
        return self.index(values, self.const(0))

    def load(self, e: Load, want: int) -> Int:
        before = self.go(e.at)
        width, n = width_of(e.name), int(e.name[1:3])
        p = self.address(e.addr, e.offset)
        signed = e.name.endswith("_s") or width == n and (width == 64 or want in (SIGNED, PREFER_SIGNED))
        first = None
        if self.may_grow(e.addr):
            first, p = self.evaluated_first(p)
        if width == 8:
            node: ast.expr = self.index(self.name("u8" + suffix(e.memory)), p)
            if signed:
                node = self.binop(self.binop(node, b.XOR, self.const(128)), b.SUB, self.const(128))
        else:
            node = self.unpacked(f"{'s' if signed else 'u'}{width}", e.memory, p)
        if first is not None:
            node = self.if_exp(first, node, self.const(0))
        self.go(before)
        return Int(node, -half_of(width), half_of(width) - 1) if signed else Int(node, 0, mask_of(width))

    def load_float(self, e: Load, payload: bool) -> ast.expr:
        before = self.go(e.at)
        p = self.address(e.addr, e.offset)
        first = None
        if self.may_grow(e.addr):
            first, p = self.evaluated_first(p)
        if payload and e.type is F32:  # struct makes a signaling NaN quiet
            node: ast.expr = self.call(self.helper(e.name), self.name("data" + suffix(e.memory)), p)
        else:
            node = self.unpacked(e.name[:3], e.memory, p)
        if first is not None:
            node = self.if_exp(first, node, self.const(0.0))
        self.go(before)
        return node

    def store(self, s: Store) -> list[ast.stmt]:
        width = width_of(s.name)
        p = self.address(s.addr, s.offset)
        kind = f"pack_{s.name[:3]}"
        if s.name[0] == "f":
            if s.name[:3] == "f32" and not self.is_quiet(s.value):
                kind = s.name
            value = self.real(s.value)
        elif width == 64:
            kind, value = "pack_s64", self.number(self.whole(s.value, SIGNED))
        else:
            kind, value = f"pack_u{width}", self.number(self.masked(self.whole(s.value), mask_of(width)))
        pre: list[ast.stmt] = []
        if self.may_grow(s.addr):
            pre.append(self.assign(self.target("a"), p))
            p = self.name("a")
        if self.may_grow(s.value):
            pre.append(self.assign(self.target("y"), value))
            value = self.name("y")
        if width == 8:
            return [*pre, self.assign(self.index_target(self.name("u8" + suffix(s.memory)), p), value)]
        data = self.name("data" + suffix(s.memory))
        return [*pre, self.expr_stmt(self.call(self.helper(kind), data, p, value))]
