"""The embedder's controls while the guest runs: fuel, interrupts, depth. What each means says limits.py.

Code that was compiled for it, and the interpreter, keep to these names of an instance's namespace:

    fuel       units left in the current slice, an int. A block that costs c is paid for before it runs:
                   if fuel < c: fuel = refuel(instance, fuel, c)
                   fuel -= c
               Code may hold it in a local, but writes it back whenever others look: around each call, and when it
               ends, by a trap as well.
    running    True; False from an interrupt until the call from the host is over. Tested at each turn of a loop and
               where functions recurse, or, if every instruction costs something, only by `refuel`.
    depth      how many more functions may be on the call stack; slots: how many more parameters and locals.
               A function that has not both for itself calls `exhausted(instance)`, before it does anything else.

A function begins in this order: depth, then poll, then the charge for its first block.

Fuel is handed out in slices, so that compiled code compares small ints and an interrupt is seen in time: what is left
is always `meter.reserve + namespace["fuel"]`. `refuel` leaves that sum as it was when it raises, so a block that could
not be paid for is not charged, and whoever goes on with it, after `Instance.fuel` was set, charges it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from .limits import fuel_cost, shown
from .traps import STACK_EXHAUSTED, PolymeraseError, Trap, quoted

if TYPE_CHECKING:
    from .instance import Instance
    from .limits import Limits
    from .types import ModuleInfo

ALL_FUEL_CONSUMED = "all fuel consumed"
INTERRUPT = "interrupt"

SLICE = 20_000  # instructions of the smallest cost in a slice: 2 ms, or 20 in the interpreter
MAX_SLICE = (1 << 30) - 1  # CPython compares and subtracts smaller ints faster
ENDLESS = 1 << 62  # units that an instance without a limit is given at a time
NO_BOUND = 1 << 62  # of depth and slots

NOT_EXECUTED = frozenset(["else", "end"])  # where other instructions end: they cost nothing
# May cost nothing in code that is stopped where it pays: they do nothing, and no loop turns on them alone.
_IDLE = frozenset(["nop", "block", "loop", "drop", "unreachable", "return"])


def pays_for_all(costs: tuple[tuple[str, int], ...]) -> bool:
    """Whether code with these costs pays for all it does, so that it runs into `refuel` every few milliseconds."""
    return bool(costs) and all(cost or name in _IDLE for name, cost in costs)


class OutOfFuel(Exception):
    """Raised by `refuel` under `on_fuel="suspend"`: the interpreter suspends the guest before the unpaid block."""


class Meter:
    """An instance's fuel. `granted` is all that it was ever given, `reserve` what of that is not in the slice."""

    __slots__ = ("endless", "granted", "on_fuel", "reserve", "slice")

    def __init__(self, fuel: int | None, on_fuel: Any, costs: tuple[tuple[str, int], ...]) -> None:
        self.endless = fuel is None
        self.granted = self.reserve = fuel or 0
        self.on_fuel = on_fuel
        smallest = min((cost for _, cost in costs if cost), default=1)
        self.slice = min(SLICE * smallest, MAX_SLICE)

    def ask(self, instance: Instance) -> None:
        """More fuel from whoever decides. Raises Trap, OutOfFuel, and what a callback raises."""
        if self.endless:
            added = ENDLESS
        elif self.on_fuel == "trap":
            added = 0
        elif self.on_fuel == "suspend":
            raise OutOfFuel(ALL_FUEL_CONSUMED)
        else:
            added = self.on_fuel(instance)
            if type(added) is not int or added < 0:
                raise PolymeraseError(f"on_fuel: expected a number of units, 0 or more, got {added!r:.60}")
        if not added:
            raise Trap(ALL_FUEL_CONSUMED)
        self.granted += added
        self.reserve += added


def refuel(instance: Instance, fuel: int, cost: int) -> int:
    """What of the instance's fuel the code may use next, at least `cost`; `fuel` is what it has left.

    Raises Trap "all fuel consumed" or "interrupt", OutOfFuel, and what `on_fuel` raises; nothing is charged then.
    """
    namespace = instance.namespace
    if not namespace["running"]:
        stop(instance)
    meter = instance.meter
    assert meter is not None
    namespace["fuel"] = fuel
    try:
        while meter.reserve + namespace["fuel"] < cost:
            meter.ask(instance)
    except BaseException:
        # A callback may have run guest code. The caller writes back what it has.
        meter.reserve += namespace["fuel"] - fuel
        namespace["fuel"] = fuel
        raise
    left = meter.reserve + namespace["fuel"]
    taken: int = min(left, max(cost, meter.slice))
    meter.reserve = left - taken
    namespace["fuel"] = taken
    return taken


def stop(instance: Instance) -> NoReturn:
    """End the guest that was interrupted."""
    raise Trap(INTERRUPT)


def exhausted(instance: Instance) -> NoReturn:
    """End the guest that needs more stack than its limits give."""
    raise Trap(STACK_EXHAUSTED)


def install(instance: Instance) -> None:
    """Put what the controls need into a new instance. PolymeraseError naming a limit that its code was not compiled
    for; code whose guests can be suspended says so by an attribute `can_suspend`."""
    info, limits = instance.info, instance.limits
    require(info, limits)
    if limits.fuel is not None and limits.on_fuel == "suspend" and not getattr(instance.code, "can_suspend", False):
        raise PolymeraseError('limits: on_fuel="suspend": compiled code cannot be suspended: it needs engine="interp"')
    namespace = instance.namespace
    namespace["running"] = True
    namespace["fuel"] = 0
    namespace["depth"] = NO_BOUND if limits.call_depth is None else limits.call_depth
    namespace["slots"] = NO_BOUND if limits.value_slots is None else limits.value_slots
    if "fuel" in info.controls:
        instance.meter = Meter(limits.fuel, limits.on_fuel, info.fuel_costs)


def require(info: ModuleInfo, limits: Limits) -> None:
    """PolymeraseError naming a limit that the module's code was not compiled for, and how it would be."""
    has = info.controls
    if limits.fuel is not None:
        _need(info, "fuel" in has, f"fuel={shown(limits.fuel)}", "--fuel")
        for name, cost in info.fuel_costs:
            wanted = fuel_cost(limits.fuel_costs, name)
            if wanted != cost:
                what = f"{name} costs {shown(cost)} in its code, not {shown(wanted)}"
                raise PolymeraseError(f"limits: fuel_costs: {quoted(info.name)} cannot be charged so: {what}")
    if limits.deadline is not None:
        _need(info, is_interruptible(info), f"deadline={limits.deadline!r}", "--interruptible")
    for name in ("call_depth", "value_slots"):
        bound = getattr(limits, name)
        _need(info, bound is None or "depth" in has, f"{name}={bound!r:.60}", "--count-depth")
    _need(info, not limits.deterministic or "deterministic" in has, "deterministic=True", "--deterministic")
    _need(info, limits.floats or "no_floats" in has, "floats=False", "--no-floats")


def _need(info: ModuleInfo, has: bool, limit: str, flag: str) -> None:
    if not has:
        raise PolymeraseError(f"limits: {limit}: {quoted(info.name)} was not compiled for it, with {flag}")


def is_interruptible(info: ModuleInfo) -> bool:
    """Whether code looks if it was interrupted."""
    return "polls" in info.controls or pays_for_all(info.fuel_costs)


# --- Fuel, as the host sees it


def fuel_left(instance: Instance) -> int | None:
    """Units left; None if there is no limit."""
    meter = instance.meter
    if meter is None or meter.endless:
        return None
    left: int = meter.reserve + instance.namespace["fuel"]
    return left


def set_fuel(instance: Instance, fuel: int | None) -> None:
    """See Instance.fuel."""
    meter = instance.meter
    if meter is None:
        raise PolymeraseError(f"fuel: {quoted(instance.info.name)} is not metered: it needs Limits.fuel")
    if fuel is not None and type(fuel) is not int:
        raise TypeError(f"fuel: expected an int or None, got {fuel!r:.60}")
    if fuel is not None and fuel < 0:
        raise ValueError(f"fuel: expected 0 or more, got {shown(fuel)}")
    meter.endless = fuel is None
    left = fuel or 0
    meter.granted += left - meter.reserve - instance.namespace["fuel"]
    meter.reserve = left
    instance.namespace["fuel"] = 0


def fuel_used(instance: Instance) -> int | None:
    """Units charged so far; None if not metered."""
    meter = instance.meter
    if meter is None:
        return None
    used: int = meter.granted - meter.reserve - instance.namespace["fuel"]
    return used


def charge(instance: Instance, units: int) -> None:
    """See Instance.charge."""
    if type(units) is not int:
        raise TypeError(f"charge: expected an int, got {units!r:.60}")
    if units < 0:
        raise ValueError(f"charge: expected 0 or more, got {shown(units)}")
    if instance.meter is None:
        return
    fuel = instance.namespace["fuel"]
    if fuel < units:
        try:
            fuel = refuel(instance, fuel, units)
        except OutOfFuel:  # a host function cannot be gone on with
            raise Trap(ALL_FUEL_CONSUMED) from None
    instance.namespace["fuel"] = fuel - units
