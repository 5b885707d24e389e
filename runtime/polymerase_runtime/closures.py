"""Prepared bodies as closures: what the interpreter runs (the shape of bodies: polymerase/lower/prepare.py).

Each run of statements becomes one Python function of the registers, with the jump that follows it:

    ("set", 0, ("op", "i32_add", …, ("get", 1), ("const", "i32", 8)), …), ("if", ("get", 0), 3, 4)

    def make(i0, i1, c0, i2, b0, b1):
        def op(r):
            r[i0] = (r[i1] + c0 & 0xFFFFFFFF)
            return b0 if r[i2] else b1
        return op

The text names no register, constant or block, so that it is compiled once for all code of that shape, in any function
of any module (30 to 100 µs a shape on CPython 3.11; a program has some thousands of bodies' parts and some hundreds of
shapes); the rest is a call of `make`. Expressions too large for their shapes to recur are cut, the parts being closures
of their own. Registers 0 and 1 hold memory 0 and the instance's namespace: closures hold no instance's state, so
instances share them.

What may trap starts a line of its own; `op.at` maps lines to byte offsets, or to the closure that is called there.
"""

from __future__ import annotations

import sys
from typing import Any, Callable

from . import memory as _memory
from . import numeric as _numeric
from . import table as _table
from .numeric import f32_reinterpret_i32, f64_reinterpret_i64
from .table import ref_is_null
from .traps import unreachable

Op = Callable[[list[Any]], Any]
Node = tuple[Any, ...]

FIRST = 2  # the register that holds variable 0
FILE = "<polymerase interpreter>"  # of the code of closures, as tracebacks have it
MAX_SIZE = 12  # operations in one expression, and in one closure before it is closed
MAX_RUN = 6  # statements in one closure
_MAX_SHAPES = 20_000  # kept; a hostile module can make any number,
_MAX_TEXT = 1 << 24  # and of any length: characters of all shapes that are kept, with 5 to 10 bytes of code each

# Memory through views (see memory.py), as CPython likes it; PyPy reads bytearrays faster through the runtime's loads.
_VIEWS = sys.implementation.name != "pypy" and sys.byteorder == "little"

_M32 = "0xFFFFFFFF"
_M64 = "0xFFFFFFFFFFFFFFFF"
_S32 = "0x80000000"
_S64 = "0x8000000000000000"

_SCOPE: dict[str, Any] = {
    **{name: op for name, op in vars(_numeric).items() if name[:4] in ("i32_", "i64_", "f32_", "f64_")},
    **{name: op for name, op in vars(_memory).items() if name[:4] in ("i32_", "i64_", "f32_", "f64_")},
    **{name: op for name, op in vars(_memory).items() if name.startswith("memory_")},
    **{name: op for name, op in vars(_table).items() if name.startswith("table_")},
    "ref_is_null": ref_is_null,
    "unreachable": unreachable,
    "__polymerase__": None,  # what these functions raise is the guest's (see border.py)
}
_factories: dict[str, Callable[..., Op]] = {}
_text_kept = [0]  # characters of the keys

# Spellings of operations whose operands are put in for {0} and {1}, held against the definitions by a test. An operand
# is a variable, a constant or text in parentheses.
INLINE: dict[str, str] = {}
# Spellings that are true or false, for conditions.
TESTS: dict[str, str] = {}
for _t, _m, _n in (("i32", _M32, 31), ("i64", _M64, 63)):
    INLINE[f"{_t}_add"] = f"({{0}} + {{1}} & {_m})"
    INLINE[f"{_t}_sub"] = f"({{0}} - {{1}} & {_m})"
    INLINE[f"{_t}_mul"] = f"({{0}} * {{1}} & {_m})"
    INLINE[f"{_t}_and"] = "({0} & {1})"
    INLINE[f"{_t}_or"] = "({0} | {1})"
    INLINE[f"{_t}_xor"] = "({0} ^ {1})"
    INLINE[f"{_t}_shl"] = f"({{0}} << ({{1}} & {_n}) & {_m})"
    INLINE[f"{_t}_shr_u"] = f"({{0}} >> ({{1}} & {_n}))"
    INLINE[f"{_t}_div_u"] = "({0} // {1})"
    INLINE[f"{_t}_rem_u"] = "({0} % {1})"
    for _name, _op in (("eq", "=="), ("ne", "!="), ("lt_u", "<"), ("gt_u", ">"), ("le_u", "<="), ("ge_u", ">=")):
        TESTS[f"{_t}_{_name}"] = f"({{0}} {_op} {{1}})"
    _s = _S32 if _t == "i32" else _S64
    for _name, _op in (("lt_s", "<"), ("gt_s", ">"), ("le_s", "<="), ("ge_s", ">=")):
        TESTS[f"{_t}_{_name}"] = f"({{0}} ^ {_s} {_op} {{1}} ^ {_s})"
    TESTS[f"{_t}_eqz"] = "(not {0})"
INLINE["i32_shr_s"] = f"(({{0}} ^ {_S32}) - {_S32} >> ({{1}} & 31) & {_M32})"
INLINE["i64_shr_s"] = f"(({{0}} ^ {_S64}) - {_S64} >> ({{1}} & 63) & {_M64})"
INLINE["i32_wrap_i64"] = f"({{0}} & {_M32})"
INLINE["i64_extend_i32_u"] = "{0}"
INLINE["i64_extend_i32_s"] = f"(({{0}} ^ {_S32}) - {_S32} & {_M64})"
INLINE["i32_extend8_s"] = f"(({{0}} & 255 ^ 128) - 128 & {_M32})"
INLINE["i32_extend16_s"] = f"(({{0}} & 65535 ^ 32768) - 32768 & {_M32})"
for _name, _op in (("add", "+"), ("sub", "-"), ("mul", "*")):
    INLINE[f"f64_{_name}"] = f"({{0}} {_op} {{1}})"
    INLINE[f"f32_{_name}"] = f"f32_round({{0}} {_op} {{1}})"
for _name, _op in (("eq", "=="), ("ne", "!="), ("lt", "<"), ("gt", ">"), ("le", "<="), ("ge", ">=")):
    TESTS[f"f32_{_name}"] = TESTS[f"f64_{_name}"] = f"({{0}} {_op} {{1}})"
for _t in ("f32", "f64"):
    INLINE[f"{_t}_neg"] = "(-{0})"
    INLINE[f"{_t}_abs"] = "abs({0})"
INLINE["f64_convert_i32_u"] = "float({0})"
INLINE["f64_convert_i32_s"] = f"float(({{0}} ^ {_S32}) - {_S32})"

# With a constant second operand: the spelling, and what is made of the constant.
_SHIFT: Callable[[int], int] = lambda n: n & 31  # noqa: E731 - a table's entries
_SHIFT64: Callable[[int], int] = lambda n: n & 63  # noqa: E731
CONSTANT: dict[str, tuple[str, Callable[[int], int]]] = {
    "i32_shl": (f"({{0}} << {{1}} & {_M32})", _SHIFT),
    "i64_shl": (f"({{0}} << {{1}} & {_M64})", _SHIFT64),
    "i32_shr_u": ("({0} >> {1})", _SHIFT),
    "i64_shr_u": ("({0} >> {1})", _SHIFT64),
    "i32_shr_s": (f"(({{0}} ^ {_S32}) - {_S32} >> {{1}} & {_M32})", _SHIFT),
    "i64_shr_s": (f"(({{0}} ^ {_S64}) - {_S64} >> {{1}} & {_M64})", _SHIFT64),
}
for _t, _s in (("i32", _S32), ("i64", _S64)):
    for _name, _op in (("lt_s", "<"), ("gt_s", ">"), ("le_s", "<="), ("ge_s", ">=")):
        CONSTANT[f"{_t}_{_name}"] = (f"({{0}} ^ {_s} {_op} {{1}})", int(_s, 16).__xor__)

_TRAPPING = ("div_s", "div_u", "rem_s", "rem_u")


class Builder:
    """Makes the closures of one function. Globals are what the namespace has under `global_names`: those whose index is
    in `cells` a Global, the others the value itself."""

    def __init__(self, global_names: tuple[str, ...], cells: frozenset[int]) -> None:
        self.global_names = global_names
        self.cells = cells
        self.lines: list[str] = []
        self.params: list[str] = []
        self.values: list[Any] = []
        self.offsets: list[Any] = []  # of the marks in the text
        self.room = MAX_SIZE
        self.count = 0
        self.temps = 0
        self.memory = False

    # --- Closures

    def fresh(self) -> Builder:
        """Another one for the same module."""
        return Builder(self.global_names, self.cells)

    def start(self) -> None:
        """Begin a closure."""
        self.lines = []
        self.params = []
        self.values = []
        self.offsets = []
        self.temps = 0
        self.memory = False
        self.room = MAX_SIZE
        self.count = 0

    def is_full(self) -> bool:
        """Whether what comes next belongs in another closure."""
        return self.room <= 0 or self.count >= MAX_RUN

    def finish(self, result: str = "") -> Op:
        """The closure of the statements since `start`, which returns `result`."""
        lines = self.lines
        if self.memory:
            lines.insert(0, "m = r[0]")
        if result:
            lines.append(f"return {result}")
        text = "\n        ".join(lines)
        at: dict[int, Any] = {}
        if self.offsets:
            pieces = text.split("\x01")  # a mark: \x01, number, \x02
            line = 3 + pieces[0].count("\n")
            for k, piece in enumerate(pieces[1:], 1):
                number, _, rest = piece.partition("\x02")
                line += 1
                at[line] = self.offsets[int(number)]
                line += rest.count("\n")
                pieces[k] = rest
            text = "\n".join(pieces)
        key = f"{','.join(self.params)}:{text}"
        factory = _factories.get(key)
        if factory is None:
            if len(_factories) >= _MAX_SHAPES or _text_kept[0] > _MAX_TEXT:
                _factories.clear()
                _text_kept[0] = 0
            factory = _factories[key] = _compile(self.params, text)
            _text_kept[0] += len(key)
        op = factory(*self.values)
        if at:
            op.at = at  # type: ignore[attr-defined] # a function has the attributes it is given
        return op

    def mark(self, at: Any) -> str:
        """What begins the text of something that may trap at offset `at`."""
        self.offsets.append(at)
        return f"\x01{len(self.offsets) - 1}\x02"

    def param(self, kind: str, value: Any) -> str:
        """A name for a number that is no part of the shape."""
        name = f"{kind}{len(self.params)}"
        self.params.append(name)
        self.values.append(value)
        return name

    def register(self, k: int) -> str:
        return f"r[{self.param('i', k + FIRST)}]"

    def state(self, name: str) -> str:
        """Something in the instance's namespace."""
        return f"r[1][{self.param('n', name)}]"

    # --- Statements

    def statement(self, s: Node) -> None:
        """Append a statement other than a call."""
        self.count += 1
        kind = s[0]
        if kind == "set":
            value = self.value(s[2])
            self.lines.append(f"{self.register(s[1])} = {value}")
        elif kind == "store":
            self._store(*s[1:])
        elif kind == "gset":
            value = self.value(s[2])
            cell = ".value" if s[1] in self.cells else ""
            self.lines.append(f"{self.state(self.global_names[s[1]])}{cell} = {value}")
        elif kind == "move":
            values = [self.value(e) for e in s[2]]
            self.lines.append(f"{', '.join(map(self.register, s[1]))} = {', '.join(values)}")
        elif kind == "eval":
            if s[1][0] == "sys" and s[1][1] in ("data_drop", "elem_drop"):
                segment = "data" if s[1][1] == "data_drop" else "elem"
                empty = 'b""' if segment == "data" else "[]"
                self.lines.append(f"{self.state(f'{segment}_seg{s[1][2][0]}')} = {empty}")
            else:
                self.lines.append(self.value(s[1]))
        else:
            self.lines.append(f"({self.mark(s[1])}unreachable())")

    def _store(self, name: str, memory: int, addr: Node, offset: int, value: Node, at: int) -> None:
        size = name[9:] or name[1:3]
        address = self._address(addr, offset)
        text = self.value(value)
        if memory:
            self.lines.append(f"({self.mark(at)}{name}({self.state(f'data_m{memory}')}, {address}, {text}))")
            return
        self.memory = True
        self.room -= 1
        if size == "8":
            self.lines.append(f"({self.mark(at)}m.u8[{address}]) = {self._masked(value, text, 255)}")
        elif not _VIEWS:
            self.lines.append(f"({self.mark(at)}{name}(m.data, {address}, {text}))")
        else:
            # Address first, then value, as the guest does; either has no effects that the other could see.
            self.lines.append(f"a = {address}")
            odd = f"a & {int(size) // 8 - 1}"
            if name[0] == "f":
                self.lines.append(f"x = {text}")
                text = "x"
                if name[1] == "3":
                    odd += " or x != x"  # a view would quieten it
            elif name[1:3] != size:
                self.lines.append(f"x = {self._masked(value, text, (1 << int(size)) - 1)}")
                text = "x"
            elif not _is_leaf(value):
                self.lines.append(f"x = {text}")
                text = "x"
            view = f"{'f' if name[0] == 'f' else 'u'}{size}"
            shift = {"16": 1, "32": 2, "64": 3}[size]
            slow = f"({self.mark(at)}{name}(m.u8, a, {text}))"
            self.lines.append(f"if {odd}: {slow}")
            self.lines.append(f"else: ({self.mark(at)}m.{view}[a >> {shift}]) = {text}")

    def _masked(self, value: Node, text: str, mask: int) -> str:
        if value[0] == "const":
            return self.param("c", value[2] & mask)
        if value[0] == "load" and value[1].endswith("_u") and int(value[1][8:-2]) <= mask.bit_length():
            return text
        return f"{text} & {mask}"

    # --- Expressions

    def value(self, e: Node) -> str:
        """The text of an expression's value in internal form: a name, or in parentheses."""
        kind = e[0]
        if kind == "get":
            return self.register(e[1])
        if kind == "const":
            return self.param("c", constant(e[1], e[2]))
        if self.room <= 0 and kind not in ("null", "gget"):
            return self._apart(e)
        self.room -= 1
        if kind == "op":
            return self._operation(e)
        if kind == "load":
            return self._load(*e[1:])
        if kind == "gget":
            return self.state(self.global_names[e[1]]) + (".value" if e[1] in self.cells else "")
        if kind == "select":
            cond = self.condition(e[1])
            return f"({self.value(e[2])} if {cond} else {self.value(e[3])})"
        if kind == "null":
            return "None"
        if kind == "sys":
            return self._system(*e[1:])
        return f"(1 if {self._logic(e)} else 0)"

    def condition(self, e: Node) -> str:
        """The text of an expression that is true if `e` is not 0."""
        if e[0] == "op":
            if self.room <= 0:
                return self._apart(e)
            name = e[1]
            if name in TESTS:
                self.room -= 1
                if name[4:] == "eqz":
                    return f"(not {self.condition(e[3]) if name == 'i32_eqz' else self.value(e[3])})"
                return self._spelled(TESTS, name, e[3:])
            if name == "ref_is_null":
                self.room -= 1
                return f"({self.value(e[3])} is None)"
        elif e[0] in ("and", "or"):
            return self._logic(e) if self.room > 0 else self._apart(e)
        return self.value(e)

    def _logic(self, e: Node) -> str:
        a = self.condition(e[1])
        return f"({a} {e[0]} {self.condition(e[2])})"

    def _apart(self, e: Node) -> str:
        """A call of a closure for `e`."""
        inner = self.fresh()
        op = inner.finish(inner.value(e))
        return f"({self.mark(op)}{self.param('e', op)}(r))"

    def _spelled(self, table: dict[str, str], name: str, args: tuple[Node, ...]) -> str:
        if len(args) == 2 and args[1][0] == "const" and name in CONSTANT:
            spelling, convert = CONSTANT[name]
            a = self.value(args[0])
            return spelling.format(a, self.param("c", convert(args[1][2])))
        return table[name].format(*map(self.value, args))

    def _operation(self, e: Node) -> str:
        name, at = e[1], e[2]
        args = e[3:]
        if name in TESTS:
            self.room += 1  # counted again
            return f"(1 if {self.condition(e)} else 0)"
        if name[4:] in _TRAPPING or "_trunc_f" in name:
            if len(args) == 2 and args[1][0] == "const" and args[1][2] and name in INLINE:
                return INLINE[name].format(self.value(args[0]), self.value(args[1]))  # a divisor that is not 0
            mark = self.mark(at)
            if name in INLINE:
                return f"({mark}{INLINE[name].format(*map(self.value, args))})"
            return f"({mark}{name}({', '.join(map(self.value, args))}))"
        if name in INLINE:
            return self._spelled(INLINE, name, args)
        if name[4:] in ("rotl", "rotr") and args[1][0] == "const" and args[0][0] == "get":
            bits = int(name[1:3])
            k = args[1][2] % bits
            if name[7] == "r":
                k = (bits - k) % bits
            a, b = self.register(args[0][1]), self.register(args[0][1])
            left, right = self.param("c", k), self.param("c", bits - k)
            return f"(({a} << {left} | {b} >> {right}) & {_M32 if bits == 32 else _M64})"
        return f"{name}({', '.join(map(self.value, args))})"

    def _address(self, addr: Node, offset: int) -> str:
        """The effective address: not modulo 2^32."""
        if addr[0] == "const":
            return self.param("c", addr[2] + offset)
        base = self.value(addr)
        return f"{base} + {self.param('o', offset)}" if offset else base

    def _load(self, name: str, memory: int, addr: Node, offset: int, at: int) -> str:
        mark = self.mark(at)
        address = self._address(addr, offset)
        if memory:
            return f"({mark}{name}({self.state(f'data_m{memory}')}, {address}))"
        self.memory = True
        size = name[8:].partition("_")[0] or name[1:3]
        signed = name.endswith("_s")
        if size == "8" and not signed:
            return f"({mark}m.u8[{address}])"
        if not _VIEWS:
            return f"({mark}{name}(m.data, {address}))"
        mask = "" if not signed else f" & {_M32 if name[1] == '3' else _M64}"
        if size == "8":
            return f"({mark}m.s8[{address}]{mask})"
        a = f"a{self.temps}"
        self.temps += 1
        width = int(size) // 8
        shift = {2: 1, 4: 2, 8: 3}[width]
        view = f"{'f' if name[0] == 'f' else 's' if signed else 'u'}{size}"
        odd = f"({a} := {address}) & {width - 1}"
        if name == "f32_load":  # a view would make a signaling NaN quiet
            return f"(x if not {odd} and (x := {mark}m.f32[{a} >> 2]) == x else {self.mark(at)}{name}(m.u8, {a}))"
        return f"({mark}{name}(m.u8, {a}) if {odd} else {self.mark(at)}m.{view}[{a} >> {shift}]{mask})"

    def _system(self, name: str, imm: tuple[int, ...], at: int, *args: Node) -> str:
        texts = [self.value(a) for a in args]
        if name == "memory_init":
            texts[:0] = [self.state(f"mem{imm[1]}"), self.state(f"data_seg{imm[0]}")]
        elif name == "table_init":
            texts[:0] = [self.state(f"table{imm[1]}"), self.state(f"elem_seg{imm[0]}")]
        elif name == "ref_func":
            return f"{self.state('instance')}.func({self.param('c', imm[0])})"
        else:
            kind = "mem" if name.startswith("memory") else "table"
            texts[:0] = [self.state(f"{kind}{i}") for i in imm]
        return f"({self.mark(at)}{name}({', '.join(texts)}))"


def _is_leaf(e: Node) -> bool:
    return e[0] in ("get", "const", "null")


def constant(t: str, bits: int) -> Any:
    """A constant in internal form."""
    if t == "f32":
        return f32_reinterpret_i32(bits)
    if t == "f64":
        return f64_reinterpret_i64(bits)
    return bits


def _compile(params: list[str], text: str) -> Callable[..., Op]:
    scope: dict[str, Any] = {}
    source = f"def make({', '.join(params)}):\n    def op(r):\n        {text}\n    return op\n"
    exec(compile(source, FILE, "exec"), _SCOPE, scope)
    factory: Callable[..., Op] = scope["make"]
    return factory
