"""What an embedder lets an instance use: one value for both engines, from Python and from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Union

if TYPE_CHECKING:
    from .instance import Instance

FuelCosts = Union[int, Mapping[str, int], Callable[[str], int]]
OnFuel = Union[str, Callable[["Instance"], int]]
ON_FUEL = ("trap", "suspend")


@dataclass(frozen=True)
class Limits:
    """Bounds on an instance. None, the default of each, is no bound but that of the machine.

    `memory_pages`: pages of 64 KiB of each memory; `table_elements`: elements of each table; `total_bytes`: bytes of
    all memories and tables (8 an element) that the instance makes. What starts larger is refused with a
    PolymeraseError when the instance is made, what would grow larger does not (-1).
    `call_depth`: guest functions on the call stack; `value_slots`: their parameters and locals together. Beyond either
    is the trap "call stack exhausted".
    `fuel`: units that the guest may use up. Every instruction but `else` and `end` costs `fuel_costs`: a number, or for
    each instruction (named as in the text format, "i32.add") what a mapping says (1 where it says nothing), or what a
    function of the name returns. Charged for a basic block before it runs: a block that cannot be paid does not run.
    `on_fuel`: what happens then: "trap" ("all fuel consumed"), "suspend" (the interpreter only), or a function of the
    instance that returns how many units to add, 0 for the trap.
    `deadline`: seconds that one call from the host may take, before the trap "interrupt".
    `interruptible`: whether `Instance.interrupt` works on compiled code, which has to look at each turn of a loop.
    `floats`: False refuses modules that use floating point. `deterministic`: NaNs are canonical, and WASI's default
    clocks and random numbers fixed, so that the same module gives the same bytes everywhere.
    """

    memory_pages: int | None = None
    table_elements: int | None = None
    total_bytes: int | None = None
    call_depth: int | None = None
    value_slots: int | None = None
    fuel: int | None = None
    fuel_costs: FuelCosts = 1
    on_fuel: OnFuel = "trap"
    deadline: float | None = None
    interruptible: bool = True
    floats: bool = True
    deterministic: bool = False

    def __post_init__(self) -> None:
        """Raises TypeError, ValueError naming the field and its value."""
        for name in ("memory_pages", "table_elements", "total_bytes", "call_depth", "value_slots", "fuel"):
            value = getattr(self, name)
            if value is not None:
                _require_int(name, value)
        for name in ("interruptible", "floats", "deterministic"):
            value = getattr(self, name)
            if type(value) is not bool:
                raise TypeError(f"{name}: expected True or False, got {value!r:.60}")
        deadline = self.deadline
        if deadline is not None:
            if type(deadline) not in (int, float):
                raise TypeError(f"deadline: expected a number of seconds, got {deadline!r:.60}")
            if not 0 < deadline <= MAX_DEADLINE:
                raise ValueError(
                    f"deadline: expected more than 0 seconds, at most {MAX_DEADLINE}, got {deadline!r:.60}"
                )
        costs = self.fuel_costs
        if isinstance(costs, Mapping):
            for name, cost in costs.items():
                if type(name) is not str:
                    raise TypeError(f"fuel_costs: expected names of instructions, got {name!r:.60}")
                _require_int(f"fuel_costs[{name!r:.60}]", cost)
        elif not callable(costs):
            _require_int("fuel_costs", costs)
        if isinstance(self.on_fuel, str):
            if self.on_fuel not in ON_FUEL:
                raise ValueError(f"on_fuel: expected {' or '.join(map(repr, ON_FUEL))}, got {self.on_fuel!r:.60}")
        elif not callable(self.on_fuel):
            raise TypeError(
                f"on_fuel: expected {' or '.join(map(repr, ON_FUEL))} or a callable, got {self.on_fuel!r:.60}"
            )


MAX_DEADLINE = 10**9  # seconds: more than clocks hold


def _require_int(name: str, value: object) -> None:
    if type(value) is not int:
        raise TypeError(f"{name}: expected an int, got {value!r:.60}")
    if value < 0:
        raise ValueError(f"{name}: expected 0 or more, got {shown(value)}")


def shown(value: int) -> str:
    """Python refuses to print huge ints."""
    return str(value) if value.bit_length() < 200 else f"an int of {value.bit_length()} bits"


def fuel_cost(costs: FuelCosts, name: str) -> int:
    """What the instruction `name` costs. TypeError, ValueError where a function gives no cost."""
    if isinstance(costs, int):
        return costs
    if isinstance(costs, Mapping):
        return costs.get(name, 1)
    cost = costs(name)
    _require_int(f"fuel_costs({name!r})", cost)
    return cost


UNLIMITED = Limits()


def require_limits(limits: object) -> Limits:
    """`limits`, or no bounds for None. TypeError."""
    if limits is None:
        return UNLIMITED
    if not isinstance(limits, Limits):
        raise TypeError(f"limits: expected Limits, got {limits!r:.60}")
    return limits


PAGE = 65536  # bytes of a page of memory
ELEMENT = 8  # bytes that an element of a table counts


class Sizes:
    """How large the memories and tables that one instance makes may be, and may become."""

    __slots__ = ("elements", "left", "pages", "total")

    def __init__(self, limits: Limits) -> None:
        self.pages = limits.memory_pages
        self.elements = limits.table_elements
        self.total = limits.total_bytes
        self.left = 0 if self.total is None else self.total  # bytes, of `total`

    def start(self, memories: Sequence[int], tables: Sequence[int]) -> str:
        """Count what the instance starts with, in pages and elements; what is wrong with it, or nothing."""
        for kind, unit, name, most, sizes in (
            ("memory", "pages", "memory_pages", self.pages, memories),
            ("table", "elements", "table_elements", self.elements, tables),
        ):
            if most is not None and max(sizes, default=0) > most:
                return f"a {kind} of {max(sizes)} {unit}, but the limit {name} is {most}"
        size = sum(memories) * PAGE + sum(tables) * ELEMENT
        if self.total is not None:
            if size > self.total:
                return f"memories and tables of {size} bytes, but the limit total_bytes is {self.total}"
            self.left = self.total - size
        return ""

    def take(self, size: int) -> bool:
        """Let something grow by `size` bytes, if there is room for it."""
        if self.total is not None:
            if size > self.left:
                return False
            self.left -= size
        return True


ANY_SIZE = Sizes(UNLIMITED)
