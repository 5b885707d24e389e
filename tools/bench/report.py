"""The table of ratios, and the same as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from tools.bench.measure import SECONDS, Timing, Worker

Timings = Mapping[str, Mapping[str, Timing]]  # by kernel, then engine


def ratio(timings: Mapping[str, Timing], engine: str, to: str) -> float | None:
    if engine not in timings or to not in timings:
        return None
    a, b = timings[engine].unit, timings[to].unit
    return a / b if a is not None and b else None


def geometric_mean(ratios: Iterable[float | None]) -> tuple[float, int] | None:
    """The mean of those that exist, and how many they are."""
    logs = [math.log(r) for r in ratios if r is not None]
    return (math.exp(sum(logs) / len(logs)), len(logs)) if logs else None


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return (
        f"{value:.0f}"
        if value >= 100
        else f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"
    )


def comparisons(engines: Iterable[str]) -> list[tuple[str, str, str]]:
    """Columns: title, engine, compared to."""
    columns = [(name, name, "hand") for name in engines if name != "hand"]
    if {"polymerase", "pwasm"} <= set(engines):
        columns.append(("poly/pwasm", "polymerase", "pwasm"))
    columns += [(f"{name}/interp", name, "interp") for name in engines if "interp" in engines and name[0] == "p"]
    return columns


def header(engines: list[str]) -> str:
    """The table's first line."""
    return _line("kernel", "hand, µs", *(f"{title} " for title, _, _ in comparisons(engines)))


def row(kernel: str, engines: list[str], timings: Mapping[str, Timing]) -> str:
    """A kernel's line: CPU time as a multiple of the hand-written loop's."""
    hand = timings["hand"].unit
    cells = []
    for _, engine, to in comparisons(engines):
        text = "ERROR" if timings[engine].error else number(ratio(timings, engine, to))
        own = to == "hand" and timings[engine].times and not timings[engine].shared
        cells.append(text + ("~" if own else " "))
    return _line(kernel, "ERROR" if hand is None else number(hand * 1e6), *cells)


def means(engines: list[str], timings: Timings) -> str:
    """The table's last line: geometric means; of how many kernels, if not of all."""
    cells = []
    for _, engine, to in comparisons(engines):
        mean = geometric_mean(ratio(row, engine, to) for row in timings.values())
        missing = mean is not None and mean[1] < len(timings)
        cells.append("- " if mean is None else f"{number(mean[0])}{f' of {mean[1]}' if missing else ''} ")
    return _line("geometric mean", "", *cells)


def _line(kernel: str, hand: str, *cells: str) -> str:
    return f"{kernel:14} {hand:>9}" + "".join(f" {cell:>12}" for cell in cells)


def notes(workers: Mapping[str, Worker], timings: Timings, rounds: int) -> str:
    """What ran where and how, and what went wrong."""
    lines = [f"CPU time as a multiple of the hand-written loop's, median of {rounds} interleaved rounds, warmed up."]
    if any(not t.shared and t.times for row in timings.values() for t in row.values()):
        lines.append(f"~: not the same n as by hand, but one that takes {SECONDS} s; time divided by n.")
    for name, worker in workers.items():
        warm = max((row[name].warm_up for row in timings.values()), default=0.0)
        lines.append(
            f"{name}: {worker.version + ' ' if worker.version else ''}on {worker.python}, warm-up at most {warm:.1f} s"
        )
    faults: dict[tuple[str, str], list[str]] = {}
    for kernel, row in timings.items():
        for name, timing in row.items():
            if timing.error:
                faults.setdefault((name, timing.error), []).append(kernel)
    lines += [f"ERROR: {name} on {', '.join(on)}: {error}" for (name, error), on in faults.items()]
    return "\n".join(lines)


def as_json(workers: Mapping[str, Worker], timings: Timings) -> dict[str, Any]:
    """Seconds are CPU seconds; `ratio` is to the hand-written loop."""
    return {
        "engines": {name: {"version": w.version, "python": w.python} for name, w in workers.items()},
        "kernels": {
            kernel: {
                name: {
                    "n": t.n,
                    "same_n": t.shared,
                    "seconds": t.times,
                    "seconds_per_unit": t.unit,
                    "warm_up_seconds": t.warm_up,
                    "ratio": ratio(row, name, "hand"),
                    "error": t.error or None,
                }
                for name, t in row.items()
            }
            for kernel, row in timings.items()
        },
        "geometric_mean": {
            title: mean and {"ratio": mean[0], "kernels": mean[1]}
            for title, engine, to in comparisons(list(workers))
            for mean in [geometric_mean(ratio(row, engine, to) for row in timings.values())]
        },
    }
