"""Functions as Python sees them (spec 4.2.6), and Python's functions as the guest sees them.

A Func checks and converts its arguments, calls the raw callable with internal values, and gives signed results. Calls
of few parameters are generated per signature: for [i32] -> [i32] about

    def __call__(self, a0=MISSING, *rest):
        if rest or type(a0) is not int:
            (a0,) = arguments(self, (a0, *rest))
        elif a0 < 0 or a0 > 0x3FFFFFFF:
            if not -0x80000000 <= a0 <= 0xFFFFFFFF:
                (a0,) = arguments(self, (a0,))
            a0 &= 0xFFFFFFFF
        <enter the guest: see border.py>
        try:
            raw = self.raw; r = raw(a0)
        except Exception as e:
            error = translate(e, …)
            if error is None:
                raise
        else:
            return r if r < 0x80000000 else r - 0x100000000
        finally:
            <leave the guest>
        raise error

which costs 0.3 µs more than the call of `raw`, or 0.2 µs if that calls little, so that Python's recursion limit can
stay as it is (see is_leaf); a generic call would cost 1 µs. Likewise for host functions, whose
wrapper is a frame of its own: a host function may be written in C, and its IndexError is not the guest's.
"""

from __future__ import annotations

import inspect
import re
from threading import get_ident
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Callable

from . import border
from .interrupts import timed
from .numeric import f32_round
from .traps import quoted
from .types import FuncType
from .values import results_to_internal, results_to_public, show, to_f32, to_internal, to_public

if TYPE_CHECKING:
    from .instance import Exports, Instance
    from .memory import Memory

Raw = Callable[..., Any]

_GENERATED_PARAMS = 12  # signatures with more parameters, or beyond so many signatures, take the generic way:
_GENERATED = 512  # a hostile module may have any number of either


_PLAIN = r'[\w.$<>:" -]{1,200}\Z'  # a name that needs no quotes


class Missing:
    """The default of a parameter that has none."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


class Func:
    """A function of an instance, or of the host, that Python and instances may call.

    Integer arguments are taken in [-2^(n-1), 2^n), results are signed; several results are a tuple. Raises TypeError
    or OverflowError naming function, parameter and value, Trap when the guest traps, and what host functions raise.

    `type` is its FuncType, `name` what to call it in messages, `raw` the callable with internal values, `instance`
    and `index` where it is from (None: a host function's). `guard` lets one thread at a time in, `depth` is the
    recursion limit it may run under, `limit` that in the main thread.
    """

    __slots__ = ("__weakref__", "depth", "guard", "index", "instance", "limit", "name", "raw", "type")
    __polymerase_func__ = True

    def __init__(
        self, type: FuncType, raw: Raw, name: str, instance: Instance | None = None, index: int | None = None
    ) -> None:
        self.type = type
        self.raw = raw
        self.name = name
        self.instance = instance
        self.index = index
        self.depth = border.MAX_DEPTH if instance is None else instance.depth
        self.guard = None if instance is None else instance.guard

    def __repr__(self) -> str:
        return f"<Func {self.name} {self.type}>"

    def __call__(self, *args: Any) -> Any:
        """Specialise this object to its signature, then call."""
        self.limit = min(self.depth, border._limit)
        self.__class__ = _call_class(self.type, self._kind())
        return self(*args)

    def once(self, *args: Any) -> Any:
        """Call it as `__call__` does, for who will hardly do so again: nothing is generated, which takes 2 ms."""
        internal = arguments(self, args)
        if self.guard is None:
            return results_to_public(self.type.results, self.raw(*internal))
        return self.again(get_ident(), *internal)

    def again(self, me: int, *args: Any) -> Any:
        """Call with internal values in the thread `me`, which may be in the guest already, or others be there."""
        entered = border.enter(self, me)
        if entered is None:
            return border.deep_stack(rerun, self, args)
        try:
            result = timed(self, *args) if self._kind() == "timed" else self.raw(*args)
        except Exception as e:
            error = border.translate(e, border.is_outermost())
            if error is None:
                raise
        else:
            return results_to_public(self.type.results, result)
        finally:
            border.leave(entered)
        raise error

    def _kind(self) -> str:
        """How it is called: see _generate_class."""
        if self.instance is None:
            return "host"
        if self.instance.limits.deadline is not None:
            return "timed"
        return "leaf" if is_leaf(self.raw) else ""

    def rebind(self, raw: Raw) -> None:
        """Call `raw` from now on."""
        self.raw = raw
        self.__class__ = Func

    def bound_depth(self, depth: int) -> None:
        """Run under a recursion limit of at most `depth` from now on."""
        self.depth = min(self.depth, depth)
        self.__class__ = Func


def arguments(f: Func, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Checked arguments in internal form. TypeError, OverflowError."""
    params = f.type.params
    name = f.name if re.match(_PLAIN, f.name, re.ASCII) else quoted(f.name)
    args = tuple(a for a in args if a is not MISSING)
    if len(args) != len(params):
        raise TypeError(f"{name}: expected {len(params)} arguments [{' '.join(params)}], got {len(args)}")
    return tuple(to_internal(t, a, f"{name}: parameter {i}") for i, (t, a) in enumerate(zip(params, args)))


class _Generic(Func):
    """A Func of any signature."""

    __slots__ = ()

    def __call__(self, *args: Any) -> Any:
        return self.once(*args)


def rerun(f: Any, args: tuple[Any, ...]) -> Any:
    """Call with internal values in this thread."""
    return f.again(get_ident(), *args)


_RANGES = {"i32": (-(1 << 31), (1 << 32) - 1), "i64": (-(1 << 63), (1 << 64) - 1)}
_classes: dict[tuple[FuncType, str], type[Func]] = {}

# Names that a compiled function may use and call nothing by: views, globals, segments.
_STATE = r"([usf]\d+|data)(_m\d+)?|g\d+\w*|(mem|table|data_seg|elem_seg)\d+|value|instance|running"
_BUILTINS = frozenset(("abs", "bytes", "float", "int", "len", "max", "min", "range"))


_LEAF_FRAMES = 3
_LEAF_FUNCS = 8  # to look at: a hostile function may call any number


def is_leaf(raw: Raw) -> bool:
    """Whether a compiled function calls no other, or but such as call few, so that it needs no more stack than Python
    gives: up to three frames."""
    if not isinstance(raw, FunctionType) or "__polymerase__" not in raw.__globals__:
        return False
    namespace = raw.__globals__
    helpers = namespace["__polymerase__"].leaf_names
    looked_at = 0

    def fits(f: Any, frames: int) -> bool:
        nonlocal looked_at
        looked_at += 1
        # Whatever else stands for a function, such as a stub, may call any other.
        if frames > _LEAF_FRAMES or looked_at > _LEAF_FUNCS:
            return False
        if type(f) is not FunctionType or f.__globals__ is not namespace:
            return False
        return all(
            name in helpers or name in _BUILTINS or re.fullmatch(_STATE, name) or fits(namespace.get(name), frames + 1)
            for name in f.__code__.co_names
        )

    return fits(raw, 1)


def _call_class(t: FuncType, kind: str) -> type[Func]:
    found = _classes.get((t, kind))
    if found is None:
        if len(t.params) > _GENERATED_PARAMS or len(t.results) > _GENERATED_PARAMS or len(_classes) >= _GENERATED:
            return _Generic
        found = _classes[t, kind] = _generate_class(t, kind)
    return found


def _generate_class(t: FuncType, kind: str) -> type[Func]:
    """The Func class of a signature. `kind`: "leaf" of those that is_leaf tells, "host" of those of no instance,
    "timed" of those whose calls have a deadline."""
    names = [f"a{i}" for i in range(len(t.params))]
    assigned = "".join(f"{a}, " for a in names)
    results = [_result(r, f"r[{i}]" if len(t.results) > 1 else "r") for i, r in enumerate(t.results)]
    raw = "timed(self, " if kind == "timed" else "self.raw("
    # `self.raw(…)` would be looked up as a method, which CPython 3.11 does not specialise: 0.02 µs.
    call = "r = timed(self, " if kind == "timed" else "raw = self.raw; r = raw("
    words = {
        "RAW": raw,
        "PARAMS": assigned.replace(",", "=MISSING,") + "/, " * bool(names),
        "ALL": f"({assigned}*rest)" if names else "rest",
        "TESTS": " or ".join(["rest", *(_test(p, a) for p, a in zip(t.params, names))]),
        "INTEGERS": _integers([(p, a) for p, a in zip(t.params, names) if p in _RANGES], assigned),
        "ASSIGN": f"{assigned}= " if names else "",
        "CALL": f"{call}{', '.join(_argument(p, a) for p, a in zip(t.params, names))})",
        "AGAIN": ", ".join(["self.again(me", *(_argument(p, a) for p, a in zip(t.params, names))]) + ")",
        "NAMES": ", ".join(names),
        "TUPLE": f"({assigned})",
        "VALUE": "None" if not results else results[0] if len(results) == 1 else f"({', '.join(results)})",
        "CLAIM": border.CLAIM,
        "RELEASE": border.RELEASE,
    }
    source = _CHECK + (_HOST if kind == "host" else _LEAF if kind == "leaf" else _BODY)
    scope = {
        "MISSING": MISSING,
        "arguments": arguments,
        "f32_round": f32_round,
        "process": border.state,
        "rerun": rerun,
        "timed": timed,
        "to_f32": to_f32,
    }
    methods = {
        name: _define(re.sub(r"\b[A-Z]{3,}\b", lambda m: words.get(m.group(), m.group()), text), name, scope)
        for name, text in (("__call__", source), ("again", _AGAIN))
    }
    methods["__call__"].__qualname__ = "exported function"  # in Python's own words about keyword arguments
    return type("Func", (Func,), {"__slots__": (), "__doc__": Func.__doc__, **methods})


_CHECK = """
def __call__(self, PARAMS *rest):
    if TESTS:
        ASSIGN arguments(self, ALL)
    INTEGERS
"""
_HOST = """
    CALL
    return VALUE
"""
# What is between CLAIM and `try` calls nothing, so that Ctrl-C does not come there.
_TAKE = """\
    state = process
    CLAIM
    if before:
        return AGAIN
    guard = self.guard
    state.owner = guard.owner = me
    if guard.sharer or state.sharers:
        back_off(guard)
        return AGAIN
"""
_CALL = """\
        CALL
    except Exception as e:
        error = translate(e, True)
        if error is None:
            raise
    else:
        return VALUE
    finally:
        state.mode = guard.owner = 0
        if guard.stopped is not None:
            revive(guard)
        if state.sharers:
"""
_LEAF = f"""
    me = get_ident()
{_TAKE}\
    try:
        state.mode = {border.KEPT}
{_CALL}\
            hand_over(0)
        else:
            state.owner = 0
            RELEASE
    raise error
"""
_BODY = f"""
    me = get_ident()
    {"" if border._FREE_CALLS else "if me - _main: return AGAIN"}
{_TAKE}\
    limit = 0
    try:
        limit = getrecursionlimit()
        if limit < self.limit:
            setrecursionlimit(self.limit)
        state.mode = {border.RAISED}
{_CALL}\
            hand_over(limit)
        else:
            try:
                setrecursionlimit(limit)
            except RecursionError:
                restore(limit)
            finally:
                state.owner = 0
                RELEASE
    raise error
"""
_AGAIN = """
def again(self, me, NAMES):
    entered = enter(self, me)
    if entered is None:
        return deep_stack(rerun, self, TUPLE)
    try:
        r = RAW NAMES)
    except Exception as e:
        error = translate(e, is_outermost())
        if error is None:
            raise
    else:
        return VALUE
    finally:
        leave(entered)
    raise error
"""


def _define(source: str, name: str, scope: dict[str, Any]) -> Any:
    """The function that `source` defines, with the names of `scope` as free variables and the border's globals."""
    inner = "".join(f"\n    {line}" for line in source.strip().splitlines())
    code = f"def outer({', '.join(sorted(scope))}):{inner}\n    return {name}"
    made: dict[str, Any] = {}
    exec(compile(code, border.FILE, "exec"), vars(border), made)
    return made["outer"](**scope)


def _test(t: str, a: str) -> str:
    """Source that is true if the argument `a` needs a closer look. None passes as a null reference."""
    if t in _RANGES:
        return f"type({a}) is not int"  # the rest is for _integers
    if t == "f64" or t == "f32":
        return f"type({a}) is not float"
    return f"{a} is not None"


def _integers(params: list[tuple[str, str]], assigned: str) -> str:
    """Source that goes on after `if` some argument needs a closer look: the integers, of these types and names, are
    checked and made unsigned. Small ones need neither, and are told by comparisons with small integers, each before a
    jump: others, and chained ones, take CPython five times as long."""
    if not params:
        return ""
    large = " or ".join(f"{a} < 0 or {a} > 0x3FFFFFFF" for _, a in params)
    fits = " and ".join(f"{_RANGES[t][0]} <= {a} <= {_RANGES[t][1]}" for t, a in params)
    unsigned = "; ".join(f"{a} &= {_RANGES[t][1]}" for t, a in params)
    return f"""elif {large}:
        if not ({fits}):
            {assigned}= arguments(self, ({assigned}))
        {unsigned}"""


def _argument(t: str, a: str) -> str:
    """Source of the internal form of an argument that was checked."""
    return f"f32_round({a}) if {a} == {a} else to_f32({a})" if t == "f32" else a


def _result(t: str, r: str) -> str:
    if t not in _RANGES:
        return r
    high = _RANGES[t][1]
    return f"({r} if {r} <= 0x3FFFFFFF or {r} < {(high + 1) // 2} else {r} - {high + 1})"


# --- Host functions


class Caller:
    """Who calls a host function: given to one whose first parameter is annotated with this class. `instance` is the
    Instance that imported the function."""

    __slots__ = ("instance",)
    __polymerase_caller__ = True

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    @property
    def memory(self) -> Memory:
        """The memory exported as "memory", else memory 0. LookupError if the instance has none."""
        return self.instance.memory

    @property
    def exports(self) -> Exports:
        """What the calling instance exports."""
        return self.instance.exports

    def charge(self, units: int) -> None:
        """Take fuel of the calling instance: see Instance.charge."""
        self.instance.charge(units)


class HostFunc:
    """A Python callable with a function type: for imports whose type is not the one that each importer asks for, and
    for tables.

    It is called with public values and its results are checked. With `wants_caller` its first argument is a Caller;
    None means: if its first parameter is annotated so. With `raw` it takes and gives internal values, unchecked.
    """

    __slots__ = ("fn", "raw", "type", "wants_caller")

    def __init__(self, type: FuncType | None, fn: Raw, wants_caller: bool | None = None, raw: bool = False) -> None:
        self.type = type
        self.fn = fn
        self.wants_caller = asks_for_caller(fn) if wants_caller is None else wants_caller
        self.raw = raw

    def __repr__(self) -> str:
        return f"<HostFunc {show(self.fn)} {'' if self.type is None else self.type}>"

    def cannot_take(self, n: int) -> str:
        """How many arguments a plain Python function takes if it cannot be called with `n`, besides the Caller; else,
        and of other callables, whose signatures take 17 times as long to find out, nothing."""
        fn: Any = self.fn
        bound = isinstance(fn, MethodType)
        if bound:
            fn = fn.__func__
        if self.raw or type(fn) is not FunctionType or hasattr(fn, "__wrapped__"):
            return ""
        code = fn.__code__
        n += bound + self.wants_caller
        most = code.co_argcount
        least = most - len(fn.__defaults__ or ())
        missing = code.co_kwonlyargcount - len(fn.__kwdefaults__ or ())
        if least <= n and (n <= most or code.co_flags & inspect.CO_VARARGS) and not missing:
            return ""
        least, most = (x - bound - self.wants_caller for x in (least, most))
        takes = f"{least} or more" if code.co_flags & inspect.CO_VARARGS else f"{least} to {most}"
        words = f"{most} arguments" if takes == f"{most} to {most}" else f"{takes} arguments"
        return words + " and keyword arguments without defaults" * bool(missing)

    def bind(self, t: FuncType, name: str, instance: Instance | None) -> Func:
        """The Func of type `t` for an import of `instance`; `name` opens messages."""
        caller = Caller(instance) if self.wants_caller and instance is not None else None
        fn = self.fn
        if self.raw:
            return Func(t, _raw_wrapper(fn, caller), name)
        if len(t.params) > _GENERATED_PARAMS or len(_makers) >= _GENERATED:
            return Func(t, _generic_wrapper(fn, t, name, caller), name)
        key = (t, caller is not None)
        maker = _makers.get(key)
        if maker is None:
            maker = _makers[key] = _wrapper_maker(t, caller is not None)
        return Func(t, maker(fn, name, caller), name)


def asks_for_caller(fn: Raw) -> bool:
    """Whether the first parameter of `fn` is annotated Caller, as a class or, unevaluated, as text."""
    try:
        if isinstance(fn, (FunctionType, MethodType)) and not hasattr(fn, "__wrapped__"):
            code = fn.__code__
            names = code.co_varnames[isinstance(fn, MethodType) : code.co_argcount]
            annotation = fn.__annotations__.get(names[0]) if names and fn.__annotations__ else None
        else:  # slower, but looks through decorators and functools.partial
            first = next(iter(inspect.signature(fn).parameters.values()), None)
            annotation = first.annotation if first else None
    except (TypeError, ValueError, AttributeError, NameError):
        return False
    if isinstance(annotation, str):
        return annotation.strip("\"'").rpartition(".")[2] == "Caller"
    return getattr(annotation, "__polymerase_caller__", False) is True


def _raw_wrapper(fn: Raw, caller: Caller | None) -> Raw:
    if caller is not None:

        def with_caller(*args: Any) -> Any:
            return fn(caller, *args)

        return with_caller
    if isinstance(fn, (FunctionType, MethodType)):
        return fn  # has a frame of its own

    def without(*args: Any) -> Any:
        return fn(*args)

    return without


def _generic_wrapper(fn: Raw, t: FuncType, name: str, caller: Caller | None) -> Raw:
    first = () if caller is None else (caller,)

    def host(*args: Any) -> Any:
        return results_to_internal(t.results, fn(*first, *map(to_public, t.params, args)), name)

    return host


_makers: dict[tuple[FuncType, bool], Callable[[Raw, str, Caller | None], Raw]] = {}


def _wrapper_maker(t: FuncType, with_caller: bool) -> Callable[[Raw, str, Caller | None], Raw]:
    names = [f"a{i}" for i in range(len(t.params))]
    args = ["caller"] * with_caller + [_result(p, a) for p, a in zip(t.params, names)]
    call = f"fn({', '.join(args)})"
    slow = "convert(results, r, name)"
    if not t.results:
        body = call
    elif len(t.results) == 1 and t.results[0] in _RANGES:
        low, high = _RANGES[t.results[0]]
        body = f"r = {call}\n        return r & {high} if type(r) is int and {low} <= r <= {high} else {slow}"
    elif t.results == ("f64",):
        body = f"r = {call}\n        return r if type(r) is float else {slow}"
    elif t.results == ("externref",):
        body = f"return {call}"
    else:
        body = f"r = {call}\n        return {slow}"
    source = f"""
def maker(fn, name, caller):
    def host({", ".join(names)}):
        {body}
    return host
"""
    namespace: dict[str, Any] = {"convert": results_to_internal, "results": t.results}
    exec(compile(source, "<polymerase host call>", "exec"), namespace)
    maker: Callable[[Raw, str, Caller | None], Raw] = namespace["maker"]
    return maker
