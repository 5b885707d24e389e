"""Runs scripts of the official suite and holds the outcome against what `support.md` promises.

A script passes when each of its commands does. One that `support.md` lists is counted as skipped: its commands run all
the same, and it fails when fewer of them pass than the list says, or all of them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spec import wast
from spec.plan import Plan, Session, Verdict, make_plan

SUPPORT = Path(__file__).with_name("support.md")
VARIABLE = "POLYMERASE_SPEC_TESTS"
HOW_TO_GET = f"""the official test suite is not here: set {VARIABLE} to its folder, the one that holds core/, as in
    git clone https://github.com/WebAssembly/spec && git -C spec checkout 285a90329
    export {VARIABLE}=$PWD/spec/test"""


class SuiteError(Exception):
    """The suite, or a script in it, cannot be found or read."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of support.md: why a script does not pass whole, and how many of its commands do at least."""

    reason: str
    passing: int


@dataclass(slots=True)
class Report:
    """What became of a script. `status`: "passed", "failed" or "skipped"; `reason` says why unless it passed."""

    script: str
    status: str = "passed"
    reason: str = ""
    verdicts: list[Verdict] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, status: str) -> int:
        """How many commands have that status."""
        return sum(verdict.status == status for verdict in self.verdicts)

    @property
    def failures(self) -> list[Verdict]:
        """The commands that failed."""
        return [verdict for verdict in self.verdicts if verdict.status == "failed"]

    def as_json(self) -> dict[str, Any]:
        """The report as data."""
        return {
            "script": self.script,
            "status": self.status,
            "reason": self.reason,
            "passed": self.count("passed"),
            "failed": self.count("failed"),
            "text": self.count("text"),
            "seconds": round(self.seconds, 3),
            "failures": [{"line": v.line, "command": v.command, "got": v.detail} for v in self.failures],
        }


def suite_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that holds core/. Raises SuiteError that says how to get it."""
    if not environment.get(VARIABLE):
        raise SuiteError(HOW_TO_GET)
    folder = Path(environment[VARIABLE])
    for candidate in (folder, folder / "test"):
        if (candidate / "core").is_dir():
            return candidate
    raise SuiteError(f"no core/ in {folder}\n{HOW_TO_GET}")


def find_scripts(suite: Path, names: tuple[str, ...] = ()) -> list[str]:
    """Scripts as paths relative to the suite, sorted; `names` are scripts or folders, in the suite or anywhere."""
    found: set[str] = set()
    for name in names or ("core",):
        path = next((p for p in (suite / name, suite / "core" / name, Path(name)) if p.exists()), None)
        if path is None:
            raise SuiteError(f"no such script or folder: {name}")
        for script in sorted(path.rglob("*.wast")) if path.is_dir() else [path]:
            inside = script.resolve().is_relative_to(suite.resolve())
            found.add(script.resolve().relative_to(suite.resolve()).as_posix() if inside else str(script))
    return sorted(found)


ROW = re.compile(r"^\| `([^`]+\.wast)` *\| ([^|]+?) *\| *(\d+) of (\d+) *\|$")


def read_support(text: str) -> dict[str, Listed]:
    """The table of support.md by script."""
    rows = (ROW.match(line) for line in text.splitlines())
    return {m[1]: Listed(m[2], int(m[3])) for m in rows if m}


def promises(support: Mapping[str, Listed], promise: str) -> dict[str, Listed]:
    """What of support.md holds for an engine (see `spec.engines.Engine`)."""
    if promise == "nothing":
        return {}
    return {script: listed if promise == "numbers" else Listed(listed.reason, 0) for script, listed in support.items()}


def run_script(suite: Path, script: str, listed: Listed | None, make_session: Callable[[], Session]) -> Report:
    """Runs one script and judges it."""
    report = Report(script)
    began = time.perf_counter()
    plan = Plan([])
    try:
        plan.commands = wast.read((suite / script).read_bytes())
        session = make_session()
        try:
            plan = make_plan(plan.commands, session)
            outcomes = session.run(plan.steps)
        finally:
            session.close()
        for i, (passed, detail) in zip(plan.stepped, outcomes, strict=True):
            command = plan.commands[i]
            plan.verdicts[i] = Verdict(command.line, wast.describe(command), "passed" if passed else "failed", detail)
    except wast.ScriptError as error:
        report.status, report.reason = "failed", f"cannot be read: {error}"
    except TimeoutError:
        report.status, report.reason = "failed", "timeout"
    except EOFError as error:
        report.status, report.reason = "failed", str(error)
    report.verdicts = [plan.verdicts[i] for i in sorted(plan.verdicts)]
    report.seconds = time.perf_counter() - began
    hold_to_promise(report, listed)
    return report


def hold_to_promise(report: Report, listed: Listed | None) -> None:
    """Sets the status of a report that has its verdicts."""
    passed, failed = report.count("passed"), report.count("failed")
    whole = report.status == "passed" and not failed
    if whole and not passed:
        report.status, report.reason = "skipped", "tests only the text format"
    elif listed is None:
        if not whole:
            report.status = "failed"
            report.reason = report.reason or f"{failed} of {passed + failed} commands failed"
    elif whole:
        report.status, report.reason = "failed", "listed in support.md but passes"
    elif passed < listed.passing:
        why = f" ({report.reason})" if report.reason else ""
        report.status = "failed"
        report.reason = f"{passed} commands pass, support.md promises {listed.passing}{why}"
    else:
        report.status, report.reason = "skipped", listed.reason


def updated_support(text: str, reports: Mapping[str, Report]) -> str:
    """support.md with the numbers of a run; scripts that were not run keep theirs, those that pass lose their row."""
    lines = []
    for line in text.splitlines():
        m = ROW.match(line)
        report = reports.get(m[1]) if m else None
        if m and report:
            passed, failed = report.count("passed"), report.count("failed")
            if passed and not failed and "listed" in report.reason:
                continue
            line = f"| `{m[1]}` | {m[2]} | {passed} of {passed + failed} |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def run(
    suite: Path, scripts: list[str], support: Mapping[str, Listed], make_session: Callable[[], Session]
) -> Iterator[Report]:
    """Runs scripts one after the other."""
    for script in scripts:
        yield run_script(suite, script, support.get(script), make_session)
