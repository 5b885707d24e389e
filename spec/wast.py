"""Reads the official suite's scripts (.wast): s-expressions into commands, values into bits.

    (assert_return (invoke $m "add" (i32.const 1) (f32.const nan:0x200000)) (f64.const nan:canonical))

becomes an `AssertReturn` whose values are plain tuples, ready for JSON: `("i32", 1)`, `("f32", 0x7fa00000)`,
`("f64", "canonical")`. The text of a module is not looked into: it stays a slice of the file for an assembler. The
grammar is that of the reference interpreter's scripts (interpreter/README.md in the spec's repository), annotations
included. Everything is iterative and takes time linear in the file.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, assert_never


class ScriptError(Exception):
    """The text is not a script: `line` and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Node:
    """A list in parentheses: atoms are `str`, string literals `bytes`; `at` and `end` are its offsets in the file."""

    items: tuple[Sexp, ...]
    at: int
    end: int


Sexp = str | bytes | Node

# A value or a pattern for one, as data that JSON keeps:
#   ("i32" | "i64", bits)  ("f32" | "f64", bits | "canonical" | "arithmetic")  ("v128", shape, [lane, …])
#   ("ref", heap type, number | None | "null")  ("either", [pattern, …])
Value = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Module:
    """A module written in a script. `form` says what `source` is: "text" or "quote" (to assemble) or "binary"."""

    line: int
    name: str | None
    form: str
    source: bytes
    definition: bool = False


@dataclass(frozen=True, slots=True)
class Instance:
    """`(module instance $name $module)`."""

    line: int
    name: str | None
    module: str | None


@dataclass(frozen=True, slots=True)
class Register:
    """`(register "name" $instance)`."""

    line: int
    name: str
    instance: str | None


@dataclass(frozen=True, slots=True)
class Action:
    """`(invoke $instance "export" value…)` or `(get $instance "export")`; `kind` is the first word."""

    line: int
    kind: str
    instance: str | None
    export: str
    args: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class AssertReturn:
    """The action gives these results."""

    line: int
    action: Action
    results: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class AssertFault:
    """The action, or making the module, fails. `kind` is the assertion's word without `assert_`."""

    line: int
    kind: str
    subject: Action | Module
    message: str


Command = Module | Instance | Register | Action | AssertReturn | AssertFault

FAULTS = {
    "assert_trap",
    "assert_exhaustion",
    "assert_invalid",
    "assert_malformed",
    "assert_unlinkable",
    "assert_exception",
    "assert_suspension",
    "assert_invalid_custom",
    "assert_malformed_custom",
}

TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|;;[^\r\n]*)
      | (?P<block>\(;)
      | (?P<note>\(@)
      | (?P<open>\()
      | (?P<close>\))
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<atom>\$"(?:[^"\\]|\\.)*"|[^ \t\r\n()";]+|;)""",
    re.VERBOSE,
)
BLOCK = re.compile(r"\(;|;\)")
ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F_]+)\}|([0-9a-fA-F]{2})|(.))", re.DOTALL)
ESCAPED = {"t": "\t", "n": "\n", "r": "\r", '"': '"', "'": "'", "\\": "\\"}


def read(text: bytes) -> list[Command]:
    """The commands of a script, in order. Raises ScriptError."""
    lines = [0, *(m.end() for m in re.finditer(rb"\n", text))]
    nodes = read_nodes(text)
    if nodes and nodes[0].items and nodes[0].items[0] in ("func", "memory", "table", "global", "type", "import"):
        return [Module(1, None, "text", b"(module " + text + b"\n)")]
    commands = []
    for node in nodes:
        try:
            commands.append(read_command(node, text, lines))
        except (IndexError, ValueError) as error:
            raise ScriptError(f"line {bisect_right(lines, node.at)}: {error}") from error
    return commands


def read_nodes(text: bytes) -> list[Node]:
    """The lists at the top of a file, without comments and annotations."""
    source = text.decode("latin-1")  # one character a byte: offsets stay those of the file
    stack: list[tuple[int, bool, list[Sexp]]] = []
    items: list[Sexp] = []
    at = 0
    while at < len(source):
        m = TOKEN.match(source, at)
        if m is None:
            raise ScriptError(f"line {source.count(chr(10), 0, at) + 1}: cannot read {source[at:at + 20]!r}")
        start, at = at, m.end()
        match m.lastgroup:
            case "atom":
                items.append(m.group())
            case "string":
                items.append(unescape(m.group()[1:-1]))
            case "open" | "note":
                stack.append((start, m.lastgroup == "note", items))
                items = []
            case "close":
                if not stack:
                    raise ScriptError(f"line {source.count(chr(10), 0, start) + 1}: unbalanced )")
                opened, is_note, outer = stack.pop()
                if not is_note:
                    outer.append(Node(tuple(items), opened, at))
                items = outer
            case "block":
                at = skip_block(source, at)
    if stack:
        raise ScriptError(f"line {source.count(chr(10), 0, stack[-1][0]) + 1}: unclosed (")
    return [item for item in items if isinstance(item, Node)]


def skip_block(source: str, at: int) -> int:
    """The offset past a block comment, whose opening ends at `at`; they nest."""
    depth = 1
    while depth:
        m = BLOCK.search(source, at)
        if m is None:
            raise ScriptError("unclosed comment")
        depth += 1 if m.group() == "(;" else -1
        at = m.end()
    return at


def unescape(literal: str) -> bytes:
    """The bytes that a string literal stands for."""
    if "\\" not in literal:
        return literal.encode("latin-1")

    def one(m: re.Match[str]) -> str:
        if m[1]:
            return chr(int(m[1].replace("_", ""), 16)).encode("utf-8", "surrogatepass").decode("latin-1")
        return chr(int(m[2], 16)) if m[2] else ESCAPED.get(m[3], m[3])

    return ESCAPE.sub(one, literal).encode("latin-1")


def read_command(node: Node, text: bytes, lines: list[int]) -> Command:
    """One command of a script."""
    line = bisect_right(lines, node.at)
    word, *rest = node.items
    match word:
        case "module":
            return read_module(node, text, line)
        case "register":
            name, *instance = rest
            return Register(line, name_of(name, line), identifier(instance))
        case "invoke" | "get":
            return read_action(node, line)
        case "assert_return":
            return AssertReturn(line, read_action(rest[0], line), tuple(read_value(item, line) for item in rest[1:]))
        case str() if word in FAULTS:
            subject = rest[0]
            message = rest[1].decode() if len(rest) > 1 and isinstance(rest[1], bytes) else ""
            if isinstance(subject, Node) and subject.items[0] == "module":
                module = read_module(subject, text, line)
                if not isinstance(module, Module):
                    raise ScriptError(f"line {line}: an instance where a module is asserted about")
                return AssertFault(line, word.removeprefix("assert_"), module, message)
            return AssertFault(line, word.removeprefix("assert_"), read_action(subject, line), message)
        case _:
            raise ScriptError(f"line {line}: unknown command {word!r}")


def read_module(node: Node, text: bytes, line: int) -> Module | Instance:
    """`(module …)` in each of its forms."""
    items = list(node.items[1:])
    definition = items[:1] == ["definition"]
    if definition:
        del items[0]
    elif items[:1] == ["instance"]:
        names = [item for item in items[1:] if isinstance(item, str)]
        return Instance(line, names[0] if names else None, names[1] if len(names) > 1 else None)
    name = identifier(items)
    if name is not None:
        del items[0]
    if items and items[0] in ("binary", "quote"):
        source = b"".join(item for item in items if isinstance(item, bytes))
        return Module(line, name, str(items[0]), source, definition)
    source = text[node.at : node.end]
    if definition:
        source = source.replace(b"definition", b"", 1)
    return Module(line, name, "text", source, definition)


def read_action(node: Sexp, line: int) -> Action:
    """`(invoke …)` or `(get …)`."""
    if not isinstance(node, Node) or node.items[0] not in ("invoke", "get"):
        raise ScriptError(f"line {line}: expected an action, got {node!r}")
    kind, *rest = node.items
    instance = identifier(rest)
    if instance is not None:
        del rest[0]
    return Action(line, str(kind), instance, name_of(rest[0], line), tuple(read_value(item, line) for item in rest[1:]))


def identifier(items: list[Sexp]) -> str | None:
    """The `$name` that `items` begins with, if it does."""
    return items[0] if items and isinstance(items[0], str) and items[0].startswith("$") else None


def name_of(item: Sexp, line: int) -> str:
    """A string literal that is a wasm name."""
    if not isinstance(item, bytes):
        raise ScriptError(f"line {line}: expected a name, got {item!r}")
    return item.decode("utf-8")


def read_value(item: Sexp, line: int) -> Value:
    """A constant or a pattern for a result."""
    if not isinstance(item, Node) or not item.items or not isinstance(item.items[0], str):
        raise ScriptError(f"line {line}: expected a value, got {item!r}")
    word, rest = item.items[0], item.items[1:]
    if word == "either":
        return ("either", [read_value(each, line) for each in rest])
    words = [each for each in rest if isinstance(each, str)]
    match word.split("."):
        case [("i32" | "i64" | "f32" | "f64") as kind, "const"]:
            return (kind, number(kind, words[0]))
        case ["v128", "const"]:
            return ("v128", words[0], [number(lane_type(words[0]), lane) for lane in words[1:]])
        case ["ref", "null"]:
            return ("ref", words[0] if words else None, "null")
        case ["ref", heap]:
            return ("ref", heap, int(words[0], 0) if words else None)
        case _:
            raise ScriptError(f"line {line}: unknown value {word}")


def lane_type(shape: str) -> str:
    """ "i8" for "i8x16"."""
    return shape.split("x")[0]


@lru_cache(maxsize=65536)
def number(kind: str, text: str) -> int | str:
    """The bits of a number of type `kind` (i8 and i16 are lanes), or "canonical" or "arithmetic"."""
    if text.startswith("nan:") and text[4:] in ("canonical", "arithmetic"):
        return text[4:]
    text = text.replace("_", "")
    bits = int(kind[1:])
    if kind[0] == "i":
        negative, digits = text[0] == "-", text.lstrip("+-")
        value = int(digits, 16 if digits[:2].lower() == "0x" else 10)
        return (-value if negative else value) & (1 << bits) - 1
    return float_bits(text, bits)


def float_bits(text: str, bits: int) -> int:
    """The bits of a float literal, rounded once from the exact value (to nearest, ties to even)."""
    fraction_bits = 23 if bits == 32 else 52
    sign = (1 if text[0] == "-" else 0) << (bits - 1)
    digits = text.lstrip("+-").lower()
    infinity = (1 << (bits - 1 - fraction_bits)) - 1 << fraction_bits
    if digits == "inf":
        return sign | infinity
    if digits.startswith("nan"):
        payload = int(digits[4:], 16) if digits[3:4] == ":" else 1 << (fraction_bits - 1)
        return sign | infinity | payload
    if bits == 64:
        value = float.fromhex(digits) if digits.startswith("0x") else float(digits)
        return sign | int(struct.unpack("<Q", struct.pack("<d", value))[0])
    return sign | f32_bits(exact(digits))


def exact(digits: str) -> Fraction:
    """An unsigned decimal or hexadecimal float literal as a fraction."""
    if not digits.startswith("0x"):
        return Fraction(digits.rstrip(".") if digits.endswith(".") else digits.replace(".e", "e"))
    mantissa, _, exponent = digits[2:].partition("p")
    whole, _, part = mantissa.partition(".")
    return Fraction(int(whole + part, 16)) * Fraction(2) ** (int(exponent or "0") - 4 * len(part))


def f32_bits(value: Fraction) -> int:
    """The bits of the f32 nearest to `value` ≥ 0, ties to even; infinity past the largest."""
    if not value:
        return 0
    exponent = max(value.numerator.bit_length() - value.denominator.bit_length(), -126)
    if value < Fraction(2) ** exponent:
        exponent = max(exponent - 1, -126)
    units = round(value / Fraction(2) ** (exponent - 23))  # 2^23 ≤ units ≤ 2^24, less when subnormal
    return min((exponent + 126 << 23) + units, 0xFF << 23)


def describe(command: Command) -> str:
    """A command in a few words, for a report."""
    match command:
        case Action():
            where = f"{command.instance} " if command.instance else ""
            return " ".join([f"{command.kind} {where}{command.export!r}", *map(show, command.args)])
        case AssertReturn():
            return f"assert_return ({describe(command.action)}) {' '.join(map(show, command.results))}".rstrip()
        case AssertFault():
            return f"assert_{command.kind} ({describe(command.subject)}) {command.message!r}"
        case Module():
            words = ["module", *(["definition"] if command.definition else []), command.form, command.name]
            return " ".join(word for word in words if word and word != "text")
        case Instance():
            return f"module instance {command.name} {command.module}"
        case Register():
            return f"register {command.name!r}"
        case _:
            assert_never(command)


def show(value: Value) -> str:
    """A value as a script would spell it, floats as bits."""
    kind, *rest = value
    if kind == "either":
        return f"either({', '.join(map(show, rest[0]))})"
    if kind == "v128":
        return f"v128:{rest[0]}[{' '.join(str(lane) for lane in rest[1])}]"
    if kind == "ref":
        return f"ref.null {rest[0] or ''}".rstrip() if rest[1] == "null" else f"ref.{rest[0]} {rest[1]}"
    if kind[0] == "f" and isinstance(rest[0], int):
        return f"{kind}:{rest[0]:#x}"
    return f"{kind}:{rest[0]}"
