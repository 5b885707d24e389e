"""Modules written byte by byte, for tests of what no assembler would write."""

from __future__ import annotations

from collections.abc import Sequence

HEADER = b"\0asm\1\0\0\0"
VOID = b"\x60\0\0"  # the type [] -> []
END = b"\x0b"


def leb(n: int) -> bytes:
    """An unsigned LEB128."""
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def vec(items: Sequence[bytes]) -> bytes:
    """A vector: the number of items, then the items."""
    return leb(len(items)) + b"".join(items)


def section(id: int, payload: bytes) -> bytes:
    """A section with its size."""
    return bytes([id]) + leb(len(payload)) + payload


def custom(name: bytes, payload: bytes = b"") -> bytes:
    """A custom section."""
    return section(0, leb(len(name)) + name + payload)


def body(instrs: bytes, locals: bytes = b"\0") -> bytes:
    """A function body with its size; `instrs` without the final end."""
    content = locals + instrs + END
    return leb(len(content)) + content


def module(
    instrs: bytes | Sequence[bytes] = b"",
    types: Sequence[bytes] = (VOID,),
    locals: bytes = b"\0",
    before: bytes = b"",
    between: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A module of functions of type 0 with these instructions. `before` stands before the function section, `between`
    after it and before the code, `after` after the code."""
    bodies = [instrs] if isinstance(instrs, bytes) else instrs
    return b"".join(
        (
            HEADER,
            section(1, vec(types)),
            before,
            section(3, vec([b"\0"] * len(bodies))),
            between,
            section(10, vec([body(b, locals) for b in bodies])),
            after,
        )
    )
