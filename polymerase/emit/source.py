"""Trees -> text, one statement a line, with a comment before each function and the wasm byte offset of every line.

Expressions are rendered here, with no parentheses but those that the grammar needs; statements and layout are astor's.
A line that may trap at several places is given the offset of its last call, else of its last memory access: of all
frames but the innermost, the traceback shows calls.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import Any

from astor.code_gen import SourceGenerator

from polymerase.emit.build import Hex

# Level (below), text, whether it may trap
_BINARY: dict[type[ast.operator], tuple[int, str, bool]] = {
    ast.BitOr: (6, " | ", False),
    ast.BitXor: (7, " ^ ", False),
    ast.BitAnd: (8, " & ", False),
    ast.LShift: (9, " << ", False),
    ast.RShift: (9, " >> ", False),
    ast.Add: (10, " + ", False),
    ast.Sub: (10, " - ", False),
    ast.Mult: (11, " * ", False),
    ast.Div: (11, " / ", False),
    ast.FloorDiv: (11, " // ", True),
    ast.Mod: (11, " % ", True),
}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: " == ",
    ast.NotEq: " != ",
    ast.Lt: " < ",
    ast.LtE: " <= ",
    ast.Gt: " > ",
    ast.GtE: " >= ",
    ast.Is: " is ",
    ast.IsNot: " is not ",
}
# How tightly an expression holds together, as the grammar has it
_ANY, _IF, _OR, _AND, _NOT, _COMPARISON, _UNARY, _ATOM = 0, 1, 2, 3, 4, 5, 12, 14
_UNARIES: dict[type[ast.unaryop], tuple[int, str]] = {
    ast.Not: (_NOT, "not "),
    ast.USub: (_UNARY, "-"),
    ast.Invert: (_UNARY, "~"),
}

LineMap = list[tuple[int, int]]  # (line, byte offset), ascending lines; a line belongs to the last entry before it


class Source(SourceGenerator):  # type: ignore[misc]  # astor has no types
    """Renders function definitions, `comment` above the first."""

    def __init__(self, comment: str = "") -> None:
        super().__init__("    ")
        self.comment = comment
        self.marks: list[tuple[int, int]] = []  # (index in self.result, byte offset)
        self._site = 0
        self._rank = 0

    def text(self) -> str:
        """What has been written."""
        self._trim()
        return "".join(self.result).rstrip("\n") + "\n"

    def _trim(self) -> None:
        """No blank lines at the top."""
        if self.result and not self.result[0].strip("\n"):
            self.result[0] = ""

    def line_map(self) -> LineMap:
        """Which line came from which offset."""
        lines: LineMap = []
        line, at = 1, 0
        self._trim()
        for index, offset in self.marks:
            line += "".join(self.result[at : index + 1]).count("\n")
            at = index + 1
            lines.append((line, offset))
        return lines

    # --- Statements

    def _line(self, node: ast.stmt, *parts: str | ast.expr) -> None:
        """A line of text; expressions among `parts` are rendered."""
        self._rank, self._site = 0, node.lineno
        text = "".join([part if isinstance(part, str) else self.render(part, _ANY) for part in parts])
        self._put(text)

    def _put(self, text: str) -> None:
        self.newline()
        self.marks.append((len(self.result), self._site))
        self.write(text)

    def visit_FunctionDef(self, node: ast.FunctionDef, is_async: bool = False) -> None:
        self.newline(extra=2)
        if self.comment:
            self.write("# " + self.comment)
            self.comment = ""
        self._line(node, f"def {node.name}({', '.join([a.arg for a in node.args.args])}):")
        self.body(node.body)
        self.newline(extra=2)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._line(node, self.render(node.targets[0], _ANY), " = ", node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        self._line(node, node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            self._line(node, "return")
        else:
            self._line(node, "return ", node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        _, symbol, _ = _BINARY[type(node.op)]
        self._line(node, self.render(node.target, _ANY), f"{symbol.rstrip()}= ", node.value)

    def visit_While(self, node: ast.While) -> None:
        self._line(node, "while ", node.test, ":")
        self.body(node.body)
        self._clause("else", node.orelse)

    def visit_Try(self, node: ast.Try) -> None:
        self._line(node, "try:")
        self.body(node.body)
        self._clause("finally", node.finalbody)

    def _clause(self, keyword: str, body: list[ast.stmt]) -> None:
        if body:
            self.newline()
            self.write(f"{keyword}:")
            self.body(body)

    def visit_If(self, node: ast.If) -> None:
        keyword = "if "
        while True:
            self._line(node, keyword, node.test, ":")
            self.body(node.body)
            match node.orelse:
                case [ast.If() as inner]:
                    node, keyword = inner, "elif "
                case _:
                    self._clause("else", node.orelse)
                    return

    def statement(self, node: Any, *params: Any, **kw: Any) -> None:
        """All other statements."""
        self._site = node.lineno
        self.newline()
        self.marks.append((len(self.result), self._site))
        self.write(*params)

    # --- Expressions

    def _calls(self, node: ast.expr, rank: int) -> None:
        """`node` may trap; a call counts more than an access."""
        if rank >= self._rank:
            self._rank, self._site = rank, node.lineno

    def _list(self, nodes: Iterable[ast.expr]) -> str:
        return ", ".join([self.render(e, _IF) for e in nodes])

    def render(self, node: ast.expr, outer: int) -> str:
        """`node` as text, in parentheses if `outer` holds its operands tighter than `node` holds together."""
        kind = type(node)
        if kind is ast.Name:
            return node.id  # type: ignore[attr-defined,no-any-return]  # as of `kind`
        if kind is ast.Constant:
            return repr(node.value)  # type: ignore[attr-defined]  # as of `kind`
        level, text = _RENDERERS[kind](self, node)
        return text if level >= outer else f"({text})"

    def _hex(self, node: Hex) -> tuple[int, str]:
        return _ATOM, f"0x{int(node.value):X}"  # type: ignore[arg-type]  # an int: see Hex

    def _binary(self, node: ast.BinOp) -> tuple[int, str]:
        level, symbol, traps = _BINARY[type(node.op)]
        text = f"{self.render(node.left, level)}{symbol}{self.render(node.right, level + 1)}"
        if traps:
            self._calls(node, 1)
        return level, text

    def _subscript(self, node: ast.Subscript) -> tuple[int, str]:
        text = f"{self.render(node.value, _ATOM)}[{self.render(node.slice, _ANY)}]"
        self._calls(node, 1)
        return _ATOM, text

    def _compare(self, node: ast.Compare) -> tuple[int, str]:
        text = self.render(node.left, _COMPARISON + 1)
        for op, right in zip(node.ops, node.comparators, strict=True):
            text += _COMPARE[type(op)] + self.render(right, _COMPARISON + 1)
        return _COMPARISON, text

    def _call(self, node: ast.Call) -> tuple[int, str]:
        args = self._list(node.args)
        if node.keywords:
            args = ", ".join([args] * bool(args) + [f"{k.arg}={self.render(k.value, _IF)}" for k in node.keywords])
        text = f"{self.render(node.func, _ATOM)}({args})"
        self._calls(node, 2)
        return _ATOM, text

    def _conditional(self, node: ast.IfExp) -> tuple[int, str]:
        # The test comes first, so that of several accesses the last evaluated one counts.
        test = self.render(node.test, _OR)
        return _IF, f"{self.render(node.body, _OR)} if {test} else {self.render(node.orelse, _IF)}"

    def _unary(self, node: ast.UnaryOp) -> tuple[int, str]:
        level, symbol = _UNARIES[type(node.op)]
        return level, symbol + self.render(node.operand, level)

    def _logic(self, node: ast.BoolOp) -> tuple[int, str]:
        level, symbol = (_AND, " and ") if isinstance(node.op, ast.And) else (_OR, " or ")
        return level, symbol.join([self.render(e, level + 1) for e in node.values])

    def _named(self, node: ast.NamedExpr) -> tuple[int, str]:
        # In parentheses everywhere: Python 3.9 wants them in an index.
        return _ATOM, f"({node.target.id} := {self.render(node.value, _IF)})"

    def _attribute(self, node: ast.Attribute) -> tuple[int, str]:
        text = self.render(node.value, _ATOM)
        return _ATOM, f"({text}).{node.attr}" if text[0].isdigit() else f"{text}.{node.attr}"

    def _tuple(self, node: ast.Tuple) -> tuple[int, str]:
        text = self._list(node.elts) + ("," if len(node.elts) == 1 else "")
        return (_ANY, text) if node.elts else (_ATOM, "()")

    def _brackets(self, node: ast.List) -> tuple[int, str]:
        return _ATOM, f"[{self._list(node.elts)}]"


_RENDERERS: dict[type[ast.expr], Callable[[Source, Any], tuple[int, str]]] = {
    Hex: Source._hex,
    ast.BinOp: Source._binary,
    ast.Subscript: Source._subscript,
    ast.Compare: Source._compare,
    ast.Call: Source._call,
    ast.IfExp: Source._conditional,
    ast.UnaryOp: Source._unary,
    ast.BoolOp: Source._logic,
    ast.NamedExpr: Source._named,
    ast.Attribute: Source._attribute,
    ast.Tuple: Source._tuple,
    ast.List: Source._brackets,
}


def to_source(tree: ast.Module, comment: str = "") -> str:
    """The text of a whole tree."""
    source = Source(comment)
    source.visit(tree)
    return source.text()


def line_map_of(text: str, lines: LineMap, formatted: str) -> LineMap:
    """The line map of `formatted`, which holds the same statements as `text` in other lines."""
    offsets = dict(lines)
    before, after = _statement_lines(text), _statement_lines(formatted)
    return [(new, offsets[old]) for old, new in zip(before, after, strict=True) if old in offsets]


def _statement_lines(text: str) -> list[int]:
    """The first line of each statement, in the order of the text."""
    found: list[int] = []
    pending: list[ast.AST] = [ast.parse(text)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.stmt):
            found.append(node.lineno)
        inner = [s for part in ("body", "orelse", "finalbody") for s in getattr(node, part, ())]
        pending += [s for s in reversed(inner) if isinstance(s, ast.stmt)]
    return found
