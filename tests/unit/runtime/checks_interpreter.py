"""What the interpreter does on any Python, as checks.py does it for the rest: `python checks_interpreter.py RUNTIME`.

The bodies are prepared by hand (their form: polymerase/lower/prepare.py), the functions that are not interpreted those
of checks.py.
"""

from __future__ import annotations

import math
import struct
import sys
import threading
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
sys.path.insert(0, str(Path(__file__).parent))

from checks import Code, info, run  # isort: skip - beside this file

from polymerase_runtime import PolymeraseError, Trap, instantiate
from polymerase_runtime.interpreter import Bodies, InterpretedCode, Suspend, Suspended

sys.path.pop(0)

P0, P1 = ("get", 0), ("get", 1)


def const(value: int) -> Any:
    return ("const", "i32", value)


def op(name: str, *args: Any, at: int = 1) -> Any:
    return ("op", name, at, *args)


def body(types: str, params: int, *blocks: Any) -> Any:
    """A body whose blocks are given as (statements, terminator)."""
    found = tuple((1, 1, tuple(stmts), term, -1) for stmts, term in blocks)
    return tuple(types.split()), params, params, 9, found


def parity(other: Any, last: int) -> Any:
    """0 gives `last`, everything else goes on at `other`."""
    return body("i32", 1, ((), ("if", P0, 1, 2)), ((), other), ((), ("return", (const(last),))))


ONE_LESS = op("i32_sub", P0, const(1))
BODIES = {
    1: body(  # fib
        "i32 i32 i32",
        1,
        ((), ("if", op("i32_lt_s", P0, const(2)), 1, 2)),
        ((), ("return", (P0,))),
        (
            (("call", (1,), 1, (ONE_LESS,), 11), ("call", (2,), 1, (op("i32_sub", P0, const(2)),), 12)),
            ("return", (op("i32_add", P1, ("get", 2)),)),
        ),
    ),
    2: body("i32 i32", 1, ((("call", (1,), 2, (P0,), 13),), ("return", (P1,)))),  # endless
    5: body("i32", 1, ((), ("return", (("load", "i32_load", 0, P0, 2, 21),)))),  # load
    # div: p0 / p1 + memory[p1 << 31] / (p0 - 9), with a trap in each part
    7: body(
        "i32 i32",
        2,
        (
            (("set", 0, op("i32_and", P0, const(0xFFFF)), 30),),
            (
                "return",
                (
                    op(
                        "i32_add",
                        op("i32_div_u", P0, P1, at=31),
                        op(
                            "i32_div_u",
                            ("load", "i32_load8_u", 0, op("i32_shl", P1, const(31)), 0, 32),
                            op("i32_sub", P0, const(9)),
                            at=33,
                        ),
                    ),
                ),
            ),
        ),
    ),
    9: body("i32 i32", 1, ((("call", (1,), 0, (P0,), 41),), ("return", (op("i32_add", P1, const(1)),)))),  # through
    10: body("i64 f32 f64", 3, ((), ("return", (P0, P1, ("get", 2))))),  # many
    # loop: of 0 to 4 it gives 10, 11, 12, 99, 99
    18: body(
        "i32",
        1,
        ((), ("switch", P0, (1, 2, 3), 4)),
        *(((), ("return", (const(k),))) for k in (10, 11, 12, 99)),
    ),
    # single: stores and loads a NaN whose payload is a signaling one's
    19: body(
        "f32",
        1,
        (
            (
                ("store", "f32_store", 0, const(101), 3, P0, 51),
                ("store", "i32_store16", 0, const(109), 0, const(7), 52),
            ),
            ("return", (("load", "f32_load", 0, const(104), 0, 53),)),
        ),
    ),
    20: parity(("tail", 21, (ONE_LESS,), 61), 1),
    21: parity(("taili", 0, 0, const(6), (ONE_LESS,), 62), 0),
}


def guest(*interpreted: int, host: Any = lambda x: x) -> Any:
    """An instance of the module of checks.py; functions `interpreted` have the bodies above (default: all)."""
    made = info()
    chosen = frozenset(interpreted or BODIES)
    code = InterpretedCode(Bodies(made, BODIES.__getitem__), chosen, Code())
    return instantiate(made, code, {"env": {"host": host}}, blob=b"abcdef")


def trap(call: Any, *args: Any) -> Any:
    """Text, innermost function and its offset."""
    try:
        call(*args)
    except Trap as e:
        return str(e).partition("\n")[0], e.frames[-1].func, e.frames[-1].offset
    raise AssertionError("no trap")


def check_bodies_run() -> None:
    e = guest().exports
    assert 610 == e.fib(15)
    assert [10, 11, 12, 99, 99] == [e.loop(n) for n in (0, 1, 2, 3, -1)]
    assert (-1, 1.5, -2.5) == e.many(-1, 1.5, -2.5)
    assert 6 == e.through(5)


def check_traps_name_their_instruction() -> None:
    e = guest().exports
    assert 2 == e.div(4, 2)
    assert ("integer divide by zero", 7, 31) == trap(e.div, 5, 0)
    assert ("out of bounds memory access", 7, 32) == trap(e.div, 5, 1)
    assert ("integer divide by zero", 7, 33) == trap(e.div, 9, 2)
    assert ("out of bounds memory access", 5, 21) == trap(e.load, 65535)
    assert ("out of bounds memory access", 5, 21) == trap(e.load, -1)


def check_deep_recursion_is_a_trap() -> None:
    e = guest().exports
    for _ in range(2):
        assert ("call stack exhausted", 2, 13) == trap(e.endless, 0)


def check_calls_between_the_engines() -> None:
    for interpreted in ((20,), (21,), (20, 21)):
        e = guest(*interpreted).exports
        assert (1, 0, 1) == (e.tail_even(20_000), e.tail_even(20_001), e.tail_odd(20_001))
    e = guest(1, 9, host=lambda x: e.through(x - 1) if x > 90 else e.call(1)).exports
    assert 1 + 1 * 10 == e.through(99) - e.fib(0)


def check_nans_keep_their_bits() -> None:
    instance = guest()
    e = instance.exports
    assert math.isnan(e.single(math.nan))
    for bits in (0x7F800001, 0xFFC00001, 0x7FC00000):
        e.memory.write(104, struct.pack("<I", bits))
        value = instance.func(19).raw(instance.namespace["f32_load"](instance.memory.data, 104))
        assert value != value
        assert struct.pack("<I", bits) == e.memory.read(104, 4)


def check_memory_may_grow_while_frames_hold_it() -> None:
    instance = guest(5, 9, host=lambda x: instance.exports.grow(x))
    e = instance.exports
    assert ("out of bounds memory access", 5, 21) == trap(e.load, 70_000)
    assert 2 == e.through(1)
    e.memory.write(70_002, b"\x07\0\0\0")
    assert 7 == e.load(70_000)


def check_a_guest_is_suspended_and_goes_on() -> None:
    def host(x: int) -> int:
        raise Suspend

    instance = guest(host=host)
    for _ in range(2):
        try:
            instance.exports.through(5)
            raise AssertionError("not suspended")
        except Suspended:
            assert [9] == [frame.func for frame in instance.suspended.frames]
        assert 610 == instance.exports.fib(15)
        assert 43 == instance.resume(42)
        assert instance.suspended is None
    compiled = guest(1, host=host)
    try:
        compiled.exports.through(5)
        raise AssertionError("suspended")
    except (Suspend, PolymeraseError):
        assert compiled.suspended is None


def check_instances_in_threads_share_bodies() -> None:
    made = info()
    bodies = Bodies(made, BODIES.__getitem__)
    results: list[int] = []

    def work() -> None:
        code = InterpretedCode(bodies, frozenset(BODIES), Code())
        e = instantiate(made, code, {"env": {"host": lambda x: x}}, blob=b"abcdef").exports
        results.append(e.fib(12) + e.loop(1))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [155] * 8 == results


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]

if __name__ == "__main__":
    run(CHECKS)
