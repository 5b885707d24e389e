"""Two-dimensional arrays of doubles: the product of two 20 x 20 matrices."""

# ruff: noqa: B905 (Python 3.9, which runs this too, has no zip(strict=…))

from struct import pack, unpack

N = 20


def multiply(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    columns = list(zip(*b))
    c = []
    for row in a:
        out = []
        for column in columns:
            total = 0.0
            for x, y in zip(row, column):
                total += x * y
            out.append(total)
        c.append(out)
    return c


def bits(x: float) -> int:
    low, high = unpack("<2I", pack("<d", x))
    return int(low ^ high)


def run(n: int) -> int:
    total = 0
    for round in range(n):
        a = [[((round & 63) + i) * 0.37 + j for j in range(N)] for i in range(N)]
        b = [[((round & 63) + j) * 1.19 - i * 0.01 for j in range(N)] for i in range(N)]
        c = multiply(a, b)
        total = (total * 31 + (bits(c[0][N - 1]) ^ bits(c[N - 1][round % N]))) & 0xFFFFFFFF
    return total
