"""CPython's spelling: memory through `memoryview.cast` views, one for each element type (`u32[p >> 2]`).

A view's own length is the bounds check. It counts in elements, so an address that is not proven to be a multiple of
the element's size is tested, and an odd one goes to the runtime:

    u8[p + 5]
    u32[x & 255]                                       address ((x & 255) << 2)
    i32_load(u8, p) if p & 3 else u32[p >> 2]          nothing known of p
    i32_load(u8, a) if (a := p + 5) & 3 else u32[a >> 2]

An f32 NaN loses its signaling bit on the way through a view: a NaN (x != x) goes to the runtime too.
"""

from __future__ import annotations

import ast

from polymerase.emit import build as b
from polymerase.emit.build import Int, is_name
from polymerase.emit.expr import PREFER_SIGNED, SIGNED, UNSIGNED, Exprs, bits_of, width_of
from polymerase.emit.ints import half_of, is_const, is_unsigned, mask_of
from polymerase.emit.names import suffix
from polymerase.ir.nodes import Expr, Load, Op, Store
from polymerase.wasm.types import F32, ValType

_SCALE = {8: 0, 16: 1, 32: 2, 64: 3}  # log2 of bytes


class CPython(Exprs):
    """Spells expressions and stores for CPython."""

    float_fuel = True  # small ints are compared fast, too, but each result is allocated anew

    def home(self, t: ValType) -> int:
        return UNSIGNED

    def shifted(self, node: ast.expr, k: int) -> ast.expr:
        # Products are specialised by the interpreter, shifts are not.
        return self.binop(node, b.MUL, self.const(1 << k)) if k <= 5 else super().shifted(node, k)

    def unsigned(self, v: Int, n: int) -> Int:
        """A variable plus a constant is tested rather than masked, which takes a third less: most sums in loops are
        such, and a mask of 32 ones is an int of two digits."""
        if is_unsigned(v, n):
            return v
        match v.node:
            case ast.BinOp(left=ast.Name() as x, op=ast.Add(), right=ast.Constant(value=int(c))):
                if v.lo == c and v.hi - c <= mask_of(n):  # x is in [0, 2^n)
                    top = self.mask((1 << n) - c)
                    test: ast.expr = self.compare(x, b.NE, top) if c == 1 else self.compare(x, b.LT, top)
                    over = self.const(0) if c == 1 else self.binop(x, b.SUB, top)
                    return Int(self.if_exp(test, v.node, over), 0, mask_of(n), v.zeros)
            case ast.BinOp(left=ast.Name() as x, op=ast.Sub(), right=ast.Constant(value=int(c))):
                if v.lo == -c and v.hi + c <= mask_of(n):
                    top = self.mask((1 << n) - c)
                    test = x if c == 1 else self.compare(x, b.GE, self.const(c))
                    under = top if c == 1 else self.binop(x, b.ADD, top)
                    return Int(self.if_exp(test, v.node, under), 0, mask_of(n), v.zeros)
        return super().unsigned(v, n)

    # --- Addresses

    def address(self, addr: Expr, offset: int) -> Int:
        """The effective address: no longer modulo 2^32."""
        v = self.whole(addr, UNSIGNED)
        if not offset:
            return v
        if is_const(v):
            return self.integer(v.lo + offset)
        zeros = min(v.zeros, b.trailing_zeros(offset))
        return Int(self.binop(v.node, b.ADD, self.const(offset)), v.lo + offset, v.hi + offset, zeros)

    def element(self, v: Int, scale: int) -> ast.expr:
        """The index of the element at address `v`, which is a multiple of its size."""
        return self.shr(Int(v.node, v.lo, v.hi), scale).node

    def unaligned(self, v: Int, scale: int, named: str) -> tuple[ast.expr | None, Int]:
        """The test whether address `v` is no multiple of 2^scale, None if it always is, and the address after it."""
        if v.zeros >= scale:
            return None, v
        mask = (1 << scale) - 1
        match v.node:
            case ast.Name():
                return self.binop(v.node, b.AND, self.const(mask)), v
            case ast.BinOp(left=ast.Name() as base, op=ast.Add(), right=ast.Constant(value=int(c))) if not c & mask:
                return self.binop(base, b.AND, self.const(mask)), v
        test = self.binop(self.walrus(named, v.node), b.AND, self.const(mask))
        return test, Int(self.name(named), v.lo, v.hi)

    def again(self, v: Int) -> ast.expr:
        """The address once more, as another node."""
        match v.node:
            case ast.BinOp(left=left, op=op, right=right):
                return self.binop(left, op, right)
            case _:
                return v.node

    def view(self, kind: str, memory: int) -> ast.expr:
        return self.name(kind + suffix(memory))

    # --- Loads

    def load(self, e: Load, want: int) -> Int:
        before = self.go(e.at)
        width, n = width_of(e.name), int(e.name[1:3])
        signed = e.name.endswith("_s") or width == n and want in (SIGNED, PREFER_SIGNED)
        scale = _SCALE[width]
        v = self.address(e.addr, e.offset)
        view = self.view(f"{'s' if signed else 'u'}{width}", e.memory)
        lo, hi = (-half_of(width), half_of(width) - 1) if signed else (0, mask_of(width))
        test, v = self.unaligned(v, scale, "a")
        first = None
        if test is None and self.may_grow(e.addr):
            first, a = self.evaluated_first(v.node)
            v = Int(a, v.lo, v.hi)
        node: ast.expr = self.index(view, self.element(v, scale))
        if first is not None:
            node = self.if_exp(first, node, self.const(0))
        if test is not None:
            slow: ast.expr = self.call(self.helper(e.name), self.view("u8", e.memory), self.again(v))
            if signed:  # the runtime gives the unsigned form
                slow = self.call(self.helper(f"i{n}_signed"), slow)
            node = self.if_exp(test, slow, node)
        self.go(before)
        return Int(node, lo, hi)

    def load_float(self, e: Load, payload: bool) -> ast.expr:
        before = self.go(e.at)
        scale = 3 if e.type is not F32 else 2
        v = self.address(e.addr, e.offset)
        view = self.view(e.name[:3], e.memory)
        test, v = self.unaligned(v, scale, "a")
        first = None
        if test is None and (self.may_grow(e.addr) or payload and e.type is F32 and not is_name(v.node)):
            first, a = self.evaluated_first(v.node)
            v = Int(a, v.lo, v.hi)
        node: ast.expr = self.index(view, self.element(v, scale))
        if payload and e.type is F32:
            x = self.name("x")
            nan = self.compare(self.walrus("x", node), b.NE, x)
            test = nan if test is None else self.bool_op(False, [test, nan])
            node = x
        if test is not None:
            slow = self.call(self.helper(e.name), self.view("u8", e.memory), self.again(v))
            node = self.if_exp(test, slow, node)
        if first is not None:
            node = self.if_exp(first, node, self.const(0.0))
        self.go(before)
        return node

    # --- Stores

    def store(self, s: Store) -> list[ast.stmt]:
        """The statements of a store."""
        width = width_of(s.name)
        scale = _SCALE[width]
        pre: list[ast.stmt] = []
        odd: ast.expr | None
        rounded = True
        if s.name[0] == "i":
            kind, value = self._stored_int(s.value, width)
            special = None
        else:
            kind = s.name[:3]
            value, rounded = self._stored_float(s.value)
            special = kind == "f32" and not self.is_quiet(s.value)
        v = self.address(s.addr, s.offset)
        if self.may_grow(s.addr):  # the value, then, has no effects
            pre.append(self.assign(self.target("a"), v.node))
            v = Int(self.name("a"), v.lo, v.hi, v.zeros)
        simple_addr = is_name(v.node)
        if v.zeros < scale or special:
            # The value is written twice, and Python evaluates it first.
            if not _small(value) or special and not is_name(value):
                pre.append(self.assign(self.target("y"), value))  # not x: the address may name its own parts so
                value = self.name("y")
            if not simple_addr and not _is_sum(v.node):
                pre.append(self.assign(self.target("a"), v.node))
                v = Int(self.name("a"), v.lo, v.hi, v.zeros)
        odd, v = self.unaligned(v, scale, "a")
        if special:
            nan = self.compare(value, b.NE, value)
            odd = nan if odd is None else self.bool_op(False, [odd, nan])
        view = self.view(kind, s.memory)
        fast = self.assign(self.index_target(view, self.element(v, scale)), value)
        if odd is None:
            return [*pre, fast]
        if kind[0] == "s":  # the runtime wants the unsigned form
            value = self.masked(Int(value, -half_of(width), half_of(width) - 1), mask_of(width)).node
        if not rounded:
            value = self.round_f32(value)
        slow = self.call(self.helper(s.name), self.view("u8", s.memory), self.again(v), _copy(value))
        return [*pre, self.if_(odd, [self.expr_stmt(slow)], [fast])]

    def _stored_int(self, e: Expr, width: int) -> tuple[str, ast.expr]:
        """The kind of view and the value for it."""
        v = self.whole(e)
        if is_const(v):
            v = self.integer(v.lo & mask_of(width))
        elif not is_unsigned(v, width) and -half_of(width) <= v.lo and v.hi < half_of(width):
            return f"s{width}", v.node
        if width == bits_of(e):
            return f"u{width}", self.number(self.unsigned(v, width))
        return f"u{width}", self.number(self.masked(v, mask_of(width)))

    def _stored_float(self, e: Expr) -> tuple[ast.expr, bool]:
        """The value, and whether it is rounded: the view itself rounds."""
        match e:
            case Op(name=name) if name in ("f32_add", "f32_sub", "f32_mul"):
                before = self.go(e.at)
                node = self.unrounded(e)
                self.go(before)
                return node, False
        return self.real(e), True


def _is_sum(node: ast.expr) -> bool:
    """`p + 8`: cheap and free of effects."""
    match node:
        case ast.BinOp(left=ast.Name(), op=ast.Add(), right=ast.Constant()):
            return True
    return False


def _small(node: ast.expr, size: int = 2) -> bool:
    """Whether `node` is so small that writing it twice is better than naming it. Never a call: that has effects."""
    match node:
        case ast.Name() | ast.Constant():
            return True
        case ast.UnaryOp(operand=ast.Constant()):
            return True
        case ast.BinOp(left=left, op=op, right=ast.Constant()) if size > 0:
            return not isinstance(op, (ast.FloorDiv, ast.Mod)) and _small(left, size - 1)
    return False


def _copy(node: ast.expr) -> ast.expr:
    """The same small expression as another node."""
    match node:
        case ast.BinOp():
            new = ast.BinOp(_copy(node.left), node.op, node.right)
        case ast.UnaryOp():
            return ast.copy_location(ast.UnaryOp(node.op, node.operand), node)
        case _:
            return node
    return ast.copy_location(new, node)
