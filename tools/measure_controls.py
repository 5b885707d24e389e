"""What an embedder's controls cost compiled code: `python -m tools.measure_controls [KERNEL…]`.

The bench's kernels, compiled with and without each control, run in turns in one process; the figure is the least CPU
time of each over that of the plain code, and their geometric mean.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

from polymerase import Limits, Module
from tools.bench.kernels import KERNELS, build

ROUNDS = 9
SECONDS = 0.1  # of a run of the plain code

VARIANTS = {
    "plain": Limits(interruptible=False),
    "fuel": Limits(fuel=1 << 60),
    "polls": Limits(),
    "depth": Limits(call_depth=50_000, interruptible=False),
    "deterministic": Limits(deterministic=True, interruptible=False),
}


def cpu(run: Callable[[int], int], n: int) -> float:
    """CPU seconds of `run(n)`."""
    start = time.process_time()
    run(n)
    return time.process_time() - start


def measure(kernel: str) -> dict[str, float]:
    """Time of each variant over that of the plain code."""
    module = Module(build(kernel).read_bytes(), kernel)
    runs = {name: module.instantiate(limits=limits).exports.run for name, limits in VARIANTS.items()}
    n, seconds = 1, cpu(runs["plain"], 1)
    while seconds < SECONDS / 2:
        n = math.ceil(n * min(64, SECONDS / max(seconds, SECONDS / 64)))
        seconds = cpu(runs["plain"], n)
    for run in runs.values():
        run(n)
    best = dict.fromkeys(runs, math.inf)
    for _ in range(ROUNDS):
        for name, run in runs.items():
            best[name] = min(best[name], cpu(run, n))
    return {name: seconds / best["plain"] for name, seconds in best.items()}


def main() -> None:
    names = list(VARIANTS)[1:]
    print(f"{'':12}" + "".join(f"{name:>15}" for name in names))
    rows = {}
    for kernel in sys.argv[1:] or KERNELS:
        rows[kernel] = measure(kernel)
        print(f"{kernel:12}" + "".join(f"{rows[kernel][name]:15.2f}" for name in names), flush=True)
    means = [math.exp(sum(math.log(row[name]) for row in rows.values()) / len(rows)) for name in names]
    print(f"{'mean':12}" + "".join(f"{mean:15.3f}" for mean in means))


if __name__ == "__main__":
    main()
