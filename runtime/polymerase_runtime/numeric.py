"""Every numeric operation of the instruction table without SIMD, by name (spec 4.3): canonical in, canonical out.

An i32 or i64 is an int in [0, 2^n), whatever the operation's signedness; an f32 or f64 is a Python float, an f32 always
exactly representable in single precision. An f32 NaN is the f64 NaN with the payload shifted left by 29, so that
Python's `-x`, `abs` and `copysign` do to it what wasm asks. Comparisons and tests return 0 or 1.

These are the definitions: the emitter may spell an operation inline, and a test holds the spelling against this one.
Where the spec leaves a NaN's payload open, the processor's choice is taken, with the quiet bit set.

Longer than most files: a table of 130 small functions gains nothing from being in two.
"""

from __future__ import annotations

import math
import struct

from .traps import DIVIDE_BY_ZERO, INTEGER_OVERFLOW, INVALID_CONVERSION, Trap

__polymerase_helper__ = True  # frames of this module may be the guest's innermost ones (see border.py)

_M32 = 0xFFFFFFFF
_M64 = 0xFFFFFFFFFFFFFFFF
_inf = math.inf
_nan = math.nan
_copysign = math.copysign
_sqrt = math.sqrt
_pack_f = struct.Struct("<f").pack
_unpack_f = struct.Struct("<f").unpack
_pack_d = struct.Struct("<d").pack
_unpack_d = struct.Struct("<d").unpack
_pack_i = struct.Struct("<I").pack
_unpack_i = struct.Struct("<I").unpack
_pack_q = struct.Struct("<Q").pack
_unpack_q = struct.Struct("<Q").unpack


# --- Rounding to single precision


def _f32_round_exact(x: float) -> float:
    """The nearest f32 of any float."""
    if x != x:
        bits = _unpack_q(_pack_d(x))[0]
        quiet: float = _unpack_d(_pack_q(bits & 0xFFFFFFFFE0000000 | 0x0008000000000000))[0]
        return quiet
    try:
        near: float = _unpack_f(_pack_f(x))[0]
    except OverflowError:
        return _copysign(_inf, x)
    return near


def f32_round(x: float) -> float:
    """The nearest f32, ties to even; infinite on overflow; a NaN becomes quiet and its payload is cut.

    By Veltkamp's split where the result is neither subnormal nor too large. Compared with struct for all 2^24 ties of
    a binade. A store into a memoryview of format "f" is 10 % faster on CPython 3.11, but 100 times slower on PyPy, and
    needs a scratch element, which on 3.9 another thread may overwrite between the store and the load.
    """
    if 1.1754943508222875e-38 <= x <= 3.4028234663852886e38 or -3.4028234663852886e38 <= x <= -1.1754943508222875e-38:
        t = x * 536870913.0  # 2^29 + 1: leaves 53 - 29 bits
        return t - (t - x)
    if x == 0.0:
        return x
    return _f32_round_exact(x)


# --- Two's complement


def i32_signed(x: int) -> int:
    """The signed reading of an i32."""
    return (x ^ 0x80000000) - 0x80000000


def i64_signed(x: int) -> int:
    """The signed reading of an i64."""
    return (x ^ 0x8000000000000000) - 0x8000000000000000


# --- i32 (spec 4.3.2)


def i32_eqz(a: int) -> int:
    return 1 if a == 0 else 0


def i32_eq(a: int, b: int) -> int:
    return 1 if a == b else 0


def i32_ne(a: int, b: int) -> int:
    return 1 if a != b else 0


def i32_lt_s(a: int, b: int) -> int:
    return 1 if a ^ 0x80000000 < b ^ 0x80000000 else 0


def i32_lt_u(a: int, b: int) -> int:
    return 1 if a < b else 0


def i32_gt_s(a: int, b: int) -> int:
    return 1 if a ^ 0x80000000 > b ^ 0x80000000 else 0


def i32_gt_u(a: int, b: int) -> int:
    return 1 if a > b else 0


def i32_le_s(a: int, b: int) -> int:
    return 1 if a ^ 0x80000000 <= b ^ 0x80000000 else 0


def i32_le_u(a: int, b: int) -> int:
    return 1 if a <= b else 0


def i32_ge_s(a: int, b: int) -> int:
    return 1 if a ^ 0x80000000 >= b ^ 0x80000000 else 0


def i32_ge_u(a: int, b: int) -> int:
    return 1 if a >= b else 0


def i32_clz(a: int) -> int:
    return 32 - a.bit_length()


def i32_ctz(a: int) -> int:
    return (a & -a).bit_length() - 1 if a else 32


def i32_popcnt(a: int) -> int:
    a -= a >> 1 & 0x55555555
    a = (a & 0x33333333) + (a >> 2 & 0x33333333)
    return ((a + (a >> 4) & 0x0F0F0F0F) * 0x01010101 & 0xFFFFFFFF) >> 24


def i32_add(a: int, b: int) -> int:
    return a + b & _M32


def i32_sub(a: int, b: int) -> int:
    return a - b & _M32


def i32_mul(a: int, b: int) -> int:
    return a * b & _M32


def i32_div_s(a: int, b: int) -> int:
    """Truncates. Traps: integer divide by zero, integer overflow."""
    if b == 0:
        raise Trap(DIVIDE_BY_ZERO)
    if a & 0x80000000:
        if b & 0x80000000:
            if b == _M32 and a == 0x80000000:
                raise Trap(INTEGER_OVERFLOW)
            return (-a & _M32) // (-b & _M32)
        return -((-a & _M32) // b) & _M32
    if b & 0x80000000:
        return -(a // (-b & _M32)) & _M32
    return a // b


def i32_div_u(a: int, b: int) -> int:
    """Traps: integer divide by zero."""
    if b == 0:
        raise Trap(DIVIDE_BY_ZERO)
    return a // b


def i32_rem_s(a: int, b: int) -> int:
    """Has the sign of the dividend. Traps: integer divide by zero."""
    if b == 0:
        raise Trap(DIVIDE_BY_ZERO)
    if b & 0x80000000:
        b = -b & _M32
    if a & 0x80000000:
        return -((-a & _M32) % b) & _M32
    return a % b


def i32_rem_u(a: int, b: int) -> int:
    """Traps: integer divide by zero."""
    if b == 0:
        raise Trap(DIVIDE_BY_ZERO)
    return a % b


def i32_and(a: int, b: int) -> int:
    return a & b


def i32_or(a: int, b: int) -> int:
    return a | b


def i32_xor(a: int, b: int) -> int:
    return a ^ b


def i32_shl(a: int, b: int) -> int:
    return a << (b & 31) & _M32


def i32_shr_s(a: int, b: int) -> int:
    return ((a ^ 0x80000000) - 0x80000000 >> (b & 31)) & _M32


def i32_shr_u(a: int, b: int) -> int:
    return a >> (b & 31)


def i32_rotl(a: int, b: int) -> int:
    b &= 31
    return (a << b | a >> 32 - b) & _M32


def i32_rotr(a: int, b: int) -> int:
    b &= 31
    return (a >> b | a << 32 - b) & _M32


def i32_extend8_s(a: int) -> int:
    return ((a & 0xFF ^ 0x80) - 0x80) & _M32


def i32_extend16_s(a: int) -> int:
    return ((a & 0xFFFF ^ 0x8000) - 0x8000) & _M32


# --- i64 (spec 4.3.2)


def i64_eqz(a: int) -> int:
    return 1 if a == 0 else 0


def i64_eq(a: int, b: int) -> int:
    return 1 if a == b else 0


def i64_ne(a: int, b: int) -> int:
    return 1 if a != b else 0


def i64_lt_s(a: int, b: int) -> int:
    return 1 if a ^ 0x8000000000000000 < b ^ 0x8000000000000000 else 0


def i64_lt_u(a: int, b: int) -> int:
    return 1 if a < b else 0


def i64_gt_s(a: int, b: int) -> int:
    return 1 if a ^ 0x8000000000000000 > b ^ 0x8000000000000000 else 0


def i64_gt_u(a: int, b: int) -> int:
    return 1 if a > b else 0


def i64_le_s(a: int, b: int) -> int:
    return 1 if a ^ 0x8000000000000000 <= b ^ 0x8000000000000000 else 0


def i64_le_u(a: int, b: int) -> int:
    return 1 if a <= b else 0


def i64_ge_s(a: int, b: int) -> int:
    return 1 if a ^ 0x8000000000000000 >= b ^ 0x8000000000000000 else 0


def i64_ge_u(a: int, b: int) -> int:
    return 1 if a >= b else 0


def i64_clz(a: int) -> int:
    return 64 - a.bit_length()


def i64_ctz(a: int) -> int:
    return (a & -a).bit_length() - 1 if a else 64


def i64_popcnt(a: int) -> int:
    return i32_popcnt(a & 0xFFFFFFFF) + i32_popcnt(a >> 32)


def i64_add(a: int, b: int) -> int:
    return a + b & _M64


def i64_sub(a: int, b: int) -> int:
    return a - b & _M64


def i64_mul(a: int, b: int) -> int:
    return a * b & _M64


def i64_div_s(a: int, b: int) -> int:
    """Truncates. Traps: integer divide by zero, integer overflow."""
    if b == 0:
        raise Trap(DIVIDE_BY_ZERO)
    if a & 0x8000000000000000:
        if b & 0x8000000000000000:
            if b == _M64 and a == 0x8000000000000000:
                raise Trap(INTEGER_OVERFLOW)
            return (-a & _M64) // (-b & _M64)
        return -((-a & _M64) // b) & _M64
    if b & 0x8000000000000000:
        return -(a // (-b & _M64)) & _M64
    return a // b


def i64_div_u(a: int, b: int) -> int:
    """Traps: integer divide by zero."""
    if b == 0:
        raise Trap(DIVIDE_BY_ZERO)
    return a // b


def i64_rem_s(a: int, b: int) -> int:
    """Has the sign of the dividend. Traps: integer divide by zero."""
    if b == 0:
        raise Trap(DIVIDE_BY_ZERO)
    if b & 0x8000000000000000:
        b = -b & _M64
    if a & 0x8000000000000000:
        return -((-a & _M64) % b) & _M64
    return a % b


def i64_rem_u(a: int, b: int) -> int:
    """Traps: integer divide by zero."""
    if b == 0:
        raise Trap(DIVIDE_BY_ZERO)
    return a % b


def i64_and(a: int, b: int) -> int:
    return a & b


def i64_or(a: int, b: int) -> int:
    return a | b


def i64_xor(a: int, b: int) -> int:
    return a ^ b


def i64_shl(a: int, b: int) -> int:
    return a << (b & 63) & _M64


def i64_shr_s(a: int, b: int) -> int:
    return ((a ^ 0x8000000000000000) - 0x8000000000000000 >> (b & 63)) & _M64


def i64_shr_u(a: int, b: int) -> int:
    return a >> (b & 63)


def i64_rotl(a: int, b: int) -> int:
    b &= 63
    return (a << b | a >> 64 - b) & _M64


def i64_rotr(a: int, b: int) -> int:
    b &= 63
    return (a >> b | a << 64 - b) & _M64


def i64_extend8_s(a: int) -> int:
    return ((a & 0xFF ^ 0x80) - 0x80) & _M64


def i64_extend16_s(a: int) -> int:
    return ((a & 0xFFFF ^ 0x8000) - 0x8000) & _M64


def i64_extend32_s(a: int) -> int:
    return ((a & 0xFFFFFFFF ^ 0x80000000) - 0x80000000) & _M64


# --- f32 (spec 4.3.3)


def f32_eq(a: float, b: float) -> int:
    return 1 if a == b else 0


def f32_ne(a: float, b: float) -> int:
    return 1 if a != b else 0


def f32_lt(a: float, b: float) -> int:
    return 1 if a < b else 0


def f32_gt(a: float, b: float) -> int:
    return 1 if a > b else 0


def f32_le(a: float, b: float) -> int:
    return 1 if a <= b else 0


def f32_ge(a: float, b: float) -> int:
    return 1 if a >= b else 0


def f32_abs(a: float) -> float:
    return abs(a)


def f32_neg(a: float) -> float:
    return -a


def f32_copysign(a: float, b: float) -> float:
    return _copysign(a, b)


def f32_ceil(a: float) -> float:
    return f64_ceil(a)


def f32_floor(a: float) -> float:
    return f64_floor(a)


def f32_trunc(a: float) -> float:
    return f64_trunc(a)


def f32_nearest(a: float) -> float:
    """Ties to even."""
    return f64_nearest(a)


# The four operations and the root in double precision, then rounded, are rounded correctly: 53 >= 2 * 24 + 2.


def f32_sqrt(a: float) -> float:
    return f32_round(f64_sqrt(a))


def f32_add(a: float, b: float) -> float:
    return f32_round(a + b)


def f32_sub(a: float, b: float) -> float:
    return f32_round(a - b)


def f32_mul(a: float, b: float) -> float:
    return f32_round(a * b)


def f32_div(a: float, b: float) -> float:
    return f32_round(f64_div(a, b))


def f32_min(a: float, b: float) -> float:
    """A NaN if either is one; -0 is less than 0."""
    return f64_min(a, b)


def f32_max(a: float, b: float) -> float:
    """A NaN if either is one; 0 is greater than -0."""
    return f64_max(a, b)


# --- f64 (spec 4.3.3)


def f64_eq(a: float, b: float) -> int:
    return 1 if a == b else 0


def f64_ne(a: float, b: float) -> int:
    return 1 if a != b else 0


def f64_lt(a: float, b: float) -> int:
    return 1 if a < b else 0


def f64_gt(a: float, b: float) -> int:
    return 1 if a > b else 0


def f64_le(a: float, b: float) -> int:
    return 1 if a <= b else 0


def f64_ge(a: float, b: float) -> int:
    return 1 if a >= b else 0


def f64_abs(a: float) -> float:
    return abs(a)


def f64_neg(a: float) -> float:
    return -a


def f64_copysign(a: float, b: float) -> float:
    return _copysign(a, b)


def f64_ceil(a: float) -> float:
    if -4503599627370496.0 < a < 4503599627370496.0:  # 2^52: above, every float is whole
        t = float(int(a))
        return _copysign(t + 1.0 if t < a else t, a)
    return a + 0.0  # a NaN becomes quiet


def f64_floor(a: float) -> float:
    if -4503599627370496.0 < a < 4503599627370496.0:
        t = float(int(a))
        return _copysign(t - 1.0 if t > a else t, a)
    return a + 0.0


def f64_trunc(a: float) -> float:
    if -4503599627370496.0 < a < 4503599627370496.0:
        return _copysign(float(int(a)), a)
    return a + 0.0


def f64_nearest(a: float) -> float:
    """Ties to even, by what adding 2^52 leaves of the fraction."""
    if -4503599627370496.0 < a < 4503599627370496.0:
        return _copysign(abs(a) + 4503599627370496.0 - 4503599627370496.0, a)
    return a + 0.0


def f64_sqrt(a: float) -> float:
    if a >= 0.0:
        return _sqrt(a)
    return a + 0.0 if a != a else -0.0 if a == 0.0 else _nan


def f64_add(a: float, b: float) -> float:
    return a + b


def f64_sub(a: float, b: float) -> float:
    return a - b


def f64_mul(a: float, b: float) -> float:
    return a * b


def f64_div(a: float, b: float) -> float:
    if b:
        return a / b
    if a != a:
        return a + 0.0
    return _copysign(_inf, a) * _copysign(1.0, b) if a else _nan


def f64_min(a: float, b: float) -> float:
    """A NaN if either is one; -0 is less than 0."""
    if a < b:
        return a
    if b < a:
        return b
    if a == b:
        return a if _copysign(1.0, a) < 0.0 else b
    return a + b


def f64_max(a: float, b: float) -> float:
    """A NaN if either is one; 0 is greater than -0."""
    if a > b:
        return a
    if b > a:
        return b
    if a == b:
        return b if _copysign(1.0, a) < 0.0 else a
    return a + b


# --- Conversions (spec 4.3.4)


def i32_wrap_i64(a: int) -> int:
    return a & _M32


def i64_extend_i32_s(a: int) -> int:
    return ((a ^ 0x80000000) - 0x80000000) & _M64


def i64_extend_i32_u(a: int) -> int:
    return a


def i32_trunc_f64_s(a: float) -> int:
    """Traps: integer overflow, invalid conversion to integer."""
    if -2147483649.0 < a < 2147483648.0:
        return int(a) & _M32
    raise Trap(INVALID_CONVERSION if a != a else INTEGER_OVERFLOW)


def i32_trunc_f32_s(a: float) -> int:
    """Traps: integer overflow, invalid conversion to integer."""
    return i32_trunc_f64_s(a)


def i32_trunc_sat_f64_s(a: float) -> int:
    if -2147483649.0 < a < 2147483648.0:
        return int(a) & _M32
    return 0 if a != a else 0x7FFFFFFF if a > 0.0 else 0x80000000


def i32_trunc_sat_f32_s(a: float) -> int:
    return i32_trunc_sat_f64_s(a)


def i32_trunc_f64_u(a: float) -> int:
    """Traps: integer overflow, invalid conversion to integer."""
    if -1.0 < a < 4294967296.0:
        return int(a)
    raise Trap(INVALID_CONVERSION if a != a else INTEGER_OVERFLOW)


def i32_trunc_f32_u(a: float) -> int:
    """Traps: integer overflow, invalid conversion to integer."""
    return i32_trunc_f64_u(a)


def i32_trunc_sat_f64_u(a: float) -> int:
    if -1.0 < a < 4294967296.0:
        return int(a)
    return 0 if a != a else _M32 if a > 0.0 else 0


def i32_trunc_sat_f32_u(a: float) -> int:
    return i32_trunc_sat_f64_u(a)


def i64_trunc_f64_s(a: float) -> int:
    """Traps: integer overflow, invalid conversion to integer."""
    if -9223372036854775808.0 <= a < 9223372036854775808.0:
        return int(a) & _M64
    raise Trap(INVALID_CONVERSION if a != a else INTEGER_OVERFLOW)


def i64_trunc_f32_s(a: float) -> int:
    """Traps: integer overflow, invalid conversion to integer."""
    return i64_trunc_f64_s(a)


def i64_trunc_sat_f64_s(a: float) -> int:
    if -9223372036854775808.0 <= a < 9223372036854775808.0:
        return int(a) & _M64
    return 0 if a != a else 0x7FFFFFFFFFFFFFFF if a > 0.0 else 0x8000000000000000


def i64_trunc_sat_f32_s(a: float) -> int:
    return i64_trunc_sat_f64_s(a)


def i64_trunc_f64_u(a: float) -> int:
    """Traps: integer overflow, invalid conversion to integer."""
    if -1.0 < a < 18446744073709551616.0:
        return int(a)
    raise Trap(INVALID_CONVERSION if a != a else INTEGER_OVERFLOW)


def i64_trunc_f32_u(a: float) -> int:
    """Traps: integer overflow, invalid conversion to integer."""
    return i64_trunc_f64_u(a)


def i64_trunc_sat_f64_u(a: float) -> int:
    if -1.0 < a < 18446744073709551616.0:
        return int(a)
    return 0 if a != a else _M64 if a > 0.0 else 0


def i64_trunc_sat_f32_u(a: float) -> int:
    return i64_trunc_sat_f64_u(a)


def f64_convert_i32_s(a: int) -> float:
    return float((a ^ 0x80000000) - 0x80000000)


def f64_convert_i32_u(a: int) -> float:
    return float(a)


def f64_convert_i64_s(a: int) -> float:
    return float((a ^ 0x8000000000000000) - 0x8000000000000000)


def f64_convert_i64_u(a: int) -> float:
    return float(a)


def f32_convert_i32_s(a: int) -> float:
    return f32_round(float((a ^ 0x80000000) - 0x80000000))


def f32_convert_i32_u(a: int) -> float:
    return f32_round(float(a))


def f32_convert_i64_s(a: int) -> float:
    if a & 0x8000000000000000:
        return -f32_convert_i64_u(-a & _M64)
    return f32_convert_i64_u(a)


def f32_convert_i64_u(a: int) -> float:
    """Rounded once: what lies below the 53rd bit becomes a sticky bit before the int becomes an f64."""
    if a >> 53:
        return f32_round(float(a >> 11 | (1 if a & 0x7FF else 0)) * 2048.0)
    return f32_round(float(a))


def f32_demote_f64(a: float) -> float:
    return f32_round(a)


def f64_promote_f32(a: float) -> float:
    return a + 0.0 if a != a else a


def i64_reinterpret_f64(a: float) -> int:
    bits: int = _unpack_q(_pack_d(a))[0]
    return bits


def f64_reinterpret_i64(a: int) -> float:
    x: float = _unpack_d(_pack_q(a))[0]
    return x


def i32_reinterpret_f32(a: float) -> int:
    bits: int
    if a != a:
        bits = _unpack_q(_pack_d(a))[0]
        return bits >> 32 & 0x80000000 | 0x7F800000 | bits >> 29 & 0x007FFFFF
    bits = _unpack_i(_pack_f(a))[0]
    return bits


def f32_reinterpret_i32(a: int) -> float:
    x: float
    if a & 0x7FFFFFFF > 0x7F800000:
        x = _unpack_d(_pack_q((a & 0x80000000) << 32 | 0x7FF0000000000000 | (a & 0x007FFFFF) << 29))[0]
        return x
    x = _unpack_f(_pack_i(a))[0]
    return x


# --- Deterministic floats


def f32_canonical(a: float) -> float:
    """`a`, or the canonical NaN (0x7fc00000, positive) in place of any NaN: no instruction, but what makes the results
    of arithmetic the same on every machine (spec 4.3.3 leaves a NaN's sign and payload open)."""
    return a if a == a else _nan


def f64_canonical(a: float) -> float:
    """As f32_canonical; the NaN is 0x7ff8000000000000."""
    return a if a == a else _nan
