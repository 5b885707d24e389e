"""Byte stores with a stride: the primes below 8192 by Eratosthenes' sieve."""

SIZE = 8192


def run(n: int) -> int:
    total = 0
    for round in range(n):
        size = SIZE - (round & 7)
        composite = bytearray(size)
        count = 0
        for i in range(2, size):
            if not composite[i]:
                count += 1
                if i * i < size:
                    composite[i * i :: i] = b"\1" * len(range(i * i, size, i))
        total = (total * 31 + count) & 0xFFFFFFFF
    return total
