"""Validation of function bodies, by the algorithm of the spec's appendix ("Validation Algorithm").

The operand stack of each open block is a list of its own with a sentinel at the bottom: FLOOR where popping more is an
error, ANY in unreachable code, where every further operand has whatever type is asked for. So one comparison of the top
entry decides the usual case, and everything else (too few operands, unreachable code, wrong types) goes the slow way.

Time is linear in the body: what one short instruction may cost many operands' work (calls and blocks of large types) is
charged against a budget that the module's size sets.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, NoReturn, Protocol

from polymerase.errors import InternalError, InvalidError, UnsupportedError, Where
from polymerase.wasm.decode import iter_body
from polymerase.wasm.module import Code, Module
from polymerase.wasm.ops import OPS
from polymerase.wasm.types import FUNCREF, I32, FuncType, NumType, RefType, ValType

# Implementation limits, those of the WebAssembly JavaScript API.
MAX_LOCALS: Final = 50_000  # of a function, parameters included
MAX_PARAMS: Final = 1_000
MAX_RESULTS: Final = 1_000

# Not types: bottoms of operand stacks, and an operand of unreachable code that may have any type.
FLOOR: Final = NumType("floor", 0)
ANY: Final = NumType("any", 0)
UNKNOWN: Final = NumType("unknown", 0)

# Operands that calls, blocks and branches of large types may move before time counts as out of proportion:
# a fixed allowance, and some a byte of the module. Types of up to `_SMALL` operands are not charged.
_ALLOWANCE: Final = 1_000_000
_ALLOWANCE_A_BYTE: Final = 16
_SMALL: Final = 16


@dataclass(slots=True)
class Context:
    """What bodies are validated against (spec 3.1.1): index spaces, and what is left of the module's budget."""

    module: Module
    funcs: list[FuncType]
    refs: frozenset[int]  # functions that `ref.func` may name
    budget: int

    @classmethod
    def of(cls, module: Module, refs: frozenset[int]) -> Context:
        """The context of a module whose types and indices are validated."""
        funcs = [module.types[i] for i in module.func_types]
        return cls(module, funcs, refs, _ALLOWANCE + _ALLOWANCE_A_BYTE * len(module.data))

    def charge(self, n: int, at: int) -> None:
        """Account for moving `n` operands."""
        self.budget -= n
        if self.budget < 0:
            raise UnsupportedError("operands of large types are moved too often for the module's size", Where(at=at))


class _Locals(Protocol):
    def __getitem__(self, i: int, /) -> ValType: ...


class _Runs:
    """Locals by index, in runs as declared: for functions whose locals the bytes do not pay for one by one."""

    def __init__(self, params: Sequence[ValType], runs: Sequence[tuple[int, ValType]]) -> None:
        self._params = params
        self._ends = list(accumulate((n for n, _ in runs), initial=len(params)))[1:]
        self._types = [t for _, t in runs]

    def __getitem__(self, i: int, /) -> ValType:
        if i < len(self._params):
            return self._params[i]
        return self._types[bisect_right(self._ends, i)]  # IndexError: past the last run


def local_types(func_type: FuncType, code: Code) -> _Locals:
    """The types of a function's locals, parameters first. Raises UnsupportedError if there are too many."""
    params = func_type.params
    if not code.locals:
        return params
    total = len(params) + sum(n for n, _ in code.locals)
    if total > MAX_LOCALS:
        raise UnsupportedError(
            f"too many locals: {total}, at most {MAX_LOCALS} are supported (implementation limit)", Where(at=code.at)
        )
    if total > 64 + 8 * (code.end - code.at):
        return _Runs(params, code.locals)
    types = list(params)
    for n, t in code.locals:
        types += [t] * n
    return types


# Instructions that the row types completely: (parameter, second parameter, result, width of the access or None), each
# type None where there is none. The rest of the rows is up to `_rare`.
_Signature = tuple[ValType | None, ValType | None, ValType | None, int | None]


def _signatures() -> dict[int, _Signature]:
    table: dict[int, _Signature] = {}
    for code, row in OPS.items():
        a, b, *more = (*row.params, None, None)
        if len(more) > 2 or len(row.results) > 1:
            continue
        if row.imm in ("none", "i32", "i64", "f32", "f64", "i128") and (row.params or row.results):
            table[code] = (a, b, row.results[0] if row.results else None, None)
        elif row.imm == "memarg":
            table[code] = (a, b, row.results[0] if row.results else None, row.width)
    return table


_SIGNATURES: Final = _signatures()


def mismatch(what: str, expected: Iterable[ValType], got: Iterable[ValType], at: int) -> NoReturn:
    """Raise InvalidError: operands `got` where `expected` were wanted, by the instruction or place `what`."""
    raise InvalidError(f"type mismatch in {what}: expected {_shown(expected)}, got {_shown(got)}", Where(at=at))


def _shown(types: Iterable[ValType]) -> str:
    """The types as a message shows them: the last ones only where there are many."""
    words = [str(t) for t in types]
    return f"[{' '.join(words if len(words) <= 12 else ['…', *words[-12:]])}]"


def _matches(stack: list[ValType], types: Sequence[ValType]) -> bool:
    """Whether the top of the stack can be popped as `types`."""
    k = len(stack)
    for t in reversed(types):
        k -= 1
        got = stack[k]
        if got is not t and got is not UNKNOWN:
            return got is ANY  # at the bottom, where all further operands match; at FLOOR it ends too
    return True


def take(stack: list[ValType], types: Sequence[ValType], what: str, at: int) -> None:
    """Pop `types`, the last on top."""
    n = len(types)
    if not _matches(stack, types):
        mismatch(what, types, stack[1:][-n:], at)
    if len(stack) > n:
        del stack[len(stack) - n :]
    else:
        del stack[1:]


def take_all(stack: list[ValType], types: Sequence[ValType], what: str, at: int) -> None:
    """The end of a block: the stack holds `types` and nothing below them."""
    if len(stack) - 1 > len(types) or not _matches(stack, types):
        mismatch(what, types, stack[1:], at)


def validate_body(context: Context, i: int) -> None:
    """Check defined function number `i`. Raises InvalidError, MalformedError, UnsupportedError, located in the file.

    One loop over the decoded instructions, the frequent ones first; its state is in local variables for speed.
    """
    module = context.module
    func_type = context.funcs[module.imported_funcs + i]
    locals = local_types(func_type, module.codes[i])
    funcs = context.funcs
    global_types = module.global_types
    memories = len(module.memory_types)
    signature_of = _SIGNATURES.get

    stack: list[ValType] = [FLOOR]
    labels: list[tuple[ValType, ...]] = [func_type.results]  # what a branch to each open block takes, innermost last
    # Of the open blocks, outermost first: opcode (0x05 for the second half of an if), type, the stack around it.
    frames: list[tuple[int, FuncType, list[ValType]]] = [(0x02, func_type, [])]

    for chunk in iter_body(module, i):
        for op, imm, at in chunk:
            if op == 0x20:  # local.get
                try:
                    stack.append(locals[imm])
                except IndexError:
                    unknown("local", imm, at)
            elif op == 0x41:  # i32.const
                stack.append(I32)
            elif op == 0x21:  # local.set
                try:
                    t = locals[imm]
                except IndexError:
                    unknown("local", imm, at)
                if stack[-1] is t:
                    stack.pop()
                else:
                    take(stack, (t,), "local.set", at)
            elif op == 0x22:  # local.tee
                try:
                    t = locals[imm]
                except IndexError:
                    unknown("local", imm, at)
                if stack[-1] is not t:
                    take(stack, (t,), "local.tee", at)
                    stack.append(t)
            elif (signature := signature_of(op)) is not None:
                a, b, result, width = signature
                if width is not None and (imm[2] >= memories or imm[0] > width or imm[1] > 0xFFFFFFFF):
                    _bad_memarg(op, imm, memories, at)
                if result is None:
                    if stack[-1] is b and stack[-2] is a:
                        del stack[-2:]
                    else:
                        row = OPS[op]
                        take(stack, row.params, row.name, at)
                elif b is None:
                    if a is None:
                        stack.append(result)
                    elif stack[-1] is a:
                        stack[-1] = result
                    else:
                        take(stack, (a,), OPS[op].name, at)
                        stack.append(result)
                elif stack[-1] is b and stack[-2] is a:
                    stack.pop()
                    stack[-1] = result
                else:
                    row = OPS[op]
                    take(stack, row.params, row.name, at)
                    stack.append(result)
            elif op == 0x0B:  # end
                opener, block_type, outer = frames.pop()
                labels.pop()
                results = block_type.results
                if results or len(stack) > 1:
                    take_all(stack, results, "end", at)
                if opener == 0x04 and block_type.params != results:  # no else: passes its parameters on
                    mismatch("if without else", results, block_type.params, at)
                stack = outer
                if results:
                    stack += results
                    if len(results) > _SMALL:
                        context.charge(len(results), at)
            elif op == 0x02 or op == 0x03 or op == 0x04:  # block, loop, if
                if op == 0x04:
                    if stack[-1] is I32:
                        stack.pop()
                    else:
                        take(stack, (I32,), "if", at)
                params = imm.params
                labels.append(params if op == 0x03 else imm.results)
                frames.append((op, imm, stack))
                if params:
                    if len(params) > _SMALL:
                        context.charge(len(params), at)
                    take(stack, params, OPS[op].name, at)
                    stack = [FLOOR, *params]
                else:
                    stack = [FLOOR]
            elif op == 0x0D:  # br_if
                if stack[-1] is I32:
                    stack.pop()
                else:
                    take(stack, (I32,), "br_if", at)
                if imm >= len(labels):
                    unknown("label", imm, at)
                types = labels[-1 - imm]
                if types and not (len(types) == 1 and stack[-1] is types[0]):
                    if len(types) > _SMALL:
                        context.charge(len(types), at)
                    take(stack, types, "br_if", at)
                    stack += types
            elif op == 0x0C:  # br
                if imm >= len(labels):
                    unknown("label", imm, at)
                types = labels[-1 - imm]
                if types:
                    if len(types) > _SMALL:
                        context.charge(len(types), at)
                    take(stack, types, "br", at)
                stack = [ANY]
            elif op == 0x10:  # call
                if imm >= len(funcs):
                    unknown("function", imm, at)
                params = funcs[imm].params
                results = funcs[imm].results
                if len(params) + len(results) > _SMALL:
                    context.charge(len(params) + len(results), at)
                if params:
                    take(stack, params, "call", at)
                stack += results
            elif op == 0x1B:  # select
                if len(stack) > 3 and stack[-1] is I32 and stack[-2] is stack[-3] and type(stack[-2]) is NumType:
                    del stack[-2:]
                else:
                    _select(stack, at)
            elif op == 0x23:  # global.get
                if imm >= len(global_types):
                    unknown("global", imm, at)
                stack.append(global_types[imm].type)
            elif op == 0x24:  # global.set
                if imm >= len(global_types):
                    unknown("global", imm, at)
                if not global_types[imm].mutable:
                    raise InvalidError(f"immutable global {imm} in global.set", Where(at=at))
                take(stack, (global_types[imm].type,), "global.set", at)
            elif op == 0x1A:  # drop
                if len(stack) > 1:
                    stack.pop()
                elif stack[0] is FLOOR:
                    raise InvalidError("type mismatch in drop: expected a value, got []", Where(at=at))
            elif op == 0x0F:  # return
                if func_type.results:
                    if len(func_type.results) > _SMALL:
                        context.charge(len(func_type.results), at)
                    take(stack, func_type.results, "return", at)
                stack = [ANY]
            elif op == 0x05:  # else; the decoder saw to its if
                _, block_type, outer = frames.pop()
                take_all(stack, block_type.results, "else", at)
                frames.append((0x05, block_type, outer))
                if len(block_type.params) > _SMALL:
                    context.charge(len(block_type.params), at)
                stack = [FLOOR, *block_type.params]
            elif op == 0x00:  # unreachable
                stack = [ANY]
            elif op == 0x01:  # nop
                pass
            elif op == 0x0E:  # br_table
                take(stack, (I32,), "br_table", at)
                _br_table(context, stack, labels, imm, at)
                stack = [ANY]
            elif op == 0x11:  # call_indirect
                callee = _indirect(context, stack, imm, "call_indirect", at)
                stack += callee.results
            elif op == 0x12 or op == 0x13:  # return_call, return_call_indirect
                name = OPS[op].name
                if op == 0x13:
                    callee = _indirect(context, stack, imm, name, at)
                else:
                    if imm >= len(funcs):
                        unknown("function", imm, at)
                    callee = funcs[imm]
                    if len(callee.params) + len(callee.results) > _SMALL:
                        context.charge(len(callee.params) + len(callee.results), at)
                    take(stack, callee.params, name, at)
                if callee.results != func_type.results:
                    mismatch(f"results of {name}", func_type.results, callee.results, at)
                stack = [ANY]
            else:
                _rare(context, stack, op, imm, at)


def unknown(what: str, index: int, at: int) -> NoReturn:
    """Raise InvalidError for an index that is out of its index space."""
    raise InvalidError(f"unknown {what} {index}", Where(at=at))


def _select(stack: list[ValType], at: int) -> None:
    """select without types: two operands of the same number or vector type (spec 3.3.2.2)."""
    take(stack, (I32,), "select", at)
    a: ValType = UNKNOWN
    b: ValType = UNKNOWN
    for _ in range(2):
        t: ValType = UNKNOWN
        if len(stack) > 1:
            t = stack.pop()
        elif stack[0] is FLOOR:
            raise InvalidError("type mismatch in select: expected two values and [i32]", Where(at=at))
        if isinstance(t, RefType):
            raise InvalidError(f"type mismatch in select: expected a number or vector, got [{t}]", Where(at=at))
        a, b = b, t
    if a is not b and a is not UNKNOWN and b is not UNKNOWN:
        raise InvalidError(f"type mismatch in select: expected two of one type, got [{b} {a}]", Where(at=at))
    stack.append(b if a is UNKNOWN else a)


def _br_table(
    context: Context, stack: list[ValType], labels: list[tuple[ValType, ...]], targets: tuple[int, ...], at: int
) -> None:
    """The targets of a br_table: of one arity, and each able to take what is on the stack (spec 3.3.5.8)."""
    seen: set[int] = set()  # ids of the tuples that were compared: targets mostly share theirs
    arity = None
    for label in (targets[-1], *dict.fromkeys(targets)):
        if label >= len(labels):
            unknown("label", label, at)
        types = labels[-1 - label]
        if id(types) in seen:
            continue
        seen.add(id(types))
        context.charge(len(types), at)
        if arity is None:
            arity = len(types)
        if arity != len(types):
            raise InvalidError(
                f"type mismatch in br_table: label {label} takes {len(types)} values, the default {arity}", Where(at=at)
            )
        if not _matches(stack, types):
            mismatch("br_table", types, stack[1:][-len(types) :], at)


def _indirect(context: Context, stack: list[ValType], imm: tuple[int, int], what: str, at: int) -> FuncType:
    """Pop the operands of an indirect call; its function type (spec 3.3.5.12)."""
    type_index, table = imm
    module = context.module
    _table_element(module, table, FUNCREF, what, at)
    if type_index >= len(module.types):
        unknown("type", type_index, at)
    callee = module.types[type_index]
    if len(callee.params) + len(callee.results) > _SMALL:
        context.charge(len(callee.params) + len(callee.results), at)
    take(stack, (*callee.params, I32), what, at)
    return callee


def _table_element(module: Module, table: int, expected: RefType | None, what: str, at: int) -> RefType:
    """The element type of a table that must exist, and hold `expected` if that is given."""
    if table >= len(module.table_types):
        unknown("table", table, at)
    element = module.table_types[table].element
    if expected is not None and element is not expected:
        mismatch(f"table of {what}", (expected,), (element,), at)
    return element


def _bad_memarg(op: int, imm: tuple[int, ...], memories: int, at: int) -> NoReturn:
    """Say what is wrong with the alignment, offset or memory of an access (spec 3.3.7)."""
    row = OPS[op]
    align, offset, memory = imm[:3]
    if memory >= memories:
        unknown("memory", memory, at)
    if align > row.width:
        raise InvalidError(
            f"alignment must not be larger than natural: {row.name} has 2**{align}, at most {1 << row.width}",
            Where(at=at),
        )
    raise InvalidError(f"offset out of range: {offset:#x} in {row.name}", Where(at=at))


def _rare(context: Context, stack: list[ValType], op: int, imm: Any, at: int) -> None:
    """Instructions that are not worth a place in the loop: their immediates first, then their operands."""
    module = context.module
    row = OPS[op]
    params: tuple[ValType, ...] = row.params
    results: tuple[ValType, ...] = row.results
    match row.name:
        case "select_t":
            if len(imm) != 1:
                raise InvalidError(f"invalid result arity in select: {len(imm)} types", Where(at=at))
            params, results = (imm[0], imm[0], I32), imm
        case "ref.null":
            results = (imm,)
        case "ref.is_null":
            if len(stack) > 1:
                t = stack.pop()
                if t is not UNKNOWN and not isinstance(t, RefType):
                    mismatch(row.name, (FUNCREF,), (t,), at)
            elif stack[0] is FLOOR:
                mismatch(row.name, (FUNCREF,), (), at)
            results = (I32,)
        case "ref.func":
            if imm >= len(context.funcs):
                unknown("function", imm, at)
            if imm not in context.refs:
                raise InvalidError(f"undeclared function reference {imm}", Where(at=at))
        case "table.get":
            params, results = (I32,), (_table_element(module, imm, None, row.name, at),)
        case "table.set":
            params = (I32, _table_element(module, imm, None, row.name, at))
        case "table.grow":
            params, results = (_table_element(module, imm, None, row.name, at), I32), (I32,)
        case "table.fill":
            params = (I32, _table_element(module, imm, None, row.name, at), I32)
        case "table.size":
            _table_element(module, imm, None, row.name, at)
        case "table.copy":
            expected = _table_element(module, imm[0], None, row.name, at)
            _table_element(module, imm[1], expected, row.name, at)
        case "table.init":
            expected = _table_element(module, imm[1], None, row.name, at)
            _elem(module, imm[0], at)
            element = module.elems[imm[0]].type
            if element is not expected:
                mismatch(f"segment of {row.name}", (expected,), (element,), at)
        case "elem.drop":
            _elem(module, imm, at)
        case "data.drop":
            _data(module, imm, at)
        case "memory.init":
            _memory(module, imm[1], at)
            _data(module, imm[0], at)
        case "memory.copy":
            _memory(module, imm[0], at)
            _memory(module, imm[1], at)
        case "memory.size" | "memory.grow" | "memory.fill":
            _memory(module, imm, at)
        case _:
            match row.imm:
                case "lane":
                    _lane(imm, 16 >> row.width, at)
                case "shuffle":
                    _lane(max(imm), 32, at)
                case "memarg_lane":
                    memories = len(module.memory_types)
                    if imm[2] >= memories or imm[0] > row.width or imm[1] > 0xFFFFFFFF:
                        _bad_memarg(op, imm, memories, at)
                    _lane(imm[3], 16 >> row.width, at)
                case "none":
                    pass
                case _:
                    raise InternalError("validate", f"no rule for {row.name}", Where(at=at))
    take(stack, params, row.name, at)
    stack += results


def _memory(module: Module, i: int, at: int) -> None:
    if i >= len(module.memory_types):
        unknown("memory", i, at)


def _elem(module: Module, i: int, at: int) -> None:
    if i >= len(module.elems):
        unknown("elem segment", i, at)


def _data(module: Module, i: int, at: int) -> None:
    if i >= (module.data_count or 0):  # the decoder saw to it that there is a count
        unknown("data segment", i, at)


def _lane(lane: int, lanes: int, at: int) -> None:
    if lane >= lanes:
        raise InvalidError(f"invalid lane index {lane}, there are {lanes}", Where(at=at))
