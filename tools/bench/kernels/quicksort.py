"""Signed comparisons and swaps in memory: quicksort of 500 words."""

SIZE = 500


def sort(a: list[int], lo: int, hi: int) -> None:
    while lo < hi:
        pivot = a[(lo + hi) // 2]
        i = lo
        j = hi
        while i <= j:
            while a[i] < pivot:
                i += 1
            while a[j] > pivot:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        sort(a, lo, j)
        lo = i


def run(n: int) -> int:
    total = 0
    for round in range(n):
        x = round + 1 & 0xFFFFFFFF
        items = []
        for _ in range(SIZE):
            x = x * 1664525 + 1013904223 & 0xFFFFFFFF
            items.append(x - 0x100000000 if x & 0x80000000 else x)
        sort(items, 0, SIZE - 1)
        total = (total * 31 + (items[1] ^ items[SIZE // 2] ^ items[SIZE - 2])) & 0xFFFFFFFF
    return total
