"""The interpreter's spellings give what the runtime's functions give, and its closures say where they fail."""

from __future__ import annotations

import random
from typing import Any

import pytest

import polymerase_runtime.numeric as numeric
from polymerase_runtime.closures import CONSTANT, FILE, FIRST, INLINE, TESTS, Builder
from polymerase_runtime.memory import Memory
from polymerase_runtime.traps import Trap
from tests.unit.emit.test_expr import EDGES32, EDGES64, FLOATS

F32S = sorted({numeric.f32_round(x) for x in FLOATS if x == x}) + [float("nan")]


def operand_type(name: str) -> str:
    """The type of an operation's operands."""
    for part in ("_i32", "_i64", "_f32", "_f64"):
        if part in name[3:]:
            return part[1:]
    return name[:3]


def operands(name: str) -> list[Any]:
    return {"i32": EDGES32, "i64": EDGES64, "f32": F32S, "f64": FLOATS}[operand_type(name)]  # type: ignore[return-value]


def bits(t: str, value: Any) -> int:
    if t == "f32":
        return numeric.i32_reinterpret_f32(value)
    return numeric.i64_reinterpret_f64(value) if t == "f64" else value


def made(e: tuple[Any, ...], condition: bool = False) -> Any:
    """The closure of an expression."""
    builder = Builder((), frozenset())
    builder.start()
    return builder.finish(builder.condition(e) if condition else builder.value(e))


def same(a: Any, b: Any) -> bool:
    return a != a and b != b if isinstance(a, float) and a != a else repr(a) == repr(b)


@pytest.mark.parametrize("name", sorted({*INLINE, *TESTS}))
def test_spellings_give_what_the_definitions_give(name: str) -> None:
    f = getattr(numeric, name)
    t = operand_type(name)
    values = operands(name)
    arity = f.__code__.co_argcount
    rng = random.Random(name)
    pairs = [(a, b) for a in values for b in values] if arity == 2 else [(a,) for a in values]
    gets = tuple(("get", k) for k in range(arity))
    op, test = made(("op", name, 7, *gets)), made(("op", name, 7, *gets), condition=True)
    for args in pairs:
        constant = made(("op", name, 7, gets[0], ("const", t, bits(t, args[-1])))) if rng.random() < 0.2 else None
        try:
            expected = f(*args)
        except Trap:
            with pytest.raises(ZeroDivisionError):  # the border's
                op([None, {}, *args])
            continue
        assert same(expected, op([None, {}, *args])), args
        assert bool(expected) == bool(test([None, {}, *args])), args
        if constant is not None and arity == 2:
            assert same(expected, constant([None, {}, *args])), args


@pytest.mark.parametrize("name", ["i32_rotl", "i32_rotr", "i64_rotl", "i64_rotr", *sorted(CONSTANT)])
def test_constant_operands_give_what_the_definitions_give(name: str) -> None:
    t = name[:3]
    for a in operands(name):
        for b in (0, 1, 5, 31, 32, 33, 63, 64, (1 << 31) - 1, 1 << 31, (1 << 32) - 1):
            op = made(("op", name, 7, ("get", 0), ("const", t, b)))
            assert getattr(numeric, name)(a, b) == op([None, {}, a]), (a, b)


LOADS = ["i32_load", "i64_load", "f32_load", "f64_load"] + [
    f"{t}_load{n}_{s}" for t, n in (("i32", 8), ("i32", 16), ("i64", 8), ("i64", 16), ("i64", 32)) for s in "su"
]


@pytest.mark.parametrize("name", LOADS)
def test_loads_read_any_address_and_fail_beyond_the_end(name: str) -> None:
    import polymerase_runtime.memory as memory

    mem = Memory(1)
    mem.expose()
    mem[0:64] = random.Random(name).randbytes(64)
    mem[65536 - 32 : 65536] = random.Random(name).randbytes(32)
    op = made(("load", name, 0, ("get", 0), 3, 99))
    size = int(name[8:].partition("_")[0] or name[1:3]) // 8
    for p in (*range(20), *range(65536 - 12 - size, 65536 - 3 - size + 1)):
        expected = getattr(memory, name)(mem.data, p + 3)
        assert same(expected, op([mem, {}, p])), p
    for p in (65536 - 3 - size + 1, 65536, 0xFFFFFFFF):
        with pytest.raises((IndexError, Trap)):
            op([mem, {}, p])


@pytest.mark.parametrize("name", ["i32_store", "i32_store8", "i32_store16", "i64_store", "i64_store32", "f32_store"])
def test_stores_write_any_address(name: str) -> None:
    import polymerase_runtime.memory as memory

    a, b = Memory(1), Memory(1)
    a.expose()
    builder = Builder((), frozenset())
    builder.start()
    builder.statement(("store", name, 0, ("get", 0), 5, ("get", 1), 99))
    op = builder.finish()
    for p in range(0, 40, 3):
        value = numeric.f32_reinterpret_i32(0x7FA00000 + p) if name[0] == "f" else 0xFEDCBA9876543210 + p
        if name[1] == "3" and name[0] == "i":
            value &= 0xFFFFFFFF
        op([a, {}, p, value])
        getattr(memory, name)(b.data, p + 5, value)
    assert bytes(a) == bytes(b)
    with pytest.raises((IndexError, Trap)):
        op([a, {}, 65536, 0 if name[0] == "i" else 0.0])
    assert bytes(a) == bytes(b)


def test_code_of_one_shape_is_compiled_once() -> None:
    a = made(("op", "i32_add", 1, ("get", 3), ("const", "i32", 5)))
    b = made(("op", "i32_add", 2, ("get", 9), ("const", "i32", 77)))
    assert a.__code__ is b.__code__
    assert 5 + 1 == a([None, {}, 0, 0, 0, 1])
    assert FILE == a.__code__.co_filename
    assert FIRST == 2
