"""Values at the public border: from what Python passes to the guest's internal form, and back (design: "Values").

Internally an i32 or i64 is unsigned; publicly it is signed, and taken in [-2^(n-1), 2^n). Booleans and whatever has
`__index__` (numpy's integers) count as integers, and what has `__float__` or `__index__` as floats: only text and
bytes are refused there, though Python would parse them. An f32 is rounded. References are None or an object.
"""

from __future__ import annotations

from operator import index
from typing import Any

from .numeric import f32_reinterpret_i32, f32_round, i32_reinterpret_f32, i32_signed, i64_signed

BITS = {"i32": 32, "i64": 64, "v128": 128}


def to_internal(t: str, value: Any, what: str) -> Any:
    """`value` as an internal value of type `t`. TypeError or OverflowError opening with `what`, naming the value."""
    if t in BITS:
        if t == "v128" and isinstance(value, (bytes, bytearray)) and len(value) == 16:
            return int.from_bytes(value, "little")
        if type(value) is not int:
            try:
                value = index(value)
            except TypeError:
                raise wrong(t, value, what) from None
        bits = BITS[t]
        if not (-1 << bits - 1 if bits < 128 else 0) <= value < 1 << bits:
            raise OverflowError(f"{what}: {show(value)} is out of range of {t}")
        return value & (1 << bits) - 1
    if t == "f64" or t == "f32":
        if isinstance(value, (str, bytes, bytearray)):
            raise wrong(t, value, what)
        try:
            x = float(value)
        except OverflowError:
            raise OverflowError(f"{what}: {show(value)} is out of range of {t}") from None
        except (TypeError, ValueError):
            raise wrong(t, value, what) from None
        return to_f32(x) if t == "f32" else x
    if t == "funcref" and value is not None and not getattr(value, "__polymerase_func__", False):
        raise wrong(t, value, what)
    return value


def to_f32(x: float) -> float:
    """The nearest f32. A NaN stays signalling if enough of its payload is left, unlike in an operation."""
    if x == x:
        return f32_round(x)
    cut = f32_reinterpret_i32(i32_reinterpret_f32(x))
    return cut if cut != cut else f32_round(x)


def to_public(t: str, value: Any) -> Any:
    """An internal value of type `t` as Python callers see it."""
    if t == "i32":
        return i32_signed(value)
    if t == "i64":
        return i64_signed(value)
    return value


def results_to_internal(types: tuple[str, ...], value: Any, what: str) -> Any:
    """What a host function returned, in internal form: nothing, a value, or a tuple. What a function without results
    returns is dropped, so that `log.append` or `file.write` can be passed."""
    if not types:
        return None
    if len(types) == 1:
        return to_internal(types[0], value, f"{what}: result")
    try:
        values = tuple(value)
    except TypeError:
        values = ()
    if len(values) != len(types) or isinstance(value, (str, bytes)):
        raise TypeError(f"{what}: expected {len(types)} results [{' '.join(types)}], got {show(value)}")
    return tuple(to_internal(t, v, f"{what}: result {i}") for i, (t, v) in enumerate(zip(types, values)))


def results_to_public(types: tuple[str, ...], value: Any) -> Any:
    """What a guest function returned, as Python callers see it."""
    if not types:
        return None
    if len(types) == 1:
        return to_public(types[0], value)
    return tuple(map(to_public, types, value))


def wrong(t: str, value: Any, what: str) -> TypeError:
    """The error that says that `value` is no `t`."""
    return TypeError(f"{what}: expected {t}, got {show(value)} ({type(value).__name__})")


def show(value: Any, limit: int = 60) -> str:
    """`value` as text of bounded length; its `__repr__` may be anyone's."""
    try:
        text = repr(value)
    except Exception:  # also that of an int of too many digits
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[:limit] + "…"
