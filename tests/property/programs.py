"""Random WebAssembly programs as text: valid by construction, always ending, full of branches and effects.

`program(rng)` makes a module with a memory, globals, a table and functions `f0` … that call each other. Each loop turn
and call costs one unit of the mutable global `$fuel`; at zero the program traps with `unreachable`, so that every
program ends, and both engines end at the same place.
"""

from __future__ import annotations

import random

TYPES = ("i32", "i64", "f32", "f64")

BINARY = {
    "i32": "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr".split(),
    "i64": "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr".split(),
    "f32": "add sub mul div min max copysign".split(),
    "f64": "add sub mul div min max copysign".split(),
}
UNARY = {
    "i32": "clz ctz popcnt extend8_s extend16_s".split(),
    "i64": "clz ctz popcnt extend8_s extend16_s extend32_s".split(),
    "f32": "abs neg ceil floor trunc nearest sqrt".split(),
    "f64": "abs neg ceil floor trunc nearest sqrt".split(),
}
COMPARE = {
    "i32": "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u".split(),
    "i64": "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u".split(),
    "f32": "eq ne lt gt le ge".split(),
    "f64": "eq ne lt gt le ge".split(),
}
CONVERT = {
    "i32": [
        ("i64", "i32.wrap_i64"),
        ("f32", "i32.trunc_sat_f32_s"),
        ("f32", "i32.trunc_sat_f32_u"),
        ("f64", "i32.trunc_sat_f64_s"),
        ("f64", "i32.trunc_sat_f64_u"),
        ("f64", "i32.trunc_f64_s"),
        ("f32", "i32.trunc_f32_u"),
    ],
    "i64": [
        ("i32", "i64.extend_i32_s"),
        ("i32", "i64.extend_i32_u"),
        ("f32", "i64.trunc_sat_f32_s"),
        ("f64", "i64.trunc_sat_f64_u"),
        ("f64", "i64.trunc_f64_s"),
    ],
    "f32": [
        ("i32", "f32.convert_i32_s"),
        ("i32", "f32.convert_i32_u"),
        ("i64", "f32.convert_i64_s"),
        ("i64", "f32.convert_i64_u"),
        ("f64", "f32.demote_f64"),
        ("i32", "f32.reinterpret_i32"),
    ],
    "f64": [
        ("i32", "f64.convert_i32_s"),
        ("i32", "f64.convert_i32_u"),
        ("i64", "f64.convert_i64_s"),
        ("i64", "f64.convert_i64_u"),
        ("f32", "f64.promote_f32"),
        ("i64", "f64.reinterpret_i64"),
    ],
}
LOADS = {
    "i32": ["load", "load8_s", "load8_u", "load16_s", "load16_u"],
    "i64": ["load", "load8_s", "load8_u", "load16_s", "load16_u", "load32_s", "load32_u"],
    "f32": ["load"],
    "f64": ["load"],
}
STORES = {
    "i32": ["store", "store8", "store16"],
    "i64": ["store", "store8", "store16", "store32"],
    "f32": ["store"],
    "f64": ["store"],
}
INTS = [0, 1, 2, 3, 7, 8, 15, 31, 32, 33, 63, 64, 100, 127, 128, 255, 256, 32767, 32768, 65535, 65536, -1, -2, -8, -128]
EDGES = {
    "i32": [*INTS, 2**31 - 1, -(2**31), 0x55555555],
    "i64": [*INTS, 2**31, 2**32, 2**32 - 1, 2**63 - 1, -(2**63), 0x123456789ABCDEF],
    "f32": ["0", "-0", "1", "-1.5", "3.14", "1e10", "-1e20", "inf", "-inf", "0x1p-149", "0x1.fffffep127", "4294967296"],
    "f64": ["0", "-0", "1", "-1.5", "3.14", "1e10", "-1e300", "inf", "-inf", "0x1p-1074", "9223372036854775808", "1e9"],
}


class Function:
    """Writes one function body. `labels` are the enclosing labels, innermost last: (name, types a branch takes)."""

    def __init__(self, rng: random.Random, funcs: list[tuple[list[str], list[str]]], me: int, size: int) -> None:
        self.rng = rng
        self.funcs = funcs
        self.me = me
        self.budget = size
        self.params, self.results = funcs[me]
        extra = [rng.choice(TYPES) for _ in range(rng.randrange(1, 6))]
        self.locals = [*self.params, *extra]
        self.labels: list[tuple[str, list[str]]] = [("$out", self.results)]
        self.count = 0
        self.extra = extra

    def text(self) -> str:
        body = self.block_body(self.results, 0)
        locals_ = f"(local {' '.join(self.extra)})"
        params = f"(param {' '.join(self.params)})" if self.params else ""
        results = f"(result {' '.join(self.results)})" if self.results else ""
        fuel = "(global.set $fuel (i32.sub (global.get $fuel) (i32.const 1)))"
        stop = "(if (i32.le_s (global.get $fuel) (i32.const 0)) (then unreachable))"
        head = f'(func $f{self.me} (export "f{self.me}") {params} {results} {locals_}'
        return f"{head}\n{fuel} {stop}\n(block $out {results}\n{body}))"

    def fresh(self) -> str:
        self.count += 1
        return f"$l{self.count}"

    def block_body(self, results: list[str], depth: int) -> str:
        """Statements, then one expression for each result."""
        rng = self.rng
        parts = [self.statement(depth) for _ in range(rng.randrange(0, 5))]
        if rng.random() < 0.08:
            parts.append(self.jump(depth))
        parts.extend(self.expr(t, depth) for t in results)
        return "\n".join(parts)

    def values(self, types: list[str], depth: int) -> str:
        return " ".join(self.expr(t, depth + 1) for t in types)

    def jump(self, depth: int) -> str:
        """An unconditional jump: what comes after it cannot be reached."""
        rng = self.rng
        name, types = rng.choice(self.labels)
        kind = rng.randrange(4)
        if kind == 0:
            return f"(return {self.values(self.results, depth)})"
        if kind == 1:
            same = [label for label, other in self.labels if other == types]
            targets = [rng.choice(same) for _ in range(rng.randrange(1, 7))]
            return f"(br_table {' '.join(targets)} {self.values(types, depth)} {self.expr('i32', depth + 1)})"
        if kind == 2 and rng.random() < 0.2:
            return "unreachable"
        return f"(br {name} {self.values(types, depth)})"

    def statement(self, depth: int) -> str:
        rng = self.rng
        self.budget -= 1
        if self.budget < 0 or depth > 8:
            return self.set_local(depth)
        kind = rng.randrange(14)
        if kind < 3:
            return self.set_local(depth)
        if kind == 3:
            t = rng.choice(TYPES)
            op = rng.choice(STORES[t])
            address, value = self.address(depth), self.expr(t, depth + 1)
            return f"({t}.{op} offset={rng.randrange(0, 20)} {address} {_one_nan(t, value)})"
        if kind == 4:
            t = rng.choice(TYPES)
            return f"(global.set $g_{t} {self.expr(t, depth + 1)})"
        if kind in (5, 6):
            return self.block(depth, [])
        if kind in (7, 8):
            other = f"(else {self.block_body([], depth + 1)})" if rng.random() < 0.5 else ""
            name = self.fresh()
            cond = self.expr("i32", depth + 1)
            self.labels.append((name, []))
            then = self.block_body([], depth + 1)
            self.labels.pop()
            return f"(if {name} {cond} (then {then}) {other})"
        if kind == 9:
            return self.loop(depth)
        if kind in (10, 11):
            name, types = rng.choice(self.labels)
            drops = " ".join("drop" for _ in types)
            return f"(br_if {name} {self.values(types, depth)} {self.expr('i32', depth + 1)}) {drops}"
        if kind == 12:
            # A jump in an arm: the usual early exit.
            cond = self.expr("i32", depth + 1)
            return f"(if {cond} (then {self.jump(depth + 1)}))"
        return self.call_statement(depth)

    def set_local(self, depth: int) -> str:
        i = self.rng.randrange(len(self.locals))
        return f"(local.set {i} {self.expr(self.locals[i], depth + 1)})"

    def call_statement(self, depth: int) -> str:
        call, results = self.call(depth)
        return f"{call} {' '.join('drop' for _ in results)}"

    def call(self, depth: int) -> tuple[str, list[str]]:
        rng = self.rng
        i = rng.randrange(len(self.funcs))
        params, results = self.funcs[i]
        args = self.values(params, depth + 3)
        if rng.random() < 0.4:
            index = f"(i32.const {i})" if rng.random() < 0.8 else self.expr("i32", depth + 3)
            return f"(call_indirect (type $t{i}) {args} {index})", results
        return f"(call $f{i} {args})", results

    def block(self, depth: int, results: list[str]) -> str:
        name = self.fresh()
        self.labels.append((name, results))
        body = self.block_body(results, depth + 1)
        self.labels.pop()
        result = f"(result {' '.join(results)})" if results else ""
        return f"(block {name} {result} {body})"

    def loop(self, depth: int) -> str:
        rng = self.rng
        name = self.fresh()
        self.labels.append((name, []))
        fuel = "(global.set $fuel (i32.sub (global.get $fuel) (i32.const 1)))"
        stop = "(if (i32.le_s (global.get $fuel) (i32.const 0)) (then unreachable))"
        body = self.block_body([], depth + 1)
        end = f"(br_if {name} {self.expr('i32', depth + 1)})" if rng.random() < 0.7 else ""
        self.labels.pop()
        return f"(loop {name} {fuel} {stop} {body} {end})"

    def address(self, depth: int) -> str:
        if self.rng.random() < 0.9:
            return f"(i32.and {self.expr('i32', depth + 1)} (i32.const {self.rng.choice((255, 252, 60, 4095))}))"
        return self.expr("i32", depth + 1)

    def expr(self, t: str, depth: int) -> str:
        rng = self.rng
        self.budget -= 1
        if depth > 12 or self.budget < 0:
            return self.leaf(t)
        kind = rng.randrange(20)
        if kind < 6:
            return self.leaf(t)
        if kind < 10:
            op, a, b = rng.choice(BINARY[t]), self.expr(t, depth + 1), self.expr(t, depth + 1)
            return f"({t}.{op} {a} {_one_nan(t, b) if op == 'copysign' else b})"
        if kind == 10:
            return f"({t}.{rng.choice(UNARY[t])} {self.expr(t, depth + 1)})"
        if kind == 11:
            source, op = rng.choice(CONVERT[t])
            return f"({op} {self.expr(source, depth + 1)})"
        if kind == 12:
            return f"({t}.{rng.choice(LOADS[t])} offset={rng.randrange(0, 20)} {self.address(depth)})"
        if kind == 13:
            a, b = self.expr(t, depth + 1), self.expr(t, depth + 1)
            return f"(select {a} {b} {self.expr('i32', depth + 1)})"
        if kind == 14:
            return self.block(depth, [t])
        if kind == 15:
            choices = [i for i, u in enumerate(self.locals) if u == t]
            if choices:
                return f"(local.tee {rng.choice(choices)} {self.expr(t, depth + 1)})"
        if kind == 16:
            cond, a, b = self.expr("i32", depth + 1), self.expr(t, depth + 1), self.expr(t, depth + 1)
            return f"(if (result {t}) {cond} (then {a}) (else {b}))"
        if kind == 17:
            calls = [i for i, (_, results) in enumerate(self.funcs) if results == [t]]
            if calls:
                i = rng.choice(calls)
                return f"(call $f{i} {self.values(self.funcs[i][0], depth + 3)})"
        if t == "i32":
            source = rng.choice(TYPES)
            op = rng.choice(COMPARE[source])
            test = f"({source}.{op} {self.expr(source, depth + 1)} {self.expr(source, depth + 1)})"
            return f"(i32.eqz {test})" if rng.random() < 0.2 else test
        return self.leaf(t)

    def leaf(self, t: str) -> str:
        rng = self.rng
        choices = [i for i, u in enumerate(self.locals) if u == t]
        kind = rng.randrange(10)
        if choices and kind < 6:
            return f"(local.get {rng.choice(choices)})"
        if kind == 6:
            return f"(global.get $g_{t})"
        return f"({t}.const {rng.choice(EDGES[t])})"


def _one_nan(t: str, value: str) -> str:
    """The value with its NaN, whose sign and payload the specification leaves open, made the canonical one."""
    return f"(call $one_nan_{t} {value})" if t[0] == "f" else value


def program(rng: random.Random) -> str:
    """The text of one module. It exports f0 …, the memory and the globals."""
    count = rng.randrange(1, 4)

    def pick(most: int) -> list[str]:
        return [rng.choice(TYPES) for _ in range(rng.randrange(0, most))]

    funcs = [(pick(4), pick(3)) for _ in range(count)]
    size = rng.choice((20, 60, 150, 400))
    lines = ["(module", '(memory (export "memory") 1 2)', '(global $fuel (export "fuel") (mut i32) (i32.const 400))']
    for t in TYPES:
        lines.append(f'(global $g_{t} (export "g_{t}") (mut {t}) ({t}.const {rng.choice(EDGES[t])}))')
    for i, (params, results) in enumerate(funcs):
        types = [f"(param {' '.join(params)})" if params else "", f"(result {' '.join(results)})" if results else ""]
        lines.append(f"(type $t{i} (func {' '.join(types)}))")
    for t in ("f32", "f64"):
        test = f"(select (local.get 0) ({t}.const nan) ({t}.eq (local.get 0) (local.get 0)))"
        lines.append(f"(func $one_nan_{t} (param {t}) (result {t}) {test})")
    lines.append(f"(table {count + 2} funcref) (elem (i32.const 0) {' '.join(f'$f{i}' for i in range(count))})")
    lines.extend(Function(rng, funcs, i, size).text() for i in range(count))
    return "\n".join(lines) + ")\n"


def arguments(rng: random.Random, t: str) -> int | float:
    """A value to call with."""
    value = rng.choice(EDGES[t])
    if isinstance(value, int):
        return value
    return float.fromhex(value) if "x" in value else float(value)
