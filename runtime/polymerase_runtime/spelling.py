"""Names that emitted code uses and that are no operation of WebAssembly: pieces of Python's own library, and arithmetic
on signed 64-bit values, which is what PyPy's machine words hold.

PyPy's `__pypy__.intop` wraps around as the machine does; elsewhere the same is done with ints of any size. Operands
are in [-2^63, 2^63), and results, too.
"""

from __future__ import annotations

from math import inf, nan, sqrt
from struct import Struct

from .traps import INTEGER_OVERFLOW, Trap

__all__ = [
    "inf",
    "int_add",
    "int_lshift",
    "int_mul",
    "int_sub",
    "nan",
    "pack_f32",
    "pack_f64",
    "pack_s64",
    "pack_u16",
    "pack_u32",
    "s64_div_s",
    "s64_div_u",
    "s64_rem_s",
    "s64_rem_u",
    "sqrt",
    "uint_rshift",
    "unpack_f32",
    "unpack_f64",
    "unpack_s16",
    "unpack_s32",
    "unpack_s64",
    "unpack_u16",
    "unpack_u32",
]

__polymerase_helper__ = True  # frames of this module may be the guest's innermost ones (see border.py)

unpack_u16 = Struct("<H").unpack_from
unpack_s16 = Struct("<h").unpack_from
unpack_u32 = Struct("<I").unpack_from
unpack_s32 = Struct("<i").unpack_from
unpack_s64 = Struct("<q").unpack_from
unpack_f32 = Struct("<f").unpack_from
unpack_f64 = Struct("<d").unpack_from
pack_u16 = Struct("<H").pack_into
pack_u32 = Struct("<I").pack_into
pack_s64 = Struct("<q").pack_into
pack_f32 = Struct("<f").pack_into
pack_f64 = Struct("<d").pack_into

_SIGN = 1 << 63
_MASK = (1 << 64) - 1


def _signed(a: int) -> int:
    """The value in [-2^63, 2^63) that is congruent to `a`."""
    return (a + _SIGN & _MASK) - _SIGN


def _int_add(a: int, b: int) -> int:
    return (a + b + _SIGN & _MASK) - _SIGN


def _int_sub(a: int, b: int) -> int:
    return (a - b + _SIGN & _MASK) - _SIGN


def _int_mul(a: int, b: int) -> int:
    return _signed(a * b)


def _int_lshift(a: int, k: int) -> int:
    return _signed(a << k)


def _uint_rshift(a: int, k: int) -> int:
    return _signed((a & _MASK) >> k)


try:
    from __pypy__ import intop as _word
except ImportError:
    _word = None
int_add = _int_add if _word is None else _word.int_add
int_sub = _int_sub if _word is None else _word.int_sub
int_mul = _int_mul if _word is None else _word.int_mul
int_lshift = _int_lshift if _word is None else _word.int_lshift
uint_rshift = _uint_rshift if _word is None else _word.uint_rshift


def s64_div_u(a: int, b: int) -> int:
    """`i64.div_u` of signed forms."""
    if a >= 0 and b > 0:
        return a // b
    return (((a & _MASK) // (b & _MASK)) ^ _SIGN) - _SIGN


def s64_rem_u(a: int, b: int) -> int:
    """`i64.rem_u` of signed forms."""
    if a >= 0 and b > 0:
        return a % b
    return (((a & _MASK) % (b & _MASK)) ^ _SIGN) - _SIGN


def s64_div_s(a: int, b: int) -> int:
    """`i64.div_s` of signed forms. Traps: integer overflow; ZeroDivisionError is the border's."""
    if b >= 0:
        return a // b if a >= 0 else -(-a // b)
    if b == -1 and a == -_SIGN:
        raise Trap(INTEGER_OVERFLOW)
    return -(a // -b) if a >= 0 else -a // -b


def s64_rem_s(a: int, b: int) -> int:
    """`i64.rem_s` of signed forms."""
    if b < 0:
        b = -b
    return a % b if a >= 0 else -(-a % b)
