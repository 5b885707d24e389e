"""Every numeric operation against wasmtime, on edge and random values; the same vectors once more on PyPy."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from polymerase.wasm.ops import OPS
from polymerase_runtime import numeric
from polymerase_runtime.traps import Trap

ROWS = [row for row in OPS.values() if row.kind == "numeric"]
BITS = {"i32": 32, "f32": 32, "i64": 64, "f64": 64}
SPECIAL = {
    "i32": [
        0,
        1,
        2,
        31,
        32,
        33,
        0x7F,
        0x80,
        0xFF,
        0x7FFF,
        0x8000,
        0xFFFF,
        0x7FFFFFFF,
        0x80000000,
        0x80000001,
        0xFFFFFFFF,
    ],
    "i64": [0, 1, 63, 64, 65, 0x80, 0x8000, 0xFFFFFFFF, 0x80000000, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1]
    + [0x8000004000000001, 0x8000004000000000, 0x8000008000000001, 0x7FFFFF4000000001, 0x20000020000001],
}
FLOATS = [
    0.0,
    2**-149,
    2**-126,
    0.5,
    1.0,
    1.5,
    2.5,
    3.5,
    8388607.5,
    2.0**23,
    2.0**31,
    2.0**32,
    2.0**53,
    2.0**63,
    2.0**64,
]
FLOATS += [3.4028234663852886e38, 2147483647.0, 4294967295.0, 0.99999994, 1e-300, 1.7976931348623157e308, 5e-324]
FLOATS += [
    4503599627370495.5,
    1 + 2**-24,
    1 + 2**-24 + 2**-52,
    3.4028235677973362e38,
    3.4028235677973366e38,
    7.0064923216240854e-46,
]
FLOATS += [9223372036854774784.0, 18446744073709549568.0, float("inf")]


def _floats(t: str) -> list[int]:
    bits = set()
    for x in FLOATS:
        for signed in (x, -x):
            if t == "f64":
                bits.add(struct.unpack("<Q", struct.pack("<d", signed))[0])
            else:
                try:
                    bits.add(struct.unpack("<I", struct.pack("<f", signed))[0])
                except OverflowError:
                    pass
    nans = [0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FC12345, 0xFFA00000] if t == "f32" else []
    nans += [0x7FF8 << 48, 0xFFF8 << 48, (0x7FF0 << 48) + 1, 0x7FFC000000012345, 0xFFF4 << 48] if t == "f64" else []
    return sorted(bits) + nans


SPECIAL["f32"] = _floats("f32")
SPECIAL["f64"] = _floats("f64")


def _vectors(params: tuple[str, ...], seed: str) -> list[tuple[int, ...]]:
    rng = random.Random(seed)

    def some(t: str) -> int:
        if t in ("i32", "i64") or rng.random() < 0.5:
            return rng.getrandbits(rng.randint(1, BITS[t]))
        x = rng.choice((-1, 1)) * rng.random() * 2.0 ** rng.randint(-30, 70)
        return (
            struct.unpack("<I", struct.pack("<f", x))[0] if t == "f32" else struct.unpack("<Q", struct.pack("<d", x))[0]
        )

    if len(params) == 1:
        return [(v,) for v in SPECIAL[params[0]]] + [(some(params[0]),) for _ in range(60)]
    t = params[0]
    pairs = [(a, b) for a in SPECIAL[t] for b in SPECIAL[t]]
    return rng.sample(pairs, min(len(pairs), 260)) + [(some(t), some(t)) for _ in range(60)]


def _wat() -> str:
    """A function for each operation that takes and returns bits, so that no NaN passes through Python."""
    int_of = {"f32": "i32", "f64": "i64"}
    lines = ["(module"]
    for row in ROWS:
        params = [str(t) for t in row.params]
        result = str(row.results[0])
        gets = " ".join(
            f"({t}.reinterpret_{int_of[t]} (local.get {i}))" if t in int_of else f"(local.get {i})"
            for i, t in enumerate(params)
        )
        body = f"({row.name} {gets})"
        if result in int_of:
            body = f"({int_of[result]}.reinterpret_{result} {body})"
        types = " ".join(int_of.get(t, t) for t in params)
        lines.append(f'(func (export "{row.ident}") (param {types}) (result {int_of.get(result, result)}) {body})')
    return "\n".join(lines) + ")"


def _is_nan(t: str, bits: int) -> bool:
    return bits & 0x7FFFFFFF > 0x7F800000 if t == "f32" else bits & (2**63 - 1) > 0x7FF << 52


EXACT = ("neg", "abs", "copysign")  # these keep a NaN's bits; elsewhere any quiet NaN will do


def _expected(row: object, call: Callable[..., int], args: tuple[int, ...], wasmtime: object) -> object:
    params = [str(t) for t in row.params]  # type: ignore[attr-defined] # an OpRow
    result = str(row.results[0])  # type: ignore[attr-defined] # an OpRow
    signed = [v - (v >> BITS[t] - 1 << BITS[t]) for t, v in zip(params, args, strict=True)]
    try:
        bits = call(*signed) & (1 << BITS[result]) - 1
    except wasmtime.Trap as e:  # type: ignore[attr-defined] # the module
        text = str(e)
        for words in ("integer divide by zero", "integer overflow", "invalid conversion to integer"):
            if words in text:
                return words
        raise
    if result[0] == "f" and _is_nan(result, bits) and not row.ident.endswith(EXACT) and "reint" not in row.ident:  # type: ignore[attr-defined] # an OpRow
        return "nan"
    return bits


REPLAY = '''
def replay(numeric, Trap, vectors):
    """The first differences between what the operations do and what the vectors say."""
    of_bits = {"i32": int, "i64": int, "f32": numeric.f32_reinterpret_i32, "f64": numeric.f64_reinterpret_i64}
    to_bits = {"i32": int, "i64": int, "f32": numeric.i32_reinterpret_f32, "f64": numeric.i64_reinterpret_f64}
    faults = []
    for ident, params, result, cases in vectors:
        op = getattr(numeric, ident)
        for args, expected in cases:
            try:
                value = op(*[of_bits[t](v) for t, v in zip(params, args)])
                assert type(value) is (float if result[0] == "f" else int), (ident, value)
                got = to_bits[result](value)
                if expected == "nan":
                    quiet = 0x7FC00000 if result == "f32" else 0x7FF8 << 48
                    got = "nan" if got & quiet == quiet else got
                    if result == "f32" and numeric.i64_reinterpret_f64(value) & 0x1FFFFFFF:
                        got = "not an f32"
            except Trap as e:
                got = str(e)
            if got != expected:
                faults.append((ident, args, expected, got))
    return faults[:20]
'''


@pytest.fixture(scope="module")
def vectors() -> list[object]:
    """(ident, parameter types, result type, [(argument bits, result bits, "nan" or trap)]) as wasmtime has it."""
    wasmtime = pytest.importorskip("wasmtime", reason="wasmtime says what is right")
    store = wasmtime.Store()
    instance = wasmtime.Instance(store, wasmtime.Module(store.engine, wasmtime.wat2wasm(_wat())), [])
    found = []
    for row in ROWS:
        export = instance.exports(store)[row.ident]
        params = tuple(str(t) for t in row.params)
        cases = [
            (args, _expected(row, lambda *a, export=export: export(store, *a), args, wasmtime))
            for args in _vectors(params, row.ident)
        ]
        found.append((row.ident, params, str(row.results[0]), cases))
    return found


def test_every_operation_agrees_with_wasmtime(vectors: list[object]) -> None:
    scope: dict[str, Callable[..., object]] = {}
    exec(REPLAY, scope)
    assert [] == scope["replay"](numeric, Trap, vectors)


def test_every_operation_agrees_with_wasmtime_on_pypy(vectors: list[object], pypy: str, root: Path) -> None:
    script = (
        f"import sys, json\nsys.path.insert(0, {str(root / 'runtime')!r})\n"
        f"from polymerase_runtime import numeric\nfrom polymerase_runtime.traps import Trap\n{REPLAY}\n"
        "print(replay(numeric, Trap, json.load(sys.stdin)))"
    )
    out = subprocess.run([pypy, "-c", script], input=json.dumps(vectors), capture_output=True, text=True, timeout=120)
    assert ("", "[]\n") == (out.stderr, out.stdout)


def test_there_is_a_function_for_every_row() -> None:
    assert [] == [row.ident for row in ROWS if not hasattr(numeric, row.ident)]
    assert len(ROWS) > 130


def test_f32_round_agrees_with_struct_on_ties_and_their_neighbours() -> None:
    rng = random.Random(1)
    for _ in range(20_000):
        x = (rng.getrandbits(25) | 1 << 24) * 2.0 ** rng.randint(-180, 105)
        for y in (x, x + x * 2**-52, x - x * 2**-52, -x):
            try:
                expected = struct.unpack("<f", struct.pack("<f", y))[0]
            except OverflowError:
                expected = y * float("inf")
            assert expected == numeric.f32_round(y), y


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="bits of a NaN in flight are CPython's own affair")
def test_f32_round_cuts_and_quiets_a_nan() -> None:
    signalling = numeric.f64_reinterpret_i64(0xFFF0000000000001)
    assert 0xFFF8000000000000 == numeric.i64_reinterpret_f64(numeric.f32_round(signalling))
