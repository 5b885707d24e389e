"""The runner: planning, counting, and holding a script against what support.md promises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from spec import runner
from spec.execute import Execution, Outcome, Step
from spec.plan import Rejected
from spec.runner import Listed, Report, SuiteError


class FakeSession:
    """An engine that takes modules by their last byte: b"m" malformed, b"i" invalid, b"u" unsupported."""

    kinds = {b"m": "malformed", b"i": "invalid", b"u": "unsupported"}

    def __init__(self) -> None:
        self.count = 0

    def check(self, data: bytes) -> None:
        if data[-1:] in self.kinds:
            raise Rejected(self.kinds[data[-1:]], "bad byte")

    def compile(self, data: bytes) -> int:
        self.check(data)
        self.count += 1
        return self.count - 1

    def run(self, steps: Sequence[Step]) -> list[Outcome]:
        instance = SimpleNamespace(exports={"one": lambda: 1})
        return Execution([lambda imports: instance] * self.count, {}).run(steps)

    def close(self) -> None:
        pass


GOOD = '(module binary "g") (assert_return (invoke "one") (i32.const 1))'


def report(tmp_path: Path, text: str, listed: Listed | None = None) -> Report:
    """What the runner makes of a script."""
    (tmp_path / "s.wast").write_text(text)
    return runner.run_script(tmp_path, "s.wast", listed, FakeSession)


def test_a_script_passes_when_each_command_does(tmp_path: Path) -> None:
    got = report(tmp_path, GOOD)
    assert ("passed", 2, 0) == (got.status, got.count("passed"), got.count("failed"))


def test_one_failing_command_fails_an_unlisted_script(tmp_path: Path) -> None:
    got = report(tmp_path, GOOD + '\n(assert_return (invoke "one") (i32.const 2))')
    assert ("failed", "1 of 3 commands failed") == (got.status, got.reason)
    assert [(2, "gave 1")] == [(v.line, v.detail) for v in got.failures]


def test_a_listed_script_is_skipped_while_it_keeps_its_number(tmp_path: Path) -> None:
    text = GOOD + '(module binary "u")'
    assert ("skipped", "gc") == (report(tmp_path, text, Listed("gc", 2)).status, "gc")
    worse = report(tmp_path, text, Listed("gc", 3))
    assert ("failed", "2 commands pass, support.md promises 3") == (worse.status, worse.reason)


def test_a_listed_script_that_passes_whole_fails(tmp_path: Path) -> None:
    got = report(tmp_path, GOOD, Listed("gc", 1))
    assert ("failed", "listed in support.md but passes") == (got.status, got.reason)


@pytest.mark.parametrize(
    ("status", "command"),
    [
        ("passed", '(assert_malformed (module binary "m") "bad")'),
        ("passed", '(assert_invalid (module binary "i") "bad")'),
        ("failed", '(assert_invalid (module binary "m") "bad")'),
        ("failed", '(assert_malformed (module binary "i") "bad")'),
        ("failed", '(assert_malformed (module binary "g") "bad")'),
        ("failed", '(assert_invalid (module binary "u") "bad")'),
    ],
)
def test_malformed_is_not_invalid(tmp_path: Path, status: str, command: str) -> None:
    assert [status] == [verdict.status for verdict in report(tmp_path, command).verdicts]


def test_faults_in_the_text_are_nobodys_merit(tmp_path: Path) -> None:
    pytest.importorskip("wasmtime", reason="wasmtime assembles")
    got = report(tmp_path, '(assert_malformed (module quote "(func") "unexpected token")')
    assert ("skipped", 0, 1) == (got.status, got.count("passed"), got.count("text"))


def test_a_fault_in_other_words_than_the_suites_fails(tmp_path: Path) -> None:
    got = report(tmp_path, '(assert_malformed (module binary "m") "length out of bounds")')
    assert ["in other words: malformed: bad byte"] == [v.detail for v in got.failures]


def test_an_unreadable_script_fails(tmp_path: Path) -> None:
    assert "failed" == report(tmp_path, "(frobnicate)").status


def test_rows_of_the_table_are_read_and_rewritten() -> None:
    text = "# Title\n\n| `core/a.wast` | gc, tags | 3 of 10 |\n| `core/b.wast` | simd | 0 of 1 |\n"
    assert {"core/a.wast": Listed("gc, tags", 3), "core/b.wast": Listed("simd", 0)} == runner.read_support(text)
    reports = {"core/b.wast": Report("core/b.wast", "skipped")}
    assert text.replace("0 of 1", "0 of 0") == runner.updated_support(text, reports)


def test_what_holds_for_an_engine() -> None:
    support = {"core/a.wast": Listed("gc", 3)}
    assert support == runner.promises(support, "numbers")
    assert {"core/a.wast": Listed("gc", 0)} == runner.promises(support, "names")
    assert {} == runner.promises(support, "nothing")


def test_the_committed_table_is_sorted_and_read_whole() -> None:
    text = runner.SUPPORT.read_text("utf-8")
    scripts = list(runner.read_support(text))
    assert text.count("\n| `") == len(scripts)
    assert [script for script in scripts if not script.endswith(".wast")] == []


def test_the_suite_is_where_the_environment_says(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="git clone https://github.com/WebAssembly/spec"):
        runner.suite_folder({})
    with pytest.raises(SuiteError, match="no core/ in"):
        runner.suite_folder({runner.VARIABLE: str(tmp_path)})
    (tmp_path / "test" / "core" / "gc").mkdir(parents=True)
    assert tmp_path / "test" == runner.suite_folder({runner.VARIABLE: str(tmp_path)})
    (tmp_path / "test" / "core" / "b.wast").touch()
    (tmp_path / "test" / "core" / "gc" / "a.wast").touch()
    suite = tmp_path / "test"
    assert ["core/b.wast", "core/gc/a.wast"] == runner.find_scripts(suite)
    assert ["core/gc/a.wast"] == runner.find_scripts(suite, ("gc", "core/gc/a.wast"))
    with pytest.raises(SuiteError, match="no such script"):
        runner.find_scripts(suite, ("core/c.wast",))
