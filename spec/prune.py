"""Takes out of a module's text what needs proposals that an engine lacks, so that the rest can be tested.

The scripts of the reference version add a function or two of a new proposal to modules that are otherwise old. The
module's own command fails then; the commands that use what is left of it run all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from spec.wast import Node, Sexp, read_nodes

# Words of the text format that stand for something later than 2.0, tail calls and extended constants.
LATER = re.compile(
    r"ref|rec|sub|tag|i64x|any|none|nofunc|noextern|eq|i31|struct|array|exn|(any|eq|i31|struct|array|exn|null\w*)ref"
    r"|(struct|array|i31|any|extern)\..*|call_ref|return_call_ref|br_on_.*|ref\.(as_non_null|test|cast|eq|i31)"
    r"|throw|throw_ref|try_table|\w+x\d+\..*|v128.*"
)
MISSING = re.compile(r"failed to find name `(\$[^`]+)`")


class Hopeless(Exception):
    """Nothing useful is left."""


def prune(text: bytes, assemble: Callable[[bytes], bytes]) -> bytes:
    """The binary of the module `text` without the fields that need later proposals, or that name one that does.

    Raises Hopeless. `assemble` raises an exception that says which name it misses.
    """
    (module,) = read_nodes(text)
    fields = [item for item in module.items if isinstance(item, Node)]
    kept = [field for field in fields if not any(LATER.fullmatch(word) for word in words(field))]
    while kept and len(kept) < len(fields):
        source = b"(module " + b"\n".join(text[field.at : field.end] for field in kept) + b")"
        try:
            return assemble(source)
        except Exception as error:
            missing = MISSING.search(str(error))
            if missing is None:
                break
            fields, name = kept, missing[1]
            kept = [field for field in kept if name not in words(field)]
    raise Hopeless


def words(node: Node) -> list[str]:
    """All atoms of a list; those of `(memory i64 …)` and `(table i64 …)` with an "x" put behind the address type."""
    found = []
    stack: list[Sexp] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, Node):
            stack.extend(item.items)
        elif isinstance(item, str):
            found.append(item)
    if node.items[:1] in (("memory",), ("table",)):
        found.extend("i64x" for item in node.items if item == "i64")
    return found
