"""Recursion: fib(16) and fib(17) in turns."""


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def run(n: int) -> int:
    total = 0
    for i in range(n):
        total = (total * 31 + fib(16 + (i & 1))) & 0xFFFFFFFF
    return total
