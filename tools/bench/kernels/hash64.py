"""64-bit products and rotations: a hash of 256 words in xxHash's manner."""

P1 = 0x9E3779B185EBCA87
P2 = 0xC2B2AE3D27D4EB4F
P3 = 0x165667B19E3779F9
P4 = 0x85EBCA77C2B2AE63
MASK = 0xFFFFFFFFFFFFFFFF
WORDS = 256


def hash64(words: list[int], seed: int) -> int:
    h = seed + P3
    for word in words:
        k = word * P2 & MASK
        h ^= (k << 31 | k >> 33) * P1 & MASK
        h = (h << 27 & MASK | h >> 37) * P1 + P4 & MASK
    h ^= h >> 33
    h = h * P2 & MASK
    h ^= h >> 29
    h = h * P3 & MASK
    return h ^ h >> 32


def run(n: int) -> int:
    total = 0
    for i in range(n):
        x = i
        words = []
        for _ in range(WORDS):
            x = x + 0x9E3779B97F4A7C15 & MASK
            words.append((x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK)
        total = total * 31 + hash64(words, i) & MASK
    return (total ^ total >> 32) & 0xFFFFFFFF
