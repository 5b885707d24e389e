"""A suspended call of the interpreter, kept in a snapshot and made anew.

Frames hold segments of prepared bodies, which may be others in another version of polymerase, and for other limits
(blocks that cost something are kept apart): each frame has a checksum of its function's body, without what blocks cost,
and is refused if the body here is another.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Callable

from ..traps import SnapshotError
from .format import SavedFrame, SavedStack, SavedValue

if TYPE_CHECKING:
    from ..instance import Instance
    from ..interpreter import Machine, Suspension


def save(instance: Instance, value: Callable[[str, Any, str], SavedValue]) -> SavedStack | None:
    """The suspended call of `instance`, if there is one; `value` makes values of type, value and place."""
    machine = instance.machine
    if machine is None or machine.suspended is None:
        return None
    from ..closures import FIRST

    frames = []
    for k, (func, pc, registers) in enumerate(machine.suspended.frames):
        types = machine.bodies.code(func).types
        saved = [value(t, v, f"frame {k}: register {i}") for i, (t, v) in enumerate(zip(types, registers[FIRST:]))]
        frames.append(SavedFrame(func, pc, _checksum(machine, func), tuple(saved)))
    return SavedStack(machine.suspended.awaiting, tuple(frames))


def restored(instance: Instance, saved: SavedStack) -> Suspension:
    """The Suspension that `saved` says. SnapshotError naming the frame that makes no sense in this instance;
    UnsupportedError if a function cannot be interpreted."""
    from .. import interpreter
    from ..closures import FIRST

    machine = instance.machine
    info = instance.info
    if machine is None:
        raise SnapshotError("snapshot: a call is suspended, which only the interpreter can go on with")
    if len(saved.frames) > interpreter.MAX_FRAMES:
        raise SnapshotError(f"snapshot: {len(saved.frames)} frames, but at most {interpreter.MAX_FRAMES} can be")
    imported = sum(i.kind == "func" for i in info.imports)
    frames = []
    results: tuple[str, ...] = ()
    for k, frame in enumerate(saved.frames):
        where = f"snapshot: frame {k}: func {frame.func}"
        if not imported <= frame.func < len(info.funcs):
            raise SnapshotError(f"{where}: the module's own are {imported} to {len(info.funcs) - 1}")
        if k and info.types[info.funcs[frame.func]].results != results:
            raise SnapshotError(f"{where}: has other results than its caller waits for")
        try:
            code = machine.bodies.code(frame.func)
        except ImportError:  # a package has the bodies of some functions
            raise SnapshotError(f"{where}: is compiled here, and cannot be interpreted") from None
        if frame.body != _checksum(machine, frame.func):
            raise SnapshotError(f"{where}: was prepared otherwise, by another version or for other limits")
        if tuple([t for t, _ in frame.registers]) != tuple(code.types):
            raise SnapshotError(f"{where}: has other registers")
        waits = k < len(saved.frames) - 1 or saved.awaiting
        if not waits <= frame.pc < len(code.segments):
            raise SnapshotError(f"{where}: no segment {frame.pc} to go on at")
        if waits:
            kind, _, _, x = code.call_before(frame.pc)
            if kind not in (interpreter.CALL, interpreter.INDIRECT):
                raise SnapshotError(f"{where}: segment {frame.pc - 1} is no call")
            results = machine._callee_type(kind, x).results
        registers = [_value(instance, value, f"{where}: register {i}") for i, value in enumerate(frame.registers)]
        frames.append(interpreter.SavedFrame(frame.func, frame.pc, [None] * FIRST + registers))
    return interpreter.Suspension(frames, saved.awaiting, results if saved.awaiting else ())


def suspend(instance: Instance, suspension: Suspension) -> None:
    """Put `suspension` in its place, the instance's memories being there; its functions are interpreted now."""
    machine = instance.machine
    assert machine is not None
    for frame in suspension.frames:
        frame.registers[:2] = machine.memory, instance.namespace
        if frame.func not in machine.interpreted:
            machine.interpret(frame.func)
    machine.suspended = suspension


def _value(instance: Instance, saved: SavedValue, where: str) -> Any:
    if saved.type != "funcref" or saved.value is None:
        return saved.value
    if saved.value >= len(instance.info.funcs):
        raise SnapshotError(f"{where}: function {saved.value} of {len(instance.info.funcs)}")
    return instance.func(saved.value)


def _checksum(machine: Machine, func: int) -> int:
    """Of the prepared body of a function. Bodies are tuples of numbers and names: their text is the same everywhere."""
    found = machine.bodies.checksums.get(func)
    if found is None:
        code = machine.bodies.code(func)
        text = repr((code.types, code.params, [block[2:] for block in code.body]))
        found = machine.bodies.checksums[func] = zlib.crc32(text.encode("ascii"))
    return found
