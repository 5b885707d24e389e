"""The engines: which of a module's functions are compiled and which interpreted, and when that changes.

    aot      a function is compiled when it is first called
    interp   every function is interpreted
    auto     every function is interpreted until it, or a loop in it, has run for about as long as compiling it takes;
             what the cache has compiled already is not interpreted at all

A loop that has earned it goes on as compiled code at its next turn, wherever it is: it becomes a function of its own,
of the registers that it uses, which returns where the interpreter is to go on. The rest of a function follows when it
is called again. What earns is counted in operations, not in seconds, so that runs are alike.

In all engines `Options.interpret` names functions that are interpreted, and with `Options.fallback` "warn" or "silent"
those that cannot be compiled are, too.
"""

from __future__ import annotations

import threading
import warnings
from functools import partial
from typing import Any

from polymerase.code import LazyCode
from polymerase.errors import FallbackWarning, InternalError, UnsupportedError, fallback_message
from polymerase.options import Controls, Engine, Options
from polymerase_runtime.interpreter import Bodies, Body, Code, CompiledLoop, InterpretedCode, Machine
from polymerase_runtime.loading import define_loop
from polymerase_runtime.types import ModuleInfo

# Slices (of SLICE operations, see interpreter.py) after which a piece of code has earned to be compiled: some, and one
# for each so many statements. Compiling takes 100 µs a statement, a slice 0.4 ms or more (CPython 3.11).
_SLICES = 2
_STATEMENTS_A_SLICE = 4


class Engines:
    """The code of a valid module for each engine. May be used by instances in several threads."""

    def __init__(self, options: Options, lazy: LazyCode) -> None:
        self.options = options
        self.lazy = lazy
        self.forced = forced_functions(lazy, options)
        self._sources: dict[str, tuple[ModuleInfo, InterpretedCode]] = {}
        self._lock = threading.Lock()

    def source(self, engine: Engine) -> tuple[ModuleInfo, InterpretedCode]:
        """What to instantiate."""
        with self._lock:
            found = self._sources.get(engine)
            if found is None:
                found = self._sources[engine] = self._make(engine)
            return found

    def _make(self, engine: Engine) -> tuple[ModuleInfo, InterpretedCode]:
        info = self.lazy.info
        body = partial(_body, self.lazy, self.options.controls)
        everything = frozenset(range(self.lazy.imported, len(info.funcs)))
        if engine == "interp":
            return info, InterpretedCode(Bodies(info, body), everything)
        compiled = _WithFallback(self.lazy, self.options.fallback or "warn")
        if engine == "auto":
            interpreted = everything - self.lazy.ready() | self.forced
            return info, InterpretedCode(Tiered(info, body, self, compiled), interpreted, compiled)
        return info, InterpretedCode(Bodies(info, body), self.forced, compiled)


def forced_functions(lazy: LazyCode, options: Options) -> frozenset[int]:
    """The functions that `options.interpret` names. LinkError for what is none."""
    if not options.interpret:
        return frozenset()
    from polymerase.driver import forced_functions

    return forced_functions(lazy.module, options)


def _body(lazy: LazyCode, controls: Controls, i: int) -> Body:
    from polymerase.driver import body_of

    return body_of(lazy.module, i, controls)


class _WithFallback:
    """Compiled functions; those that cannot be are interpreted instead, unless `fallback` is "error"."""

    def __init__(self, lazy: LazyCode, fallback: str) -> None:
        self.lazy = lazy
        self.fallback = fallback
        self._told: set[int] = set()

    def bind(self, namespace: dict[str, Any]) -> None:
        self.lazy.bind(namespace, self.define)

    def locate(self, filename: str, lineno: int) -> int | None:
        return self.lazy.locate(filename, lineno)

    def define(self, namespace: dict[str, Any], i: int) -> None:
        """Put function `i` into the namespace, compiled if possible. UnsupportedError, InternalError."""
        try:
            self.lazy.define(namespace, i)
        except (UnsupportedError, InternalError) as e:
            if self.fallback == "error":
                raise
            machine: Machine = namespace["instance"].machine
            try:
                machine.bodies.code(i)
            except UnsupportedError:
                raise e from None
            machine.interpret(i)
            if self.fallback == "warn" and i not in self._told:
                self._told.add(i)
                info = self.lazy.info
                message = fallback_message(e, info.name, i, info.wasm_names.get(i))
                warnings.warn(message, FallbackWarning, stacklevel=1)


class Tiered(Bodies):
    """Bodies that become compiled code when they have earned it."""

    def __init__(self, info: ModuleInfo, body: Any, engines: Engines, compiled: _WithFallback) -> None:
        super().__init__(info, body)
        self.engines = engines
        self.compiled = compiled
        self._compiling = threading.Lock()

    def look(self, machine: Machine, code: Code, pc: int) -> None:
        """Count a slice for the function and the innermost loop that use it up."""
        if code.i in self.engines.forced:
            return
        code.heat += 1
        if code.i in machine.interpreted and code.heat >= _SLICES + code.statements() // _STATEMENTS_A_SLICE:
            machine.release(code.i, self.compiled.define)
        head = code.loops[code.blocks[pc]]
        if head < 0 or head in code.compiled_loops or self.engines.options.controls.depth:
            return  # as a function, a loop would count as one more on the stack
        heat = code.loop_heat[head] = code.loop_heat.get(head, 0) + 1
        if heat >= _SLICES + code.statements(head) // _STATEMENTS_A_SLICE:
            with self._compiling:
                if head not in code.compiled_loops:
                    self._compile_loop(code, head)
                    code.compiled_loops.add(head)
            if code.i in machine.interpreted:  # the whole of it, should it be called again
                machine.release(code.i, self.compiled.define)

    def _compile_loop(self, code: Code, head: int) -> None:
        try:
            name, made, loop = self.engines.lazy.compile_loop(code.i, head)
        except (UnsupportedError, InternalError, RecursionError):  # too little stack is left here
            return  # it stays interpreted
        exits = tuple(code.starts[block] for block in loop.exits)
        code.install_loop(head, CompiledLoop(name, partial(define_loop, code=made), loop.ins, loop.outs, exits))
