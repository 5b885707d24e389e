"""The border between Python and the guest: how deep the guest may recurse, and what its errors become.

Python's own checks are the guest's: an index out of range of a view is an access out of bounds, a division by zero is
one. `translate` turns such an exception into the Trap that the spec asks for, if it comes from guest code, that is if
its innermost frame runs in a namespace with the key `__polymerase__`, not counting those of runtime modules with the
key `__polymerase_helper__`. Whatever a host function raises is left alone.

Guest code may recurse deeper than Python's limit of 1,000. The limit belongs to the process, so it is raised when the
outermost call enters the guest and restored when it leaves, or, with guests in several threads, when the last one
does. How far it may be raised depends on what protects the C stack:
- CPython 3.12 and later count what uses the C stack apart, and calls from Python to Python use none.
- CPython 3.11 counts both in one; calls from Python to Python use no stack, but what a host function does may.
- CPython 3.9 and 3.10, and PyPy, use the stack for every call.
So before 3.12 the limit is a share of the thread's stack; `deep_stack` lends a call a thread with a large one.
A guest that calls the host that calls the guest uses the C stack everywhere: `MAX_NESTED` bounds it.
"""

from __future__ import annotations

import re
import struct
import sys
import threading
from sys import getrecursionlimit, setrecursionlimit
from threading import get_ident
from types import TracebackType
from typing import Any, Callable

from .traps import (
    DIVIDE_BY_ZERO,
    INTEGER_OVERFLOW,
    INVALID_CONVERSION,
    KEPT_FRAMES,
    OUT_OF_BOUNDS_MEMORY,
    STACK_EXHAUSTED,
    UNDEFINED_ELEMENT,
    Frame,
    GuestStack,
    Trap,
    trace,
)

__polymerase_helper__ = True  # a call that fails on entry, for want of stack, is the guest's

_PYPY = sys.implementation.name == "pypy"
_FREE_CALLS = not _PYPY and sys.version_info >= (3, 12)  # guest calls use no C stack, and what does is counted apart

# Python frames that guest code may use in all. Each has about 500 bytes and its locals, on the heap.
MAX_DEPTH = 60_000
MAX_SLOTS = 1 << 26  # locals and stack slots of all those frames: 512 MB
# Bytes of C stack a unit of the recursion limit may take. CPython, measured by how deep host code could recurse in
# 8 MB before it crashed: calls through slots (__call__, __getattr__) 10,900 to 22,000 deep, sorted(key=…) 3,250 (3.11)
# and 4,950 (3.9). PyPy takes its limit as multiples of 768 bytes.
_UNIT = 1300 if _PYPY else 840 if sys.version_info >= (3, 11) else 2800
_DEEP_STACKS = (256 << 20, 64 << 20, 16 << 20)  # sizes to try, bytes
MAX_NESTED = 400  # calls from host functions back into the guest, in one thread
_MAX_NESTED_DEEP = 10_000  # in a thread of deep_stack


def _main_stack() -> int:
    """Bytes of stack the main thread may use; 0 where that is unknown."""
    try:
        import resource

        size = resource.getrlimit(resource.RLIMIT_STACK)[0]
    except (ImportError, OSError, ValueError):
        return 0
    return 64 << 20 if size == resource.RLIM_INFINITY or size > 64 << 20 else size


def _limit_of(stack: int) -> int:
    """The recursion limit for a thread with so many bytes of stack."""
    return MAX_DEPTH if _FREE_CALLS else max(1000, min(MAX_DEPTH, stack // _UNIT))


# The state, of the process as the limit is. Generated calls (func.py) run in this module's namespace and inline the
# common case of `enter` and `leave`: the outermost call, by the main thread, of the only guest running.
_main = threading.main_thread().ident
_limit = _limit_of(_main_stack())  # for the main thread
_owner: int | None = 0  # the thread in guest code that raised the limit; 0: none; -1: it left, but others did not yet
_idle = 0  # what _owner becomes when that thread leaves
_normal = 1000  # the limit to restore then
_nested = 0  # depth of its calls back into the guest; 0 whenever a thread becomes the owner
_sharers = 0  # other threads in guest code
_saved = 1000  # the limit to restore when the last of them has left
_deep: dict[int, int] = {}  # thread of deep_stack -> its limit
_lock = threading.Lock()  # for all that concerns other threads
_local = threading.local()  # depth: calls into the guest, of a sharer


def depth_of(slots: int) -> int:
    """The recursion limit for code whose functions have up to `slots` locals and stack slots."""
    return max(1000, min(MAX_DEPTH, MAX_SLOTS // max(slots, 1)))


def lower(depth: int) -> None:
    """Bring the limit in force down to `depth` (at least 1000), until the outermost call leaves the guest.
    RecursionError if the stack is deeper."""
    if getrecursionlimit() > depth:
        setrecursionlimit(depth)


def enter(me: int, most_depth: int) -> bool:
    """Let the thread `me` enter guest code where that is not the common case, under a limit of at most `most_depth`.
    False: it must not, its stack is too small for the limit in force."""
    global _owner, _normal, _idle, _nested, _sharers, _saved
    most = _MAX_NESTED_DEEP if me in _deep else MAX_NESTED
    if _owner == me:
        if _nested >= most:
            raise Trap(STACK_EXHAUSTED)
        _nested += 1
        return True
    mine = _deep.get(me) or (
        _limit if me == _main else _limit_of(threading.stack_size() or min(_main_stack(), 8 << 20))
    )
    mine = min(mine, most_depth)
    depth: int = getattr(_local, "depth", 0)
    if depth >= most:
        raise Trap(STACK_EXHAUSTED)
    with _lock:
        if not depth:
            if _owner == 0 or _owner == -1 and not _sharers:
                _owner = me
                _idle = 0
                _normal = getrecursionlimit()
                if _normal < mine:
                    setrecursionlimit(mine)
                return True
            in_force = getrecursionlimit()
            if in_force > mine and not _FREE_CALLS:
                return False
            if not _sharers:  # the owner must not restore the limit under us
                _saved = _normal
                _normal = in_force
                _idle = -1
            _sharers += 1
        _local.depth = depth + 1
        return True


def leave(me: int) -> None:
    """Undo `enter`."""
    global _owner, _normal, _idle, _nested, _sharers
    if _owner == me:
        if _nested:
            _nested -= 1
        else:
            _owner = _idle
            restore()
        return
    with _lock:
        _local.depth -= 1
        if not _local.depth:
            _sharers -= 1
            if not _sharers:
                _normal = _saved
                _idle = 0
                if _owner == -1:
                    _owner = 0
                    restore()


def restore() -> None:
    """Put the recursion limit back; a little higher if the stack is deeper by now than Python lets it be."""
    limit = _normal
    while True:
        try:
            setrecursionlimit(limit)
            return
        except RecursionError:
            limit += 100


def deep_stack(fn: Callable[..., Any], *args: Any) -> Any:
    """Call `fn(*args)` where guest code may recurse to MAX_DEPTH: on a thread with a large stack, where Python needs
    one. For whole programs. Returns or raises what `fn` does; Ctrl-C raises KeyboardInterrupt here and abandons it."""
    if _FREE_CALLS:
        return fn(*args)
    result: list[Any] = []
    error: list[BaseException] = []

    def run() -> None:
        me = get_ident()
        _deep[me] = _limit_of(size * 3 // 4)
        try:
            result.append(fn(*args))
        except BaseException as e:
            error.append(e)
        finally:
            del _deep[me]

    for size in _DEEP_STACKS:
        thread = threading.Thread(target=run, name="deep_stack", daemon=True)
        with _lock:
            old = threading.stack_size(size)
            try:
                thread.start()
            except (RuntimeError, MemoryError):  # no room for such a stack
                continue
            finally:
                threading.stack_size(old)
        thread.join()
        if error:
            raise error.pop()
        return result[0]
    return fn(*args)


# --- What the guest's errors become

FILE = "<polymerase border>"  # of generated calls into the guest, as tracebacks have it
_FUNC = re.compile(r"func(\d+)")


def translate(e: Exception, outermost: bool) -> Exception | None:
    """The Trap that the exception `e`, caught at the border, stands for; None if it is to pass as it is.

    The Trap's `frames` name the guest's functions; their Python frames are cut from its traceback. If `outermost`,
    the stack is added for tracebacks to show: as a note or, where Python has none (before 3.11), as the cause.
    """
    if not isinstance(e, Trap) and (type(e) not in _WORDS or "_polymerase_passes" in e.__dict__):
        return None
    seen = e._cut if isinstance(e, Trap) else None  # where the border that it passed before began
    border = tb = e.__traceback__
    guest = []
    kept = []
    by_guest = in_helper = False  # the innermost frame but for the runtime's helpers is the guest's; is a helper's
    while tb is not None and tb is not seen:
        names = tb.tb_frame.f_globals
        in_helper = "__polymerase_helper__" in names
        if "__polymerase__" in names:
            guest.append(tb)
            by_guest = True
        elif not in_helper:
            by_guest = False
            if tb is not border:
                kept.append(tb)
        tb = tb.tb_next
    if not isinstance(e, Trap):
        # A RecursionError in a helper is the guest's even if the host called: it failed on its way into the guest.
        trap = _trap_of(e) if by_guest or in_helper and type(e) is RecursionError else None
        if trap is None:
            e.__dict__["_polymerase_passes"] = True  # so that the next of many borders need not look
            return None
    else:
        trap = e
        rest = tb
        for entry in reversed(kept):
            entry.tb_next = rest
            rest = entry
        trap._cut = trap.__traceback__ = rest
    _add_frames(trap, guest)
    lines = trace(trap) if outermost else []
    if lines:
        text = "wasm traceback (innermost last):\n  " + "\n  ".join(lines)
        if sys.version_info >= (3, 11):
            trap.__notes__ = [text]
        else:
            trap.__cause__ = GuestStack(text)
    return trap


def _trap_of(e: Exception) -> Trap:
    if type(e) is IndexError and str(e).startswith("list"):
        return Trap(UNDEFINED_ELEMENT)
    return Trap(_WORDS[type(e)])


# What Python's own checks mean in guest code. Those of memoryview, bytearray and struct all mean the same; list's, of a
# table, are told by their text. OverflowError and ValueError come from int() of an infinity and a NaN.
_WORDS: dict[type, str] = {
    IndexError: OUT_OF_BOUNDS_MEMORY,
    struct.error: OUT_OF_BOUNDS_MEMORY,
    ZeroDivisionError: DIVIDE_BY_ZERO,
    RecursionError: STACK_EXHAUSTED,
    OverflowError: INTEGER_OVERFLOW,
    ValueError: INVALID_CONVERSION,
}
# Those that the runtime's own operations leave to the border.
_OF_HELPERS = (RecursionError, ZeroDivisionError)


def _add_frames(trap: Trap, entries: list[TracebackType]) -> None:
    """Put the guest's frames of `entries` before those the trap has."""
    elided = max(0, len(entries) - 2 * KEPT_FRAMES)
    if elided:
        entries = entries[:KEPT_FRAMES] + entries[-KEPT_FRAMES:]
    prepend_frames(trap, [frame for tb in entries for frame in _frame(tb)], elided)


def prepend_frames(trap: Trap, frames: list[Frame], elided: int = 0) -> None:
    """Put `frames` before those the trap has, and drop the middle of a deep stack; `elided` are missing already."""
    frames = frames + trap.frames
    more = max(0, len(frames) - 2 * KEPT_FRAMES)
    if more:
        frames = frames[:KEPT_FRAMES] + frames[-KEPT_FRAMES:]
    trap.frames = frames
    trap.elided += elided + more


def _frame(tb: TracebackType) -> list[Frame]:
    code = tb.tb_frame.f_code
    instance = tb.tb_frame.f_globals["__polymerase__"]
    match = _FUNC.match(code.co_name)
    if match is None:  # module level: a loader
        return []
    i = int(match.group(1))
    return [Frame(i, instance.info.wasm_names.get(i), instance.code.locate(code.co_filename, tb.tb_lineno))]
