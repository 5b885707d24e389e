"""A state machine: the kinds of numbers in 600 bytes of text, in CoreMark's manner."""

# ruff: noqa: B905 (Python 3.9, which runs this too, has no zip(strict=…))

START, INVALID, S1, S2, INT, FLOAT, EXPONENT, SCIENTIFIC, STATES = range(9)

# fmt: off
SAMPLES = [
    b"5012", b"1234", b"-874", b"+122", b"35.54400", b".1234500", b"-110.700", b"+0.64400",
    b"5.500e+3", b"-.123e-2", b"-87e+832", b"+0.6e-12", b"T0.3e-1F", b"-T.T++Tq", b"1T3.4e4z", b"34.0e-T^",
]
# fmt: on
SIZE = 600
COMMA, PLUS, MINUS, DOT, ZERO, NINE, UPPER_E, LOWER_E = b",+-.09Ee"


def build(seed: int) -> bytes:
    out = bytearray()
    while len(out) < SIZE:
        seed = seed * 1664525 + 1013904223 & 0xFFFFFFFF
        out += SAMPLES[seed >> 28] + b","
    return bytes(out[:SIZE]) + b"\0"


def next_number(text: bytes, at: int, transitions: list[int]) -> tuple[int, int]:
    s = START
    while True:
        c = text[at]
        if not c or s == INVALID:
            return at, s
        at += 1
        if c == COMMA:
            return at, s
        digit = ZERO <= c <= NINE
        if s == INT:
            if not digit:
                s = FLOAT if c == DOT else INVALID
                transitions[INT] += 1
        elif s == FLOAT:
            if not digit:
                s = S2 if c == LOWER_E or c == UPPER_E else INVALID
                transitions[FLOAT] += 1
        elif s == START:
            s = INT if digit else S1 if c == PLUS or c == MINUS else FLOAT if c == DOT else INVALID
            transitions[START] += 1
        elif s == S1:
            s = INT if digit else FLOAT if c == DOT else INVALID
            transitions[S1] += 1
        elif s == S2:
            s = EXPONENT if c == PLUS or c == MINUS else INVALID
            transitions[S2] += 1
        elif s == EXPONENT:
            s = SCIENTIFIC if digit else INVALID
            transitions[EXPONENT] += 1
        elif not digit:
            s = INVALID
            transitions[INVALID] += 1


def scan(text: bytes) -> int:
    finals = [0] * STATES
    transitions = [0] * STATES
    at = 0
    while text[at]:
        at, s = next_number(text, at, transitions)
        finals[s] += 1
    total = 0
    for final, transition in zip(finals, transitions):
        total = total * 7 + final * 3 + transition
    return total


def run(n: int) -> int:
    total = 0
    for i in range(n):
        total = (total * 31 + scan(build(i))) & 0xFFFFFFFF
    return total
