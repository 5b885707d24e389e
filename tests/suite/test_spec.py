"""The official test suite, one test a script and way of running it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spec.engines import ENGINES, Settings
from spec.plan import Session
from spec.runner import SUPPORT, SuiteError, find_scripts, read_support, run_script, suite_folder

try:
    SUITE = suite_folder(os.environ)
    SCRIPTS = find_scripts(SUITE)
except SuiteError as error:
    pytest.skip(str(error), allow_module_level=True)

LISTED = read_support(SUPPORT.read_text("utf-8"))
PROMISED = [script for script in LISTED if Path(script).parent.as_posix() in ("core", "core/bulk-memory")]


@pytest.fixture(scope="module", params=["O0", "O2", "interp", "mixed", "pypy"])
def make_session(request: pytest.FixtureRequest) -> Iterator[Callable[[], Session]]:
    """Sessions of our engines: in this process without and with the optimiser, interpreted, and with every second
    function interpreted, and packages run by PyPy."""
    python = request.getfixturevalue("pypy") if request.param == "pypy" else None
    engine = request.param if request.param in ENGINES else "aot"
    with ENGINES[engine].open(Settings(engine, 0 if request.param == "O0" else 2, python, 120.0)) as make:
        yield make


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_script(script: str, make_session: Callable[[], Session]) -> None:
    report = run_script(SUITE, script, LISTED.get(script), make_session)
    if report.status == "skipped":
        pytest.skip(report.reason)
    lines = [f"{script}:{v.line}: {v.command}: {v.detail}" for v in report.failures]
    assert "passed" == report.status, "\n".join([report.reason, *lines[:20]])


def test_every_listed_script_exists() -> None:
    assert sorted(set(LISTED) - set(SCRIPTS)) == []


def test_no_script_is_listed_that_needs_nothing_later() -> None:
    """By the word of wasmtime with SIMD and the proposals after 2.0 switched off, in the folders that we promise."""
    pytest.importorskip("wasmtime", reason="wasmtime is the oracle")
    with ENGINES["wasmtime-2.0"].open(Settings("wasmtime-2.0", 2, None, 120.0)) as make_oracle:
        reports = [run_script(SUITE, script, LISTED[script], make_oracle) for script in sorted(PROMISED)]
    assert [report.script for report in reports if not report.failures and report.reason.startswith("listed")] == []
