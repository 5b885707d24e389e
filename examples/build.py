"""Build the examples: `python examples/build.py [NAME…]`. Needs `pip install ziglang==0.17.1`; nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# A library: no C library, no entry point, exports marked in the source. A command: WASI.
LIBRARY = ("-target", "wasm32-freestanding", "-nostdlib", "-Wl,--no-entry")
COMMAND = ("-target", "wasm32-wasi")
COMMON = ("-O2", "-Wl,--strip-debug")  # names stay: polymerase names its functions by them

EXAMPLES = {
    "fib": LIBRARY,
    "host": (*LIBRARY, "-Wl,--export-memory"),
    "wordcount": COMMAND,
    "mandelbrot": COMMAND,
    "sha256sum": COMMAND,
    "forth": COMMAND,
}


def build(name: str, out: Path) -> None:
    """Compile `NAME.c` to the file `out`."""
    zig = [sys.executable, "-m", "ziglang", "cc"]
    # Run in this folder, with relative names: the same bytes on every machine.
    subprocess.run([*zig, *EXAMPLES[name], *COMMON, f"{name}.c", "-o", str(out)], cwd=HERE, check=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or EXAMPLES:
        build(name, HERE / f"{name}.wasm")
        print(f"{name}.wasm: {(HERE / f'{name}.wasm').stat().st_size:,} bytes")
