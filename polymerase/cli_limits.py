"""The command line's options for what a guest may use (`Limits`), and for what compiled code does about it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import click

from polymerase import api
from polymerase.options import Controls

_COUNT = click.IntRange(min=0)

_costs_option = click.option(
    "--fuel-costs",
    "costs_file",
    metavar="FILE",
    help='What instructions cost: a JSON object like {"i32.add": 2, "nop": 0}; 1 for those not in it. Or one number.',
)

# Option, type and metavar, what it says; the option's name gives the field of Limits that it is for.
_LIMITS: tuple[tuple[str, str, Any, str | None, str], ...] = (
    ("--fuel", "fuel", _COUNT, "UNITS", "Trap when so many units are used up; an instruction costs one."),
    (
        "--timeout",
        "deadline",
        click.FloatRange(min=0, min_open=True),
        "SECONDS",
        "Stop a call that takes more seconds than this: the trap is `interrupt`.",
    ),
    ("--max-memory", "memory_pages", _COUNT, "PAGES", "Bound each memory, in pages of 64 KiB."),
    ("--max-table", "table_elements", _COUNT, "N", "Bound the elements of each table."),
    ("--max-bytes", "total_bytes", _COUNT, "BYTES", "Bound all memories and tables together."),
    ("--max-call-depth", "call_depth", _COUNT, "N", "Bound the functions on the call stack."),
    ("--max-value-slots", "value_slots", _COUNT, "N", "Bound the parameters and locals on the call stack."),
)


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `Limits`; it gets them as one argument, `limits`."""

    @functools.wraps(command)
    def wrapped(*, costs_file: str | None, no_floats: bool, deterministic: bool, **rest: Any) -> Any:
        fields = {field: rest.pop(field) for _, field, *_ in _LIMITS}
        if costs_file is not None:
            if fields["fuel"] is None:
                raise click.UsageError("--fuel-costs is for --fuel")
            fields["fuel_costs"] = _costs(costs_file)
        try:
            limits = api.Limits(floats=not no_floats, deterministic=deterministic, **fields)
        except (TypeError, ValueError) as e:
            raise click.UsageError(str(e)) from e
        return command(limits=limits, **rest)

    options = [
        click.option(flag, field, type=kind, metavar=metavar, help=text) for flag, field, kind, metavar, text in _LIMITS
    ]
    options[1:1] = [_costs_option]
    options += [_no_floats, _deterministic]
    return _with(options, wrapped)


def control_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `Controls`; it gets them as one argument, `controls`."""

    @functools.wraps(command)
    def wrapped(
        *,
        fuel: bool,
        costs_file: str | None,
        interruptible: bool,
        count_depth: bool,
        no_floats: bool,
        deterministic: bool,
        **rest: Any,
    ) -> Any:
        if costs_file is not None and not fuel:
            raise click.UsageError("--fuel-costs is for --fuel")
        table = api.fuel_table(1 if costs_file is None else _costs(costs_file)) if fuel else None
        controls = Controls(table, interruptible, count_depth, deterministic, not no_floats)
        return command(controls=controls, **rest)

    options = [
        click.option("--fuel", is_flag=True, help="Count fuel, for Limits.fuel: takes about a quarter more time."),
        _costs_option,
        click.option("--interruptible", is_flag=True, help="Let Instance.interrupt and Limits.deadline stop the code."),
        click.option("--count-depth", is_flag=True, help="Count for Limits.call_depth and Limits.value_slots."),
        _no_floats,
        _deterministic,
    ]
    return _with(options, wrapped)


_no_floats = click.option("--no-floats", is_flag=True, help="Refuse a program that uses floating point.")
_deterministic = click.option(
    "--deterministic", is_flag=True, help="Give the same output everywhere: canonical NaNs, fixed clocks and random."
)


def _with(options: list[Any], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def _costs(file: str) -> int | dict[str, int]:
    """The costs in a JSON file, checked. OSError, click.BadParameter."""
    import json

    def fail(fault: str) -> NoReturn:
        raise click.BadParameter(f"{file}: {fault}", param_hint="--fuel-costs")

    with open(file, encoding="utf-8") as f:
        try:
            costs = json.load(f)
        except (ValueError, RecursionError) as e:
            fail(f"not JSON: {e}")
    if not isinstance(costs, (int, dict)) or isinstance(costs, bool):
        fail("neither an object nor a number")
    try:
        api.Limits(fuel=0, fuel_costs=costs)
        api.fuel_table(costs)
    except (TypeError, ValueError) as e:
        fail(str(e))
    return costs
