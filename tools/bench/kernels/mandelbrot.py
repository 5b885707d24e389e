"""Doubles in locals: the escape times of 16 x 16 points, at most 64 steps each."""

SIZE = 16
LIMIT = 64


def escape(cr: float, ci: float) -> int:
    zr = zi = 0.0
    for steps in range(LIMIT):
        rr = zr * zr
        ii = zi * zi
        if rr + ii > 4.0:
            return steps
        zi = 2.0 * zr * zi + ci
        zr = rr - ii + cr
    return LIMIT


def run(n: int) -> int:
    total = 0
    for round in range(n):
        for py in range(SIZE):
            ci = py * (2.5 / SIZE) - 1.25
            for px in range(SIZE):
                cr = px * (2.5 / SIZE) - 2.0 + (round & 7) * 0.01
                total = (total * 31 + escape(cr, ci)) & 0xFFFFFFFF
    return total
