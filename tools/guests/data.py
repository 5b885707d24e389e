"""Deterministic test data: prose with a natural spread of words, records, runs, noise and copies from far back."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

_SYLLABLES = ("ba", "co", "di", "fu", "ge", "ha", "ki", "lo", "mu", "ne", "po", "qui", "ra", "se", "tor", "um", "ver")


def _words(rng: random.Random) -> list[str]:
    return ["".join(rng.choice(_SYLLABLES) for _ in range(1 + rng.randrange(4))) for _ in range(2000)]


def text(size: int, seed: int = 1) -> bytes:
    """Lines of words, frequent ones more often (Zipf), `size` bytes."""
    rng = random.Random(seed)
    words = _words(rng)
    out: list[str] = []
    length = 0
    while length < size:
        line = " ".join(words[int(len(words) ** rng.random()) - 1] for _ in range(4 + rng.randrange(9)))
        line = line.capitalize() + rng.choice((".\n", ",\n", ";\n", " " + str(rng.randrange(10000)) + ".\n"))
        out.append(line)
        length += len(line)
    return "".join(out).encode()[:size]


def data(size: int, seed: int = 2) -> bytes:
    """A mix of text and binary, `size` bytes."""
    rng = random.Random(seed)
    out = bytearray()

    def prose(n: int) -> bytes:
        return text(n, rng.randrange(1 << 30))

    def records(n: int) -> bytes:
        start = rng.randrange(1 << 20)
        rows = (struct.pack("<IHHd", start + i, i & 7, 0xFFFF, i / 8) for i in range(n // 16 + 1))
        return b"".join(rows)[:n]

    def noise(n: int) -> bytes:
        return rng.getrandbits(8 * n).to_bytes(n, "little")

    def run(n: int) -> bytes:
        return bytes([rng.randrange(256)]) * n

    def copy(n: int) -> bytes:
        at = rng.randrange(max(1, len(out) - n))
        return bytes(out[at : at + n])

    kinds: tuple[Callable[[int], bytes], ...] = (prose, prose, prose, records, records, noise, run, copy, copy)
    while len(out) < size:
        out += kinds[rng.randrange(len(kinds))](64 + rng.randrange(max(64, size // 24)))
    return bytes(out[:size])
