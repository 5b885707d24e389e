"""Functions -> text -> chunks, the files of functions of a package; of all texts only one chunk is in memory at a time.

A `Writer`, one in each process, appends functions' texts to a spool file of its own and tells what it wrote as
`Piece`s. When all have been written `chunked` says which pieces lie in which chunk, and writers put them together.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from polymerase.emit.files import cut, shown
from polymerase.emit.module import Emitter, code_filename, compile_statements, frame_slots
from polymerase.emit.names import original_names
from polymerase.emit.source import LineMap, Source, line_map_of
from polymerase.errors import InternalError, UnsupportedError, fallback_message
from polymerase.ir.nodes import Func
from polymerase.options import Options
from polymerase.wasm.module import Module

MAX_CHUNK = 400_000  # characters of a file of functions; one function may be longer
# What a reader of a chunk has to know: its functions run in the namespace of an instance, which nothing here defines.
_LEGEND = """\
# Names that are not defined here are the instance's: views of its memory (u8[a] is the byte at address a, u32[a >> 2]
# the word), mem0, table0, globals (g0), imported functions and those of other files. p0 is a parameter, v1 a local
# variable, t2 a temporary one, br3 says where to go on after a loop. `while True:` that ends in `break` runs once.
"""


@dataclass(frozen=True, slots=True)
class Lowered:
    """What a module's functions are written from: `ir(n)` is the IR of defined function number `n`, `body(i)` the
    prepared body, as JSON, of function `i` of the index space; `interpreted` those that are not to be compiled."""

    ir: Callable[[int], Func]
    body: Callable[[int], str]
    interpreted: frozenset[int]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines and the offsets they came from, as text: pairs of differences, `1:0`, or `:12` for a step of one line. The
    first pair is not in `rest`: it depends on what comes before."""

    first: tuple[int, int]
    rest: str
    last: tuple[int, int]


class Piece(NamedTuple):
    """One function as text, `size` bytes at `at` of the file `spool`, and `size_of_lines` bytes after them: the rest of
    its lines, the first and last of which count from its own first line as 1."""

    i: int
    key: str  # what the chunk depends on
    spool: str
    at: int
    size: int
    size_of_lines: int
    first: tuple[int, int]
    last: tuple[int, int]
    helpers: frozenset[str]  # names of the runtime that it uses
    typed_tables: frozenset[tuple[int, int]]
    slots: int  # see module.frame_slots


class Interpreted(NamedTuple):
    """A function for the interpreter: its prepared body as JSON, and why it is not compiled, "" if nobody wanted it."""

    i: int
    body: str
    why: str


class Made(NamedTuple):
    """Functions as Pieces by target, and those for the interpreter."""

    pieces: dict[str, list[Piece]]
    interpreted: list[Interpreted]


class Functions(NamedTuple):
    """A task: the defined functions `start` to `stop`, for all targets. Its result is a Made."""

    start: int
    stop: int


class Chunk(NamedTuple):
    """A task: a file of functions. Its result is a Written."""

    name: str
    pieces: tuple[Piece, ...]


class Written(NamedTuple):
    """What became of a chunk: its row of `_lines`, and its size in bytes and lines."""

    row: str
    size: int
    lines: int


class Writer:
    """Does the tasks of one process; `spools` is the folder for spool files, `package` the one for chunks."""

    def __init__(
        self,
        module: Module,
        functions: Lowered,
        targets: tuple[str, ...],
        header: str,
        runtime: str,
        options: Options,
        spools: Path,
        package: Path,
    ) -> None:
        self.functions = functions
        self.module = module
        self.fallback = options.fallback or "error"
        self.controls = options.controls
        self.emitters = {target: Emitter(module, target, self.controls) for target in targets}
        self.names = original_names(module)
        self.header = header
        self.runtime = runtime
        self.format = options.format
        self.package = package
        self.spool = spools / str(os.getpid())
        self.file: BinaryIO | None = None
        self.at = 0

    def __call__(self, task: Functions | Chunk) -> Made | Written:
        if isinstance(task, Chunk):
            return self.chunk(task)
        made = Made({target: [] for target in self.emitters}, [])
        if self.file is None:
            self.file = open(self.spool, "wb")
        for n in range(task.start, task.stop):
            i = self.module.imported_funcs + n
            if i in self.functions.interpreted:
                made.interpreted.append(Interpreted(i, self.functions.body(i), ""))
                continue
            try:
                f = self.functions.ir(n)
                written = [self._function(emitter, f, self.file) for emitter in self.emitters.values()]
            except (UnsupportedError, InternalError) as e:
                made.interpreted.append(self._fallen_back(i, e))
                # Those that failed are in no state to go on, and what they write would depend on what came before.
                self.emitters = {target: Emitter(self.module, target, self.controls) for target in self.emitters}
                continue
            for target, piece in zip(self.emitters, written, strict=True):
                made.pieces[target].append(piece)
        self.file.flush()  # for other processes to read
        return made

    def _fallen_back(self, i: int, e: UnsupportedError | InternalError) -> Interpreted:
        """Function `i`, which cannot be compiled for the reason `e`: raises that unless it may be interpreted."""
        if self.fallback == "error":
            raise e
        try:
            body = self.functions.body(i)
        except UnsupportedError:
            raise e from None  # what neither does
        return Interpreted(i, body, fallback_message(e, e.where.file or "<module>", i, self.names.get(i)))

    def _function(self, emitter: Emitter, f: Func, file: BinaryIO) -> Piece:
        spell = emitter.spell
        spell.helpers, spell.typed_tables = set(), set()
        statements = emitter.function(f)
        name = spell.func_names[f.i]
        params = " ".join(map(str, f.type.params))
        results = " ".join(map(str, f.type.results))
        signature = f"({cut(params)})" + (f" -> {cut(results)}" if results else "")
        known = f" {shown(self.names[f.i])}" if f.i in self.names else ""
        source = Source(f"func {f.i}{known} {signature}, at {f.at:#x}")
        source.visit(ast.Module(statements, []))
        # Compiled only to see that it can be, and for the size of its frames.
        slots = frame_slots(compile_statements(statements, code_filename(emitter.module)))
        text = source.text().encode("ascii")
        lines = _lines(source.line_map())
        rest = lines.rest.encode("ascii")
        source.__dict__.clear()  # astor's generators refer to themselves, and nobody looks for cycles while compiling
        file.write(text)
        file.write(rest)
        at = self.at
        self.at += len(text) + len(rest)
        return Piece(
            f.i,
            name.partition("_")[2] or name,
            self.spool.name,
            at,
            len(text),
            len(rest),
            lines.first,
            lines.last,
            frozenset(spell.helpers),
            frozenset(spell.typed_tables),
            slots,
        )

    def chunk(self, task: Chunk) -> Written:
        """Write a chunk's file."""
        text, lines = self._chunk_text(task.pieces)
        if self.format:
            text, formatted = _formatted(text, _line_map(lines))
            lines = _lines(formatted)
        data = text.encode("ascii")
        (self.package / f"{task.name}.py").write_bytes(data)
        row = f"{task.name}.py {lines.first[0]}:{lines.first[1]}{lines.rest}\n"
        return Written(row, len(data), data.count(b"\n"))

    def _chunk_text(self, pieces: Sequence[Piece]) -> tuple[str, Lines]:
        helpers = sorted(frozenset().union(*(p.helpers for p in pieces)))
        parts = [self.header + _LEGEND]
        if helpers:
            joined = ", ".join(helpers)
            listed = joined if len(joined) < 100 else "(\n" + "".join(f"    {h},\n" for h in helpers) + ")"
            parts.append(f"\nfrom {self.runtime} import {listed}\n")
        rests: list[str] = []
        first = last = (0, 0)
        line = sum(part.count("\n") for part in parts)
        for p in pieces:
            parts.append("\n\n")
            line += 2
            text, rest = self._read(p)
            parts.append(text)
            start = (line + p.first[0], p.first[1])
            if rests:
                rests.append(f" {_pair(start[0] - last[0], start[1] - last[1])}")
            else:
                first = start
            rests.append(rest)
            last = (line + p.last[0], p.last[1])
            line += text.count("\n")
        return "".join(parts), Lines(first, "".join(rests), last)

    def _read(self, p: Piece) -> tuple[str, str]:
        with open(self.spool.parent / p.spool, "rb") as f:
            f.seek(p.at)
            return f.read(p.size).decode("ascii"), f.read(p.size_of_lines).decode("ascii")


def chunked(pieces: list[Piece], prefix: str) -> list[Chunk]:
    """The chunks in order of their names: halved by ever more bits of the hashes of functions' names until each is
    small enough. A function that is large has a file of its own."""
    if sum(p.size for p in pieces) <= MAX_CHUNK:
        return [Chunk(prefix, tuple(pieces))] if pieces else []
    hashes = [hashlib.sha256(p.key.encode()).digest() for p in pieces]
    done: dict[str, list[Piece]] = {}
    small: list[int] = []
    for k, p in enumerate(pieces):
        if p.size > MAX_CHUNK // 4:
            done.setdefault(f"{prefix}_x{hashes[k].hex()[:8]}", []).append(p)
        else:
            small.append(k)
    pending = [("", small)]
    while pending:
        bits, members = pending.pop()
        if not members:
            continue
        if sum(pieces[k].size for k in members) <= MAX_CHUNK or len(bits) == 32:
            done[f"{prefix}_{bits}" if bits else prefix] = [pieces[k] for k in members]
            continue
        at = len(bits)
        for bit in (0, 1):
            pending.append((f"{bits}{bit}", [k for k in members if hashes[k][at // 8] >> 7 - at % 8 & 1 == bit]))
    return [Chunk(name, tuple(members)) for name, members in sorted(done.items())]


def formatted(text: str, is_pyi: bool = False) -> str:
    """`text` as black has it."""
    return _formatted(text, [], is_pyi)[0]


def _formatted(text: str, lines: LineMap, is_pyi: bool = False) -> tuple[str, LineMap]:
    """`text` as black has it, and where its statements went."""
    import black
    from black.mode import TargetVersion
    from black.parsing import InvalidInput

    mode = black.Mode(target_versions={TargetVersion.PY39}, is_pyi=is_pyi)
    try:
        better = black.format_str(text, mode=mode)
    except (RecursionError, InvalidInput):  # too deep for black: as it was
        return text, lines
    return better, line_map_of(text, lines, better)


# --- Lines and offsets


def _pair(step: int, change: int) -> str:
    return f"{'' if step == 1 else step}:{change}"


def _lines(entries: LineMap) -> Lines:
    parts = []
    line, offset = entries[0]
    for next_line, next_offset in entries[1:]:
        parts.append(f" {_pair(next_line - line, next_offset - offset)}")
        line, offset = next_line, next_offset
    return Lines(entries[0], "".join(parts), (line, offset))


def _line_map(lines: Lines) -> LineMap:
    line, offset = lines.first
    entries = [lines.first]
    for pair in lines.rest.split():
        step, _, change = pair.partition(":")
        line += int(step or 1)
        offset += int(change)
        entries.append((line, offset))
    return entries
