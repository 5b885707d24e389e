"""`python -m tools.guests build|run|check [NAME…]`.

build   fetch and build the guests (all, or those named) into --out
run     run one guest: `run quickjs < file.js`, `run --aot zstd compress 3 < file`
check   build, run under wasmtime and as compiled Python, compare; exit code 1 on any difference
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from tools.guests.build import Missing
from tools.guests.build import build as build_guest
from tools.guests.recipes import GUESTS, Guest

OUT = Path("build", "guests")
NAMES = [g.name for g in GUESTS]
OPTIONAL = {g.name for g in GUESTS if g.sdist is None}  # skipped, and said so, where their compiler is missing

out_option = click.option(
    "--out", type=click.Path(path_type=Path), default=OUT, show_default=True, help="Cache folder."
)


def _chosen(names: tuple[str, ...]) -> list[Guest]:
    return [g for g in GUESTS if not names or g.name in names]


def _built(guests: list[Guest], out: Path) -> tuple[dict[str, Path], bool]:
    """The files of those that can be built here, and whether no required one is missing."""
    files: dict[str, Path] = {}
    good = True
    for guest in guests:
        try:
            wasm, new = build_guest(guest, out)
        except (Missing, RuntimeError) as e:
            skip = isinstance(e, Missing) and guest.name in OPTIONAL
            good = good and skip
            print(f"{guest.name}: {'skipped' if skip else 'FAILED'}: {e}", flush=True)
            continue
        files[guest.name] = wasm
        print(f"{guest.name}: {wasm} {wasm.stat().st_size:,} bytes{'' if new else ', built before'}", flush=True)
    return files, good


@click.group(help=__doc__)
def main() -> None:
    """Real programs, built and compared."""


@main.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@out_option
def build(names: tuple[str, ...], out: Path) -> None:
    """Fetch and build guests."""
    _, good = _built(_chosen(names), out)
    sys.exit(not good)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", type=click.Choice(NAMES))
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option("--aot", is_flag=True, help="Run compiled by polymerase instead of under wasmtime.")
@out_option
def run(name: str, args: tuple[str, ...], aot: bool, out: Path) -> None:
    """Run one guest on standard input."""
    from tools.guests.check import polymerase, under_wasmtime

    (guest,) = _chosen((name,))
    try:
        wasm, _ = build_guest(guest, out)
    except (Missing, RuntimeError) as e:
        raise click.ClickException(f"{name}: {e}") from e
    if aot:
        command = polymerase(sys.executable, "run", "--aot", str(wasm), *args)
        os.execv(command[0], command)
    done = under_wasmtime(wasm, args, sys.stdin.buffer.read())
    sys.stdout.buffer.write(done.stdout)
    sys.stderr.write(done.error)
    sys.exit(done.code)


def _pythons(given: tuple[str, ...]) -> list[str]:
    """Interpreters to run packages with: those asked for, or this one and PyPy if there is one."""
    found: list[str] = []
    for python in given or (sys.executable, os.environ.get("POLYMERASE_PYPY", "pypy3")):
        path = shutil.which(python)
        if path is not None:
            found.append(path)
        elif given:
            raise click.UsageError(f"no such Python: {python}")
        else:
            print(f"{python}: not found, so not checked with it")
    return found


@main.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--python", "pythons", multiple=True, help="Interpreter for the packages.  [default: this one and pypy3]")
@click.option("--run", "in_memory", is_flag=True, help="Check `polymerase run --aot` on this Python, too.")
@click.option("--no-package", is_flag=True, help="Check no compiled packages (with --run).")
@click.option("--size", default=1_000_000, show_default=True, help="Bytes of test data to compress.")
@click.option("--timeout", default=1800.0, show_default=True, help="Seconds a single run may take.")
@click.option("-O", "level", default=None, help="Optimisation level for polymerase.")
@out_option
def check(
    names: tuple[str, ...],
    pythons: tuple[str, ...],
    in_memory: bool,
    no_package: bool,
    size: int,
    timeout: float,
    level: str | None,
    out: Path,
) -> None:
    """Compare compiled guests with wasmtime."""
    from tools.guests.check import Engine, check, compile_package, jobs_of

    out = out.resolve()
    files, good = _built(_chosen(names), out)
    engines = [] if no_package else [Engine("package", p) for p in _pythons(pythons)]
    if in_memory:
        engines.append(Engine("run", sys.executable))
    print(f"\n{'guest':8} {'job':11} {'engine':20} {'seconds':>8} {'wasmtime x':>11}  result")
    compiles: list[str] = []
    for name, wasm in files.items():
        compiled = None
        if not no_package:
            try:
                options = () if level is None else (f"-O{level}",)
                compiled = compile_package(wasm, out / "packages" / f"{name}_py", options, timeout)
            except RuntimeError as e:
                good = False
                print(f"{name:8} {'compile':11} {'':20} {'':8} {'':11}  FAILED: {e}", flush=True)
                if not in_memory:
                    continue
            else:
                size_in = wasm.stat().st_size
                compiles.append(f"{name:8} {size_in:>10,} {compiled.seconds:8.1f} {compiled.lines:>10,}")
        usable = tuple(e for e in engines if e.kind == "run" or compiled is not None)
        for row in check(wasm, jobs_of(name), usable, compiled, size, timeout):
            good = good and not row.fault
            result = f"DIFFERS: {row.fault}" if row.fault else "same"
            columns = f"{name:8} {row.job.name:11} {row.engine:20} {row.seconds:8.2f} {row.ratio:11.1f}"
            print(f"{columns}  {result}", flush=True)
    if compiles:
        print(f"\n{'guest':8} {'wasm bytes':>10} {'compile s':>8} {'lines':>10}\n" + "\n".join(compiles))
    sys.exit(not good)


if __name__ == "__main__":
    main()
