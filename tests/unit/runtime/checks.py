"""What the runtime promises, as plain functions that any Python can run without pytest: `python checks.py RUNTIME`.

The guest is a module compiled by hand: source text and a ModuleInfo. test_checks.py runs each function here, and all of
them again on the other Pythons of the machine.
"""

from __future__ import annotations

import functools
import gc
import math
import os
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])

from polymerase_runtime import (
    ABI,
    BusyError,
    Caller,
    Data,
    Elem,
    Exit,
    Func,
    FuncType,
    Global,
    GlobalType,
    HostFunc,
    ImportType,
    Limits,
    LinkError,
    Memory,
    MemoryType,
    ModuleInfo,
    PolymeraseError,
    SizeLimits,
    Table,
    TableType,
    Trap,
    deep_stack,
    format_trap,
    instantiate,
)

from polymerase_runtime import border, memory, numeric, table  # isort: skip - modules, for their operations

PYPY = sys.implementation.name == "pypy"
I32 = FuncType(("i32",), ("i32",))
BINARY = FuncType(("i32", "i32"), ("i32",))
NULLARY = FuncType()
TYPES = (
    I32,
    BINARY,
    NULLARY,
    FuncType(("i64", "f32", "f64"), ("i64", "f32", "f64")),
    FuncType(("funcref", "externref"), ("externref", "funcref")),
    FuncType(("f64",), ("i32",)),
    FuncType(("i32",) * 20, ("i32",)),
    FuncType(("i64",), ("i64",)),
    FuncType(("f32",), ("f32",)),
)
SOURCE = """
def func1_fib(p0):
    return p0 if p0 < 2 else (func1_fib(p0 - 1) + func1_fib(p0 - 2)) & 0xFFFFFFFF
def func2_endless(p0):
    return func2_endless(p0 + 1 & 0xFFFFFFFF)
def func3_even(p0):
    return 1 if not p0 else func4_odd(p0 - 1)
def func4_odd(p0):
    return 0 if not p0 else func3_even(p0 - 1)
def func5_load(p0):
    return i32_load(u8, p0)
def func6_byte(p0):
    return u8[p0]
def func7_div(p0, p1):
    return p0 // p1
def func8_call(p0):
    return table0_t0[p0](p0)
def func9_through(p0):
    return func0_host(p0)
def func10_many(p0, p1, p2):
    return p0, p1, p2
def func11_refs(p0, p1):
    return p1, p0
def func12_trunc(p0):
    return int(p0) & 0xFFFFFFFF
def func13_twenty(*p):
    return p[19]
def func14_wide(p0):
    return p0
def func15_count():
    g1.value = g1.value + 1 & 0xFFFFFFFF
def func16_unreachable():
    unreachable()
def func17_grow(p0):
    return memory_grow(mem0, p0)
def func18_loop(p0):
    while p0:
        p0 = table0_t0[5](p0)
    return 0
def func19_single(p0):
    return p0
def func20_even_tail(p0):
    return TailCall(func21_odd_tail, (p0 - 1,)) if p0 else 1
func20_even = make_trampoline(func20_even_tail)
def func21_odd_tail(p0):
    return TailCall(table0_t0[6], (p0 - 1,)) if p0 else 0
func21_odd = make_trampoline(func21_odd_tail)
def func22_div64(p0):
    return s64_div_s(p0, 0)
"""
NAMES = ("func0_host",) + tuple(
    line.split("(")[0][4:]
    for line in SOURCE.splitlines()
    if line.startswith("def") and not line.startswith(("def func20", "def func21", "def func22"))
)
NAMES += ("func20_even", "func21_odd", "func22_div64")
KINDS = (0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 3, 4, 5, 6, 7, 2, 2, 0, 0, 8, 0, 0, 7)


class Code:
    """The hand-compiled module: a line's offset in the module is 100 more than its number."""

    code = compile(SOURCE, "<wasm hand>", "exec")

    def bind(self, namespace: dict[str, Any]) -> None:
        exec(self.code, namespace)

    def locate(self, filename: str, lineno: int) -> int | None:
        return 100 + lineno if filename == "<wasm hand>" else None


def line_of(text: str) -> int:
    """The offset of the line after the one that starts with `text`."""
    return 102 + next(i for i, line in enumerate(SOURCE.splitlines()) if line.startswith(text))


def info(**changes: Any) -> ModuleInfo:
    exports = [(name.split("_", 1)[1], "func", i) for i, name in enumerate(NAMES)]
    exports[20:22] = [("tail_even", "func", 20), ("tail_odd", "func", 21)]
    exports += [("memory", "memory", 0), ("table", "table", 0), ("limit", "global", 0), ("counter", "global", 1)]
    made = ModuleInfo(
        "hand",
        "pypy" if PYPY else "cpython",
        types=TYPES,
        imports=(ImportType("env", "host", "func", I32),),
        funcs=KINDS,
        tables=((TableType("funcref", SizeLimits(8, 20)), None),),
        memories=(MemoryType(SizeLimits(1, 4)),),
        globals=(
            (GlobalType("i64", False), (("i64.const", (1 << 64) - 5), ("i64.const", 3), ("i64.add",))),
            (GlobalType("i32", True), (("i32.const", 0xFFFFFFFF),)),
        ),
        exports=tuple(exports),
        elems=(
            Elem("active", 0, (("i32.const", 1),), "funcref", (1, 7, (("ref.func", 0),), None, 9, 20)),
            Elem("passive", 0, None, "funcref", (1, None)),
            Elem("declarative", 0, None, "funcref", (1,)),
        ),
        datas=(
            Data("active", 0, (("i32.const", 2), ("i32.const", 3), ("i32.mul",)), 1, 4),
            Data("passive", 0, None, 0, 2),
        ),
        func_names=NAMES,
        global_names=("g0", "g1"),
        global_cells=frozenset((1,)),
        typed_tables=((0, 0),),
        wasm_names={1: "fib", 2: 'end"less\n', 7: "div"},
    )
    return made._replace(**changes)


def start(host: Any = abs, **changes: Any) -> Any:
    return instantiate(info(**changes), Code(), {"env": {"host": host}}, blob=b"abcdef")


@contextmanager
def raises(kind: type[BaseException], text: str) -> Iterator[list[BaseException]]:
    """The block raises exactly `kind`, with a text that starts with `text`."""
    caught: list[BaseException] = []
    try:
        yield caught
    except BaseException as e:
        assert type(e) is kind, repr(e)
        assert str(e).startswith(text), str(e)
        caught.append(e)
    else:
        raise AssertionError(f"no {kind.__name__}: {text}")


# --- Values at the border


def check_results_are_signed_and_arguments_take_both_readings() -> None:
    e = start().exports
    for given, result in ((0, 0), (-1, -1), (2**64 - 1, -1), (2**63, -(2**63)), (2**63 - 1, 2**63 - 1)):
        assert result == e.wide(given) == e["wide"](given)
    assert 55 == e.fib(10)
    assert (-5, 1.5, -0.0) == e.many(-5, 1.5, -0.0)


def check_integers_of_other_types_are_taken() -> None:
    class Index:
        def __index__(self) -> int:
            return 7

    e = start().exports
    assert (1, 7) == (e.wide(True), e.wide(Index()))
    assert (2, 3.0, 4.0) == e.many(2, 3, 4)


def check_arguments_out_of_range_are_named() -> None:
    e = start().exports
    for value in (2**64, -(2**63) - 1):
        with raises(OverflowError, f"wide: parameter 0: {value} is out of range of i64"):
            e.wide(value)
    with raises(
        OverflowError,
        "fib: parameter 0: <int> is out of range of i32" if sys.version_info >= (3, 11) else "fib: parameter 0: ",
    ):
        e.fib(10**5000)
    with raises(OverflowError, "many: parameter 1: "):
        e.many(0, 10**400, 0)


def check_arguments_of_wrong_type_are_named() -> None:
    e = start().exports
    for bad in ("1", 1.0, None, b"1"):
        with raises(TypeError, f"fib: parameter 0: expected i32, got {bad!r} ({type(bad).__name__})"):
            e.fib(bad)
    with raises(TypeError, "many: parameter 2: expected f64, got '1.5' (str)"):
        e.many(0, 0.0, "1.5")
    with raises(TypeError, "refs: parameter 0: expected funcref, got 5 (int)"):
        e.refs(5, 5)
    with raises(TypeError, "refs: parameter 0: expected funcref, got <"):
        e.refs(lambda: 0, None)


def check_the_number_of_arguments_is_named() -> None:
    e = start().exports
    for args in ((), (1, 2), (1, 2, 3)):
        with raises(TypeError, f"fib: expected 1 arguments [i32], got {len(args)}"):
            e.fib(*args)
    with raises(TypeError, "count: expected 0 arguments [], got 1"):
        e.count(1)
    with raises(TypeError, "twenty: expected 20 arguments"):
        e.twenty(1)
    assert -1 == e.twenty(*range(19), -1)


def check_an_f32_argument_is_rounded_and_its_nan_kept() -> None:
    e = start().exports
    assert struct.unpack("<f", struct.pack("<f", 0.1))[0] == e.single(0.1)
    assert math.inf == e.single(1e39)
    signalling = numeric.f32_reinterpret_i32(0xFFA00001)
    assert 0xFFA00001 == numeric.i32_reinterpret_f32(e.single(signalling))
    low = numeric.f64_reinterpret_i64(0x7FF0000000000001)  # no f32 has this payload
    assert 0x7FC00000 == numeric.i32_reinterpret_f32(e.single(low))


def check_references_pass_as_they_are() -> None:
    e = start().exports
    thing = object()
    assert (thing, e.fib) == e.refs(e.fib, thing)
    assert (None, None) == e.refs(None, None)
    assert e.fib is e["fib"] is e.table[1]
    assert "<Func fib [i32] -> [i32]>" == repr(e.fib)


def check_names_in_messages_are_quoted() -> None:
    e = start(exports=(('a"\n\x1b[2J', "func", 1),)).exports
    with raises(TypeError, '"a\\"\\n\\x1b[2J": expected 1 arguments'):
        e['a"\n\x1b[2J']()


def check_exports_are_a_mapping_and_attributes() -> None:
    exports = tuple(
        (n, "func", 1) for n in ("keys", "get", "exports", "__init__", "__class__", "_by_name", "", "a b", "class")
    )
    e = start(exports=exports).exports
    assert [n for n, _, _ in exports] == list(e)
    assert 9 == len(e) and "class" in e and "nothing" not in e
    assert 55 == e.get(10) == e["__init__"](10) == e["_by_name"](10) == e[""](10)
    assert type(e).__name__ == "Exports"
    made = ModuleInfo(
        "m", "pypy", types=(I32,), imports=(ImportType("m", "keys", "func", I32),), funcs=(0,), func_names=("f",)
    )
    assert e["keys"] is instantiate(made, Empty(), {"m": e}).func(0)
    asked = start(
        HostFunc(None, lambda caller, x: len(caller.memory), True), exports=exports + (("through", "func", 9),)
    )
    assert 65536 == asked.exports.through(0)
    with raises(AttributeError, 'the instance exports no "nothing"'):
        e.nothing  # noqa: B018 - reading is the test
    with raises(AttributeError, "exports cannot be set"):
        e.get = 5


# --- Traps


def check_pythons_errors_in_guest_code_become_traps() -> None:
    e = start().exports
    cases: list[tuple[str, Callable[[], object]]] = [
        ("out of bounds memory access", lambda: e.byte(65536)),
        ("out of bounds memory access", lambda: e.byte(0xFFFFFFFF)),
        ("out of bounds memory access", lambda: e.load(65533)),
        ("integer divide by zero", lambda: e.div(1, 0)),
        ("integer divide by zero", lambda: e.div64(1)),  # raised in a helper of the runtime
        ("undefined element", lambda: e.call(8)),
        ("undefined element", lambda: e.call(0xFFFFFFFF)),
        ("uninitialized element", lambda: e.call(0)),
        ("indirect call type mismatch", lambda: e.call(2)),
        ("integer overflow", lambda: e.trunc(math.inf)),
        ("invalid conversion to integer", lambda: e.trunc(math.nan)),
        ("unreachable", lambda: e.unreachable()),
    ]
    for words, call in cases:
        with raises(Trap, words) as caught:
            call()
        assert words == str(caught[0])
        assert None is caught[0].__context__ or caught[0].__suppress_context__
    assert 1 == e.call(1) and 3 == e.call(3)


def check_a_trap_names_the_guests_frames() -> None:
    e = start(lambda x: e.div(x, 0)).exports
    with raises(Trap, "integer divide by zero") as caught:
        e.host(1)  # the host's own function, exported again
    with raises(Trap, "integer divide by zero") as caught:
        e.loop(1)
    trap: Any = caught[0]
    frames = [(18, None, line_of("def func18") + 1), (9, None, line_of("def func9")), (7, "div", line_of("def func7"))]
    assert frames == [(f.func, f.name, f.offset) for f in trap.frames]
    shown = format_trap(trap).splitlines()
    assert ["trap: integer divide by zero", "wasm traceback (innermost last):"] == shown[:2]
    assert f'  func 7 "div" at {line_of("def func7"):#x}' == shown[-1]
    files = [f.filename for f in traceback.extract_tb(trap.__traceback__)]
    assert "<wasm hand>" not in files and __file__ in files
    text = "".join(traceback.format_exception(type(trap), trap, trap.__traceback__))
    assert 1 == text.count("wasm traceback") and 'func 7 "div"' in text


def check_a_deep_stack_is_cut_in_the_middle() -> None:
    e = start().exports
    with raises(Trap, "call stack exhausted") as caught:
        e.endless(0)
    trap: Any = caught[0]
    assert 100 == len(trap.frames) and trap.elided > 500
    shown = format_trap(trap)
    assert len(shown.splitlines()) < 10 and '"end\\"less\\n"' in shown and f"... {trap.elided} more\n" in shown


def check_a_host_functions_own_errors_pass_untouched() -> None:
    class Own(ZeroDivisionError):
        pass

    for error in (
        IndexError("list index"),
        ZeroDivisionError(),
        Own("x"),
        struct.error("x"),
        RecursionError("x"),
        Exit(3),
    ):

        def host(x: int, error: BaseException = error) -> int:
            raise error

        with raises(type(error), str(error)) as caught:
            start(host).exports.loop(1)
        assert error is caught[0]


def check_errors_of_host_functions_in_c_pass_untouched() -> None:
    with raises(IndexError, ""):
        start([].pop).exports.loop(1)
    with raises(ZeroDivisionError, ""):
        start(lambda x: x // 0).exports.loop(1)
    with raises(ZeroDivisionError, ""):
        start((5).__floordiv__).exports.loop(0) or start((0).__rfloordiv__).exports.host(5)
        start((1).__divmod__).exports.host(0)
    with raises(IndexError, "memory: "):
        instance = start(lambda x: instance.exports.memory[2**33])
        instance.exports.loop(1)


def check_a_trap_that_the_host_catches_is_gone() -> None:
    def host(x: int) -> int:
        with raises(Trap, "integer divide by zero"):
            e.div(x, 0)
        return 0

    e = start(host).exports
    assert 0 == e.loop(1)


# --- Recursion


def check_deep_guest_recursion_works() -> None:
    e = start().exports
    before = sys.getrecursionlimit()
    assert 1 == e.even(1500)
    assert before == sys.getrecursionlimit()
    if sys.version_info >= (3, 12):
        assert 1 == e.even(50_000)
    assert 1 == deep_stack(e.even, 50_000)
    with raises(Trap, "call stack exhausted"):
        deep_stack(e.endless, 0)
    assert before == sys.getrecursionlimit()


def check_endless_recursion_of_every_kind_traps() -> None:
    inner = start().exports
    e = start(lambda x: e.through(x)).exports  # guest, host, guest …
    for call in (lambda: inner.endless(0), lambda: inner.even(-1), lambda: e.loop(5)):
        for _ in range(3):
            with raises(Trap, "call stack exhausted"):
                call()
    host = start(lambda x: sorted([1], key=lambda _: host.exports.loop(1))[0])
    try:
        host.exports.loop(1)
    except (Trap, RecursionError):  # the latter where CPython counts C calls apart: raised in the host's lambda
        pass
    around = start()
    around.exports.table[5] = around.exports.loop  # through call_indirect
    with raises(Trap, "call stack exhausted"):
        around.exports.loop(1)
    try:
        deep_stack(host.exports.loop, 1)
    except (Trap, RecursionError):
        pass


def check_functions_with_many_locals_recurse_less_deep() -> None:
    """Frames of 4,000 locals, 60,000 deep, would take 2 GB."""
    wide = "".join(f"    v{i} = p0\n" for i in range(4_000))

    class Wide(Code):
        code = compile(f"def func1_wide(p0):\n{wide}    return func1_wide(v3999)\n", "<wasm hand>", "exec")

    made = ModuleInfo(
        "wide", "pypy", types=(I32,), funcs=(0,), func_names=("func1_wide",), exports=(("wide", "func", 0),)
    )
    e = instantiate(made, Wide()).exports
    with raises(Trap, "call stack exhausted") as caught:
        e.wide(0)
    assert PYPY or caught[0].elided < 17_000  # type: ignore[attr-defined] # a Trap
    assert instantiate(made._replace(frame_slots=10), Wide()).func(0).depth == border.MAX_DEPTH


def check_the_limit_is_restored_after_errors() -> None:
    before = sys.getrecursionlimit()
    e = start(lambda x: [][x]).exports
    for call in (lambda: e.loop(1), lambda: e.endless(0), lambda: e.fib("x")):
        try:
            call()
        except Exception:
            pass
        assert before == sys.getrecursionlimit()
        assert 0 == border.state.owner == border.state.nested == border.state.sharers


def check_a_call_near_pythons_limit_comes_back() -> None:
    e = start().exports

    def down(n: int) -> int:
        try:
            return down(n + 1)
        except (RecursionError, Trap):
            return e.even(10) if n % 7 else e.even(0)

    try:
        down(0)
    except Exception:  # whatever: PyPy has a TypeError of its own here
        pass
    before = sys.getrecursionlimit()
    assert before < 2000 and 1 == e.even(10)
    sys.setrecursionlimit(1000)


def check_threads_share_the_raised_limit() -> None:
    before = sys.getrecursionlimit()
    faults: list[object] = []
    gate = threading.Barrier(4)

    def work() -> None:
        try:
            e = start().exports
            gate.wait()
            for n in range(20):
                if e.even(900 + n) != 1 - n % 2 or e.fib(12) != 144:
                    faults.append(n)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [] == faults
    assert 1 == start().exports.even(10)
    assert before == sys.getrecursionlimit() and 0 == border.state.owner == border.state.sharers


def run_threads(n: int, body: Callable[[int], None]) -> None:
    """Run `body(i)` in n threads that switch as often as can be; raise the first error."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(n)

    def run(i: int) -> None:
        try:
            barrier.wait()
            body(i)
        except BaseException as e:
            errors.append(e)

    interval = sys.getswitchinterval()
    threads = [threading.Thread(target=run, args=(i,), name=f"worker {i}") for i in range(n)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for error in errors:
        raise error


def idle() -> None:
    """Nobody is in the guest, and the next call need not go the long way."""
    state = border.state
    assert (0, 0, 0, 0, 0) == (state.owner, state.mode, state.nested, state.sharers, state.saved)
    assert not state.held and 1 == len(border._free)


def check_threads_with_instances_of_their_own_do_not_meet() -> None:
    limit = sys.getrecursionlimit()

    def body(i: int) -> None:
        guest = start(host=lambda x: e.fib(x) + i)
        e = guest.exports
        for turn in range(20 if PYPY else 40):
            assert 55 == e.fib(10)
            assert 55 + i == e.through(10)
            e.count()
            assert turn == e.counter.value, (turn, e.counter.value)
            with raises(Trap, "integer divide by zero"):
                e.div(1, 0)
            with raises(Trap, "out of bounds memory access"):
                e.load(0x7FFFFFFF)
            e.memory[0] = i
            assert i == e.byte(0)
            assert turn == 0 or 4 == e.memory.size
            e.grow(3 if turn == 0 else 0)
            e.table[2] = e.div if i % 2 else e.fib
            assert (e.div if i % 2 else e.fib) is e.table[2]
            with raises(Trap, "call stack exhausted"):
                if turn % 10 == 0:
                    e.endless(0)
                raise Trap("call stack exhausted")
            assert e.even(200) and not e.odd(200)

    run_threads(8, body)
    idle()
    assert limit == sys.getrecursionlimit()


def check_threads_on_one_instance_get_a_clear_error() -> None:
    inside = [0]
    counted = [0] * 8
    refused = [0] * 8
    text = '<Instance of "hand">: cannot call "'

    def host(x: int) -> int:
        inside[0] += 1
        assert 1 == inside[0], "two threads in one instance"
        for _ in range(3):
            time.sleep(0)
        while not any(refused):  # the others are about to try
            time.sleep(0.001)
        assert 1 == inside[0], "two threads in one instance"
        inside[0] -= 1
        return x

    guest = start(host=host)
    e = guest.exports

    def body(i: int) -> None:
        for turn in range(300):
            try:
                if turn % 3 == 0:
                    assert 7 == e.through(7)
                elif turn % 3 == 1:
                    e.count()
                    counted[i] += 1
                else:
                    assert 1 == e.even(20)
            except PolymeraseError as error:
                assert "BusyError" == type(error).__name__ and str(error).startswith(text), repr(error)
                assert "a call is running in thread" in str(error) and "takes one at a time" in str(error)
                refused[i] += 1

    run_threads(8, body)
    idle()
    assert 0 == guest.busy_thread
    assert 0 < sum(refused) < 8 * 300, refused
    assert sum(counted) - 1 == e.counter.value


def check_a_busy_instance_says_so_and_its_thread_may_come_again() -> None:
    seen: list[Any] = []
    guest = start(host=lambda x: host(x))
    other = start(host=lambda x: guest.exports.fib(x))

    def host(x: int) -> int:
        seen.append(guest.busy_thread == threading.get_ident())

        def another() -> None:
            assert 55 == other.exports.fib(10)  # another instance is free
            for call in (guest.exports.fib, guest.exports.wide):
                with raises(BusyError, '<Instance of "hand">: cannot call "') as caught:
                    call(5)
            assert 'thread "MainThread"' in str(caught[0])
            seen.append("refused")

        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
        seen.append(guest.exports.fib(x) + guest.exports.wide(1) + other.exports.through(x))
        assert guest.busy_thread == threading.get_ident() and not other.busy_thread
        return x

    assert 10 == guest.exports.through(10)
    assert [True, "refused", 111] == seen, seen
    assert 0 == guest.busy_thread
    idle()


def check_an_owner_that_died_on_its_way_in_is_replaced() -> None:
    e = start().exports
    state = border.state
    lost = border._LOST
    border._LOST = 0.05
    try:
        if border._ATOMIC_SWAP:
            state.held = True
        else:
            border.take()
        assert 55 == e.fib(10)
    finally:
        border._LOST = lost
    idle()


def check_linked_instances_count_as_one() -> None:
    a = start(host=abs)
    alone = start(host=abs)
    c = start(host=abs)
    b = instantiate(info(), Code(), {"env": {"host": a.exports.through}}, blob=b"abcdef")
    assert b.guard.thread == 0
    seen = []

    def host(x: int) -> int:
        def another() -> None:
            for instance, free in ((a, False), (b, False), (c, False), (alone, True)):
                assert free == (instance.busy_thread == 0)
                try:
                    instance.exports.fib(3)
                    seen.append(free)
                except BusyError:
                    seen.append(not free)

        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
        with raises(BusyError, "cannot link instances: a call is running in thread"):
            run_threads(1, lambda i: b.exports.table.__setitem__(6, alone.exports.fib))
        return x

    e = instantiate(info(), Code(), {"env": {"host": host}}, blob=b"abcdef").exports
    b.exports.table[6] = c.exports.fib  # the code calls through the table's list for this type
    b.exports.table[7] = e.fib
    assert 5 == e.through(5)
    assert [True] * 4 == seen, seen
    idle()

    # linking while running, from the inner and the outer instance
    def link(x: int) -> int:
        late.exports.table[6] = inner.exports.fib
        assert inner.busy_thread == late.busy_thread == threading.get_ident()
        return x

    late = start(host=lambda x: inner.exports.through(x))
    inner = start(host=link)
    assert 3 == late.exports.through(3)
    assert 0 == inner.busy_thread == late.busy_thread
    assert 0 == sum(run() for run in (lambda: inner.busy_thread, lambda: late.busy_thread))
    run_threads(1, lambda i: late.exports.through(3))
    idle()


def check_a_thread_with_a_small_stack_does_not_crash() -> None:
    e = start(lambda x: x).exports
    caught: list[str] = []

    def work() -> None:
        try:
            e.endless(0)
        except Trap as trap:
            caught.append(str(trap))

    old = threading.stack_size(1 << 20)
    thread = threading.Thread(target=work)
    thread.start()
    threading.stack_size(old)
    thread.join()
    assert ["call stack exhausted"] == caught


def check_deep_stack_returns_and_raises() -> None:
    assert 5 == deep_stack(max, 3, 5)
    with raises(KeyError, "'x'"):
        deep_stack({}.__getitem__, "x")
    with raises(SystemExit, "3"):
        deep_stack(sys.exit, 3)


# --- Host functions


def check_host_functions_take_and_give_public_values() -> None:
    seen: list[Any] = []

    def host(x: int) -> int:
        seen.append(x)
        return -x - 1 if len(seen) > 1 else 0xFFFFFFFF

    e = start(host).exports
    assert -1 == e.host(-7) and -1 == e.host(0) and [-7, 0] == seen


def check_host_results_are_checked() -> None:
    for bad, text in (
        ("a", "expected i32, got 'a' (str)"),
        (None, "expected i32, got None"),
        (1.5, "expected i32, got 1.5"),
    ):
        with raises(TypeError, 'import "env"."host": result: ' + text):
            start(lambda x, bad=bad: bad).exports.loop(1)
    with raises(OverflowError, 'import "env"."host": result: 4294967296 is out of range'):
        start(lambda x: 2**32).exports.loop(1)
    pair = HostFunc(FuncType((), ("i32", "f32")), lambda: (1, 2, 3)).bind(FuncType((), ("i32", "f32")), "pair", None)
    with raises(TypeError, "pair: expected 2 results [i32 f32], got (1, 2, 3)"):
        pair()
    pair = HostFunc(None, lambda: [-1, 0.1]).bind(FuncType((), ("i32", "f32")), "pair", None)
    assert (-1, numeric.f32_round(0.1)) == pair()
    assert None is HostFunc(None, lambda: 5).bind(NULLARY, "drop", None)()


def check_a_host_function_may_ask_for_its_caller() -> None:
    class Counter:
        def __call__(self, caller: Caller, x: int) -> int:
            return len(caller.memory) + x

        def method(self, caller: Caller, x: int) -> int:
            return caller.memory[x]

    def text(caller: "polymerase_runtime.Caller", x: int) -> int:  # noqa: F821, UP037 - never evaluated
        return caller.exports.fib(x)

    def by_class(caller: Any, x: int) -> int:
        return caller.instance.memory[x]

    by_class.__annotations__["caller"] = Caller

    @functools.wraps(text)
    def wrapped(*args: Any) -> int:
        return text(*args)

    for host, argument, result in (
        (wrapped, 10, 55),
        (functools.partial(text), 10, 55),
        (functools.partial(lambda x, y: x + y, 1), 10, 11),
        (Counter(), 1, 65537),
        (Counter().method, 6, 98),
        (text, 10, 55),
        (by_class, 6, 98),
        (HostFunc(None, lambda caller, x: len(caller.memory), True), 1, 65536),
        (HostFunc(I32, lambda caller, x: 2**32 - 1, True, raw=True), 1, -1),
        (HostFunc(I32, lambda x: x, raw=True), -1, -1),
    ):
        assert result == start(host).exports.host(argument), host


def check_wide_signatures_take_the_generic_way() -> None:
    t = FuncType(("i32",) * 14, ("i32",))
    f = HostFunc(t, lambda *a: a[13]).bind(t, "wide", None)
    assert -3 == f(*[0] * 13, -3)
    with raises(TypeError, "wide: parameter 13: expected i32"):
        f(*[0] * 13, "x")


# --- Linking


def check_missing_and_ill_typed_imports_are_named() -> None:
    with raises(LinkError, 'unknown import: "env"."host": func [i32] -> [i32]'):
        instantiate(info(), Code(), {"env": {}}, blob=b"abcdef")
    with raises(LinkError, 'unknown import: "env"."host"'):
        instantiate(info(), Code(), None, blob=b"abcdef")
    e = start().exports
    expected = 'incompatible import type: "env"."host": expected func [i32] -> [i32], got '
    for bad, got in (
        (e.div, "func [i32 i32] -> [i32]"),
        (e.memory, "memory 1 4"),
        (5, "5"),
        (HostFunc(NULLARY, abs), "func [] -> []"),
    ):
        with raises(LinkError, expected + got):
            start(bad)
    with raises(TypeError, "imports['env']: expected a mapping or an instance, got 5"):
        instantiate(info(), Code(), {"env": 5}, blob=b"abcdef")  # type: ignore[dict-item] # the fault


def check_limits_match_as_the_spec_says() -> None:
    def link(t: Any, kind: str, value: object) -> Any:
        made = ModuleInfo(
            "m", "pypy", imports=(ImportType("m", "x", kind, t),), exports=(("x", kind, 0),), global_names=("g0",)
        )
        return instantiate(made, Code.__new__(Empty), {"m": {"x": value}}).exports["x"]

    memory_ = Memory(2, 5)
    table_ = Table(TableType("externref", SizeLimits(2)))
    for t in (SizeLimits(2, 5), SizeLimits(0, 6), SizeLimits(1)):
        assert memory_ is link(MemoryType(t), "memory", memory_)
    for t in (SizeLimits(3), SizeLimits(1, 4)):
        with raises(LinkError, f'incompatible import type: "m"."x": expected memory {t}, got memory 2 5'):
            link(MemoryType(t), "memory", memory_)
    assert 2 == memory_.grow(1)
    assert memory_ is link(MemoryType(SizeLimits(3)), "memory", memory_)
    assert table_ is link(TableType("externref", SizeLimits(2)), "table", table_)
    for tt in (
        TableType("externref", SizeLimits(2, 9)),
        TableType("funcref", SizeLimits(1)),
        TableType("externref", SizeLimits(3)),
    ):
        with raises(LinkError, "incompatible import type"):
            link(tt, "table", table_)
    assert 5 == link(GlobalType("i32"), "global", 5).value
    assert 5.0 == link(GlobalType("f64"), "global", 5).value
    g = Global(GlobalType("i32", True), 5)
    assert g is link(GlobalType("i32", True), "global", g)
    for bad in (5, Global(GlobalType("i32"), 5), Global(GlobalType("i64", True), 5), None):
        with raises(LinkError, 'incompatible import type: "m"."x": expected global (mut i32), got '):
            link(GlobalType("i32", True), "global", bad)
    with raises(LinkError, 'incompatible import type: "m"."x": expected global i32, got \'a\''):
        link(GlobalType("i32"), "global", "a")


class Empty(Code):
    """No functions."""

    def bind(self, namespace: dict[str, Any]) -> None:
        pass


def check_instances_link_to_each_other() -> None:
    first = start()
    for offered in (first, first.exports):
        assert first.exports.host is instantiate(info(), Code(), {"env": offered}, blob=b"abcdef").exports.host
    second = instantiate(info(), Code(), {"env": {"host": first.exports.fib}}, blob=b"abcdef")
    assert first.exports.fib is second.exports.host and 55 == second.exports.through(10) == second.exports.host(10)
    with raises(Trap, "integer divide by zero") as caught:
        instantiate(info(imports=(ImportType("env", "host", "func", BINARY),), funcs=(1,) + KINDS[1:]), Code(),
                    {"env": {"host": first.exports.div}}, blob=b"abcdef").exports.host(1, 0)  # fmt: skip
    assert [7] == [f.func for f in caught[0].frames]  # type: ignore[attr-defined] # a Trap
    made = ModuleInfo(
        "sharer",
        "pypy" if PYPY else "cpython",
        types=(I32,),
        imports=(
            ImportType("a", "memory", "memory", MemoryType(SizeLimits(1))),
            ImportType("a", "table", "table", TableType("funcref", SizeLimits(1))),
            ImportType("a", "counter", "global", GlobalType("i32", True)),
        ),
        exports=(("m", "memory", 0), ("c", "global", 0)),
        global_names=("g0",),
        global_cells=frozenset((0,)),
        typed_tables=((0, 0),),
    )
    third = instantiate(made, Empty(), {"a": first})
    first.exports.memory[9] = 77
    assert 77 == third.namespace["u8"][9] == third.exports.m[9]
    first.exports.grow(1)
    assert 131072 == len(third.namespace["u8"]) == len(third.namespace["data"])
    first.exports.count()
    assert 0 == third.namespace["g0"].value == third.exports.c.value
    assert third.namespace["table0_t0"] is first.namespace["table0_t0"]


def check_instances_are_independent_and_collected() -> None:
    a, b = start(), start()
    a.exports.memory[0] = 1
    a.exports.count()
    assert 0 == b.exports.memory[0] and -1 == b.exports.counter.value
    import weakref

    gone = weakref.ref(a._module)
    del a
    for _ in range(3):
        gc.collect()
    assert gone() is None


def check_another_abi_is_refused() -> None:
    with raises(PolymeraseError, f"the module was compiled for ABI {ABI + 1} of the runtime, this one has {ABI}"):
        start(abi=ABI + 1)


# --- Instantiation


def check_segments_and_globals_are_initialised() -> None:
    instance = start()
    e = instance.exports
    assert b"\0\0\0\0\0\0bcd\0" == e.memory[0:10]
    assert (-2, -1) == (e.limit.value, e.counter.value)
    assert (1 << 64) - 2 == instance.namespace["g0"]
    assert [None, e.fib, e.div, e.host, None, e.through, e.tail_even, None] == list(e.table)
    assert (b"", b"ab") == (instance.namespace["data_seg0"], instance.namespace["data_seg1"])
    assert ([], [e.fib, None], []) == tuple(instance.namespace[f"elem_seg{i}"] for i in range(3))


def check_a_segment_out_of_bounds_traps_and_earlier_writes_persist() -> None:
    shared = Memory(1)
    made = info(
        imports=(ImportType("env", "host", "func", I32), ImportType("env", "m", "memory", MemoryType(SizeLimits(1)))),
        memories=(),
        datas=(Data("active", 0, (("i32.const", 0),), 0, 2), Data("active", 0, (("i32.const", 65535),), 0, 2)),
    )
    with raises(Trap, "out of bounds memory access"):
        instantiate(made, Code(), {"env": {"host": abs, "m": shared}}, blob=b"abcdef")
    assert b"ab\0" == shared[0:3] and 0 == shared[65535]
    with raises(Trap, "out of bounds table access"):
        start(elems=(Elem("active", 0, (("i32.const", 8),), "funcref", (1,)),))
    start(elems=(Elem("active", 0, (("i32.const", 8),), "funcref", ()),))
    with raises(PolymeraseError, "the data segments end at byte 4 of 0"):
        instantiate(info(), Code(), {"env": {"host": abs}})


def check_the_start_function_runs_last() -> None:
    assert 0 == start(start=15).exports.counter.value
    with raises(Trap, "unreachable") as caught:
        start(start=16)
    assert [16] == [f.func for f in caught[0].frames]  # type: ignore[attr-defined] # a Trap


def check_absurd_sizes_are_refused_before_they_are_allocated() -> None:
    for limits in (SizeLimits(2**32 - 1), SizeLimits(10_000_001)):
        with raises(PolymeraseError, f'cannot instantiate "hand": a table of {limits.min} elements'):
            start(tables=((TableType("funcref", limits), None),))
    huge = Table(TableType("funcref", SizeLimits(0)))
    assert 0xFFFFFFFF == table.table_grow(huge, None, 0xFFFFFFFF)
    with raises(MemoryError, "table.grow: 4294967295 elements are too many"):
        huge.grow(0xFFFFFFFF)
    most, table._MAX_ENTRIES = table._MAX_ENTRIES, 4000
    try:
        many = Table(TableType("funcref", SizeLimits(900)))
        with raises(MemoryError, "a table of 900 elements called with too many types"):
            for n in range(10):
                many.calls(FuncType(("i32",) * n))
        assert 3 == len(many.typed) and 0xFFFFFFFF == table.table_grow(many, None, 200)
    finally:
        table._MAX_ENTRIES = most
    big = Memory(65536)  # lazily committed
    big[2**32 - 1] = 5
    assert 5 == big[2**32 - 1] and 2**32 == len(big)


# --- Memory, tables, globals


class Hollow(Code):
    """Without functions."""

    code = compile("", "<wasm hollow>", "exec")


def sized(limits: Limits, pages: int = 1, elements: int = 8, **changes: Any) -> Any:
    """An instance of two memories of some pages, that may be 40, and two tables of some elements, that may be 400."""
    exports = [(f"{kind}{i}", kind, i) for kind in ("memory", "table") for i in range(2)]
    made = ModuleInfo(
        "sized",
        "pypy" if PYPY else "cpython",
        memories=(MemoryType(SizeLimits(pages, 40)), MemoryType(SizeLimits(0, None))),
        tables=((TableType("funcref", SizeLimits(elements, 400)), None), (TableType("externref", SizeLimits(0)), None)),
        exports=tuple(exports),
    )
    return instantiate(made._replace(**changes), Hollow(), limits=limits)


def check_what_starts_larger_than_its_limits_is_refused() -> None:
    for limits, fault in (
        (Limits(memory_pages=2), "a memory of 3 pages, but the limit memory_pages is 2"),
        (Limits(table_elements=7), "a table of 8 elements, but the limit table_elements is 7"),
        (
            Limits(total_bytes=3 * 65536 + 63),
            "memories and tables of 196672 bytes, but the limit total_bytes is 196671",
        ),
    ):
        with raises(PolymeraseError, f'cannot instantiate "sized": {fault}'):
            sized(limits, pages=3)
    sized(Limits(memory_pages=3, table_elements=8, total_bytes=3 * 65536 + 64), pages=3)
    with raises(PolymeraseError, 'cannot instantiate "sized": a memory of 65536 pages'):
        sized(Limits(memory_pages=1), memories=(MemoryType(SizeLimits(1)), MemoryType(SizeLimits(65536))))


def check_what_would_grow_beyond_its_limits_does_not() -> None:
    e = sized(Limits(memory_pages=5, table_elements=10)).exports
    assert 1 == memory.memory_grow(e.memory0, 4) and 0xFFFFFFFF == memory.memory_grow(e.memory0, 1)
    with raises(ValueError, "memory.grow: 5 pages and 1 more, but the limit memory_pages is 5"):
        e.memory0.grow(1)
    with raises(ValueError, "memory.grow: 0 pages and 41 more, but the limit memory_pages is 5"):
        e.memory1.grow(41)
    assert 0xFFFFFFFF == memory.memory_grow(e.memory1, 0xFFFFFFFF) and 0 == memory.memory_grow(e.memory1, 5)
    assert 5 == e.memory0.size == e.memory1.size and 5 * 65536 == len(e.memory1)
    assert 0xFFFFFFFF == table.table_grow(e.table0, None, 3) and 8 == table.table_grow(e.table0, None, 2)
    with raises(ValueError, "table.grow: 10 elements and 1 more, but the limit table_elements is 10"):
        e.table0.grow(1)
    assert 10 == e.table0.grow(0) and 5 == e.memory0.grow(0)
    with raises(ValueError, "memory.grow: 5 pages and 36 more, but the maximum is 40"):
        sized(Limits(memory_pages=100), pages=5).exports.memory0.grow(36)


def check_all_that_an_instance_makes_shares_total_bytes() -> None:
    e = sized(Limits(total_bytes=10 * 65536)).exports  # 64 of them for the table
    assert 1 == memory.memory_grow(e.memory0, 5) and 0 == memory.memory_grow(e.memory1, 3)
    assert 0xFFFFFFFF == memory.memory_grow(e.memory1, 1)
    with raises(
        MemoryError, "memory.grow: 65536 bytes more, but of the limit total_bytes, 655360, there are 65472 left"
    ):
        e.memory0.grow(1)
    assert 0 == e.table1.grow(8000)
    with raises(MemoryError, "table.grow: 1600 bytes more, but of the limit total_bytes, 655360, there are 1472 left"):
        e.table0.grow(200)
    assert 0xFFFFFFFF == table.table_grow(e.table1, None, 185) and 8000 == table.table_grow(e.table1, None, 184)
    assert 8 == len(e.table0) and 8184 == len(e.table1)
    with raises(ValueError, "memory.grow: 6 pages and 99 more, but the maximum is 40"):  # and nothing is counted
        e.memory0.grow(99)
    with raises(TypeError, "table: expected funcref"):
        e.table0.grow(0, 5)


def check_limits_bound_what_is_reserved_and_imports_keep_their_own() -> None:
    shared = Memory(1, 30)
    wanted = ImportType("m", "m", "memory", MemoryType(SizeLimits(1, 40)))
    made = ModuleInfo(
        "importer",
        "pypy" if PYPY else "cpython",
        imports=(wanted,),
        memories=(MemoryType(SizeLimits(2)),),
        exports=(("own", "memory", 1),),
    )
    guest = instantiate(made, Hollow(), {"m": {"m": shared}}, limits=Limits(memory_pages=4, total_bytes=3 * 65536))
    assert 1 == shared.grow(29) and 30 == guest.memories[0].size
    own = guest.exports.own
    if not PYPY:
        assert 3 * 65536 == own._reserved, own._reserved
        assert 4 * 65536 == sized(Limits(memory_pages=4)).exports.memory1._reserved
    assert 2 == memory.memory_grow(own, 1) and 0xFFFFFFFF == memory.memory_grow(own, 1)


def check_imports_may_be_callables_and_sequences() -> None:
    asked: list[Any] = []

    def resolver(module: str, name: str, t: Any) -> Any:
        asked.append((module, name, t))
        return (lambda x: x + 1) if name == "host" else None

    def plain(imports: Any) -> Any:
        return instantiate(info(), Code(), imports, blob=b"abcdef").exports.through(4)

    def empty(module: str, name: str, t: Any) -> Any:
        raise KeyError(name)

    other = start(host=lambda x: x + 5)
    assert 5 == plain(resolver) == plain([resolver, {"env": {"host": abs}}])
    assert [("env", "host", I32)] * 2 == asked
    assert 4 == plain(({"env": {}}, {}, empty, lambda m, n, t: None, {"env": {"host": abs}}))
    assert 9 == plain(lambda m, n, t: other.exports.through) == plain({"env": {"host": other.exports.through}})
    for nothing in (empty, lambda m, n, t: None, [], [empty, {}], None):
        with raises(LinkError, 'unknown import: "env"."host": func [i32] -> [i32]'):
            plain(nothing)
    with raises(LinkError, 'incompatible import type: "env"."host": expected func [i32] -> [i32], got 5'):
        plain(lambda m, n, t: 5)
    with raises(ZeroDivisionError, "integer division"):
        plain(lambda m, n, t: 1 // 0)  # not ours
    for bad in (5, "env", [{}, 5]):
        with raises(
            TypeError, "imports: expected a mapping of module names, a callable (module, name, type), or a seq"
        ):
            plain(bad)
    for bad in (other, [other]):
        with raises(TypeError, 'imports: <Instance of "hand"> is an instance: say for which module it stands, as in'):
            plain(bad)
    with raises(TypeError, "imports['env']: expected a mapping or an instance, got 5"):
        plain({"env": 5})


def check_host_functions_of_the_wrong_arity_are_named_when_linked() -> None:
    class Methods:
        def one(self, x: int) -> int:
            return x

        def two(self, x: int, y: int) -> int:
            return x

        def __call__(self, x: int, y: int) -> int:
            return x

    def nothing() -> int:
        return 1

    def pair(x: int, y: int) -> int:
        return x

    def caller_alone(caller: Caller) -> int:
        return 1

    def named(x: int, *, y: int) -> int:
        return x

    def one_or_two(x: int, y: int = 0) -> int:
        return x

    def two_or_more(x: int, y: int, *rest: int) -> int:
        return x

    for host, takes in (
        (nothing, "0 arguments"),
        (pair, "2 arguments"),
        (Methods().two, "2 arguments"),
        (caller_alone, "0 arguments"),
        (named, "1 arguments and keyword arguments without defaults"),
        (two_or_more, "2 or more arguments"),
    ):
        with raises(LinkError, 'incompatible import type: "env"."host": expected func [i32] -> [i32], got <') as e:
            start(host=host)
        assert str(e[0]).endswith(f"which takes {takes}"), e
    for host in (Methods().one, one_or_two, lambda *a: a[0], abs, functools.partial(pair, y=2), Methods()):
        start(host=host)
    late = start(host=Methods())  # what cannot be known cheaply: Python's own words at the call
    assert "missing 1 required positional argument: 'y'" in str(_caught(lambda: late.exports.through(1), TypeError))


def check_missing_exports_and_named_arguments_are_explained() -> None:
    e = start().exports
    with raises(KeyError, 'the instance exports no "nope"; its exports: "host", "fib", "endless", '):
        e["nope"]
    with raises(KeyError, "the instance exports no 5; its exports: "):
        e[5]
    with raises(AttributeError, 'the instance exports no "nope"; its exports: "host", "fib", '):
        _ = e.nope
    assert "…" in str(_caught(lambda: e["nope"]))
    assert e.get("nope") is None and "nope" not in e
    for _ in range(2):
        for call in (lambda: e.fib(x=1), lambda: e.fib(p0=1), lambda: e.fib(a0=1), lambda: e.fib(1, a0=1)):
            assert "keyword argument" in str(_caught(call, TypeError)), _caught(call, TypeError)
        assert 1 == e.fib(1)


def _caught(call: Callable[[], Any], kind: Any = KeyError) -> BaseException:
    try:
        call()
    except kind as e:
        error: BaseException = e
        return error
    raise AssertionError("nothing raised")


def check_memory_reads_and_writes() -> None:
    m = Memory(1, 3)
    m[0:4] = b"abcd"
    m[5] = 255
    m.write(10, memoryview(struct.pack("<I", 7)).cast("I"))
    assert (b"abcd\0\xff", 7, 255) == (m[0:6], m[10], m[5])
    assert b"ac" == m[0:4:2] and b"" == m[4:4] and 65536 == len(m[:]) == len(bytes(m)) == len(m)
    assert b"\x07\0\0\0" == m.read(10, 4) and b"" == m.read(65536, 0)
    for call in (
        lambda: m[-1],
        lambda: m[65536],
        lambda: m[-4:],
        lambda: m[0:65537],
        lambda: m[65530:70000],
        lambda: m.read(65533, 4),
        lambda: m.read(-1, 1),
        lambda: m.read(0, -1),
        lambda: m.write(65535, b"ab"),
        lambda: m.write(-1, b"ab"),
        lambda: m.__setitem__(65536, 1),
    ):
        with raises(IndexError, "memory: "):
            call()
    with raises(ValueError, "memory: expected 4 bytes for the slice, got 3"):
        m[0:4] = b"abc"
    with raises(ValueError, ""):
        m[0] = 256
    assert b"\0\0" == m[65534:65536]
    for low, high in ((-1, None), (65537, None), (2, 1), (1, 65537)):
        with raises(ValueError, "memory limits: expected"):
            Memory(low, high)


def check_memory_grows_in_place_in_every_namespace() -> None:
    instance = start()
    m = instance.exports.memory
    names = instance.namespace
    m[65535] = 9
    view = m.view
    assert 1 == instance.exports.grow(2) and 3 == m.size and 196608 == len(m)
    assert 196608 == len(names["u8"]) == len(names["data"])
    assert PYPY or 49152 == len(names["u32"]) and 9 == names["u8"][65535]
    view[0] = 5
    names["u8"][196607] = 6
    assert (5, 6) == (m[0], m[196607])
    assert -1 == instance.exports.grow(2) and -1 == instance.exports.grow(-1) and 3 == instance.exports.grow(0)
    with raises(ValueError, "memory.grow: 3 pages and 2 more, but the maximum is 4"):
        m.grow(2)
    assert MemoryType(SizeLimits(3, 4)) == m.type
    if not PYPY:
        assert memoryview(names["u8"]).obj is memoryview(view).obj  # the same mapping


def check_memory_shows_its_buffer() -> None:
    m = Memory(1)
    interface = m.__array_interface__
    assert ((65536,), "|u1") == (interface["shape"], interface["typestr"])
    interface["data"][3] = 8  # type: ignore[index] # a memoryview
    assert 8 == m[3]
    if sys.version_info >= (3, 12):
        memoryview(m)[4] = 9  # type: ignore[arg-type] # since 3.12
        assert 9 == m[4]


def check_loads_and_stores_at_any_address() -> None:
    m = Memory(1)
    data = m.data
    cases = [
        ("i32", "", "<I", 0x80FF7F01),
        ("i32", "8", "<B", 0x80),
        ("i32", "16", "<H", 0x80FF),
        ("i64", "", "<Q", 0x80FF7F0180FF7F01),
        ("i64", "8", "<B", 0x80),
        ("i64", "16", "<H", 0x80FF),
        ("i64", "32", "<I", 0x80FF7F01),
    ]
    for t, width, form, value in cases:
        size = struct.calcsize(form)
        store = getattr(memory, f"{t}_store{width}")
        for p in (0, 1, 2, 3, 65536 - size):
            store(data, p, value | (1 << 31 if width and width != "32" else 0))
            assert value == struct.unpack_from(form, data, p)[0]
            if width:
                assert value == getattr(memory, f"{t}_load{width}_u")(data, p)
                signed = value - (1 << 8 * size)
                assert signed % (1 << int(t[1:])) == getattr(memory, f"{t}_load{width}_s")(data, p)
            else:
                assert value == getattr(memory, f"{t}_load")(data, p)
        for p in (65536 - size + 1, 65536, 2**32, 2**33 - 2):
            with raises(Trap, "out of bounds memory access"):
                store(data, p, 0)
            for load in [f"{t}_load{width}_{s}" for s in "su"] if width else [f"{t}_load"]:
                with raises(Trap, "out of bounds memory access"):
                    getattr(memory, load)(data, p)
    for bits in (0x7FA00001, 0xFFC00000, 0x3FC00000, 0x7F800000):
        memory.f32_store(data, 5, numeric.f32_reinterpret_i32(bits))
        assert bits == memory.i32_load(data, 5) == numeric.i32_reinterpret_f32(memory.f32_load(data, 5))
    for bits in (0x7FF0000000000001, 0xFFF8 << 48, 0x3FF8 << 48):
        memory.f64_store(data, 5, numeric.f64_reinterpret_i64(bits))
        assert bits == memory.i64_load(data, 5) == numeric.i64_reinterpret_f64(memory.f64_load(data, 5))
    for load, store in ((memory.f32_load, memory.f32_store), (memory.f64_load, memory.f64_store)):
        with raises(Trap, "out of bounds memory access"):
            load(data, 65533)
        for value in (1.0, math.nan):
            with raises(Trap, "out of bounds memory access"):
                store(data, 65533, value)


def check_bulk_memory_traps_before_it_writes() -> None:
    m = Memory(1)
    memory.memory_fill(m, 0, 0x1FF, 4)
    memory.memory_init(m, b"abcdef", 4, 1, 3)
    assert b"\xff\xff\xff\xffbcd\0" == m[0:8]
    memory.memory_copy(m, m, 1, 0, 7)
    assert b"\xff\xff\xff\xff\xffbcd" == m[0:8]
    memory.memory_copy(m, m, 0, 4, 4)
    assert b"\xffbcd\xffbcd" == m[0:8]
    before = bytes(m)
    for call in (
        lambda: memory.memory_fill(m, 65530, 1, 7),
        lambda: memory.memory_fill(m, 65537, 1, 0),
        lambda: memory.memory_fill(m, 1, 1, 0xFFFFFFFF),
        lambda: memory.memory_copy(m, m, 65530, 0, 7),
        lambda: memory.memory_copy(m, m, 0, 65530, 7),
        lambda: memory.memory_copy(m, m, 65537, 0, 0),
        lambda: memory.memory_init(m, b"ab", 0, 1, 2),
        lambda: memory.memory_init(m, b"ab", 65535, 0, 2),
        lambda: memory.memory_init(m, b"", 0, 1, 0),
    ):
        with raises(Trap, "out of bounds memory access"):
            call()
    assert before == bytes(m)
    memory.memory_fill(m, 65536, 1, 0)
    memory.memory_init(m, b"", 65536, 0, 0)
    big = Memory(64)
    memory.memory_fill(big, 1, 7, (64 << 16) - 2)
    assert (0, 7, 7, 0) == (big[0], big[1], big[(64 << 16) - 2], big[(64 << 16) - 1])


def check_tables_keep_their_typed_lists() -> None:
    instance = start()
    e = instance.exports
    calls = instance.namespace["table0_t0"]
    t = e.table
    assert (
        calls[1] is instance.namespace["func1_fib"]
        and calls[0] is table.uninitialized_element
        and calls[2] is table.wrong_type
    )
    t[0] = e.fib
    t[1] = None
    assert 8 == t.grow(2, e.fib) and calls[9] is calls[0] is instance.namespace["func1_fib"]
    assert calls[1] is table.uninitialized_element and 10 == len(calls)
    table.table_fill(t, 2, e.fib, 3)
    table.table_copy(t, t, 3, 1, 4)
    assert [None, e.fib, None, e.fib, e.fib, e.fib] == list(t)[1:7]
    assert [_entry(x) for x in t] == calls
    table.table_init(t, [e.div, None], 4, 0, 2)
    table.table_set(t, 9, None)
    assert [_entry(x) for x in t] == calls and calls is instance.namespace["table0_t0"]
    before = list(t)
    for call in (
        lambda: table.table_get(t, 10),
        lambda: table.table_set(t, 10, None),
        lambda: table.table_fill(t, 8, None, 3),
        lambda: table.table_fill(t, 11, None, 0),
        lambda: table.table_copy(t, t, 8, 0, 3),
        lambda: table.table_copy(t, t, 0, 8, 3),
        lambda: table.table_init(t, [None], 0, 0, 2),
        lambda: table.table_init(t, [None], 10, 0, 1),
    ):
        with raises(Trap, "out of bounds table access"):
            call()
    assert before == list(t)
    assert (
        0xFFFFFFFF == table.table_grow(t, None, 11)
        and 10 == table.table_grow(t, None, 10)
        and 20 == table.table_size(t)
    )
    with raises(ValueError, "table.grow: 20 elements and 1 more, but the maximum is 20"):
        t.grow(1)
    for i in (-1, 20):
        with raises(IndexError, f"table: no element {i} among its 20"):
            t[i]
    with raises(TypeError, "table: expected funcref, got 5 (int)"):
        t[0] = 5
    t[0] = HostFunc(I32, lambda x: x + 1)
    assert isinstance(t[0], Func) and 1 == e.call(0)


def _entry(e: Any) -> Any:
    return table.uninitialized_element if e is None else e.raw if e.type == I32 else table.wrong_type


def check_globals_are_signed_and_checked() -> None:
    e = start().exports
    e.counter.value = 2**32 - 2
    assert -2 == e.counter.value
    e.count()
    assert -1 == e.counter.value
    with raises(AttributeError, "global is immutable"):
        e.limit.value = 5
    with raises(OverflowError, "global: 4294967296 is out of range of i32"):
        e.counter.value = 2**32
    with raises(TypeError, "global: expected i32, got 'a' (str)"):
        e.counter.value = "a"
    assert -1 == e.counter.value


# --- Tail calls


def check_tail_calls_do_not_grow_the_stack() -> None:
    e = start().exports
    assert e.table[6] is e.tail_even
    assert 1 == e.tail_even(20_000) and 0 == e.tail_even(20_001) and 0 == e.tail_odd(0)
    with raises(Trap, "uninitialized element"):
        e.table[6] = None
        e.tail_odd(5)


def check_dead_instances_make_room_for_new_ones() -> None:
    if sys.implementation.name == "pypy" or sys.platform != "linux":
        return  # PyPy's collector owns the bytes; other systems do not enforce RLIMIT_AS
    source = """
import gc, resource, sys
sys.path.insert(0, sys.argv[1])
from polymerase_runtime import Memory
gc.collect()
gc.disable()
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
for _ in range(40):
    cycle = [Memory(1600)]
    cycle.append(cycle)
"""
    root = os.path.dirname(os.path.dirname(memory.__file__))
    done = subprocess.run([sys.executable, "-c", source, root], stderr=subprocess.PIPE, text=True)
    assert (0, "") == (done.returncode, done.stderr)


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]


def run(checks: list[Any]) -> None:
    """Run them all, print those that fail, and end the process."""
    failed = 0
    for check in checks:
        begun = time.perf_counter()
        try:
            check()
        except BaseException:
            failed += 1
            print(check.__name__)
            traceback.print_exc(file=sys.stdout)
        if "-v" in sys.argv:
            print(f"{time.perf_counter() - begun:.2f} s {check.__name__}")
    print(f"{len(checks)} checks, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    run(CHECKS)
