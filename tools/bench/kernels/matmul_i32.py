"""Two-dimensional arrays of words: the product of two 20 x 20 matrices."""

# ruff: noqa: B905 (Python 3.9, which runs this too, has no zip(strict=…))

N = 20


def multiply(a: list[list[int]], b: list[list[int]]) -> list[list[int]]:
    columns = list(zip(*b))
    c = []
    for row in a:
        out = []
        for column in columns:
            total = 0
            for x, y in zip(row, column):
                total += x * y
            out.append(total & 0xFFFFFFFF)
        c.append(out)
    return c


def run(n: int) -> int:
    total = 0
    for round in range(n):
        a = [[(round + i + 1) * 1000003 + j & 0xFFFFFFFF for j in range(N)] for i in range(N)]
        b = [[(round + j + 1) * 7654321 - i & 0xFFFFFFFF for j in range(N)] for i in range(N)]
        c = multiply(a, b)
        total = (total * 31 + (c[0][N - 1] ^ c[N - 1][round % N])) & 0xFFFFFFFF
    return total
