"""Byte loads and a table: CRC-32 of 4096 bytes."""

SIZE = 4096
table: list[int] = []
data = bytearray()


def prepare() -> None:
    for i in range(256):
        c = i
        for _ in range(8):
            c = c >> 1 ^ 0xEDB88320 if c & 1 else c >> 1
        table.append(c)
    x = 1
    for _ in range(SIZE):
        x = x * 1103515245 + 12345 & 0xFFFFFFFF
        data.append(x >> 16 & 255)


def checksum(data: bytearray, crc: int) -> int:
    lookup = table
    for byte in data:
        crc = lookup[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def run(n: int) -> int:
    total = 0
    if not table:
        prepare()
    for i in range(n):
        total = (total * 31 + checksum(data, i ^ 0xFFFFFFFF)) & 0xFFFFFFFF
    return total
