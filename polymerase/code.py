"""A module's functions in memory, each compiled when it is first called: what instances of the module share.

An instance that is made starts with stubs. The first call of one compiles its function, once for all instances, and
puts it in its place in that instance; what a program never calls costs it nothing. So a function that cannot be
compiled (`UnsupportedError`, which names it) is an error of the call that reaches it and not of instantiation: programs
with vector instructions behind a test for them do run. `driver.compile_in_memory` compiles all at once, for who would
rather know at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING, Any

from polymerase.errors import InternalError
from polymerase.options import Options
from polymerase_runtime.loading import Load, define, is_loaded, make_stub
from polymerase_runtime.types import ModuleInfo

if TYPE_CHECKING:
    from polymerase.driver import FunctionCompiler
    from polymerase.wasm.module import Module


class LazyCode:
    """The code of a valid module (a CodeSource). May be used by instances in several threads.

    `info` describes the module, but for `typed_tables` and `frame_slots`, which are found as functions are defined.
    """

    info: ModuleInfo

    def __init__(self, module: Module, options: Options) -> None:
        self.options = options
        self._module = module
        self._compiler: FunctionCompiler | None = None
        self._codes: dict[int, CodeType] = {}
        self._lock = threading.RLock()
        self.info = self._made_compiler().info()
        self._prepare()

    def _prepare(self) -> None:
        from polymerase.driver import code_filename

        self.filename = code_filename(self._module)
        self.imported = sum(wanted.kind == "func" for wanted in self.info.imports)

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
                    found = self._codes[i] = self._compile(i)
        return found

    def compiled(self) -> list[int]:
        """The functions that have been compiled so far, ascending."""
        return sorted(self._codes)

    def locate(self, filename: str, lineno: int) -> int | None:
        """The byte offset in the module that a line of a traceback came from; None if the file is none of ours."""
        return lineno if filename == self.filename else None

    def _made_compiler(self) -> FunctionCompiler:
        if self._compiler is None:
            from polymerase.driver import FunctionCompiler

            self._compiler = FunctionCompiler(self._module, self.options)
        return self._compiler

    def _compile(self, i: int) -> CodeType:
        compiler = self._made_compiler()
        n = i - self.imported
        try:
            return compiler.compile(n)
        except RecursionError:
            pass
        except InternalError as e:
            if not isinstance(e.__cause__, RecursionError):
                raise
        # The guest has left too little of this thread's stack. Whether the function nests too deep, another one tells.
        self._compiler = None  # if we are interrupted, that thread goes on with this one
        code = _on_fresh_stack(compiler.compile, n)
        self._compiler = compiler
        return code


def _on_fresh_stack(fn: Callable[[int], CodeType], n: int) -> CodeType:
    """`fn(n)`, in another thread. RecursionError if not even that can be started here."""
    result: list[CodeType] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            result.append(fn(n))
        except BaseException as e:
            error.append(e)

    thread = threading.Thread(target=run, name="compile", daemon=True)
    thread.start()
    thread.join()
    if error:
        raise error.pop()
    return result[0]
