"""Integer arithmetic on Python ints that stand for values modulo 2^bits.

Each result is as wide as Python makes it, with bounds that say how wide: `a + b` of two u32 lies in [0, 2^33 - 2], and
is masked only where a consumer needs the exact value. `unsigned` and `signed` are those consumers; `reduce` keeps
chains from growing: past `limit`, a Python int costs more than the mask.

    ((p0 + p1) + p2) ^ p3     ->  (p0 + p1 + p2 ^ p3) & 0xFFFFFFFF
    (p0 + p1) & 255           ->  p0 + p1 & 255
    i32.shl by 8, then load   ->  (p0 & 0xFFFFFF) << 8, in bounds at once

Sound because +, -, *, &, |, ^, << and ~ of ints congruent modulo 2^bits are congruent, the low bits of a result
depending on no higher bits of the operands; >>, comparisons and all else get one exact form or the other.
"""

from __future__ import annotations

import ast

from polymerase.emit import build as b
from polymerase.emit.build import Builder, Int


def mask_of(n: int) -> int:
    """All ones of `n` bits."""
    return (1 << n) - 1


def half_of(n: int) -> int:
    """The sign bit of `n` bits."""
    return 1 << (n - 1)


def to_signed(value: int, n: int) -> int:
    """The signed reading of a value of `n` bits."""
    value &= mask_of(n)
    return value - (value >> (n - 1) << n)


def is_unsigned(v: Int, n: int) -> bool:
    """Whether `v` is proven to lie in [0, 2^n)."""
    return v.lo >= 0 and v.hi >> n == 0


def is_signed(v: Int, n: int) -> bool:
    """Whether `v` is proven to lie in [-2^(n-1), 2^(n-1))."""
    half = half_of(n)
    return -half <= v.lo and v.hi < half


def is_const(v: Int) -> bool:
    """Whether the node is a literal."""
    node = v.node.operand if isinstance(v.node, ast.UnaryOp) else v.node
    return isinstance(node, ast.Constant) and v.lo == v.hi


class Ints(Builder):
    """Arithmetic with bounds. Operands' nodes are used up: only names and constants may be passed twice."""

    # How far an intermediate value may lie from 0, by bits of its type. Three digits of CPython's ints (of 30 bits)
    # hold the product of two u32, five that of two u64.
    limits = {32: 1 << 90, 64: 1 << 150}

    def fits(self, lo: int, hi: int, n: int) -> bool:
        """Whether a result with these bounds may stay as it is."""
        limit = self.limits[n]
        return -limit <= lo and hi < limit

    def unsigned(self, v: Int, n: int) -> Int:
        """`v` as an int in [0, 2^n)."""
        if is_unsigned(v, n):
            return v
        return self.masked(v, mask_of(n))

    def masked(self, v: Int, mask: int) -> Int:
        """`v & mask`, mask not negative."""
        if is_const(v):
            return self.integer(v.lo & mask)
        if 0 <= v.lo and v.hi & mask == v.hi and mask & (mask + 1) == 0:
            return v
        hi = min(mask, v.hi) if v.lo >= 0 else mask
        zeros = max(v.zeros, b.trailing_zeros(mask))
        return Int(self.binop(v.node, b.AND, self.mask(mask)), 0, hi, zeros)

    def signed(self, v: Int, n: int) -> Int:
        """`v` as an int in [-2^(n-1), 2^(n-1))."""
        if is_signed(v, n):
            return v
        if is_const(v):
            return self.integer(to_signed(v.lo, n))
        return self._sign(v, n, n)

    def sign_extended(self, v: Int, n: int, wide: int, unsigned: bool) -> Int:
        """The signed reading of the lowest `n` bits of `v`, or, `unsigned`, that in `wide` bits: in [0, 2^wide)."""
        if is_signed(v, n):
            return v
        if is_const(v):
            return self.integer(to_signed(v.lo, n))
        return self._sign(v, n, wide if unsigned else n)

    def _sign(self, v: Int, n: int, wide: int) -> Int:
        """Not `(x ^ half) - half`: the test alone costs half as much, and most values are not negative."""
        v = self.unsigned(v, n)
        half = half_of(n)
        test, x = v.node, v.node
        if not b.is_name(x):
            test, x = self.walrus("x", x), self.name("x")
        test = self.compare(test, b.GE, self.mask(half))
        zeros = min(v.zeros, n)
        if wide > n:
            high = mask_of(wide) - mask_of(n)
            return Int(self.if_exp(test, self.binop(x, b.ADD, self.mask(high)), x), 0, mask_of(wide), zeros)
        return Int(self.if_exp(test, self.binop(x, b.SUB, self.mask(1 << n)), x), -half, half - 1, zeros)

    def reduce(self, v: Int, n: int) -> Int:
        """`v`, masked if it is wider than its type."""
        return v if is_signed(v, n) else self.unsigned(v, n)

    def _reduced(self, x: Int, y: Int, n: int) -> tuple[Int, Int]:
        """The wider of two operands reduced; both when that does not do."""
        width_x = max(-x.lo, x.hi)
        width_y = max(-y.lo, y.hi)
        if width_x >= width_y and not (is_signed(x, n) or is_unsigned(x, n)):
            return self.reduce(x, n), y
        return self.reduce(x, n), self.reduce(y, n)

    def term(self, c: int, n: int) -> int:
        """The better form of a constant to add or to multiply by, given the signed one: a mask takes longer on a
        negative number (9 ns of 42), so a negative constant must save a digit."""
        return c if abs(c) < 1 << 30 else c & mask_of(n)

    def add(self, x: Int, y: Int, n: int) -> Int:
        if is_const(x) and not is_const(y):
            x, y = y, x
        if is_const(y):
            c = self.term(to_signed(y.lo, n), n)
            if is_const(x):
                return self.integer(x.lo + c & mask_of(n))
            return self._offset(x, c, n)
        if not self.fits(x.lo + y.lo, x.hi + y.hi, n):
            x, y = self._reduced(x, y, n)
        return Int(self.binop(x.node, b.ADD, y.node), x.lo + y.lo, x.hi + y.hi, min(x.zeros, y.zeros))

    def sub(self, x: Int, y: Int, n: int) -> Int:
        if is_const(y):
            return self.add(x, self.integer(-y.lo), n)
        if not self.fits(x.lo - y.hi, x.hi - y.lo, n):
            x, y = self._reduced(x, y, n)
        lo, hi, zeros = x.lo - y.hi, x.hi - y.lo, min(x.zeros, y.zeros)
        if is_const(x) and x.lo == 0:
            return Int(self.neg(y.node), lo, hi, zeros)
        return Int(self.binop(x.node, b.SUB, y.node), lo, hi, zeros)

    def _offset(self, x: Int, c: int, n: int) -> Int:
        """`x + c`, c small of either sign."""
        if c == 0:
            return x
        if not self.fits(x.lo + c, x.hi + c, n):
            x = self.reduce(x, n)
        zeros = min(x.zeros, b.trailing_zeros(c))
        node = self.binop(x.node, b.ADD if c > 0 else b.SUB, self.const(abs(c)))
        return Int(node, x.lo + c, x.hi + c, zeros)

    def mul(self, x: Int, y: Int, n: int) -> Int:
        if is_const(x) and not is_const(y):
            x, y = y, x
        if is_const(y):
            c = to_signed(y.lo, n)
            if is_const(x):
                return self.integer(x.lo * c & mask_of(n))
            if c == 1:
                return x
            y = self.integer(self.term(c, n))
        bounds = _product(x, y)
        if not self.fits(*bounds, n):
            x, y = self._reduced(x, y, n)
            bounds = _product(x, y)
        return Int(self.binop(x.node, b.MUL, y.node), *bounds, min(x.zeros + y.zeros, n))

    def and_(self, x: Int, y: Int, n: int) -> Int:
        if is_const(x) and not is_const(y):
            x, y = y, x
        if is_const(y):
            c = y.lo & mask_of(n)
            if c == mask_of(n):
                return x
            if c >= half_of(n) and is_unsigned(x, n) and not is_const(x):
                # `& -4` reads better than `& 0xFFFFFFFC`, and its constant is one digit.
                c -= 1 << n
                node = self.binop(x.node, b.AND, self.integer(c).node)
                return Int(node, 0, x.hi, max(x.zeros, b.trailing_zeros(c)))
            return self.masked(x, c)
        if x.lo >= 0 and y.lo >= 0:
            lo, hi = 0, min(x.hi, y.hi)
        elif x.lo >= 0 or y.lo >= 0:
            lo, hi = 0, x.hi if x.lo >= 0 else y.hi
        else:
            lo, hi = _bitwise_bounds(x, y)
        both = x.is_bool and y.is_bool
        return Int(self.binop(x.node, b.AND, y.node), lo, hi, max(x.zeros, y.zeros), both)

    def or_(self, x: Int, y: Int, n: int) -> Int:
        return self._or(x, y, b.OR)

    def xor(self, x: Int, y: Int, n: int) -> Int:
        if is_const(y) and y.lo & mask_of(n) == mask_of(n) and not is_const(x):
            if is_unsigned(x, n):
                return Int(self.binop(x.node, b.XOR, self.mask(mask_of(n))), 0, mask_of(n))
            return Int(self.invert(x.node), ~x.hi, ~x.lo)
        return self._or(x, y, b.XOR)

    def _or(self, x: Int, y: Int, op: ast.operator) -> Int:
        if is_const(x) and is_const(y):
            return self.integer(x.lo | y.lo if op is b.OR else x.lo ^ y.lo)
        lo, hi = _bitwise_bounds(x, y)
        if is_const(y):
            if y.lo == 0:
                return x
            y = Int(self.mask(y.lo) if y.lo > 0 else y.node, y.lo, y.hi, y.zeros)
        return Int(self.binop(x.node, op, y.node), lo, hi, min(x.zeros, y.zeros), x.is_bool and y.is_bool)

    def shl(self, x: Int, k: int, n: int, exact: bool) -> Int:
        """`x << k`, 0 <= k < n. `exact`: the consumer wants it in [0, 2^n), so what is shifted out may go first."""
        if is_const(x):
            return self.integer(x.lo << k & mask_of(n))
        if k == 0:
            return x
        if exact and (x.lo < 0 or x.hi << k > mask_of(n)) or not self.fits(x.lo << k, x.hi << k, n):
            x = self.masked(x, mask_of(n - k))
        return Int(self.shifted(x.node, k), x.lo << k, x.hi << k, min(x.zeros + k, n))

    def shifted(self, node: ast.expr, k: int) -> ast.expr:
        return self.binop(node, b.SHL, self.const(k))

    def shr(self, x: Int, k: int) -> Int:
        """`x >> k` of an exact form."""
        if is_const(x):
            return self.integer(x.lo >> k)
        if k == 0:
            return x
        node = divided(self, x.node, k)
        if node is None:
            node = self.binop(x.node, b.SHR, self.const(k))
        return Int(node, x.lo >> k, x.hi >> k, max(x.zeros - k, 0))

    def rotl(self, x: Int, k: int, n: int) -> Int:
        """`x` in [0, 2^n), rotated by the constant `k` in (0, n): both copies side by side, then shifted."""
        if b.is_name(x.node):
            high: ast.expr = self.binop(x.node, b.SHL, self.const(k))
            low: ast.expr = self.binop(x.node, b.SHR, self.const(n - k))
            return Int(self.binop(high, b.OR, low), 0, mask_of(n + k))
        twice = self.binop(x.node, b.MUL, self.mask((1 << n) + 1))
        return Int(self.binop(twice, b.SHR, self.const(n - k)), 0, mask_of(n + k))


def _product(x: Int, y: Int) -> tuple[int, int]:
    corners = (x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi)
    return min(corners), max(corners)


def _bitwise_bounds(x: Int, y: Int) -> tuple[int, int]:
    """Bounds of `x | y` and `x ^ y` (and of `x & y`): as many bits as the wider of the two."""
    bits = max((v if v >= 0 else ~v).bit_length() for v in (x.lo, x.hi, y.lo, y.hi))
    return (0 if x.lo >= 0 and y.lo >= 0 else -1 << bits), (1 << bits) - 1


def divided(make: Builder, node: ast.expr, k: int) -> ast.expr | None:
    """`node / 2^k` without a shift, when the spelling of `node` shows that it is exact; else None."""
    match node:
        case ast.BinOp(left=left, op=ast.LShift(), right=ast.Constant(value=int(s))) if s >= k:
            return left if s == k else make.binop(left, b.SHL, make.const(s - k))
        case ast.BinOp(left=left, op=ast.Mult(), right=ast.Constant(value=int(c))) if c & mask_of(k) == 0:
            return left if c >> k == 1 else make.binop(left, b.MUL, make.const(c >> k))
        case ast.BinOp(left=left, op=(ast.Add() | ast.Sub()) as op, right=ast.Constant(value=int(c))):
            if c & mask_of(k) == 0:
                half = divided(make, left, k)
                return half and make.binop(half, op, make.const(c >> k))
        case ast.Constant(value=int(c)) if c & mask_of(k) == 0:
            return make.const(c >> k)
    return None
