"""Functions that are loaded when they are first called: stubs, and the real ones in their places.

    def stub(*args):  # in namespace["func3_fac"], in tables and in Func.raw
        load(namespace, 3)  # calls `define`, or defines it otherwise and calls `replace`
        return namespace["func3_fac"](*args)

An instance that imports the function of another keeps its stub if it was linked before: one call more.
"""

from __future__ import annotations

import re
from types import CodeType
from typing import TYPE_CHECKING, Any, Callable

from .traps import PolymeraseError

if TYPE_CHECKING:
    from .func import Raw
    from .instance import Instance

__polymerase_helper__ = True  # stubs run between the guest's frames (see border.py)

Load = Callable[[dict[str, Any], int], None]  # (namespace, index of the function)

_TYPED_TABLE = r"table(\d+)_t(\d+)"
MAX_SEARCHED = 1 << 20  # elements; in longer tables stubs stay, since searching one takes longer than compiling does


def make_stub(namespace: dict[str, Any], i: int, name: str, load: Load) -> Raw:
    """What stands for function `i`, which is `name` in the namespace, until it is called. `load` may raise anything;
    the next call tries again."""

    def stub(*args: Any) -> Any:
        f = namespace[name]
        if f is stub:
            try:
                load(namespace, i)
            except RecursionError:  # anew, so that it is the guest's whose stack is exhausted, and not the loader's
                raise RecursionError(f"no stack to load {name}") from None
            except MemoryError as e:
                raise PolymeraseError(f"cannot load {name}: {e or 'out of memory'}") from e
            f = namespace[name]
        return f(*args)

    return stub


def is_loaded(namespace: dict[str, Any], name: str) -> bool:
    """Whether the function `name` is compiled code, and no stub or other thing that stands for it."""
    f = namespace.get(name)
    return getattr(getattr(f, "tail", f), "__globals__", None) is namespace


def define(namespace: dict[str, Any], i: int, code: CodeType) -> None:
    """Define function `i` of the namespace's instance by executing `code`, and put it in place of its stub.

    `code` is a module's, with the definition of this function alone; what it names of the instance is made. Raises
    RecursionError when the stack is deeper than frames of its size may be, MemoryError.
    """
    instance: Instance = namespace["__polymerase__"]
    name = instance.info.func_names[i]
    stub = namespace.get(name)
    _prepare(instance, code)
    exec(code, namespace)
    replace(instance, i, stub, namespace[name])


def define_loop(namespace: dict[str, Any], code: CodeType) -> None:
    """Define a loop of a function, which has become a function of its own, by executing `code`."""
    _prepare(namespace["__polymerase__"], code)
    exec(code, namespace)


def replace(instance: Instance, i: int, before: Raw | None, raw: Raw) -> None:
    """Function `i` of `instance` is `raw` from now on, where it was `before`: in the namespace, as Func and in the
    tables that the instance knows."""
    instance.namespace[instance.info.func_names[i]] = raw
    f = instance._funcs.get(i)
    if f is None or before is None:  # without a Func it is in no table
        return
    f.rebind(raw)
    for table in instance.tables:
        entries = table.typed.get(f.type, ())
        if not 0 < len(entries) <= MAX_SEARCHED:
            continue
        at = -1
        try:
            while True:
                at = entries.index(before, at + 1)
                entries[at] = raw
        except ValueError:
            pass


def _prepare(instance: Instance, code: CodeType) -> None:
    """Make the typed tables that functions in `code` name, and see that their frames fit on the stack."""
    namespace = instance.namespace
    slots = 0
    for f in code.co_consts:
        if type(f) is CodeType:
            slots = max(slots, f.co_nlocals + f.co_stacksize)
            for name in f.co_names:
                if name not in namespace:
                    match = re.fullmatch(_TYPED_TABLE, name)
                    if match:
                        table, t = map(int, match.groups())
                        namespace[name] = instance.tables[table].calls(instance.info.types[t])
    instance.bound_depth(slots)
