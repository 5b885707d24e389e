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

from .traps import STACK_EXHAUSTED, PolymeraseError, Trap

if TYPE_CHECKING:
    from .instance import Instance

ALL_FUEL_CONSUMED = "all fuel consumed"
INTERRUPT = "interrupt"

SLICE = 50_000  # instructions of the smallest cost in a slice: some ms
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
    """Put what the controls need into a new instance."""
    info, limits = instance.info, instance.limits
    namespace = instance.namespace
    namespace["running"] = True
    namespace["fuel"] = 0
    namespace["depth"] = NO_BOUND if limits.call_depth is None else limits.call_depth
    namespace["slots"] = NO_BOUND if limits.value_slots is None else limits.value_slots
    if "fuel" in info.controls:
        instance.meter = Meter(limits.fuel, limits.on_fuel, info.fuel_costs)
