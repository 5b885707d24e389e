"""The kernels: their names, and their C sources built with zig."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parent / "kernels"
BUILD = Path(__file__).parents[2] / "build" / "bench"

KERNELS = (
    "fib",
    "sieve",
    "sha256",
    "crc32",
    "matmul_i32",
    "matmul_f64",
    "nbody",
    "mandelbrot",
    "quicksort",
    "bytecode",
    "search",
    "lists",
    "state",
    "filter_f32",
    "hash64",
    "indirect",
)

# a plain -O2 build, as most modules in the world; names are kept, for readable generated code
FLAGS = ("-target", "wasm32-freestanding", "-O2", "-nostdlib", "-Wl,--no-entry,--export=run,--strip-debug")


def by_hand(kernel: str) -> Path:
    return SOURCES / f"{kernel}.py"


def build(kernel: str) -> Path:
    """The kernel's module, built unless it is newer than its source and this file."""
    source, wasm = SOURCES / f"{kernel}.c", BUILD / f"{kernel}.wasm"
    if not wasm.exists() or wasm.stat().st_mtime < max(source.stat().st_mtime, Path(__file__).stat().st_mtime):
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "ziglang", "cc", *FLAGS, "-o", wasm, source], check=True)
    return wasm
