"""Indirect calls: 2000 calls of one of eight functions through a table."""


def add(a: int, b: int) -> int:
    return a + b & 0xFFFFFFFF


def sub(a: int, b: int) -> int:
    return a - b & 0xFFFFFFFF


def mul(a: int, b: int) -> int:
    return a * (b | 1) & 0xFFFFFFFF


def xor(a: int, b: int) -> int:
    return a ^ b


def or_(a: int, b: int) -> int:
    return a | (b & 0x5555)


def and_(a: int, b: int) -> int:
    return a & (b | 0xFFFF00)


def maximum(a: int, b: int) -> int:
    return a if a > b else b


def shift(a: int, b: int) -> int:
    return a >> (b & 3)


FUNCTIONS = [add, sub, mul, xor, or_, and_, maximum, shift]


def run(n: int) -> int:
    total = 0
    for round in range(n):
        x = round
        value = 1
        for _ in range(2000):
            x = x * 1664525 + 1013904223 & 0xFFFFFFFF
            value = FUNCTIONS[x >> 29](value, x)
        total = (total * 31 + value) & 0xFFFFFFFF
    return total
