"""The name section: what the module's functions, locals and globals were called (appendix "Name Section").

It is a custom section, so nothing in it makes a module malformed: names that cannot be read are no names. The text in
it is as hostile as all else; whoever shows or emits a name escapes it.
"""

from __future__ import annotations

from polymerase.errors import MalformedError
from polymerase.wasm.module import Names
from polymerase.wasm.reader import Reader, fail

_MODULE, _FUNCS, _LOCALS, _GLOBALS = 0, 1, 2, 7


def decode_names(data: bytes, start: int, end: int) -> Names:
    """The names in the section's payload, `start` to `end`; no names at all if any part of it is malformed.

    Indices are not compared with the module's: a name for a function that is not there is never asked for.
    """
    names = Names()
    reader = Reader(data, start, end)
    try:
        while reader.pos < end:
            id = reader.byte()
            part = Reader(data, *reader.span())
            reader.pos = part.end
            if id == _MODULE:
                names.module = part.name()
            elif id == _FUNCS:
                names.funcs = _name_map(part)
            elif id == _GLOBALS:
                names.globals = _name_map(part)
            elif id == _LOCALS:
                names.locals = {part.u32(): _name_map(part) for _ in range(part.count())}
            else:
                continue  # labels, types and others are of no use here
            if part.pos != part.end:
                fail("section size mismatch", part.pos)
    except MalformedError:
        return Names()
    return names


def _name_map(reader: Reader) -> dict[int, str]:
    """Index to name; the spec wants indices unique, which is all that is checked of their order."""
    names: dict[int, str] = {}
    for _ in range(reader.count()):
        at = reader.pos
        i = reader.u32()
        if i in names:
            fail("duplicate name", at)
        names[i] = reader.name()
    return names
