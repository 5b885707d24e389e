"""Every inline spelling gives what the runtime's function gives."""

from __future__ import annotations

import inspect
import random
import struct
from typing import Any

import pytest

import polymerase_runtime.numeric as numeric
from polymerase.emit.source import to_source
from polymerase.ir import walk
from polymerase.ir.nodes import Const, Expr, Func, Get, Logic, Select, Var
from polymerase.wasm.types import F32, F64, I32, I64, FuncType, ValType
from tests.unit.emit.reference import TARGETS, compiled, define, evaluate, get, i32, load, op, outcome, returned

INTS = (0, 1, 2, 3, 5, 7, 8, 31, 32, 33, 63, 127, 128, 255, 256, 32767, 32768, 65535, 65536)
EDGES32 = (*INTS, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFF8000, 0xFFFFFF80, 0xFFFFFFFE, 0xFFFFFFFF, 0x12345678)
EDGES64 = (
    *EDGES32,
    1 << 32,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 1,
    (1 << 64) - 1,
    (1 << 64) - 128,
    (1 << 64) - (1 << 31),
    0x123456789ABCDEF0,
)
FLOATS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    float("inf"),
    float("-inf"),
    float("nan"),
    2147483647.0,
    2147483648.0,
    -2147483648.0,
    -2147483649.0,
    4294967296.0,
    -0.99,
    1e10,
    9223372036854775808.0,
    -9223372036854775808.0,
    18446744073709551616.0,
    3.4028234663852886e38,
    1e-45,
    1e300,
    5e-324,
)
_TYPES: dict[str, ValType] = {"i32": I32, "i64": I64, "f32": F32, "f64": F64}


def edges(t: ValType) -> tuple[Any, ...]:
    if t is I32:
        return EDGES32
    if t is I64:
        return EDGES64
    return tuple(map(numeric.f32_round, FLOATS)) if t is F32 else FLOATS


def operations() -> dict[str, tuple[ValType, ...]]:
    """Every numeric function of the runtime with its operand types."""
    found: dict[str, tuple[ValType, ...]] = {}
    for name, f in vars(numeric).items():
        if name[:4] not in ("i32_", "i64_", "f32_", "f64_") or name in ("f32_round", "i32_signed", "i64_signed"):
            continue
        count = len(inspect.signature(f).parameters)
        source = next((t for t in ("i32", "i64", "f32", "f64") if t in name[4:]), name[:3])
        found[name] = (_TYPES[source],) * count
    return found


OPS = operations()


def as_const(t: ValType, value: Any) -> Const:
    if t is F32:
        return Const(t, struct.unpack("<I", struct.pack("<f", value))[0])
    if t is F64:
        return Const(t, struct.unpack("<Q", struct.pack("<d", value))[0])
    return Const(t, value)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", OPS)
def test_an_operation_on_variables_is_the_runtimes(target: str, name: str) -> None:
    types = OPS[name]
    params = tuple(Var(f"p{i}", t) for i, t in enumerate(types))
    e = op(name, *map(Get, params))
    f = compiled(target, params, returned(e), bytearray(65536), (e.type,))
    reference = getattr(numeric, name)
    for a in edges(types[0]):
        for args in [(a, b) for b in edges(types[1])] if len(types) > 1 else [(a,)]:
            assert outcome(reference, *args) == outcome(f, *args), args


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [name for name in OPS if len(OPS[name]) > 1])
def test_an_operation_on_a_constant_is_the_runtimes(target: str, name: str) -> None:
    t = OPS[name][0]
    p = Var("p0", t)
    for c in edges(t):
        for e, right in ((op(name, Get(p), as_const(t, c)), True), (op(name, as_const(t, c), Get(p)), False)):
            f = compiled(target, (p,), returned(e), bytearray(65536), (e.type,))
            for a in edges(t)[::2]:
                expected = outcome(getattr(numeric, name), *((a, c) if right else (c, a)))
                assert expected == outcome(f, a), (a, c, right)


# The sign of a NaN that an operation makes is not determined: what shows it stays out of random trees.
RANDOM_OPS = {
    t: [n for n in OPS if n.startswith(t) and "copysign" not in n and not n.startswith(("i32_rein", "i64_rein"))]
    for t in ("i32", "i64", "f32", "f64")
}
LOADS = {
    "i32": ["i32_load", "i32_load8_s", "i32_load8_u", "i32_load16_s", "i32_load16_u"],
    "i64": ["i64_load", "i64_load8_s", "i64_load16_u", "i64_load32_s", "i64_load32_u"],
    "f32": ["f32_load"],
    "f64": ["f64_load"],
}


def random_expr(rng: random.Random, t: str, depth: int) -> Expr:
    """A tree of type `t` over p0 (i32), p1 (i64), p2 (f32), p3 (f64), p4 (i32)."""
    if depth == 0 or rng.random() < 0.1:
        if rng.random() < 0.4:
            return as_const(_TYPES[t], rng.choice(edges(_TYPES[t])))
        index = {"i32": rng.choice((0, 4)), "i64": 1, "f32": 2, "f64": 3}[t]
        return get(f"p{index}", _TYPES[t])
    kind = rng.random()
    if kind < 0.07:
        addr = op("i32_and", random_expr(rng, "i32", depth - 1), i32(rng.choice((0xFFF, 0xFFC, 0xFFFFF))))
        return load(rng.choice(LOADS[t]), addr, rng.choice((0, 0, 1, 4, 8)))
    if kind < 0.12:
        a, b = random_expr(rng, t, depth - 1), random_expr(rng, t, depth - 1)
        if pure(a) and pure(b):
            return Select(random_expr(rng, "i32", depth - 1), a, b, _TYPES[t])
    if t == "i32" and kind < 0.18:
        return Logic(rng.random() < 0.5, random_expr(rng, t, depth - 1), random_expr(rng, t, depth - 1))
    if t[0] == "i" and kind < 0.7:  # the operations that bounds are about
        names = ["add", "sub", "mul", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr", "extend8_s", "lt_s"]
        name = f"{t}_{rng.choice(names)}"
    else:
        name = rng.choice(RANDOM_OPS[t])
    if op(name).type is not _TYPES[t]:
        name = f"{t}_add"
    return op(name, *(random_expr(rng, str(p), depth - 1) for p in OPS[name]))


def pure(e: Expr) -> bool:
    return not walk.effects(e)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("t", ["i32", "i64", "f32", "f64"])
def test_random_trees_evaluate_as_the_runtimes_functions_do(target: str, t: str) -> None:
    rng = random.Random(f"{target} {t}")
    data = bytearray(rng.randbytes(65536))
    params = tuple(Var(f"p{i}", x) for i, x in enumerate((I32, I64, F32, F64, I32)))
    for _ in range(400):
        e = random_expr(rng, t, rng.choice((2, 3, 4)))
        f = compiled(target, params, returned(e), data, (_TYPES[t],))
        for _ in range(8):
            args = [rng.choice(edges(p.type)) for p in params]
            env = {p.name: value for p, value in zip(params, args, strict=True)}
            assert outcome(evaluate, e, env, data) == outcome(f, *args), (source(target, e), args)


def source(target: str, e: Expr) -> str:
    """The emitted expression as text; parameters of type i32."""
    tree = define(target, Func(0, FuncType((), (I32,)), (), returned(e), 1))
    return to_source(tree).strip().splitlines()[-1].strip().removeprefix("return ")


P, Q = get("p0"), get("p4")


@pytest.mark.parametrize(
    ("text", "e"),
    [
        ("p0 + p4 + p0 & 0xFFFFFFFF", op("i32_add", op("i32_add", P, Q), P)),
        ("p0 + p4 & 255", op("i32_and", op("i32_add", P, Q), i32(255))),
        ("p0 & 255", op("i32_and", op("i32_and", P, i32(0xFFFF)), i32(255))),
        ("p0 & -4", op("i32_and", P, i32(-4))),
        ("(p0 & 255) * 4", op("i32_shl", op("i32_and", P, i32(255)), i32(2))),
        ("(p0 & 0xFFFF) << 16", op("i32_shl", P, i32(16))),
        ("u8[p0 + 5]", load("i32_load8_u", P, 5)),
        ("s8[p0] & 0xFFFFFFFF", load("i32_load8_s", P)),
        ("u8[p0]", op("i32_and", load("i32_load8_s", P), i32(255))),
        ("u32[(p0 & 255) + 16640]", load("i32_load", op("i32_shl", op("i32_and", P, i32(255)), i32(2)), 66560)),
        ("u32[256]", load("i32_load", i32(1024))),
        ("i32_load(u8, p0 + 8) if p0 & 3 else u32[p0 + 8 >> 2]", load("i32_load", P, 8)),
        ("i32_load(u8, a) if (a := p0 + 5) & 3 else u32[a >> 2]", load("i32_load", P, 5)),
        ("1 if p0 < 10 or p0 >= 0x80000000 else 0", op("i32_lt_s", P, i32(10))),
        ("1 if p0 >= 0x80000000 else 0", op("i32_lt_s", P, i32(0))),
        ("1 if p0 else 0", op("i32_eqz", op("i32_eqz", P))),
        ("0 if p0 else 1", op("i32_eqz", P)),
        ("1 if s8[p0] < 5 else 0", op("i32_lt_s", load("i32_load8_s", P), i32(5))),
        ("p0 if p4 else 7", Select(Q, P, i32(7), I32)),
        ("1 if p0 == p4 and p0 < 3 else 0", op("i32_and", op("i32_eq", P, Q), op("i32_lt_u", P, i32(3)))),
        ("p0 // p4", op("i32_div_u", P, Q)),
        ("i32_div_s(p0, p4)", op("i32_div_s", P, Q)),
        ("4294967295", i32(-1)),
    ],
)
def test_masks_stand_only_where_a_value_must_be_exact(text: str, e: Expr) -> None:
    assert text == source("cpython", e)


@pytest.mark.parametrize(
    ("text", "e"),
    [
        ("int_mul(p0, p4) & 0xFFFFFFFF", op("i32_mul", P, Q)),
        ("unpack_u32(data, p0 + 5)[0]", load("i32_load", P, 5)),
        ("u8[p0]", load("i32_load8_u", P)),
        ("(p0 ^ 0x80000000) - 0x80000000 >> (p4 & 31) & 0xFFFFFFFF", op("i32_shr_s", P, Q)),
    ],
)
def test_pypy_gets_no_integer_wider_than_its_word(text: str, e: Expr) -> None:
    assert text == source("pypy", e)
