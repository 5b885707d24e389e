"""`python -m tools.bench`: see `--help`."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import click

from polymerase import api
from tools.bench import report
from tools.bench.kernels import BUILD, KERNELS, build, by_hand
from tools.bench.measure import Timing, Worker, WorkerError, measure

BOUND = 1.0  # polymerase's time over pwasm's, geometric mean, on CPython

# how to install those that polymerase is compared with
COMPETITORS = {"pwasm": "--pre pwasm", "pywasm": "pywasm", "ppci": "ppci", "wasmtime": "wasmtime"}
INTERPRETERS = {"interp": "", "pywasm": "pywasm", "pwasm-int": "--pre pwasm"}


def find_python(name: str) -> str:
    """An interpreter by version, name or path; pyenv's are found too."""
    candidates = [name]
    if os.sep not in name:
        root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        candidates += [f"python{name}", *sorted(str(p) for p in root.glob(f"{name}*/bin/python"))]
    for candidate in candidates:
        path = shutil.which(candidate)
        # pyenv's shims exist for versions that are not active, and then fail
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            return path
    raise click.BadParameter(f"no Python found for {name!r}", param_hint="--python")


def start_worker(engine: str, python: str) -> Worker:
    """The engine in `python` if it runs there, a competitor otherwise in the Python that runs this."""
    if python == sys.executable or engine in ("hand", "polymerase", "interp"):
        return Worker(engine, python)
    try:
        if engine == "wasmtime":  # native code: nothing to gain
            return Worker(engine, sys.executable)
        return Worker(engine, python, sysconfig.get_path("purelib"))
    except WorkerError:
        return Worker(engine, sys.executable)


def compile_package(kernel: str, wasm: Path, interpret: tuple[str, ...] = ()) -> Path:
    package = BUILD / f"bench_{kernel}{'_interp' if interpret else ''}"
    api.compile_package(wasm, package, standalone=True, target="both", force=True, interpret=interpret)
    return package


def files_for(kernel: str, workers: dict[str, Worker]) -> tuple[dict[str, Path], str]:
    """What each engine loads; and why polymerase compiled nothing, if so."""
    wasm, error = build(kernel), ""
    files = dict.fromkeys(workers, wasm) | {"hand": by_hand(kernel)}
    if "polymerase" in workers:
        try:
            files["polymerase"] = compile_package(kernel, wasm)
        except Exception as e:  # whatever it is, the table must show it
            error = f"{type(e).__name__}: {e}"
    if "interp" in workers:
        files["interp"] = compile_package(kernel, wasm, ("*",))
    return files, error


def show(text: str) -> None:
    """One line on a terminal, which the next one overwrites."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text}", nl=False, err=True)


@click.command()
@click.option(
    "--python", default=sys.executable, help="Runs the generated and the hand-written code: 3.13, pypy3, a path."
)
@click.option("--only", multiple=True, type=click.Choice(KERNELS), help="This kernel; may be given again.")
@click.option(
    "--against",
    multiple=True,
    type=click.Choice(list(COMPETITORS)),
    help="This competitor; may be given again. Default: all.",
)
@click.option("--rounds", default=3, show_default=True, help="Interleaved measurements of each kernel.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the measurements to this file.")
@click.option("--interpreters", is_flag=True, help="Measure our interpreter against those of others instead.")
@click.option("--check", is_flag=True, help=f"Fail when polymerase takes more than {BOUND} times as long as pwasm.")
def main(
    python: str,
    only: tuple[str, ...],
    against: tuple[str, ...],
    rounds: int,
    json_file: Path | None,
    interpreters: bool,
    check: bool,
) -> None:
    """Measure compiled kernels against the same loops written by hand and against other engines."""
    python = find_python(python)
    workers: dict[str, Worker] = {}
    for engine in ("hand", *(INTERPRETERS if interpreters else ("polymerase", *(against or COMPETITORS)))):
        try:
            workers[engine] = start_worker(engine, python)
        except WorkerError as error:
            package = {**COMPETITORS, **INTERPRETERS}.get(engine)
            if not package:
                raise click.ClickException(f"{engine}: {error}") from error
            missing = f"not installed: pip install {package}"
            click.echo(f"{engine}: {missing if 'ModuleNotFoundError' in str(error) else error}")
    if importlib.util.find_spec("ziglang") is None:
        raise click.ClickException("zig, which builds the kernels, is not installed: pip install ziglang")
    timings: dict[str, dict[str, Timing]] = {}
    judge = "wasmtime" if "wasmtime" in workers else "hand"
    click.echo(report.header(list(workers)))
    for kernel in only or KERNELS:
        show(kernel)
        files, fault = files_for(kernel, workers)
        able = {name: worker for name, worker in workers.items() if not (fault and name == "polymerase")}
        measured = measure(able, files, judge, rounds)
        timings[kernel] = {name: measured.get(name, Timing(error=fault)) for name in workers}
        show("")
        click.echo(report.row(kernel, list(workers), timings[kernel]))
    click.echo(report.means(list(workers), timings))
    click.echo(report.notes(workers, timings, rounds))
    for worker in workers.values():
        worker.close()
    if json_file:
        json_file.write_text(json.dumps(report.as_json(workers, timings), indent=1) + "\n")
    ours = any(row[name].error for row in timings.values() for name in ("hand", "polymerase", "interp") if name in row)
    mean = report.geometric_mean(report.ratio(row, "polymerase", "pwasm") for row in timings.values())
    if check and (mean is None or mean[0] > BOUND):
        click.echo(f"polymerase/pwasm is to be at most {BOUND}")
        sys.exit(1)
    sys.exit(ours)


if __name__ == "__main__":
    main()
