"""`python -m spec`: the official suite, or with --wasi the WASI suite, on one of our engines."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from spec.engines import ENGINES, Settings
from spec.runner import (
    SUPPORT,
    Report,
    SuiteError,
    find_scripts,
    promises,
    read_support,
    run,
    suite_folder,
    updated_support,
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", nargs=-1)
@click.option("--engine", type=click.Choice(sorted(ENGINES)), default="aot", show_default=True)
@click.option("-O", "opt_level", type=click.IntRange(0, 2), default=2, show_default=True, help="Optimisation level.")
@click.option("--python", help="Run the compiled code under this Python (a path or a command such as pypy3).")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write every verdict here.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds for one script.")
@click.option("--wasi", is_flag=True, help="Run the WASI suite instead.")
@click.option("--update", is_flag=True, help="Record in support.md how many commands of its scripts pass.")
@click.option("-v", "--verbose", is_flag=True, help="Show each script, and each command that fails in a listed one.")
def main(
    paths: tuple[str, ...],
    engine: str,
    opt_level: int,
    python: str | None,
    json_file: Path | None,
    timeout: float,
    wasi: bool,
    update: bool,
    verbose: bool,
) -> None:
    """Run the scripts (or all in the folders) PATHS, which may be relative to the suite; default: all of core/.

    The suite is looked for where POLYMERASE_SPEC_TESTS says.
    """
    if wasi:
        from spec.wasi import run_wasi

        sys.exit(run_wasi(paths, engine=engine, python=python, json_file=json_file, opt_level=opt_level))
    try:
        suite = suite_folder()
        scripts = find_scripts(suite, paths)
    except SuiteError as error:
        raise click.ClickException(str(error)) from error
    text = SUPPORT.read_text("utf-8")
    support = promises(read_support(text), ENGINES[engine].promise)
    reports = []
    with ENGINES[engine].open(Settings(engine, opt_level, python, timeout)) as make_session:
        for report in run(suite, scripts, support, make_session):
            reports.append(report)
            show(report, verbose)
    if update:
        SUPPORT.write_text(updated_support(text, {report.script: report for report in reports}), "utf-8")
    if json_file is not None:
        head = {"engine": engine, "opt_level": opt_level, "python": python, "totals": totals(reports)}
        scripts_json = [report.as_json() for report in reports]
        json_file.write_text(json.dumps({**head, "scripts": scripts_json}, indent=1) + "\n", "utf-8")
    commands = {status: sum(report.count(status) for report in reports) for status in ("passed", "failed", "text")}
    click.echo(
        f"commands: {commands['passed']} passed, {commands['failed']} failed (of these "
        f"{sum(report.count('failed') for report in reports if report.status == 'skipped')} in listed scripts), "
        f"{commands['text']} about the text format only"
    )
    counts = totals(reports)
    click.echo(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(1 if counts["failed"] else 0)


def totals(reports: list[Report]) -> dict[str, int]:
    """Scripts by status."""
    return {status: sum(r.status == status for r in reports) for status in ("passed", "failed", "skipped")}


def show(report: Report, verbose: bool) -> None:
    """Prints a script's line, and its failures where they matter."""
    if verbose or report.status == "failed":
        why = f": {report.reason}" if report.reason else ""
        click.echo(f"{report.status} {report.script} ({report.seconds:.1f} s){why}")
    if report.status == "failed" or verbose:
        for verdict in report.failures[:10]:
            click.echo(f"  {report.script}:{verdict.line}: {verdict.command}: {verdict.detail}")
        if len(report.failures) > 10:
            click.echo(f"  … and {len(report.failures) - 10} more")


if __name__ == "__main__":
    main()
