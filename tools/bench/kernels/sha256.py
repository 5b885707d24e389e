"""32-bit rotations and additions: SHA-256 of 200 bytes, four blocks."""

# ruff: noqa: B905 (Python 3.9, which runs this too, has no zip(strict=…))

import struct

# fmt: off
K = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]
# fmt: on
INITIAL = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
LENGTH = 200
WORDS = struct.Struct(">16I")


def block(state: list[int], w: list[int]) -> list[int]:
    for i in range(16, 64):
        x = w[i - 15]
        y = w[i - 2]
        s0 = (x >> 7 | x << 25) ^ (x >> 18 | x << 14) ^ x >> 3
        s1 = (y >> 17 | y << 15) ^ (y >> 19 | y << 13) ^ y >> 10
        w.append(w[i - 16] + s0 + w[i - 7] + s1 & 0xFFFFFFFF)
    a, b, c, d, e, f, g, h = state
    for k, x in zip(K, w):
        s1 = (e >> 6 | e << 26) ^ (e >> 11 | e << 21) ^ (e >> 25 | e << 7)
        t = h + s1 + (g ^ (e & (f ^ g))) + k + x
        s0 = (a >> 2 | a << 30) ^ (a >> 13 | a << 19) ^ (a >> 22 | a << 10)
        h, g, f, e, d, c, b, a = g, f, e, d + t & 0xFFFFFFFF, c, b, a, t + s0 + (a & b | c & (a | b)) & 0xFFFFFFFF
    return [x + y & 0xFFFFFFFF for x, y in zip(state, (a, b, c, d, e, f, g, h))]


def run(n: int) -> int:
    total = 0
    for i in range(n):
        message = bytearray([i + j * 7 & 255 for j in range(LENGTH)])
        message += b"\x80" + bytes(-(LENGTH + 9) % 64) + (LENGTH * 8).to_bytes(8, "big")
        state = INITIAL
        for at in range(0, len(message), 64):
            state = block(state, list(WORDS.unpack_from(message, at)))
        total = (total * 31 + (state[0] ^ state[7])) & 0xFFFFFFFF
    return total
