"""Build the examples: `python examples/build.py [NAME…]`. Needs `pip install ziglang==0.17.1`; nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tools.guests.build import without_debug, zig  # noqa: E402  # from this checkout, wherever it is run

# A library: no C library, no entry point, exports marked in the source. A command: WASI.
LIBRARY = ("-target", "wasm32-freestanding", "-nostdlib", "-Wl,--no-entry")
COMMAND = ("-target", "wasm32-wasi")

EXAMPLES = {
    "fib": LIBRARY,
    "host": (*LIBRARY, "-Wl,--export-memory"),
    "life": (*LIBRARY, "-Wl,--export-memory"),
    "wordcount": COMMAND,
    "mandelbrot": COMMAND,
    "sha256sum": COMMAND,
    "forth": COMMAND,
}


def build(name: str, out: Path) -> None:
    """Compile `NAME.c` to the file `out`."""
    # Run in this folder, with relative names: the same bytes on every machine.
    subprocess.run([*zig(), "cc", *EXAMPLES[name], "-O2", f"{name}.c", "-o", str(out)], cwd=HERE, check=True)
    out.write_bytes(without_debug(out.read_bytes()))  # the name section stays: functions are called by their names


if __name__ == "__main__":
    for name in sys.argv[1:] or EXAMPLES:
        build(name, HERE / f"{name}.wasm")
        print(f"{name}.wasm: {(HERE / f'{name}.wasm').stat().st_size:,} bytes")
