"""Give a module functions to call, and share its memory: `python examples/host.py`."""

from pathlib import Path

import polymerase
from polymerase_runtime import Caller


def log(caller: Caller, text: int, size: int) -> None:
    """A host function whose first parameter is a Caller sees the memory of the module that calls it."""
    print("guest says:", caller.memory.read(text, size).decode())


def scale(x: float) -> float:
    """Any callable will do."""
    return x * 1.5


module = polymerase.Module.from_file(Path(__file__).with_name("host.wasm"))
try:
    module.instantiate({"env": {"log": log}})
except polymerase.LinkError as error:
    print("link error:", error)

guest = module.instantiate({"env": {"log": log, "scale": scale}})
memory = guest.exports.memory
at = guest.exports.input()
memory.write(at, b"!dlrow ,olleh")
print(guest.exports.shout(13), bytes(memory[at : at + 5]), memory.size)
print(guest.exports.sum_scaled(10))

other = module.instantiate({"env": {"log": lambda text, size: print("logged", size), "scale": float}})
other.exports.shout(3)
print(other.exports.sum_scaled(10), bytes(memory[at : at + 5]))  # instances share no memory
