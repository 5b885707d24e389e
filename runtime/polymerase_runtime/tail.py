"""Tail calls (spec 4.4.8, return_call): a function that ends in a call of another one returns it, to be called here.

def func3_even_tail(p0):
    return TailCall(func4_odd_tail, (p0 - 1,)) if p0 else 1
func3_even = make_trampoline(func3_even_tail)
"""

from __future__ import annotations

from typing import Any, Callable

__polymerase_helper__ = True  # frames of this module may be the guest's innermost ones (see border.py)


class TailCall:
    """A call still to be made: of a raw callable, with internal values."""

    __slots__ = ("args", "func")

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.func = func
        self.args = args


def make_trampoline(body: Callable[..., Any]) -> Callable[..., Any]:
    """The plain function of `body`, which may return a TailCall. Its attribute `tail` is `body`."""

    def trampoline(*args: Any) -> Any:
        result = body(*args)
        while type(result) is TailCall:
            f = result.func
            result = getattr(f, "tail", f)(*result.args)
        return result

    trampoline.tail = body  # type: ignore[attr-defined] # a function has the attributes it is given
    return trampoline
