"""What IR means, by the runtime's own functions: the plainest interpreter, to hold emitted code against."""

from __future__ import annotations

import ast
import struct
from typing import Any

import polymerase_runtime.memory as memory
import polymerase_runtime.numeric as numeric
import polymerase_runtime.spelling as spelling
from polymerase.emit.cpython import CPython
from polymerase.emit.pypy import PyPy
from polymerase.emit.stmt import Functions
from polymerase.ir.nodes import Body, Const, Expr, Func, Get, Load, Logic, Op, Return, Select, Var
from polymerase.wasm.types import F32, F64, I32, I64, FuncType, ValType
from polymerase_runtime.traps import Trap

TARGETS = {"cpython": CPython, "pypy": PyPy}
VIEWS = {
    "u8": "B",
    "s8": "b",
    "u16": "H",
    "s16": "h",
    "u32": "I",
    "s32": "i",
    "u64": "Q",
    "s64": "q",
    "f32": "f",
    "f64": "d",
}


def get(name: str, t: ValType = I32) -> Get:
    return Get(Var(name, t))


def i32(value: int) -> Const:
    return Const(I32, value & 0xFFFFFFFF)


def i64(value: int) -> Const:
    return Const(I64, value & 0xFFFFFFFFFFFFFFFF)


def f32(value: float) -> Const:
    return Const(F32, struct.unpack("<I", struct.pack("<f", value))[0])


def f64(value: float) -> Const:
    return Const(F64, struct.unpack("<Q", struct.pack("<d", value))[0])


TYPES: dict[str, ValType] = {"i32": I32, "i64": I64, "f32": F32, "f64": F64}
TESTS = ("eqz", "eq", "ne", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u", "lt", "gt", "le", "ge")


def op(name: str, *args: Expr) -> Op:
    """An operation; its result's type is told by its name."""
    t = I32 if name[4:] in TESTS else TYPES[name[:3]]
    return Op(name, args, t, 7)


def load(name: str, addr: Expr, offset: int = 0) -> Load:
    return Load(name, 0, addr, offset, 0, TYPES[name[:3]], 9)


def space(data: bytearray) -> dict[str, Any]:
    """A namespace with a memory and all helpers."""
    names: dict[str, Any] = {}
    for module in (numeric, memory, spelling):
        names.update((name, value) for name, value in vars(module).items() if name[0] != "_")
    view = memoryview(data)
    names.update((name, view.cast(code)) for name, code in VIEWS.items())
    names["data"] = data
    return names


def define(target: str, f: Func) -> ast.Module:
    """The tree of `f`'s definition."""
    spell = TARGETS[target](("func0",), (), frozenset(), (0,))
    return ast.Module(Functions(spell).function(f), [])


def compiled(target: str, params: tuple[Var, ...], body: Body, data: bytearray, results: tuple[ValType, ...]) -> Any:
    """A Python function out of IR."""
    f = Func(0, FuncType(tuple(p.type for p in params), results), params, body, 1)
    names = space(data)
    exec(compile(define(target, f), "<wasm>", "exec"), names)
    return names["func0"]


def outcome(f: Any, *args: object) -> object:
    """The result, or what the trap says; NaNs are all the same."""
    try:
        result = f(*args)
    except Trap as e:
        return str(e)
    except ZeroDivisionError:
        return "integer divide by zero"
    except (IndexError, struct.error):
        return "out of bounds memory access"
    if isinstance(result, float):
        return repr(result)
    return type(result), result


def evaluate(e: Expr, env: dict[str, Any], data: bytearray) -> Any:
    """The value of `e`."""
    match e:
        case Const():
            if e.type is F32:
                return numeric.f32_reinterpret_i32(e.value)
            return numeric.f64_reinterpret_i64(e.value) if e.type is F64 else e.value
        case Get():
            return env[e.var.name]
        case Op():
            return getattr(numeric, e.name)(*[evaluate(a, env, data) for a in e.args])
        case Logic():
            a = evaluate(e.a, env, data)
            if bool(a) != e.is_and:
                return 1 if a else 0
            return 1 if evaluate(e.b, env, data) else 0
        case Select():
            return evaluate(e.a if evaluate(e.cond, env, data) else e.b, env, data)
        case Load():
            return getattr(memory, e.name)(data, evaluate(e.addr, env, data) + e.offset)
        case _:
            raise TypeError(e)


def returned(e: Expr) -> Body:
    return (Return((e,), 3),)
