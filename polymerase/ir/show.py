"""IR as text, for `polymerase dump` and golden files: one line a statement, operations by their names."""

from __future__ import annotations

from typing import assert_never

from polymerase.ir import nodes as n


def show(f: n.Func) -> str:
    """The function as indented text, ending in a newline."""
    params = ", ".join(f"{var.name}: {var.type}" for var in f.params)
    results = " ".join(map(str, f.type.results)) or "()"
    lines = [f"func {f.i} ({params}) -> {results}, at {f.at:#x}"]
    _body(f.body, 1, lines)
    return "\n".join(lines) + "\n"


def expr(e: n.Expr) -> str:
    """An expression on one line."""
    match e:
        case n.Const():
            return f"{e.value}" if e.type.name.startswith("i") else f"{e.type}:{e.value:#x}"  # type: ignore[union-attr]
        case n.Null():
            return "null"
        case n.Get():
            return e.var.name
        case n.GlobalGet():
            return f"global{e.i}"
        case n.Op():
            return f"{e.name}({_exprs(e.args)})"
        case n.Logic():
            return f"({expr(e.a)} {'and' if e.is_and else 'or'} {expr(e.b)})"
        case n.Select():
            return f"({expr(e.a)} if {expr(e.cond)} else {expr(e.b)})"
        case n.Load():
            return f"{e.name}({_address(e.memory, e.addr, e.offset)})"
        case n.Call():
            return f"func{e.i}({_exprs(e.args)})"
        case n.CallIndirect():
            return f"table{e.table}[{expr(e.index)}]:type{e.type_index}({_exprs(e.args)})"
        case n.Sys():
            return f"{e.name}{list(e.imm) if e.imm else ''}({_exprs(e.args)})"
        case _:
            assert_never(e)


def _exprs(es: tuple[n.Expr, ...]) -> str:
    return ", ".join(map(expr, es))


def _address(memory: int, addr: n.Expr, offset: int) -> str:
    where = f"mem{memory}, " if memory else ""
    return f"{where}{expr(addr)}" + (f" + {offset}" if offset else "")


def _body(body: n.Body, level: int, lines: list[str]) -> None:
    indent = "    " * level
    if not body:
        lines.append(f"{indent}pass")
    for s in body:
        match s:
            case n.Set():
                lines.append(f"{indent}{s.var.name} = {expr(s.e)}")
            case n.SetMany():
                lines.append(f"{indent}{', '.join(var.name for var in s.vars)} = {expr(s.e)}")
            case n.Move():
                lines.append(f"{indent}{', '.join(var.name for var in s.vars)} = {_exprs(s.es)}")
            case n.Eval():
                lines.append(f"{indent}{expr(s.e)}")
            case n.GlobalSet():
                lines.append(f"{indent}global{s.i} = {expr(s.e)}")
            case n.Store():
                lines.append(f"{indent}{s.name}({_address(s.memory, s.addr, s.offset)}, {expr(s.value)})")
            case n.If():
                lines.append(f"{indent}if {expr(s.cond)}:")
                _body(s.then, level + 1, lines)
                if s.orelse:
                    lines.append(f"{indent}else:")
                    _body(s.orelse, level + 1, lines)
            case n.While():
                lines.append(f"{indent}while true:")
                _body(s.body, level + 1, lines)
            case n.Break():
                lines.append(f"{indent}break")
            case n.Continue():
                lines.append(f"{indent}continue")
            case n.Switch():
                lines.append(f"{indent}switch {expr(s.e)}:")
                for values, inner in s.cases:
                    lines.append(f"{indent}case {', '.join(map(str, values))}:")
                    _body(inner, level + 1, lines)
                lines.append(f"{indent}default:")
                _body(s.default, level + 1, lines)
            case n.Return():
                lines.append(f"{indent}return {_exprs(s.es)}".rstrip())
            case n.TailCall():
                lines.append(f"{indent}return tail {expr(s.e)}")
            case n.Unreachable():
                lines.append(f"{indent}unreachable")
            case n.Charge():
                lines.append(f"{indent}charge {s.cost}")
            case _:
                assert_never(s)
