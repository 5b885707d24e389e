"""Loads and stores: bits kept, bounds checked, any alignment."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

import polymerase_runtime.memory as memory
import polymerase_runtime.numeric as numeric
from polymerase.emit.source import to_source
from polymerase.ir import walk
from polymerase.ir.nodes import Expr, Func, Get, Store, Var
from polymerase.wasm.types import F32, F64, I32, I64, FuncType, ValType
from tests.unit.emit.reference import TARGETS, compiled, define, evaluate, get, i32, load, op, outcome, returned
from tests.unit.emit.test_expr import edges, random_expr

SIZE = 65536
P = Var("p0", I32)
LOADS = [name for name in vars(memory) if "_load" in name and name[0] in "if" and "_" in name[:4]]
STORES = [name for name in vars(memory) if "_store" in name and name[0] in "if" and "_" in name[:4]]
ADDRESSES = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    SIZE - 9,
    SIZE - 8,
    SIZE - 5,
    SIZE - 4,
    SIZE - 3,
    SIZE - 2,
    SIZE - 1,
    SIZE,
    0xFFFFFFFF,
)
TYPES: dict[str, ValType] = {"i32": I32, "i64": I64, "f32": F32, "f64": F64}
F32_BITS = (0, 0x80000000, 0x3F800000, 0x7F800000, 0x7F800001, 0xFFC00001, 0x7FA55555, 0x7F7FFFFF, 1)
F64_BITS = (0, 1 << 63, 0x3FF0000000000000, 0x7FF0000000000001, 0xFFF8000000000123, 0x7FF0000000000000, 1)


def addresses() -> dict[str, Expr]:
    """Spellings of an address that differ in what is known of them; p0 is what they come from."""
    p = Get(P)
    return {
        "variable": p,
        "sum": op("i32_add", p, i32(4)),
        "aligned": op("i32_shl", p, i32(3)),
        "masked": op("i32_and", p, i32(-8)),
        "difference": op("i32_sub", p, i32(1)),
        "loaded": load("i32_load8_u", op("i32_and", p, i32(255))),
    }


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("offset", [0, 1, 8, SIZE - 16])
@pytest.mark.parametrize("name", LOADS)
def test_loads_are_the_runtimes(target: str, name: str, offset: int) -> None:
    data = bytearray(struct.pack("<QIIQ", F64_BITS[3], F32_BITS[4], F32_BITS[5], F64_BITS[4]) * (SIZE // 24 + 1))[:SIZE]
    for addr in addresses().values():
        e = load(name, addr, offset)
        f = compiled(target, (P,), returned(e), data, (e.type,))
        for p in ADDRESSES:
            assert outcome(evaluate, e, {"p0": p}, data) == outcome(f, p), p


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("offset", [0, 1, 8])
@pytest.mark.parametrize("name", STORES)
def test_stores_are_the_runtimes(target: str, name: str, offset: int) -> None:
    v = Var("p1", TYPES[name[:3]])
    if name[0] == "f":
        wide = numeric.f32_reinterpret_i32 if name[1] == "3" else numeric.f64_reinterpret_i64
        values = [wide(x) for x in (F32_BITS if name[1] == "3" else F64_BITS)]
    else:
        values = [0, 1, 0x80, 0xFFFF8000, 0xFFFFFFFF, *((1 << 63, (1 << 64) - 1) if name[1] == "6" else ())]
    for addr in addresses().values():
        before = bytes(range(256)) * (SIZE // 256)
        data, expected = bytearray(before), bytearray(before)
        f = compiled(target, (P, v), (Store(name, 0, addr, offset, 0, Get(v), 5),), data, ())
        for p in ADDRESSES:
            for value in values:
                try:
                    at = evaluate(addr, {"p0": p}, data) + offset
                except Exception:
                    continue
                same = outcome(getattr(memory, name), expected, at, value)
                assert same == outcome(f, p, value), (p, value)
        assert expected == data


@pytest.mark.parametrize("target", TARGETS)
def test_payloads_of_nans_survive_load_and_store(target: str) -> None:
    data = bytearray(64)
    for name, pattern, all_bits in (("f32", "<I", F32_BITS), ("f64", "<Q", F64_BITS)):
        for addr, to in ((0, 32), (1, 33), (4, 40)):
            copied = Store(f"{name}_store", 0, get("p0"), to, 0, load(f"{name}_load", get("p0"), addr), 5)
            f = compiled(target, (P,), (copied,), data, ())
            for value in all_bits:
                struct.pack_into(pattern, data, addr, value)
                f(0)
                assert value == struct.unpack_from(pattern, data, to)[0]


@pytest.mark.parametrize("target", TARGETS)
def test_a_stored_operation_is_rounded(target: str) -> None:
    data = bytearray(64)
    params = (P, Var("p2", F32), Var("p3", F32))
    total = op("f32_mul", get("p2", F32), get("p3", F32))
    for offset in (0, 1):
        f = compiled(target, params, (Store("f32_store", 0, get("p0"), offset, 0, total, 5),), data, ())
        for x, y in ((0.1, 0.3), (3e38, 3e38), (-3e38, 3e38), (1e-30, 1e-30), (float("nan"), 1.0)):
            x, y = numeric.f32_round(x), numeric.f32_round(y)
            f(0, x, y)
            assert repr(numeric.f32_mul(x, y)) == repr(struct.unpack_from("<f", data, offset)[0])


@pytest.mark.parametrize("target", TARGETS)
def test_random_addresses_and_values_are_stored_as_the_runtime_does(target: str) -> None:
    rng = random.Random(f"stores {target}")
    params = tuple(Var(f"p{i}", t) for i, t in enumerate((I32, I64, F32, F64, I32)))
    for _ in range(400):
        name = rng.choice(STORES)
        addr = op("i32_and", random_expr(rng, "i32", 3), i32(rng.choice((0xFFFF, 0xFFF0, 0x1FFF8))))
        value = random_expr(rng, name[:3], 3)
        if walk.effects(addr) and walk.effects(value):
            continue
        before = bytes(rng.randbytes(SIZE))
        data, expected = bytearray(before), bytearray(before)
        f = compiled(target, params, (Store(name, 0, addr, 1, 0, value, 5),), data, ())
        for _ in range(4):
            args = [rng.choice(edges(p.type)) for p in params]
            env = {p.name: x for p, x in zip(params, args, strict=True)}

            text = to_source(
                define(target, Func(0, FuncType((), ()), params, (Store(name, 0, addr, 1, 0, value, 5),), 1))
            )
            assert outcome(stored, name, addr, value, env, expected) == outcome(f, *args), text
            if name[0] == "i":  # the bits of a NaN that an operation makes are not determined
                assert expected == data, text


def stored(name: str, addr: Expr, value: Expr, env: dict[str, Any], data: bytearray) -> None:
    at, x = evaluate(addr, env, data) + 1, evaluate(value, env, data)
    getattr(memory, name)(data, at, x)
