"""Byte comparisons: how often 8 bytes occur in 8192, by Horspool's algorithm."""

SIZE = 8192
LENGTH = 8
text = bytearray()


def prepare() -> None:
    x = 7
    for _ in range(SIZE):
        x = x * 1103515245 + 12345 & 0xFFFFFFFF
        text.append(ord("a") + (x >> 16 & 7))


def count(text: bytearray, word: bytearray) -> int:
    length = len(word)
    skip = [length] * 256
    for i in range(length - 1):
        skip[word[i]] = length - 1 - i
    found = 0
    size = len(text)
    final = word[-1]
    last = length - 1
    while last < size:
        byte = text[last]
        if byte == final and text[last - length + 1 : last + 1] == word:
            found += 1
        last += skip[byte]
    return found


def run(n: int) -> int:
    total = 0
    if not text:
        prepare()
    for i in range(n):
        at = i * 37 & 4095
        total = (total * 31 + count(text, text[at : at + LENGTH])) & 0xFFFFFFFF
    return total
