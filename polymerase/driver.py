"""The stages in order: bytes -> Module -> checked Module -> IR -> better IR -> Python."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import CodeType

from polymerase import opt
from polymerase.emit import module as emit
from polymerase.emit.chunks import Lowered
from polymerase.emit.module import CodeSource
from polymerase.emit.package import write_package
from polymerase.errors import InternalError, LinkError, LocatedError, MalformedError, PolymeraseError, Where, quote
from polymerase.ir.nodes import Func
from polymerase.ir.show import show as show_func
from polymerase.lower import lower
from polymerase.lower.prepare import Body, Loop, extract_loop, prepare
from polymerase.options import Controls, Options, Progress, Summary
from polymerase.wasm import floats
from polymerase.wasm.decode import decode
from polymerase.wasm.module import Module
from polymerase.wasm.ops import BY_NAME, ROWS
from polymerase.wasm.types import ExternType
from polymerase.wasm.validate import validate
from polymerase_runtime.controls import NOT_EXECUTED
from polymerase_runtime.interpreter import Bodies, InterpretedCode
from polymerase_runtime.limits import FuelCosts, fuel_cost
from polymerase_runtime.types import ExportType, ImportType, ModuleInfo

__all__ = [
    "CodeSource",
    "FunctionCompiler",
    "Loop",
    "Module",
    "body_of",
    "check_floats",
    "code_filename",
    "compile_in_memory",
    "compile_mixed",
    "compile_package",
    "data_blob",
    "data_spans",
    "decode_valid",
    "exports",
    "forced_functions",
    "fuel_table",
    "imports",
    "ir_of",
    "load",
    "show",
    "stages",
]


def load(data: bytes, file: str = "<module>") -> Module:
    """Decode and validate. Raises MalformedError, InvalidError."""
    _recognise(data, file)
    with _no_cycles():
        module = decode(data, file)
        validate(module)
    return module


def decode_valid(data: bytes, file: str) -> Module:
    """Decode a module that was found valid before."""
    with _no_cycles():
        return decode(data, file)


def ir_of(module: Module, n: int, options: Options, after: str | None = None) -> Func:
    """The IR of defined function number `n`, as the last pass left it, or the one named `after` ("lower": none)."""
    try:
        f = lower(module, n, options.controls)
    except LocatedError as e:
        i = module.imported_funcs + n
        e.locate(module.file, i, module.names.funcs.get(i))
        raise
    except (PolymeraseError, MemoryError):
        raise
    except Exception as e:
        i = module.imported_funcs + n
        where = Where(module.file, i, module.names.funcs.get(i), module.codes[n].at)
        raise InternalError("lower", f"{type(e).__name__}: {e}", where) from e
    return f if after == "lower" else opt.run(f, module, options, after)


def stages() -> tuple[str, ...]:
    """The names that `after` takes: "lower" and the passes in their order."""
    return ("lower", *(p.name for p in opt.PASSES))


def show(module: Module, n: int, options: Options, after: str | None = None) -> str:
    """The IR of defined function number `n` as text."""
    return show_func(ir_of(module, n, options, after))


def compile_in_memory(module: Module, options: Options) -> tuple[ModuleInfo, CodeSource]:
    """Code objects for this Python. Raises UnsupportedError."""
    if not options.controls.floats:
        check_floats(module)
    with _no_cycles():
        return emit.compile_in_memory(module, partial(ir_of, module, options=options), options)


class FunctionCompiler:
    """Compiles single functions of a valid module, for this Python. Not for several threads at once."""

    def __init__(self, module: Module, options: Options) -> None:
        self.module = module
        self.options = options
        self._compiler = emit.FunctionCompiler(module, options)

    def info(self) -> ModuleInfo:
        """The description of the module, but for what only its functions know: `typed_tables`, `frame_slots`."""
        return self._compiler.info()

    def compile(self, n: int) -> CodeType:
        """The code of a Python module that defines function number `n` of the defined ones.

        Raises UnsupportedError, InternalError naming the function. Fails with RecursionError as the cause if the
        caller's stack leaves too little room.
        """
        with _no_cycles():
            try:
                return self._compiler.compile(ir_of(self.module, n, self.options))
            except (PolymeraseError, MemoryError, RecursionError):
                raise
            except Exception as e:
                raise InternalError("emit", f"{type(e).__name__}: {e}", self._where(n)) from e

    def compile_loop(self, n: int, header: int, name: str) -> tuple[CodeType, Loop]:
        """The loop headed by block `header` of the prepared body of defined function number `n`, as a function `name`:
        the code of a Python module that defines it, and what it takes and gives. Raises as `compile`."""
        with _no_cycles():
            try:
                loop = extract_loop(self.module, n, header, self.options.controls)
                return self._compiler.compile(opt.run(loop.f, self.module, self.options), name), loop
            except (PolymeraseError, MemoryError, RecursionError):
                raise
            except Exception as e:
                raise InternalError("compile_loop", f"{type(e).__name__}: {e}", self._where(n)) from e

    def _where(self, n: int) -> Where:
        i = self.module.imported_funcs + n
        return Where(self.module.file, i, self.module.names.funcs.get(i), self.module.codes[n].at)


def compile_mixed(module: Module, options: Options, interpreted: frozenset[int]) -> tuple[ModuleInfo, InterpretedCode]:
    """Code objects for this Python but for the functions `interpreted` (indices of the index space), which are for the
    interpreter, each prepared when it is first called. Raises UnsupportedError."""
    first = module.imported_funcs
    compiled = [n for n in range(len(module.codes)) if first + n not in interpreted]
    with _no_cycles():
        info, code = emit.compile_module(module, (ir_of(module, n, options) for n in compiled), options)
    return info, InterpretedCode(Bodies(info, partial(body_of, module, controls=options.controls)), interpreted, code)


def body_of(module: Module, i: int, controls: Controls) -> Body:
    """The prepared body of function `i` of the index space. Raises UnsupportedError."""
    with _no_cycles():
        return prepare(module, i - module.imported_funcs, controls)


def compile_package(
    module: Module, out: Path, options: Options, progress: Progress | None = None, jobs: int = 1
) -> Summary:
    """A Python package in the folder `out`, by `jobs` processes (see workers.py). Raises UnsupportedError, OSError."""
    if not options.controls.floats:
        check_floats(module)
    functions = Lowered(
        partial(ir_of, module, options=options),
        partial(_text_of_body, module, options.controls),
        forced_functions(module, options),
    )
    with _no_cycles():
        return write_package(module, functions, out, options, progress, jobs)


def forced_functions(module: Module, options: Options) -> frozenset[int]:
    """The functions that `options.interpret` names. LinkError for what is none."""
    found: set[int] = set()
    for text in options.interpret:
        first = module.imported_funcs
        chosen = range(first, len(module.func_types)) if text == "*" else module.functions_named(text)
        if not chosen and text != "*":
            raise LinkError(f"{module.file}: no function {quote(text)} to interpret")
        found.update(chosen)
    return frozenset(found)


def _text_of_body(module: Module, controls: Controls, i: int) -> str:
    """The prepared body of function `i`, as JSON."""
    return json.dumps(body_of(module, i, controls), separators=(",", ":"))


def code_filename(module: Module) -> str:
    """The file name that code objects of the module have."""
    return emit.code_filename(module)


def fuel_table(costs: FuelCosts) -> tuple[tuple[str, int], ...]:
    """`Limits.fuel_costs` as a table of all instructions. Raises ValueError naming the instruction."""
    names = sorted(row.name for row in ROWS if row.name not in NOT_EXECUTED)
    if isinstance(costs, Mapping):
        for name, cost in costs.items():
            if name not in BY_NAME:
                raise ValueError(f"fuel_costs: there is no instruction {quote(str(name))}")
            if name in NOT_EXECUTED and cost:
                raise ValueError(f"fuel_costs: {name} is never executed and costs nothing, not {cost!r:.60}")
    return tuple((name, fuel_cost(costs, name)) for name in names)


def check_floats(module: Module) -> None:
    """Refuse a module that uses floating point. Raises UnsupportedError naming function and offset."""
    floats.refuse(module)


def imports(module: Module) -> tuple[ImportType, ...]:
    """What the module imports, in the runtime's words."""
    return tuple(ImportType(i.module, i.name, i.kind, emit.extern_type(i.type)) for i in module.imports)


def exports(module: Module) -> tuple[ExportType, ...]:
    """What the module exports, in the runtime's words."""
    types: dict[str, Callable[[int], ExternType]] = {
        "func": module.func_type,
        "table": module.table_types.__getitem__,
        "memory": module.memory_types.__getitem__,
        "global": module.global_types.__getitem__,
    }
    return tuple(ExportType(e.name, e.kind, emit.extern_type(types[e.kind](e.index))) for e in module.exports)


def data_spans(module: Module) -> tuple[tuple[int, int], ...]:
    """Where the data segments are in the module's bytes: (start, end) of each."""
    return tuple((d.start, d.end) for d in module.datas)


def data_blob(module: Module) -> bytes:
    """The bytes of all data segments, as `instantiate` wants them."""
    return emit.blob(module)


@contextmanager
def _no_cycles() -> Iterator[None]:
    """Without Python's search for reference cycles, which the stages leave none of: it walks the growing trees again
    and again, and took 57 % of the time to compile QuickJS (9.3 s of CPU with it, 4.0 without; 1,069 functions)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _recognise(data: bytes, file: str) -> None:
    """Refuse what is no binary module but looks like something else, by its name."""
    if data[:4] == b"\0asm":
        if data[4:8] == b"\x0d\0\1\0":
            raise MalformedError("unknown binary version: a component, not a core module", Where(file, at=4))
    elif data[:256].lstrip().startswith((b"(module", b"(component", b"(;", b";;")):
        what = "magic header not detected: looks like text format; assemble it with wat2wasm"
        raise MalformedError(what, Where(file, at=0))
