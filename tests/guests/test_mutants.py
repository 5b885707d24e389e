"""Damaged modules: polymerase accepts those that wasmtime accepts, and those that still run do the same, to the last
byte of memory. Real programs with a few bytes changed use the instructions in ways that no compiler would."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import polymerase
from polymerase import Module, Options, Trap
from tests.guests.oracle import TRAPS, wasmtime

# name, arguments, standard input
PROGRAMS: list[tuple[str, list[str], bytes]] = [
    ("sha256sum", [], b"hello" * 30),
    ("forth", [": square dup * ; 7 square . 3 0 do i . loop 1 0 /"], b""),
    ("mandelbrot", ["20", "6", "30"], b""),
    ("wordcount", [], b"a b\nc  d e\n"),
]
FUEL = 2_000_000  # a mutant that takes wasmtime longer is not run


class Exited(Exception):
    """proc_exit."""


class BadPointer(Exception):
    """An address that the host will not touch."""


class Host:
    """As much of WASI as the programs need, the same under both engines, whose own differ where they may (how much a
    write writes, how a stream describes itself)."""

    def __init__(self, args: list[str], stdin: bytes) -> None:
        self.args = [arg.encode() + b"\0" for arg in ["program", *args]]
        self.stdin = stdin
        self.printed: list[tuple[int, bytes]] = []
        self.read: Callable[[int, int], bytes]  # address, size; raises BadPointer
        self.write: Callable[[int, bytes], None]

    def function(self, name: str) -> Callable[..., int | None]:
        """The import `name`; ENOSYS where it is not here."""
        known = getattr(self, name, None)
        if name == "proc_exit":
            return self.proc_exit
        return lambda *args: 52 if known is None else known(*(a & 0xFFFFFFFF for a in args))

    def u32(self, at: int) -> int:
        return int.from_bytes(self.read(at, 4), "little")

    def set(self, at: int, *values: int) -> None:
        for i, value in enumerate(values):
            self.write(at + 4 * i, value.to_bytes(4, "little"))

    def proc_exit(self, code: int) -> None:
        raise Exited(code)

    def args_sizes_get(self, count: int, size: int) -> int:
        self.set(count, len(self.args))
        self.set(size, sum(map(len, self.args)))
        return 0

    def args_get(self, at: int, buffer: int) -> int:
        for arg in self.args:
            self.set(at, buffer)
            self.write(buffer, arg)
            at, buffer = at + 4, buffer + len(arg)
        return 0

    def fd_prestat_get(self, fd: int, at: int) -> int:
        return 8

    def fd_close(self, fd: int) -> int:
        return 0

    def fd_fdstat_get(self, fd: int, at: int) -> int:
        self.write(at, b"\2\0\0\0\0\0\0\0" + b"\xff" * 16)
        return 0

    def buffers(self, at: int, count: int) -> list[tuple[int, int]]:
        return [(self.u32(at + 8 * i), self.u32(at + 8 * i + 4)) for i in range(min(count, 64))]

    def fd_write(self, fd: int, at: int, count: int, written: int) -> int:
        data = b"".join(self.read(*buffer) for buffer in self.buffers(at, count))
        self.printed.append((fd, data))
        self.set(written, len(data))
        return 0

    def fd_read(self, fd: int, at: int, count: int, got: int) -> int:
        total = 0
        for buffer, size in self.buffers(at, count):
            data, self.stdin = self.stdin[:size], self.stdin[size:]
            self.write(buffer, data)
            total += len(data)
        self.set(got, total)
        return 0


Result = tuple[object, list[tuple[int, bytes]], bytes]  # how it ended, what it printed, memory


def _config() -> Any:
    config = wasmtime.Config()
    config.consume_fuel = True
    config.wasm_tail_call = True
    config.wasm_exceptions = config.wasm_gc = config.wasm_function_references = False
    config.wasm_relaxed_simd = config.wasm_memory64 = config.wasm_multi_memory = config.wasm_threads = False
    return config


@pytest.fixture(scope="module")
def engine() -> Any:
    return wasmtime.Engine(_config())


def by_wasmtime(engine: Any, wasm: bytes, args: list[str], stdin: bytes) -> Result | None:
    """None if it takes too long, or does not even start."""
    store = wasmtime.Store(engine)
    store.set_fuel(FUEL)
    module = wasmtime.Module(engine, wasm)
    host = Host(args, stdin)
    imports = [wasmtime.Func(store, i.type, host.function(i.name)) for i in module.imports]
    try:
        exports = wasmtime.Instance(store, module, imports).exports(store)
        memory, start = exports["memory"], exports["_start"]
    except (wasmtime.Trap, wasmtime.WasmtimeError, KeyError):
        return None

    def read(at: int, size: int) -> bytes:
        if at + size > memory.data_len(store):
            raise BadPointer
        return bytes(memory.read(store, at, at + size))

    def write(at: int, data: bytes) -> None:
        if at + len(data) > memory.data_len(store):
            raise BadPointer
        memory.write(store, data, at)

    host.read, host.write = read, write
    end: object = "returned"
    try:
        start(store)
    except (Exited, BadPointer) as e:
        end = repr(e)
    except wasmtime.Trap as e:
        if e.trap_code not in TRAPS:
            return None
        end = TRAPS[e.trap_code]
    except wasmtime.WasmtimeError:
        return None
    return end, host.printed, read(0, memory.data_len(store))


def by_polymerase(wasm: bytes, args: list[str], stdin: bytes, options: Options) -> Result:
    module = Module(wasm, options=options)
    host = Host(args, stdin)
    imports = {i.module: {j.name: host.function(j.name) for j in module.imports} for i in module.imports}
    exports = module.instantiate(imports).exports
    memory = exports["memory"]

    def read(at: int, size: int) -> bytes:
        if at + size > memory.size * 65536:
            raise BadPointer
        return bytes(memory.read(at, size))

    def write(at: int, data: bytes) -> None:
        if at + len(data) > memory.size * 65536:
            raise BadPointer
        memory.write(at, data)

    host.read, host.write = read, write
    end: object = "returned"
    try:
        exports["_start"]()
    except (Exited, BadPointer) as e:
        end = repr(e)
    except Trap as e:
        end = str(e)
    return end, host.printed, read(0, memory.size * 65536)


def damaged(rng: random.Random, wasm: bytes, first: int, last: int) -> bytes:
    """A few bytes changed between two offsets."""
    out = bytearray(wasm)
    for _ in range(rng.choice((1, 1, 2, 4))):
        i = rng.randrange(first, last)
        if 0x41 <= out[i] <= 0xC4 and rng.randrange(2):  # an opcode, perhaps: another one
            out[i] = rng.randrange(0x41, 0xC5)
        else:
            out[i] ^= 1 << rng.randrange(8)
    return bytes(out)


@pytest.mark.parametrize(("target", "opt_level", "mutants"), [("cpython", 2, 120), ("pypy", 2, 70), ("cpython", 0, 50)])
def test_mutants_that_run_do_as_under_wasmtime(
    root: Path, engine: Any, target: str, opt_level: int, mutants: int
) -> None:
    rng = random.Random(f"{target} {opt_level}")
    options = Options(target=target, opt_level=opt_level)  # type: ignore[arg-type]  # literals, above
    ran = 0
    for n in range(mutants):
        name, args, stdin = rng.choice(PROGRAMS)
        wasm = (root / "examples" / f"{name}.wasm").read_bytes()
        code = next(s for s in Module(wasm).decoded.sections if s.name == "code")
        mutant = damaged(rng, wasm, code.start, code.end)
        try:
            wasmtime.Module.validate(engine, mutant)
        except wasmtime.WasmtimeError:
            continue
        expected = by_wasmtime(engine, mutant, args, stdin)
        if expected is None:
            continue
        try:
            got = by_polymerase(mutant, args, stdin, options)
        except polymerase.UnsupportedError:  # a vector instruction
            continue
        ran += 1
        if expected[0] == got[0] == "call stack exhausted":
            continue  # each at its own depth
        assert expected[:2] == got[:2], (n, name)
        assert expected[2] == got[2], (n, name)
    assert ran > mutants // 10


def test_damaged_modules_are_refused_or_accepted_as_by_wasmtime(root: Path, engine: Any) -> None:
    rng = random.Random(5)
    files = [path.read_bytes() for path in sorted((root / "examples").glob("*.wasm"))]
    accepted = 0
    for n in range(600):
        wasm = rng.choice(files)
        kind = rng.randrange(3)
        if kind == 0:
            wasm = wasm[: rng.randrange(len(wasm))]
        elif kind == 1:
            wasm = damaged(rng, wasm, 0, len(wasm))
        else:
            at, source = rng.randrange(len(wasm)), rng.randrange(len(wasm))
            wasm = wasm[:at] + wasm[source : source + rng.randrange(1, 64)] + wasm[at + rng.randrange(64) :]
        try:
            wasmtime.Module.validate(engine, wasm)
            expected = True
        except wasmtime.WasmtimeError:
            expected = False
        try:
            polymerase.Module(wasm)
            got = True
        except polymerase.UnsupportedError:
            continue
        except (polymerase.MalformedError, polymerase.InvalidError):
            got = False
        assert expected == got, n
        accepted += got
    assert accepted > 50
