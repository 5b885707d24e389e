"""How long decoding and validating take, compared with what pywasm takes to parse the same module.

    python -m tools.measure_frontend prog.wasm [--size MB] [--runs N]

The module is first grown to `--size` by repeating its functions, so that any real program will do as a seed. Times are
CPU seconds, medians of runs that alternate between the two.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from polymerase.wasm.decode import decode
from polymerase.wasm.validate import validate


def leb(n: int) -> bytes:
    """An unsigned LEB128."""
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def grow(data: bytes, size: int) -> bytes:
    """The module with its functions repeated until it has about `size` bytes; custom sections go."""
    module = decode(data)
    codes = next(s for s in module.sections if s.name == "code")
    times = max(1, (size - len(data)) // (codes.end - codes.start) + 1)
    types = b"".join(leb(t) for t in module.func_types[module.imported_funcs :])
    bodies = data[module.codes[0].at : codes.end]
    count = leb(len(module.codes) * times)
    payloads = {"function": count + types * times, "code": count + bodies * times}
    out = bytearray(data[:8])
    for section in module.sections:
        if section.id:
            payload = payloads.get(section.name, data[section.start : section.end])
            out += bytes([section.id]) + leb(len(payload)) + payload
    return bytes(out)


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU time of one run; its result is thrown away before the clock stops."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    import pywasm

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wasm", type=Path, help="the module to start from")
    parser.add_argument("--size", type=float, default=14, help="grow it to this many MB (default 14)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default 3)")
    args = parser.parse_args()
    data = grow(args.wasm.read_bytes(), int(args.size * 1e6))
    ours, theirs = [], []
    for _ in range(args.runs):
        ours.append(cpu_seconds(lambda: validate(decode(data))))
        theirs.append(cpu_seconds(lambda: pywasm.core.ModuleDesc.from_reader(io.BytesIO(data))))
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"{len(data) / 1e6:.1f} MB, {len(decode(data).codes)} functions")
    print(f"decode and validate {a:.2f} s, pywasm's parser {b:.2f} s: {a / b:.2f} times its time")


if __name__ == "__main__":
    main()
