"""Single precision: a second-order low-pass filter over 512 samples.

Python has no single precision, and the result must be the same: each operation is rounded by storing it in a
one-element array, the fastest exact way in plain Python.
"""

from __future__ import annotations

from array import array
from struct import pack, unpack

SIZE = 512
cell = array("f", [0.0])


def single(x: float) -> float:
    cell[0] = x
    return cell[0]


def filtered(samples: array[float], b0: float, b1: float, b2: float, a1: float, a2: float) -> array[float]:
    out = array("f")
    c = cell
    x1 = x2 = y1 = y2 = 0.0
    for x in samples:
        c[0] = b0 * x
        y = c[0]
        c[0] = b1 * x1
        c[0] = y + c[0]
        y = c[0]
        c[0] = b2 * x2
        c[0] = y + c[0]
        y = c[0]
        c[0] = a1 * y1
        c[0] = y - c[0]
        y = c[0]
        c[0] = a2 * y2
        c[0] = y - c[0]
        y = c[0]
        x2 = x1
        x1 = x
        y2 = y1
        y1 = y
        out.append(y)
    return out


def bits(x: float) -> int:
    return int(unpack("<I", pack("<f", x))[0])


def run(n: int) -> int:
    total = 0
    b0, b1, a1, a2 = [single(x) for x in (0.067455, 0.134911, -1.14298, 0.412802)]
    for round in range(n):
        x = round
        samples = array("f")
        for _ in range(SIZE):
            x = x * 1664525 + 1013904223 & 0xFFFFFFFF
            samples.append((x >> 16) / 65536)
        out = filtered(samples, b0, b1, b0, a1, a2)
        total = (total * 31 + (bits(out[SIZE - 1]) ^ bits(out[SIZE // 2]))) & 0xFFFFFFFF
    return total
