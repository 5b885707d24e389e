"""Nothing in a module can run into one of CPython's limits: nesting, depth, length, arguments, recursion.

CPython allows 20 nested loops, 98 levels of indentation, 200 nested parentheses, about 990 levels in an ast, 2,980
terms in a chain of operators. Each module here goes past one of them; what it computes is compared with wasmtime.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from polymerase import Options, driver
from tests.guests.oracle import Call, assemble, by_package, by_polymerase, by_wasmtime, compile_standalone

Case = tuple[str, list[Call]]  # WAT, calls


def nested_loops(depth: int) -> Case:
    """Loop d turns once or twice, as bit d of p0 says; the innermost counts, and may continue any loop once."""
    text = ['(module (func (export "f") (param $p i32) (param $jump i32) (result i32) (local $n i32)']
    text += [f"(local $c{d} i32)" for d in range(depth)]
    for d in range(depth):
        text.append(f"i32.const 0 local.set $c{d} loop $l{d}")
    text.append("local.get $n i32.const 3 i32.mul i32.const 1 i32.add local.set $n")
    labels = " ".join(f"$l{d}" for d in range(depth))
    # when p1 is below the number of loops: continue that one, once
    text.append("block $out local.get $jump i32.const 0 i32.lt_s br_if $out")
    text.append("i32.const -1 local.get $jump local.set $jump2 local.set $jump block $stay local.get $jump2")
    text.append(f"br_table {labels} $stay end end")
    for d in reversed(range(depth)):
        text.append(f"local.get $n i32.const {d + 7} i32.xor local.set $n")
        text.append(f"local.get $c{d} i32.const 1 i32.add local.tee $c{d}")
        text.append(f"local.get $p i32.const {d} i32.shr_u i32.const 1 i32.and i32.le_u br_if $l{d} end")
    text.append("local.get $n))")
    text[0] += " (local $jump2 i32)"
    calls: list[Call] = [("f", (p, jump)) for p in (0, 5, 0x1010101 & (1 << depth) - 1) for jump in (-1, 0, depth // 2)]
    return "\n".join(text), [*calls, ("f", (3, depth - 1)), ("f", (3, depth))]


def block_loop_pairs(depth: int) -> Case:
    """A block and a loop at each level; the innermost leaves to any of them, until p1 turns are over."""
    text = ['(module (func (export "f") (param $x i32) (param $fuel i32) (result i32) (local $n i32)']
    for d in range(depth):
        text.append(f"block $b{d} loop $l{d} local.get $n i32.const {d + 1} i32.add local.set $n")
    text.append("local.get $fuel i32.const 1 i32.sub local.tee $fuel i32.const 0 i32.lt_s")
    text.append("if local.get $n return end")
    text.append("local.get $x i32.const 1664525 i32.mul i32.const 1013904223 i32.add local.tee $x")
    text.append(f"i32.const 16 i32.shr_u i32.const {2 * depth} i32.rem_u")
    text.append("br_table " + " ".join(f"$b{d} $l{d}" for d in range(depth)))
    for d in reversed(range(depth)):
        text.append(f"end local.get $n i32.const {d * 5 + 3} i32.mul local.set $n end")
        text.append(f"local.get $n i32.const {d} i32.xor local.set $n")
    text.append("local.get $n))")
    return "\n".join(text), [("f", (x, 300)) for x in (1, 2, 77)]


def nested_blocks(depth: int) -> Case:
    """The innermost block branches out to the level that p0 names; each level's end leaves its mark."""
    text = ['(module (func (export "f") (param $p i32) (result i32) (local $n i32)']
    text += [f"block $b{d} local.get $p i32.const {d + 1000} i32.eq br_if $b{d // 2}" for d in range(depth)]
    text.append("local.get $p br_table " + " ".join(f"$b{d}" for d in range(depth)))
    for d in reversed(range(depth)):
        text.append(f"end local.get $n i32.const 31 i32.mul i32.const {d} i32.add local.set $n")
    text.append("local.get $n))")
    return "\n".join(text), [("f", (p,)) for p in (0, 1, depth // 2, depth - 1, depth, -1, 1000, 1001 + depth // 2)]


def nested_ifs(depth: int) -> Case:
    """If in if, the way down chosen by bits of p0; both arms work, and some leave to a level further out."""
    text = ['(module (func (export "f") (param $p i32) (result i32) (local $n i32)']
    for d in range(depth):
        text.append(f"local.get $p i32.const {d % 29} i32.shr_u i32.const 1 i32.and if $i{d}")
        text.append(f"local.get $n i32.const {d} i32.add local.set $n")
        text.append(f"local.get $n i32.const {d * 37 % 1999 + 50} i32.eq br_if $i{d * 5 // 7}")
    for d in reversed(range(depth)):
        text.append(f"else local.get $n i32.const 3 i32.mul i32.const {d} i32.add local.set $n")
        text.append(f"local.get $n i32.const 7 i32.and i32.eqz br_if $i{d // 3} end")
        text.append("local.get $n i32.const 1 i32.xor local.set $n")
    text.append("local.get $n))")
    ones = (1 << 29) - 1
    return "\n".join(text), [("f", (p,)) for p in (0, 1, ones, ones >> 1, ones - 1024, 0x0FFFFFFF, 0x1FFF)]


def else_chain(depth: int) -> Case:
    """if … else if … else if …, with results: each if is the else arm of the one before."""
    text = ['(module (func (export "f") (param $p i32) (result i32)']
    for d in range(depth):
        text.append(f"local.get $p i32.const {d} i32.eq if (result i32) i32.const {d * d % 1009} else")
    text.append("i32.const -1" + " end i32.const 1 i32.add" * depth + "))")
    return "\n".join(text), [("f", (p,)) for p in (0, 1, depth // 2, depth - 1, depth)]


def mixed_nest(depth: int) -> Case:
    """Blocks, ifs and loops in turn; branches from every level to levels all over, until p1 turns are over."""
    rng = random.Random(depth)
    text = ['(module (func (export "f") (param $p i32) (param $fuel i32) (result i32) (local $n i32)']
    kinds = [rng.choice(("block", "if", "block", "loop" if d % 9 == 0 else "if")) for d in range(depth)]
    step = "local.get $p i32.const 1664525 i32.mul i32.const 1013904223 i32.add local.tee $p i32.const 13 i32.shr_u"

    def leave(d: int) -> str:
        stop = "local.get $fuel i32.const 1 i32.sub local.tee $fuel i32.eqz if local.get $n return end"
        return f"{stop} {step} i32.const {rng.choice((3, 15, 63))} i32.and i32.eqz br_if $x{rng.randrange(d + 1)}"

    for d, kind in enumerate(kinds):
        if kind == "if":
            text.append(f"{step} i32.const 7 i32.and")
        text.append(f"{kind} $x{d} local.get $n i32.const {d} i32.add local.set $n {leave(d)}")
    for d in reversed(range(depth)):
        if kinds[d] == "if" and d % 2:
            text.append(f"else local.get $n i32.const {d} i32.xor local.set $n {leave(d)}")
        text.append(f"local.get $n i32.const 5 i32.mul local.set $n {leave(d)} end")
    text.append("local.get $n))")
    return "\n".join(text), [("f", (p, 2000)) for p in range(6)]


def br_table(cases: int, targets: Callable[[int], int], falls: Callable[[int], bool]) -> Case:
    """A C switch: case i's code follows the end of block i; entry i of the table leads to block targets(i)."""
    text = ['(module (func (export "f") (param $p i32) (result i32) (local $n i32) block $default block $done']
    text += [f"block $b{i}" for i in reversed(range(cases))]
    entries = " ".join(f"$b{targets(i)}" for i in range(cases))
    text.append(f"local.get $p br_table {entries} $default")
    for i in range(cases):
        text.append(f"end local.get $n i32.const 17 i32.mul i32.const {i + 1} i32.add local.set $n")
        if not falls(i):
            text.append("br $done")
    text.append("end local.get $n return end i32.const -5))")
    chosen = (0, 1, 2, 3, 7, cases // 2, cases // 2 + 1, cases - 2, cases - 1, cases, cases + 1, -1)
    return "\n".join(text), [("f", (p,)) for p in chosen]


def left_deep(depth: int) -> Case:
    """((p + 1) * 3 ^ …): each operator's left operand is the whole rest."""
    ops = ("i32.add", "i32.mul", "i32.xor", "i32.sub", "i32.rotl", "i32.or")
    body = " ".join(f"i32.const {i % 97 + 3} {ops[i % len(ops)]}" for i in range(depth))
    wide = " ".join(f"local.get 0 {('i64.add', 'i64.mul', 'i64.xor')[i % 3]}" for i in range(depth))
    real = " ".join(f"f64.const 1.{i % 9}1 {('f64.mul', 'f64.div', 'f64.sub')[i % 3]}" for i in range(depth))
    text = f"""(module
        (func (export "f") (param i32) (result i32) local.get 0 {body})
        (func (export "wide") (param i64) (result i64) local.get 0 {wide})
        (func (export "real") (param f64) (result f64) local.get 0 {real}))"""
    calls: list[Call] = [("f", (p,)) for p in (0, 1, -7)]
    return text, [*calls, ("wide", (12345678901,)), ("wide", (-1,)), ("real", (1.25,))]


def right_deep(depth: int) -> Case:
    """p + (1 - (p ^ …)): all operands first, then all operators."""
    ops = ("i32.add", "i32.sub", "i32.xor", "i32.rotl")
    operands = " ".join("local.get 0" if i % 3 else f"i32.const {i * 7919 % 1000 + 1}" for i in range(depth + 1))
    operators = " ".join(ops[i % len(ops)] for i in range(depth))
    return f'(module (func (export "f") (param i32) (result i32) {operands} {operators}))', [
        ("f", (p,)) for p in (0, 5)
    ]


def deep_unary(depth: int) -> Case:
    """Conversions of conversions."""
    once = "f64.convert_i32_s f64.neg i32.trunc_sat_f64_s i64.extend_i32_s f64.reinterpret_i64 i64.reinterpret_f64"
    body = f"{once} i32.wrap_i64 " * (depth // 7)
    text = f'(module (func (export "f") (param i32) (result i32) local.get 0 {body}))'
    return text, [("f", (p,)) for p in (0, 1, -1)]


def deep_loads(depth: int) -> Case:
    """load(load(load(…))): a chain of pointers, and one that ends out of bounds."""
    text = f"""(module (memory 1)
        (func (export "set") (param i32 i32) local.get 0 local.get 1 i32.store)
        (func (export "f") (param i32) (result i32) local.get 0 {"i32.load " * depth})
        (func (export "bytes") (param i32) (result i32)
            local.get 0 {"i32.load8_u offset=3 i32.const 1 i32.add " * depth}))"""
    ring: list[Call] = [("set", (4 * i, 4 * (i * 7 % 101))) for i in range(1, 101)]
    calls: list[Call] = [("f", (4,)), ("f", (8,)), ("bytes", (9,)), ("set", (4 * 7, -4)), ("f", (4,)), ("f", (65536,))]
    return text, ring + calls


def deep_calls(depth: int) -> Case:
    """g(g(g(…))), and add(p, add(p, …)) with all arguments pushed first; the callee counts its calls."""
    text = f"""(module (global $n (mut i32) (i32.const 0))
        (func $g (param i32) (result i32)
            global.get $n i32.const 1 i32.add global.set $n local.get 0 i32.const 5 i32.mul global.get $n i32.xor)
        (func $add (param i32 i32) (result i32)
            global.get $n i32.const 1 i32.add global.set $n local.get 0 local.get 1 i32.const 3 i32.mul i32.add)
        (func (export "f") (param i32) (result i32) local.get 0 {"call $g " * depth})
        (func (export "right") (param i32) (result i32) {"local.get 0 " * (depth + 1)} {"call $add " * depth})
        (func (export "pure") (param i32) (result i32)
            {"local.get 0 global.get $n " * (depth // 2 + 1)} {"call $add i32.sub " * (depth // 2)} i32.xor)
        (func (export "count") (result i32) global.get $n))"""
    return text, [("f", (1,)), ("right", (2,)), ("count", ()), ("pure", (3,)), ("count", ())]


def deep_selects(depth: int) -> Case:
    """select(select(…), p, bit), and the same with the condition deep."""
    bit = "local.get 0 i32.const {} i32.shr_u i32.const 1 i32.and"
    first = " ".join(f"i32.const {i} {bit.format(i % 31)} select" for i in range(depth))
    turn = "local.set 1 i32.const {} i32.const {} local.get 1 select"
    condition = "local.get 0 " + " ".join(turn.format(i % 5, i % 3) for i in range(depth))
    nested = "i32.const 1 i32.const 2 " * depth + "local.get 0 " + "select " * depth
    text = f"""(module
        (func (export "f") (param i32) (result i32) i32.const 9 {first})
        (func (export "condition") (param i32) (result i32) (local i32) {condition})
        (func (export "nested") (param i32) (result i32) {nested}))"""
    return text, [(name, (p,)) for name in ("f", "condition", "nested") for p in (0, 1, 0x2AAAAAAA, -1)]


def long_function(instructions: int) -> Case:
    """Straight code with locals, loads, stores, divisions and ifs."""
    rng = random.Random(instructions)
    text = ['(module (memory 1) (func (export "f") (param i32 i32) (result i32) (local i32 i64 f64)']
    count = 0
    while count < instructions:
        k = rng.randrange(1, 1000)
        a, b = rng.randrange(3), rng.randrange(3)
        x, y = f"local.get {a}", f"local.get {b}"
        piece = rng.choice(
            (
                f"{x} i32.const {k} i32.add {y} i32.xor local.set {rng.randrange(3)}",
                f"{x} i32.const 65532 i32.and {y} i32.store",
                f"{x} i32.const 65535 i32.and i32.load8_s {y} i32.add local.set {a}",
                f"{x} if {y} i32.const {k} i32.div_u local.set {b} else {x} local.set 2 end",
                f"local.get 3 i64.const {k} i64.mul {x} i64.extend_i32_s i64.add local.tee 3 i32.wrap_i64 local.set 2",
                f"{x} {y} i32.lt_s if (result i32) local.get 1 else i32.const {k} end local.set {a}",
                f"local.get 4 {x} f64.convert_i32_u f64.add f64.const 0.5 f64.mul local.set 4",
                f"block {x} i32.const {k} i32.gt_u br_if 0 {y} i32.const 1 i32.add local.set {b} end",
            )
        )
        count += piece.count(".") + piece.count("end") - piece.count("0.5")
        text.append(piece)
    text.append("local.get 0 local.get 1 i32.add local.get 2 i32.xor local.get 3 i32.wrap_i64 i32.sub")
    text.append("local.get 4 i32.trunc_sat_f64_s i32.add))")
    return "\n".join(text), [("f", (1, 2)), ("f", (-1, 65535)), ("f", (0, 0))]


def many_locals(count: int) -> Case:
    """Each local set from the one before, then all added up; and as many that are only ever zero."""
    sets = " ".join(f"local.get {i - 1} i32.const {i} i32.xor local.set {i}" for i in range(1, count))
    sums = " ".join(f"local.get {i} i32.add i32.const 3 i32.mul" for i in range(1, count))
    zeros = " ".join(f"local.get {i} i64.add" for i in range(1, count))
    text = f"""(module
        (func (export "f") (param i32) (result i32) (local {"i32 " * (count - 1)}) {sets} local.get 0 {sums})
        (func (export "zero") (param i64) (result i64) (local {"i64 " * (count - 1)}) local.get 0 {zeros})
        (func (export "live") (param i32) (result i32) (local {"i32 " * (count - 1)})
            loop $l {sets} local.get {count - 1} i32.const 1 i32.shr_u local.tee 0 br_if $l end local.get 1))"""
    return text, [("f", (0,)), ("f", (-5,)), ("zero", (9,)), ("live", (1,)), ("live", (77,))]


_WIDEN = {"i32": "", "i64": "i64.extend_i32_s", "f32": "f32.convert_i32_s", "f64": "f64.convert_i32_s"}
_NARROW = {"i32": "", "i64": "i32.wrap_i64", "f32": "i32.trunc_sat_f32_s", "f64": "i32.trunc_sat_f64_s"}


def many_params(count: int) -> Case:
    """Called by the host, directly and through a table; types in turn."""
    types = [("i32", "i64", "f32", "f64")[i % 4] for i in range(count)]
    body = " ".join(f"local.get {i} {_NARROW[t]} i32.add i32.const 3 i32.mul" for i, t in enumerate(types))
    pushes = " ".join(f"local.get 0 {_WIDEN[t]}" for t in types)
    text = f"""(module (type $t (func (param {" ".join(types)}) (result i32))) (table funcref (elem $f))
        (func $f (export "f") (type $t) i32.const 0 {body})
        (func (export "direct") (param i32) (result i32) {pushes} call $f)
        (func (export "indirect") (param i32 i32) (result i32) {pushes} local.get 1 call_indirect (type $t)))"""
    args = tuple(float(i % 50) if t[0] == "f" else i % 70 - 20 for i, t in enumerate(types))
    return text, [("f", args), ("direct", (7,)), ("indirect", (-3, 0)), ("indirect", (-3, 1))]


def many_results(count: int) -> Case:
    """Taken by the host, by a caller, through a table, and by a block that has as many."""
    types = [("i32", "i64", "f32", "f64")[i % 4] for i in range(count)]
    pushes = " ".join(f"local.get 0 i32.const {i} i32.add {_WIDEN[t]}" for i, t in enumerate(types))
    add = " ".join(f"{_NARROW[t]} local.get 1 i32.const 3 i32.mul i32.add local.set 1" for t in reversed(types))
    results = " ".join(types)
    text = f"""(module (type $t (func (param i32) (result {results}))) (table funcref (elem $f))
        (func $f (export "f") (type $t) {pushes})
        (func (export "direct") (param i32) (result i32) (local i32) local.get 0 call $f {add} local.get 1)
        (func (export "indirect") (param i32) (result i32) (local i32)
            local.get 0 i32.const 0 call_indirect (type $t) {add} local.get 1)
        (func (export "pass") (type $t) local.get 0 call $f)
        (func (export "early") (type $t) (local i32)
            local.get 0 call $f block (param {results}) (result {results}) local.get 0 br_if 0 end)
        (func (export "turn") (param i32) (result i32) (local i32)
            local.get 0 call $f
            loop (param {results}) (result {results})
                local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0
            end {add} local.get 1))"""
    calls: list[Call] = [(name, (p,)) for name in ("f", "direct", "indirect", "pass", "early") for p in (0, 1, -9)]
    return text, [*calls, ("turn", (3,))]


def recursion() -> Case:
    """Endless, directly, mutually and through a table; then deep but not endless; the instance goes on."""
    text = """(module (type $t (func (param i32) (result i32))) (table funcref (elem $table)) (memory 1)
        (func $self (export "self") (param i32) (result i32)
            local.get 0 i32.const 1 i32.add call $self i32.const 1 i32.add)
        (func $even (export "even") (param i32) (result i32) local.get 0 call $odd i32.const 1 i32.add)
        (func $odd (param i32) (result i32) local.get 0 call $even i32.const 1 i32.xor)
        (func $table (export "table") (param i32) (result i32)
            local.get 0 i32.const 0 call_indirect (type $t) i32.const 1 i32.add)
        (func $sum (export "sum") (param i32) (result i32)
            local.get 0 if (result i32)
                local.get 0 local.get 0 i32.const 1 i32.sub call $sum i32.add
            else i32.const 0 end)
        (func $trap (export "trap") (param i32) (result i32)
            local.get 0 if (result i32)
                local.get 0 i32.const 1 i32.sub call $trap
            else i32.const 65536 i32.load end))"""
    endless: list[Call] = [("self", (0,)), ("even", (0,)), ("table", (0,))]
    return text, [*endless, ("sum", (10,)), *endless, ("sum", (2500,)), ("trap", (2500,))]


def tail_calls(turns: int) -> Case:
    """Itself, mutually, through a table, and from a function that also calls in other ways."""
    text = """(module (type $t (func (param i32 i32) (result i32))) (table funcref (elem $indirect $other))
        (func $self (export "self") (type $t)
            local.get 0 i32.eqz if local.get 1 return end
            local.get 0 i32.const 1 i32.sub local.get 1 local.get 0 i32.xor return_call $self)
        (func $even (export "even") (type $t)
            local.get 0 i32.eqz if local.get 1 return end
            local.get 0 i32.const 1 i32.sub local.get 1 i32.const 1 i32.add return_call $odd)
        (func $odd (type $t)
            local.get 0 i32.eqz if i32.const -1 return end
            local.get 0 i32.const 1 i32.sub local.get 1 i32.const 3 i32.mul return_call $even)
        (func $indirect (export "indirect") (type $t)
            local.get 0 i32.eqz if local.get 1 return end
            local.get 0 i32.const 1 i32.sub local.get 1 i32.const 5 i32.add local.get 0 i32.const 1 i32.and
            return_call_indirect (type $t))
        (func $other (type $t)
            local.get 0 i32.eqz if local.get 1 return end
            local.get 0 i32.const 1 i32.sub local.get 1 i32.const 7 i32.xor i32.const 0 return_call_indirect (type $t))
        (func (export "mixed") (type $t)
            local.get 0 i32.const 3 i32.and local.get 1 call $self drop
            local.get 0 local.get 1 i32.const 9 local.get 1 call $even i32.add return_call $indirect)
        (func (export "beyond") (type $t) local.get 0 local.get 1 i32.const 2 return_call_indirect (type $t)))"""
    calls: list[Call] = [(name, (turns, 1)) for name in ("self", "even", "indirect", "mixed", "beyond")]
    return text, [*calls, ("even", (turns + 1, 1)), ("self", (0, 5))]


CASES: dict[str, Callable[[], Case]] = {
    "25 nested loops": lambda: nested_loops(25),
    "25 nested block-loop pairs": lambda: block_loop_pairs(25),
    "60 nested block-loop pairs": lambda: block_loop_pairs(60),
    "150 nested blocks": lambda: nested_blocks(150),
    "2,000 nested blocks": lambda: nested_blocks(2000),
    "150 nested ifs": lambda: nested_ifs(150),
    "1,000 nested ifs": lambda: nested_ifs(1000),
    "1,000 ifs in else arms": lambda: else_chain(1000),
    "150 nested of all kinds": lambda: mixed_nest(150),
    "400 nested of all kinds": lambda: mixed_nest(400),
    "br_table of 5,000": lambda: br_table(5000, lambda i: i, lambda i: False),
    "br_table of 5,000, falling through": lambda: br_table(5000, lambda i: i, lambda i: i % 10 != 0),
    "br_table of 5,000, sharing targets": lambda: br_table(5000, lambda i: i * i % 97 * 50, lambda i: i % 3 == 0),
    "expression of 20,000, left-deep": lambda: left_deep(20_000),
    "expression of 20,000, right-deep": lambda: right_deep(20_000),
    "expression of 20,000 conversions": lambda: deep_unary(20_000),
    "expression of 20,000 loads": lambda: deep_loads(20_000),
    "expression of 20,000 calls": lambda: deep_calls(20_000),
    "expression of 20,000 selects": lambda: deep_selects(20_000),
    "function of 100,000 instructions": lambda: long_function(100_000),
    "10,000 locals": lambda: many_locals(10_000),
    "1,000 parameters": lambda: many_params(1000),
    "1,000 results": lambda: many_results(1000),
    "endless and deep recursion": recursion,
    "1,000,000 tail calls": lambda: tail_calls(1_000_000),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[bytes, list[Call]]:
    text, calls = CASES[request.param]()
    return assemble(text), calls


@pytest.mark.parametrize("target", ["cpython", pytest.param("pypy", marks=pytest.mark.slow)])
def test_in_memory_as_wasmtime(case: tuple[bytes, list[Call]], target: str) -> None:
    wasm, calls = case
    assert by_wasmtime(wasm, calls) == by_polymerase(wasm, calls, target)


@pytest.mark.slow
def test_in_a_package_as_wasmtime_on_cpython_and_pypy(
    case: tuple[bytes, list[Call]], tmp_path: Path, pypy: str
) -> None:
    wasm, calls = case
    expected = by_wasmtime(wasm, calls)
    compile_standalone(wasm, tmp_path, "guest_py")
    for python in (sys.executable, pypy):
        assert expected == by_package(python, tmp_path, "guest_py", calls), python


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "size"),
    [
        (nested_blocks, 1000),
        (nested_ifs, 500),
        (mixed_nest, 300),
        (lambda n: br_table(n, lambda i: i, lambda i: i % 10 != 0), 2500),
        (left_deep, 5000),
        (right_deep, 5000),
        (deep_selects, 5000),
        (long_function, 30_000),
        (many_locals, 4000),
    ],
)
def test_compile_time_is_linear(make: Callable[[int], Case], size: int) -> None:
    def seconds(wasm: bytes) -> float:
        start = time.process_time()
        driver.compile_in_memory(driver.load(wasm, "test.wasm"), Options(target="cpython"))
        return time.process_time() - start

    small, large = (assemble(make(n)[0]) for n in (size, 4 * size))
    least = min(seconds(small) for _ in range(3))
    assert seconds(large) < 7 * least * len(large) / len(small) / 4
