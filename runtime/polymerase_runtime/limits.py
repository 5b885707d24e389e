"""What an embedder lets an instance use: one value for both engines, from Python and from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Union

if TYPE_CHECKING:
    from .instance import Instance

FuelCosts = Union[int, Mapping[str, int], Callable[[str], int]]
OnFuel = Union[str, Callable[["Instance"], int]]


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


UNLIMITED = Limits()
