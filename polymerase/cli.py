"""The command line: parse options, call the API, print.

Exit codes: 0 done; 1 a PolymeraseError, a file that cannot be read or written, or nobody left to read the output;
2 wrong usage; 75 suspended (--suspend-to); 130 interrupted; 134 the guest trapped (what a shell reports of a native
program that aborts); else the guest's own exit code.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, NoReturn, cast

import click

from polymerase import api
from polymerase.cli_limits import control_options, limit_options
from polymerase.cli_state import EXIT_SUSPENDED, resume_option, save, suspend_option, suspended_by_ctrl_c
from polymerase.errors import PolymeraseError, quote
from polymerase.options import (
    ENGINES,
    FALLBACKS,
    OPT_LEVELS,
    TARGETS,
    Controls,
    Engine,
    Fallback,
    Options,
    Target,
    running_target,
)
from polymerase.version import __version__

EXIT_ERROR = 1
EXIT_INTERRUPTED = 128 + 2  # SIGINT
EXIT_TRAP = 128 + 6  # SIGABRT
PROGRESS_FROM = 200_000  # bytes of wasm; below this a compile is over before anyone looks

opt_level_option = click.option(
    "-O",
    "opt_level",
    type=click.IntRange(min(OPT_LEVELS), max(OPT_LEVELS)),
    default=max(OPT_LEVELS),
    show_default=True,
    metavar="LEVEL",
    help="Optimise: -O0 runs no pass, -O1 the cheap ones, -O2 all (so far, all are cheap).",
)


fallback_option = click.option(
    "--fallback",
    type=click.Choice(FALLBACKS),
    help="A function that cannot be compiled is an error, or it is interpreted, with a warning or silently.  "
    "[default: error for compile, warn for run]",
)
interpret_option = click.option(
    "--interpret",
    multiple=True,
    metavar="FUNC,…",
    help="Interpret these functions, by name or index (* for all), rather than compile them. Repeatable.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="polymerase")
def cli() -> None:
    """Compile WebAssembly to Python packages, and run it."""


class _Compile(click.Command):
    """A command whose -j need not be followed by a number, not even before an argument."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        for i, arg in enumerate(args[:end]):
            if arg in ("-j", "--jobs") and not (i + 1 < len(args) and args[i + 1].lstrip("-").isdigit()):
                args[i] = "--jobs=0"
        return super().parse_args(ctx, args)


@cli.command("compile", cls=_Compile)
@click.argument("prog", metavar="PROG.wasm")
@click.option("-o", "--output", required=True, metavar="DIR", help="The folder to write: a Python package.")
@click.option(
    "--target",
    type=click.Choice(TARGETS),
    default=None,
    help="The Python to write for; both puts two spellings into one package.  [default: the Python that runs]",
)
@click.option("--standalone", is_flag=True, help="Copy the runtime in: the package then needs nothing but a Python.")
@click.option("--format", "format_", is_flag=True, help="Run black over the package (slow).")
@click.option("--force", is_flag=True, help="Replace DIR even when polymerase did not make it.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(0, 1024),
    default=1,
    show_default=True,
    metavar="[N]",
    help="Compile in N processes; without N, or with 0, one for each processor. The result is the same.",
)
@click.option("--no-progress", is_flag=True, help="No progress bar, not even on a terminal.")
@opt_level_option
@fallback_option
@interpret_option
@control_options
def compile_(
    prog: str,
    output: str,
    target: str | None,
    standalone: bool,
    format_: bool,
    force: bool,
    jobs: int,
    no_progress: bool,
    opt_level: int,
    fallback: Fallback | None,
    interpret: tuple[str, ...],
    controls: Controls,
) -> None:
    """Write PROG.wasm as a Python package."""
    options = Options(
        target=cast(Target, target) if target else running_target(),
        opt_level=opt_level,
        standalone=standalone,
        format=format_,
        force=force,
        controls=controls,
        fallback=fallback,
        interpret=_names(interpret),
    )
    from pathlib import Path  # not for `run`, whose start it would delay

    if Path.cwd().is_relative_to(os.path.realpath(output)):  # not even with --force
        raise click.BadParameter("the current directory lies in it", param_hint="--output")
    start = time.perf_counter()
    module = api.Module.from_file(prog, options=options)
    with _fallbacks_shown(), _progress(os.path.getsize(prog), off=no_progress) as progress:
        summary = api.compile_package(module, output, progress=progress, jobs=jobs)
    click.echo(
        f"{_printable(output)}: {_count(summary.functions, 'function')}"
        + (f" ({summary.interpreted:,} interpreted)" if summary.interpreted else "")
        + f", {_count(summary.lines, 'line')}, "
        f"{_count(summary.bytes, 'byte')} in {time.perf_counter() - start:.2f} s"
    )


@cli.command(context_settings={"allow_interspersed_args": False})
@click.argument("prog", metavar="PROG.wasm")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option("--aot", is_flag=True, help="Compile functions when they are first called: --engine aot.")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    help="interp interprets, aot compiles, auto interprets and compiles what runs long.  [default: interp]",
)
@fallback_option
@interpret_option
@click.option("--entry", metavar="NAME", help="Call this export with ARGS as its arguments and print its results.")
@click.option(
    "--dir",
    "dirs",
    multiple=True,
    metavar="HOST[::GUEST]",
    help="Let the program use this directory, and all beneath it, as GUEST. Repeatable.",
)
@click.option("--env", multiple=True, metavar="K=V", help="Set an environment variable of the program. Repeatable.")
@click.option("--no-cache", is_flag=True, help="Neither use nor fill the cache of compiled functions.")
@click.option(
    "--preload",
    "preloads",
    multiple=True,
    metavar="NAME=FILE.wasm",
    help="Instantiate this module first; PROG, and what is preloaded after it, may import its exports from NAME. "
    "Repeatable.",
)
@suspend_option
@resume_option
@opt_level_option
@limit_options
@click.option("-v", "--verbose", is_flag=True, help="Say what the cache had, and how much fuel was used.")
def run(
    prog: str,
    args: tuple[str, ...],
    aot: bool,
    engine: Engine | None,
    fallback: Fallback | None,
    interpret: tuple[str, ...],
    entry: str | None,
    dirs: tuple[str, ...],
    env: tuple[str, ...],
    no_cache: bool,
    preloads: tuple[str, ...],
    suspend_to: str | None,
    resume: str | None,
    opt_level: int,
    limits: api.Limits,
    verbose: bool,
) -> int:
    """Run PROG.wasm, a WASI command, or one of its exports.

    ARGS go to the program as they are, those that begin with a dash included; options of polymerase stand before PROG.
    The program sees no directory and no environment variable but those given.
    """
    if aot and engine not in (None, "aot"):
        raise click.UsageError(f"--aot and --engine {engine} exclude each other")
    if suspend_to is not None or resume is not None:
        _check_state_options(
            suspend_to, resume, entry, {"--aot": aot, "--preload": preloads, "--env": env, "ARGS": args}
        )
    if suspend_to is not None:
        if engine not in (None, "interp"):
            raise click.UsageError(f"--suspend-to needs the interpreter, not --engine {engine}")
        if limits.fuel is not None:
            limits = replace(limits, on_fuel="suspend")
    preopens = _preopens(dirs)
    variables = dict(_variable(text) for text in env)
    options = Options(opt_level=opt_level, fallback=fallback, interpret=_names(interpret))
    cache = False if no_cache else _cache(verbose)
    loaded = _preloads(preloads, replace(options, interpret=()), cache)
    module = api.Module.from_file(prog, options=options, cache=cache)
    instances: list[api.Instance] = []
    run_with: dict[str, Any] = {
        "env": variables,
        "dirs": preopens,
        "engine": "aot" if aot else engine or "interp",
        "preloads": loaded,
        "limits": limits,
        "made": instances.append,
    }
    try:
        with _fallbacks_shown(), suspended_by_ctrl_c(instances) if suspend_to else nullcontext():
            if resume is not None:
                return _go_on(module, resume, entry, args, run_with)
            if entry is None:
                return api.run_command(module, args, **run_with) & 0xFF
            t = api.exported_func(module, entry)
            values = _values(args, t.params, entry)
            results = api.run_entry(module, entry, values, **run_with)
    except api.Exit as e:
        return e.code & 0xFF
    except api.Suspended:
        assert suspend_to is not None
        size = save(instances[-1], suspend_to)
        click.echo(
            f"{_printable(module.name)}: suspended into {_printable(suspend_to)}, {_count(size, 'byte')}", err=True
        )
        return EXIT_SUSPENDED
    except api.Trap as e:
        click.echo(f"{_printable(module.name)}: {api.format_trap(e)}", err=True)
        return EXIT_TRAP
    finally:
        for instance in instances if verbose else ():
            if instance.fuel_used is not None:
                click.echo(f"{_printable(module.name)}: {_count(instance.fuel_used, 'unit')} of fuel used", err=True)
    for value, result_type in zip(results, t.results, strict=True):
        click.echo(_result(value, result_type))
    return 0


def _check_state_options(
    suspend_to: str | None, resume: str | None, entry: str | None, others: dict[str, object]
) -> None:
    """Refuse options that make no sense with --suspend-to or --resume."""
    for option, value in others.items():
        if not value:
            continue
        if suspend_to is not None and option in ("--aot", "--preload"):
            raise click.UsageError(f"--suspend-to and {option} exclude each other")
        if resume is not None and option != "--aot" and not (option == "ARGS" and entry is not None):
            raise click.UsageError(f"--resume and {option} exclude each other: the program has what it had")


def _go_on(module: api.Module, file: str, entry: str | None, args: tuple[str, ...], run_with: dict[str, Any]) -> int:
    """`run --resume`."""
    with open(file, "rb") as f:
        data = f.read()
    values = _values(args, api.exported_func(module, entry).params, entry) if entry is not None else []
    options = {name: run_with[name] for name in ("engine", "limits", "made")}
    results, types = api.run_restored(module, data, entry, values, run_with["dirs"], **options)
    for value, t in zip(results, types, strict=True):
        click.echo(_result(value, t))
    return 0


@cli.command()
@click.argument("prog", metavar="PROG.wasm")
def validate(prog: str) -> None:
    """Check that PROG.wasm is a valid module."""
    api.Module.from_file(prog)
    click.echo(f"{_printable(prog)}: valid")


@cli.command()
@click.argument("prog", metavar="PROG.wasm")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(prog: str, as_json: bool) -> None:
    """Print what PROG.wasm imports, exports and consists of."""
    facts = api.inspect(api.Module.from_file(prog))
    if as_json:
        import json

        click.echo(json.dumps(facts, indent=2))
    else:
        for line in _facts_as_text(prog, facts):
            click.echo(line)


@cli.command()
@click.argument("prog", metavar="PROG.wasm")
@click.option("--after", metavar="PASS", help="Stop after this pass: lower, or one of the optimiser's.")
@click.option("--func", metavar="N|NAME", help="Only this function.")
@opt_level_option
def dump(prog: str, after: str | None, func: str | None, opt_level: int) -> None:
    """Print the compiler's intermediate form of PROG.wasm."""
    module = api.Module.from_file(prog, options=Options(opt_level=opt_level))
    try:
        for text in api.dump(module, func, after):
            click.echo(text)
    except LookupError as e:
        raise click.UsageError(str(e)) from e


def _names(texts: Sequence[str]) -> tuple[str, ...]:
    """The functions that `--interpret FUNC,…` options name."""
    return tuple(name for text in texts for name in text.split(",") if name)


@contextmanager
def _fallbacks_shown() -> Iterator[None]:
    """Warnings that a function is interpreted, each as a line on stderr."""

    def show(message: Warning | str, *rest: Any, **options: Any) -> None:
        click.echo(f"polymerase: {_printable(str(message))}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", api.FallbackWarning)
        warnings.showwarning = show
        yield


@cli.group("cache")
def cache_() -> None:
    """Show or empty the cache of compiled functions that `run` keeps.

    It is in the user's cache folder, or where POLYMERASE_CACHE_DIR says, and holds up to POLYMERASE_CACHE_SIZE bytes
    (such as 512M, the default); what was not used for longest goes first.
    """


@cache_.command()
def info() -> None:
    """Print where the cache is and how much is in it."""
    cache = _cache()
    entries = cache.entries()
    size = sum(e.size for e in entries)
    click.echo(f"folder: {_printable(str(cache.folder))}")
    click.echo(f"entries: {len(entries):,}")
    click.echo(f"size: {_count(size, 'byte')} of {cache.size:,}")


@cache_.command("list")
def list_() -> None:
    """Print what is in the cache, the last used first."""
    for e in _cache().entries():
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(e.used))
        click.echo(f"{e.key[:12]}  {used}  {e.size:>11,} bytes  {e.blobs:>6,} functions  {_printable(e.label)}")


@cache_.command()
def clear() -> None:
    """Remove all that is in the cache."""
    click.echo(f"removed {_count(_cache().clear(), 'entry', 'entries')}")


def _cache(verbose: bool = True) -> api.Cache:
    """The user's cache; what it has to say goes to stderr if `verbose`."""
    return api.Cache(report=(lambda line: click.echo(f"cache: {_printable(line)}", err=True)) if verbose else None)


@contextmanager
def _progress(size: int, *, off: bool) -> Iterator[api.Progress | None]:
    """A progress bar on stderr, for a large module on a terminal; else None."""
    if off or size < PROGRESS_FROM or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1000, label="compiling", file=sys.stderr) as bar:
        shown = 0

        def progress(done: int, total: int) -> None:
            nonlocal shown
            now = 1000 * done // max(total, 1)
            if now > shown:
                bar.update(now - shown)
                shown = now

        yield progress


def _preopens(texts: Sequence[str]) -> dict[str, str]:
    """{guest: host} of `--dir HOST[::GUEST]` options."""
    dirs: dict[str, str] = {}
    for text in texts:
        host, separator, guest = text.partition("::")
        guest = guest if separator else host
        if not host or not guest:
            raise click.BadParameter(f"{text!r} is not HOST[::GUEST]", param_hint="--dir")
        if guest in dirs:
            raise click.BadParameter(f"{guest!r} given twice", param_hint="--dir")
        if not os.path.isdir(host):
            raise OSError(errno.ENOTDIR if os.path.exists(host) else errno.ENOENT, "not a directory", host)
        dirs[guest] = host
    return dirs


def _preloads(texts: Sequence[str], options: Options, cache: api.Cache | bool) -> dict[str, api.Module]:
    """{name: module} of `--preload NAME=FILE` options."""
    modules: dict[str, api.Module] = {}
    for text in texts:
        name, separator, file = text.partition("=")
        if not separator or not file:
            raise click.BadParameter(f"{text!r} is not NAME=FILE", param_hint="--preload")
        if name in modules:
            raise click.BadParameter(f"{name!r} given twice", param_hint="--preload")
        modules[name] = api.Module.from_file(file, options=options, cache=cache)
    return modules


def _variable(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.BadParameter(f"{text!r} is not K=V", param_hint="--env")
    return key, value


def _values(args: Sequence[str], params: Sequence[str], entry: str) -> list[int | float | None]:
    """The arguments that `args` spell, each of its parameter's type."""
    if len(args) != len(params):
        types = f" ({' '.join(params)})" if params else ""
        raise click.UsageError(f"{_quoted(entry)} takes {_count(len(params), 'argument')}{types}, got {len(args)}")
    return [_value(text, t, entry) for text, t in zip(args, params, strict=True)]


def _value(text: str, t: str, entry: str) -> int | float | None:
    """The argument that `text` spells: integers in decimal, hex, octal or binary, signed or unsigned; floats in
    decimal or hex; `null` for a reference."""
    try:
        if t in ("i32", "i64", "v128"):
            value = _integer(text)
            bits = {"i32": 32, "i64": 64, "v128": 128}[t]
            if -(1 << bits - 1) <= value < 1 << bits:
                return value
        elif t in ("f32", "f64"):
            return float.fromhex(text) if "0x" in text.lower() else float(text)
        elif text == "null":
            return None
    except (ValueError, OverflowError):
        pass
    raise click.UsageError(f"argument of {_quoted(entry)}: {_quoted(text)} is not an {t}")


def _integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return int(text, 10)  # a leading zero is not octal here


def _result(value: object, t: str) -> str:
    """A result as text: signed decimal, the shortest decimal that means the same float, `null`."""
    if value is None:
        return "null"
    if t == "f32" and isinstance(value, float):
        return _shortest_f32(value)
    return _printable(repr(value))


def _shortest_f32(x: float) -> str:
    if x != x or x in (float("inf"), float("-inf")):
        return repr(x)
    for digits in range(1, 10):
        short = float(f"{x:.{digits}g}")
        if api.f32_round(short) == x:
            return repr(short)
    return repr(x)


def _facts_as_text(prog: str, facts: dict[str, Any]) -> Iterator[str]:
    yield f"{_printable(prog)}: {_count(facts['bytes'], 'byte')}, {_count(facts['functions'], 'function')}"
    for title in ("imports", "exports"):
        if facts[title]:
            yield f"\n{title}:"
        for row in facts[title]:
            name = (f"{_quoted(row['module'])} " if title == "imports" else "") + _quoted(row["name"])
            yield f"  {row['kind']:<7} {name} {row['type']}"
    yield "\nsections:"
    for row in facts["sections"]:
        yield f"  {_printable(row['name']):<24} {row['size']:>10,} bytes at {row['at']:#x}"


def _count(n: int, what: str, several: str = "") -> str:
    return f"{n:,} {what if n == 1 else several or what + 's'}"


def _printable(text: str) -> str:
    """`text` with every character that a terminal might obey, or reorder text by, escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _quoted(name: str) -> str:
    return quote(name, limit=len(name))


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line `argv` (default: this process's) and exit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks is no error
    sys.exit(_run(argv))


def _run(argv: Sequence[str] | None) -> int:
    try:
        code = cli.main(args=argv, prog_name="polymerase", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as e:
        e.show()
        return e.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except PolymeraseError as e:
        click.echo(f"polymerase: {_printable(str(e))}", err=True)
    except OSError as e:
        name = f"{_printable(os.fsdecode(e.filename))}: " if e.filename is not None else ""
        click.echo(f"polymerase: {name}{e.strerror or e}", err=True)
    except MemoryError:
        click.echo("polymerase: out of memory", err=True)
    return EXIT_ERROR
