"""The runner of the official WASI suite: what it makes of outcomes, and the suite itself under wasmtime."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

if sys.version_info < (3, 11):  # noqa: UP036 - the runtime's tests run on older ones, too
    pytest.skip("the runner is for the Pythons that the compiler runs on", allow_module_level=True)

from spec import wasi


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Two modules, one with options and a folder."""
    folder = tmp_path / "suite" / "c"
    (folder / "fs.dir").mkdir(parents=True)
    (folder / "fs.dir" / "kept").write_bytes(b"")
    (folder / "fs.dir" / "old.cleanup").write_bytes(b"")
    (folder / "plain.wasm").write_bytes(b"")
    (folder / "given.wasm").write_bytes(b"")
    options = {"args": ["a"], "env": {"k": "v"}, "root": "fs.dir", "exit_code": 3, "stdout": "out"}
    (folder / "given.json").write_text(json.dumps(options))
    (folder / "manifest.json").write_text("{}")
    return tmp_path / "suite"


def test_modules_are_found_with_their_options(suite: Path) -> None:
    given, plain = wasi.find_cases(suite)
    assert ("c/given", ("a",), {"k": "v"}, 3, "out") == (
        given.name,
        given.args,
        given.env,
        given.exit_code,
        given.stdout,
    )
    assert ("c/plain", (), {}, None, 0, None) == (plain.name, plain.args, plain.env, plain.root, 0, plain.stdout)
    assert [plain] == wasi.find_cases(suite, ["plain"]) == wasi.find_cases(suite, ["c/plain"])
    assert [given, plain] == wasi.find_cases(suite, ["c"])
    with pytest.raises(LookupError, match="'d'"):
        wasi.find_cases(suite, ["d"])


def test_each_module_gets_a_copy_of_its_folder(suite: Path) -> None:
    seen = []

    def engine(case: wasi.Case, root: Path | None) -> wasi.Outcome:
        seen.append(None if root is None else sorted(os.listdir(root)))
        if root is not None:
            (root / "kept").unlink()
        return wasi.Outcome(case.exit_code, b"out")

    results = wasi.run_cases(wasi.find_cases(suite), engine, {})
    assert [["kept"], None] == seen
    assert ["passed", "passed"] == [result.status for result in results]
    assert (suite / "c" / "fs.dir" / "kept").exists()


def test_what_fails_and_what_is_listed(suite: Path) -> None:
    cases = wasi.find_cases(suite)

    def verdicts(outcome: wasi.Outcome, expected: dict[str, str]) -> list[str]:
        return [result.status for result in wasi.run_cases(cases, lambda case, root: outcome, expected)]

    assert ["passed", "failed"] == verdicts(wasi.Outcome(3, b"out"), {})
    assert ["failed", "passed"] == verdicts(wasi.Outcome(0, b"out"), {})
    assert ["failed", "failed"] == verdicts(wasi.Outcome(3, b"other"), {})
    assert ["failed", "failed"] == verdicts(wasi.Outcome(3, b"out", fault="trap"), {})
    assert ["failed", "skipped"] == verdicts(wasi.Outcome(3, b"out"), {"c/given": "why", "c/plain": "why"})


def test_the_list_gives_a_reason_for_each_module() -> None:
    for name, reason in wasi.read_expected().items():
        assert name.count("/") == 1
        assert reason


@pytest.mark.slow
@pytest.mark.skipif(wasi.VARIABLE not in os.environ, reason=f"{wasi.VARIABLE} does not name the suite's folder")
def test_our_functions_pass_the_suite_under_wasmtime() -> None:
    pytest.importorskip("wasmtime", reason="runs the suite's modules")
    results = wasi.run_cases(wasi.find_cases(wasi.suite_folder()), wasi.wasmtime_engine(), wasi.read_expected())
    assert [] == [(result.name, result.reason) for result in results if result.status == "failed"]
    assert 72 == len(results)
