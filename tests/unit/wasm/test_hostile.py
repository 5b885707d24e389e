"""Hostile modules: only errors of ours, in time and memory that the bytes pay for."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymerase.errors import LocatedError, MalformedError, UnsupportedError
from polymerase.wasm.decode import decode
from polymerase.wasm.ops import OPS
from polymerase.wasm.validate import validate
from tests.unit.wasm.binary import HEADER, VOID, custom, leb, module, section, vec


def _seed() -> bytes:
    """A module with something of everything, for mutation; written in bytes so that no assembler is needed."""
    types = (VOID, b"\x60\2\x7f\x7e\1\x7d", b"\x60\0\2\x7f\x7e")
    before = section(2, vec([b"\1a\1f\0\1", b"\1a\1g\3\x7f\0"]))
    between = b"".join(
        (
            section(4, b"\1\x70\1\1\5"),
            section(5, b"\1\1\1\2"),
            section(6, b"\1\x7f\1\x23\0\x41\3\x6a\x0b"),
            section(7, vec([b"\1f\0\1", b"\6memory\2\0"])),
            section(8, b"\1"),
            section(9, vec([b"\0\x41\0\x0b\1\1", b"\5\x70\1\xd2\0\x0b"])),
            section(12, b"\1"),
        )
    )
    instrs = [
        b"\2\x40\3\x40\x20\0\x41\x80\1\x6a\x22\0\x0d\1\x0b\x0b",
        b"\x41\0\x41\0\x28\2\4\x41\1\4\x40\5\1\x0b\x36\2\x08",
        b"\2\x40\2\x40\x41\1\x0e\2\0\1\0\x0b\x0b\x41\1\x24\1",
        b"\x41\0\x42\1\x10\0\x8b\x44\0\0\0\0\0\0\0\0\xb6\x5b\x1a",
        b"\x41\0\x41\0\x41\0\xfc\x08\0\0\xfc\x09\0\x41\0\x11\0\0",
        b"\xd2\0\xd1\x41\1\x41\2\x1b\x1a\0\x6a\x1a\x0f",
        b"\xfd\x0c" + bytes(16) + b"\x41\1\xfd\x0f\xfd\x0d" + bytes(16) + b"\xfd\x15\x03\x1a\x12\1",
    ]
    names = custom(b"name", section(0, b"\1m") + section(1, b"\2\0\1a\1\2\xc3\xa9"))
    return module(instrs, types, b"\2\1\x7f\3\x7e", before, between, section(11, b"\1\0\x41\0\x0b\3abc") + names)


SEED = _seed()
TOKENS = [bytes([code]) for code in range(256)] + [leb(2**32 - 1), b"\x80\x80\0", b"\xfc\x0a\0\0", b"\xfd\x0c"]


def check(data: bytes) -> None:
    """Decode and validate; any error must be ours, and say where."""
    try:
        validate(decode(data, "x.wasm"))
    except LocatedError as error:
        assert "x.wasm" == error.where.file
        assert error.where.at is not None and 0 <= error.where.at <= len(data)
        assert str(error).isprintable()


def test_the_seed_is_valid() -> None:
    validate(decode(SEED))


def test_every_truncation_is_malformed() -> None:
    bounds = {section.end for section in decode(SEED).sections} | {8}
    for n in range(len(SEED)):
        if n in bounds:
            check(SEED[:n])
        else:
            with pytest.raises(MalformedError):
                validate(decode(SEED[:n]))


def test_every_flipped_bit() -> None:
    for i in range(len(SEED)):
        for bit in range(8):
            check(SEED[:i] + bytes([SEED[i] ^ 1 << bit]) + SEED[i + 1 :])


def test_many_mutations() -> None:
    rng = random.Random(1)
    for _ in range(20_000):
        data = bytearray(SEED)
        for _ in range(rng.choice((1, 2, 4, 9))):
            i = rng.randrange(8, len(data) + 1)
            match rng.randrange(4):
                case 0:
                    data[i : i + 1] = rng.choice(TOKENS)
                case 1:
                    del data[i : i + rng.randrange(4)]
                case 2:
                    data[i:i] = rng.choice(TOKENS)
                case 3:
                    j = rng.randrange(8, len(data))
                    data[i:i] = data[j : j + rng.randrange(12)]
        check(bytes(data))


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    check(data)
    check(HEADER + data)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 14), st.binary(max_size=40)), max_size=6))
def test_random_sections(sections: list[tuple[int, bytes]]) -> None:
    check(HEADER + b"".join(section(id, payload) for id, payload in sections))


@settings(deadline=None, max_examples=500)
@given(st.lists(st.one_of(st.sampled_from(TOKENS), st.sampled_from([bytes([c]) for c in OPS if c < 256])), max_size=60))
def test_random_instructions(tokens: list[bytes]) -> None:
    around = section(4, b"\1\x70\0\1") + section(5, b"\1\0\1")
    check(module(b"".join(tokens), locals=b"\1\3\x7f", between=around))


# --- Absurd modules: each is built to `n` units of bytes. What they would take if something were quadratic, or if a
# --- number were believed, is far beyond the bounds below.

_WIDE = b"\x60\0" + vec([b"\x7f"] * 1000)
_WIDE_BOTH = b"\x60" + vec([b"\x7f"] * 1000) * 2

ABSURD: dict[str, Callable[[int], bytes]] = {
    "nested blocks": lambda n: module(b"\2\x40" * n + b"\x0b" * n),
    "nested blocks, never closed": lambda n: module(b"\2\x40" * n),
    "nested ifs": lambda n: module(b"\x41\0\4\x40" * n + b"\x0b" * n),
    "a deep operand stack": lambda n: module(b"\x41\0" * n + b"\x1a" * n),
    "many functions of 50,000 locals": lambda n: module([b"\x20\5\x1a"] * (n // 8), locals=b"\1\xd0\x86\3\x7f"),
    "many functions of 1,000 parameters": lambda n: module([b"\x20\5\x1a"] * (n // 8), (_WIDE_BOTH[:1003] + b"\0",)),
    "many runs of locals": lambda n: module(
        b"\x20\0\x1a" * (n // 6), locals=leb(n // 4) + b"\0\x7f" * (n // 4 - 1) + b"\1\x7f"
    ),
    "calls of 1,000 results": lambda n: module(b"\x10\0\x0f" * (n // 3), (_WIDE,)),
    "calls of 1,000 results, kept": lambda n: module(b"\x10\0" * (n // 2), (_WIDE,)),
    "blocks of 1,000 parameters": lambda n: module(b"\0" + b"\2\0\x0b" * (n // 3), (_WIDE_BOTH,)),
    "branches of 1,000 values": lambda n: module(b"\x10\0" + b"\x41\0\x0d\0" * (n // 4), (_WIDE,)),
    "tail calls of 1,000 results": lambda n: module(b"\x12\0" * (n // 2), (_WIDE,)),
    "a wide br_table": lambda n: module(b"\x41\0\x0e" + leb(n) + b"\0" * (n + 1)),
    "br_tables in deep blocks": lambda n: module(
        b"\2\x40" * 100 + (b"\x41\0\x0e\x63" + bytes(range(100))) * (n // 103) + b"\x0b" * 100
    ),
    "element expressions": lambda n: HEADER + section(9, b"\1\5\x70" + leb(n // 3) + b"\xd0\x70\x0b" * (n // 3)),
    "a long constant": lambda n: HEADER + section(6, b"\1\x7f\0\x41\0" + b"\x41\0\x6a" * (n // 3) + b"\x0b"),
    "globals": lambda n: HEADER + section(6, vec([b"\x7f\0\x41\0\x0b"] * (n // 5))),
    "types": lambda n: HEADER + section(1, vec([VOID] * (n // 3))),
    "exports": lambda n: module(between=section(7, vec([b"\x08%08x\0\0" % i for i in range(n // 11)]))),
    "custom sections": lambda n: HEADER + b"\0\2\1a" * (n // 4),
    "selects in unreachable code": lambda n: module(b"\0" + b"\x1b" * n + b"\x1a"),
    "bodies before a broken section": lambda n: module([b"\1"] * (n // 5), after=b"\x7f"),
}


def _seconds(data: bytes) -> float:
    start = time.process_time()
    check(data)
    return time.process_time() - start


@pytest.mark.parametrize("name", ABSURD)
def test_time_is_linear(name: str) -> None:
    """100 KB of it take at most 4 µs a byte, several times the usual, and never many times what 25 KB take a byte."""
    small, large = ABSURD[name](25_000), ABSURD[name](100_000)
    per_byte = _seconds(large) / len(large)
    if per_byte > 4e-6:  # the machine is busy, or it is not linear
        assert min(_seconds(large) for _ in range(3)) / len(large) < 3 * min(_seconds(small) for _ in range(3)) / len(
            small
        )


def _huge() -> Iterator[tuple[str, bytes]]:
    huge = b"\xff\xff\xff\xff\x0f"
    for id in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11):
        yield f"items of section {id}", HEADER + section(id, huge)
    yield "parameters", HEADER + section(1, b"\1\x60" + huge)
    yield "br_table", module(b"\x41\0\x0e" + huge)
    yield "types of select", module(b"\0\x1c" + huge)
    yield "locals", module(locals=b"\1" + huge + b"\x7f")
    yield "runs of locals", module(locals=huge)
    yield "a name", HEADER + section(2, b"\1" + huge)
    yield "data", HEADER + section(11, b"\1\1" + huge)
    yield "elements", HEADER + section(9, b"\1\1\0" + huge)
    yield "a table", HEADER + section(4, b"\1\x70\0" + huge)
    yield "data count", HEADER + section(12, huge)
    yield "start", HEADER + section(8, huge)
    yield "names", HEADER + custom(b"name", section(1, huge))


@pytest.mark.parametrize("name, data", list(_huge()), ids=[name for name, _ in _huge()])
def test_a_number_is_not_believed(name: str, data: bytes) -> None:
    """A few dozen bytes that speak of 2^32 of something take next to no memory and time."""
    tracemalloc.start()
    try:
        check(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000


def test_2_to_the_32_locals_are_beyond_the_limit() -> None:
    with pytest.raises(UnsupportedError, match="too many locals: 4294967295"):
        validate(decode(module(locals=b"\1\xff\xff\xff\xff\x0f\x7f")))


def test_memory_of_operands_is_paid_for() -> None:
    data = module(b"\x10\0" * 50_000, (_WIDE,))
    tracemalloc.start()
    try:
        with pytest.raises(UnsupportedError, match="moved too often"):
            validate(decode(data))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64_000_000


def test_files_of_this_checkout_that_are_no_modules(root: Path) -> None:
    for path in sorted((root / "polymerase" / "wasm").glob("*.py")):
        with pytest.raises(MalformedError, match="magic header not detected"):
            decode(path.read_bytes())
