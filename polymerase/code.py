"""A module's functions in memory, each compiled when it is first called: what instances of the module share.

An instance that is made starts with stubs. The first call of one compiles its function, once for all instances, and
puts it in its place in that instance; what a program never calls costs it nothing. So a function that cannot be
compiled (`UnsupportedError`, which names it) is an error of the call that reaches it and not of instantiation: programs
with vector instructions behind a test for them do run. `driver.compile_in_memory` compiles all at once, for who would
rather know at once.

With a cache, what was compiled is kept on disk, function by function, with all that instantiation needs to know of the
module: who finds an entry neither decodes nor validates the module, nor imports the compiler, until a function is
called that no run has called before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING, Any
from weakref import finalize

from polymerase.errors import InternalError
from polymerase.options import Controls, Options
from polymerase.stored import Described, StoredCode
from polymerase_runtime.controls import pays_for_all
from polymerase_runtime.limits import Limits
from polymerase_runtime.loading import Load, define, is_loaded, make_stub

if TYPE_CHECKING:
    from polymerase.driver import FunctionCompiler, Loop, Module


class LazyCode:
    """The code of a valid module (a CodeSource). May be used by instances in several threads.

    `info` describes the module, but for `typed_tables` and `frame_slots`, which are found as functions are defined.
    """

    def __init__(
        self, module: Module | Callable[[], Module], options: Options, stored: StoredCode | None = None
    ) -> None:
        """The code of `module`; a function that decodes it is called when the module is needed. `stored` is where to
        keep the code; if it has a description already, it must be of this module and these options."""
        self.options = options
        self._module = module
        self._stored = stored
        self._compiler: FunctionCompiler | None = None
        self._codes: dict[int, CodeType] = {}
        self._lock = threading.RLock()
        described = stored.described if stored is not None else None
        self.info, self.filename = described or self._describe()
        self.imported = sum(wanted.kind == "func" for wanted in self.info.imports)
        if stored is not None:
            finalize(self, stored.save)  # when nobody needs the code any more, or the process ends

    @property
    def module(self) -> Module:
        """The decoded module; decoded now, if it was not needed before."""
        module = self._module  # no lock: who holds it may be waiting for `_on_fresh_stack`
        if callable(module):
            module = self._module = module()
        return module

    def bind(self, namespace: dict[str, Any], load: Load | None = None) -> None:
        """Put a stub for each function of the module into an instance's namespace, which calls `load` (default:
        `define`) when it is first called."""
        names = self.info.func_names
        for i in range(self.imported, len(names)):
            namespace[names[i]] = make_stub(namespace, i, names[i], load or self.define)

    def define(self, namespace: dict[str, Any], i: int) -> None:
        """Put function `i` (of the function index space, not an imported one) into the namespace of an instance, in
        place of its stub or what else stands for it; compile it if no instance has done so yet.

        Raises UnsupportedError, InternalError.
        """
        code = self.code(i)
        if not is_loaded(namespace, self.info.func_names[i]):
            define(namespace, i, code)

    def code(self, i: int) -> CodeType:
        """The code of a Python module that defines function `i`. Raises UnsupportedError, InternalError."""
        found = self._codes.get(i)
        if found is None:
            with self._lock:
                found = self._codes.get(i)
                if found is None:
                    found = self._codes[i] = self._make(i)
        return found

    def compile_loop(self, i: int, header: int) -> tuple[str, CodeType, Loop]:
        """The loop headed by block `header` of the prepared body of function `i`, as a function: its name, the code of
        a Python module that defines it, what it takes and gives.

        Raises UnsupportedError, InternalError; RecursionError if the caller's stack leaves too little room.
        """
        name = f"{self.info.func_names[i]}_loop{header}"
        with self._lock:
            return (name, *self._made_compiler().compile_loop(i - self.imported, header, name))

    def ready(self) -> frozenset[int]:
        """The functions whose code is there or in the cache: they need no compiling."""
        known = self._stored.known() if self._stored is not None else frozenset()
        return known.intersection(range(self.imported, len(self.info.func_names))).union(self._codes)

    def compiled(self) -> list[int]:
        """The functions whose code was needed so far, ascending."""
        return sorted(self._codes)

    def locate(self, filename: str, lineno: int) -> int | None:
        """The byte offset in the module that a line of a traceback came from; None if the file is none of ours."""
        return lineno if filename == self.filename else None

    def _describe(self) -> Described:
        from polymerase.driver import code_filename

        described = self._made_compiler().info(), code_filename(self.module)
        if self._stored is not None:
            self._stored.described = described
        return described

    def _made_compiler(self) -> FunctionCompiler:
        if self._compiler is None:
            self._compiler = self._new_compiler()
        return self._compiler

    def _new_compiler(self) -> FunctionCompiler:
        from polymerase.driver import FunctionCompiler

        return FunctionCompiler(self.module, self.options)

    def _make(self, i: int) -> CodeType:
        """The code of function `i`, from the cache or the compiler."""
        stored = self._stored
        if stored is None:
            return self._compile(i)
        code = stored.code(i)
        if code is None:
            start = time.perf_counter()
            code = self._compile(i)
            stored.add(i, code, time.perf_counter() - start)
        return code

    def _compile(self, i: int) -> CodeType:
        n = i - self.imported
        try:
            return self._made_compiler().compile(n)
        except RecursionError:
            pass
        except InternalError as e:
            if not isinstance(e.__cause__, RecursionError):
                raise
        # The guest has left too little of this thread's stack. Whether the function nests too deep, another one tells.
        return _on_fresh_stack(lambda: self._new_compiler().compile(n))


def controls_for(limits: Limits) -> Controls:
    """What code needs for `limits`. Raises ValueError naming what is wrong with `fuel_costs`."""
    fuel = None
    if limits.fuel is not None:
        from polymerase.driver import fuel_table

        fuel = fuel_table(limits.fuel_costs)
    # Code that pays for everything it does is stopped where it pays.
    polls = (limits.interruptible or limits.deadline is not None) and not pays_for_all(fuel or ())
    depth = limits.call_depth is not None or limits.value_slots is not None
    return Controls(fuel, polls, depth, limits.deterministic, limits.floats)


def _on_fresh_stack(fn: Callable[[], CodeType]) -> CodeType:
    """What `fn` returns or raises, called in another thread. RecursionError if not even that can be started here."""
    result: list[CodeType] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            result.append(fn())
        except BaseException as e:
            error.append(e)

    thread = threading.Thread(target=run, name="compile", daemon=True)
    thread.start()
    thread.join()
    if error:
        raise error.pop()
    return result[0]
