"""The benchmarks' table and figures."""

from __future__ import annotations

from typing import cast

import pytest

from tools.bench import report
from tools.bench.measure import Timing, Worker


class FakeWorker:
    version = "1.0"
    python = "CPython 3.11.7"


def workers(*names: str) -> dict[str, Worker]:
    return {name: cast(Worker, FakeWorker()) for name in names}


TIMINGS = {
    "fib": {
        "hand": Timing(n=10, shared=True, times=[1.0, 3.0, 1.0]),
        "polymerase": Timing(n=10, shared=True, times=[2.0, 2.0, 2.0]),
        "pwasm": Timing(n=1, times=[0.8]),
    },
    "sieve": {
        "hand": Timing(n=10, shared=True, times=[1.0]),
        "polymerase": Timing(n=10, shared=True, times=[8.0]),
        "pwasm": Timing(n=10, error="wrong result: run(1) = 0x1, not 0x2"),
    },
}


def test_ratio_is_of_the_medians_per_unit_of_work() -> None:
    assert 2.0 == report.ratio(TIMINGS["fib"], "polymerase", "hand")
    assert 0.25 == report.ratio(TIMINGS["fib"], "polymerase", "pwasm")


def test_ratio_to_an_engine_that_failed_is_none() -> None:
    assert report.ratio(TIMINGS["sieve"], "polymerase", "pwasm") is None


def test_geometric_mean_counts_what_there_is() -> None:
    mean = report.geometric_mean([2.0, None, 8.0])
    assert mean is not None
    assert pytest.approx(4.0) == mean[0]
    assert 2 == mean[1]
    assert report.geometric_mean([None]) is None


def test_table_shows_errors_foreign_n_and_incomplete_means() -> None:
    engines = ["hand", "polymerase", "pwasm"]
    assert "kernel hand, µs polymerase pwasm poly/pwasm" == " ".join(report.header(engines).split())
    assert "fib 100000 2.00 8.00~ 0.25" == " ".join(report.row("fib", engines, TIMINGS["fib"]).split())
    assert "sieve 100000 8.00 ERROR -" == " ".join(report.row("sieve", engines, TIMINGS["sieve"]).split())
    assert "geometric mean 4.00 8.00 of 1 0.25 of 1" == " ".join(report.means(engines, TIMINGS).split())


def test_notes_name_each_fault_once() -> None:
    text = report.notes(workers("hand", "polymerase", "pwasm"), TIMINGS, 3)
    assert ["ERROR: pwasm on sieve: wrong result: run(1) = 0x1, not 0x2"] == [
        line for line in text.splitlines() if line.startswith("ERROR")
    ]


def test_json_has_ratios_and_means() -> None:
    data = report.as_json(workers("hand", "polymerase", "pwasm"), TIMINGS)
    assert 2.0 == data["kernels"]["fib"]["polymerase"]["ratio"]
    assert {"ratio": pytest.approx(4.0), "kernels": 2} == data["geometric_mean"]["polymerase"]
