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
import time
from sys import getrecursionlimit, setrecursionlimit
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional
from weakref import ref

from .traps import (
    DIVIDE_BY_ZERO,
    INTEGER_OVERFLOW,
    INVALID_CONVERSION,
    KEPT_FRAMES,
    OUT_OF_BOUNDS_MEMORY,
    STACK_EXHAUSTED,
    UNDEFINED_ELEMENT,
    BusyError,
    Frame,
    GuestStack,
    Trap,
    quoted,
    trace,
)

if TYPE_CHECKING:
    from .func import Func
    from .instance import Instance

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


# --- Who is in the guest
#
# An instance takes one call at a time: its Guard is held by one thread, which may come again. Instances that can call
# each other without passing the border share one guard.
#
# Nearly always no guest runs when one is called, and the caller becomes the process's *owner* by one step that nothing
# can divide: see CLAIM. A call that finds an owner, or others, goes through `enter`: the owner's own nested calls, and
# those of *sharers*, which are other threads and do all they do under the lock. Owner and sharers never wait for each
# other to leave. Between them both write first what they are about to do, and then look whether the other has: one at
# least sees it, and gives way.

_ATOMIC_SWAP = not _PYPY and (3, 10) <= sys.version_info < (3, 15)
# Source that sets `before` to whether there was an owner and makes sure that there is one. From CPython 3.10 on
# threads switch at calls and backward jumps alone, so that a swap is one step; elsewhere list.pop is. Not so surely in
# later ones than 3.14.
CLAIM = (
    "before, state.held = state.held, True"
    if _ATOMIC_SWAP
    else """try:
        take()
        before = False
    except IndexError:
        before = True"""
)
RELEASE = "state.held = False" if _ATOMIC_SWAP else "give(None)"


class _State:
    """The state of the process, which the recursion limit is part of."""

    __slots__ = ("held", "lost", "mode", "nested", "owner", "saved", "sharers")

    def __init__(self) -> None:
        self.held = False  # whether there is an owner, or a thread about to become or just been it
        self.owner = 0  # that thread, while it is in the guest
        self.mode = 0  # of the owner: 0, on its way in or out; RAISED the limit; KEPT it as it was
        self.nested = 0  # depth of the owner's calls back into the guest
        self.sharers = 0  # other threads in guest code
        self.saved = 0  # the limit for the last sharer to restore; 0: none
        self.lost = False  # whether the owner died on the way: the last sharer then lets another in


RAISED = 1
KEPT = 2
revive: Callable[[Guard], None] = bool  # type: ignore[assignment]  # interrupts.py puts its own here
state = _State()
_free: list[None] = [None]  # empty for state.held
take = _free.pop
give = _free.append
_main = threading.main_thread().ident
_limit = _limit_of(_main_stack())  # for the main thread
_deep: dict[int, int] = {}  # thread of deep_stack -> its limit
_lock = threading.Lock()  # for all that concerns other threads
_local = threading.local()  # depth: calls into the guest, of a sharer
_LOST = 1.0  # seconds after which an owner that is neither in nor out must have died on the way, of Ctrl-C
_MERGED = -1


class Guard:
    """Lets one thread at a time into an instance. Threads by their idents, 0 for none."""

    __slots__ = ("into", "level", "members", "owner", "sharer", "stopped")

    def __init__(self) -> None:
        self.owner = 0  # the thread that holds it, if that is the owner
        self.sharer = 0  # … if it is a sharer; _MERGED: look at `into`
        self.level = 0  # how many calls that thread was in already
        self.into: Guard | None = None
        self.members: list[ref[Instance]] = []  # the instances that share it
        # What `interrupt` stops (see interrupts.py): the thread, and the namespaces in which `running` is False.
        self.stopped: tuple[int, list[dict[str, Any]]] | None = None

    @property
    def thread(self) -> int:
        """The thread that holds the guard now."""
        guard = root(self)
        return guard.owner or guard.sharer


def root(guard: Guard) -> Guard:
    """The guard that stands for `guard` since instances were linked."""
    while guard.into is not None:
        guard = guard.into
    return guard


def join(a: Guard, b: Guard) -> Guard:
    """Make one of two guards, and return it. BusyError if one of them is held by another thread."""
    me = get_ident()
    with _lock:
        a, b = root(a), root(b)
        if a is b:
            return a
        if (b.owner or b.sharer) and (not (a.owner or a.sharer) or b.level < a.level):
            a, b = b, a  # the one that will be held for longer stays
        sharer = b.sharer
        b.sharer = _MERGED
        for thread in (a.owner, a.sharer, b.owner, sharer):
            if thread not in (0, me):
                b.sharer = sharer
                raise BusyError(f"cannot link instances: a call is running in {_named(thread)}")
        b.into = a
        a.members = [member for member in (*a.members, *b.members) if member() is not None]
        return a


def _named(thread: int) -> str:
    name = next((t.name for t in threading.enumerate() if t.ident == thread), "")
    return f"thread {quoted(name)}" if name else f"thread {thread}"


def depth_of(slots: int) -> int:
    """The recursion limit for code whose functions have up to `slots` locals and stack slots."""
    return max(1000, min(MAX_DEPTH, MAX_SLOTS // max(slots, 1)))


def lower(depth: int) -> None:
    """Bring the limit in force down to `depth` (at least 1000), until the outermost call leaves the guest.
    RecursionError if the stack is deeper."""
    if getrecursionlimit() > depth:
        setrecursionlimit(depth)


Entered = tuple[Optional[Guard], bool, int]  # the guard if it is this call's to give back; is it a sharer's; a limit


def enter(f: Func, me: int) -> Entered | None:
    """Let the thread `me` call `f` where there is an owner, or another thread in the guest. What it returns is for
    `leave`; None: the thread's stack is too small for the limit in force. Raises BusyError, Trap."""
    most = _MAX_NESTED_DEEP if me in _deep else MAX_NESTED
    if state.owner != me:
        return _share(f, me, most)
    if state.nested >= most:
        raise Trap(STACK_EXHAUSTED)
    guard = _guard(f)
    first = None
    if guard.owner != me:
        first = guard
        guard.owner = me
        if guard.sharer:
            guard.owner = 0
            first = _hold(f, me)
        if first is not None:
            first.level = state.nested + 1
    state.nested += 1
    limit = 0
    if state.mode != RAISED:  # a function that calls no other has called one: some Python object's finalizer has
        limit = getrecursionlimit()
        setrecursionlimit(max(limit, min(f.depth, _limit)))
    return first, False, limit


def _hold(f: Func, me: int) -> Guard | None:
    """The guard of `f`, now held by the owner, while sharers may want it; None if it was already."""
    with _lock:
        guard = f.guard = root(_guard(f))
        if guard.owner == me:
            return None
        if guard.sharer:
            raise _busy(f, guard.sharer)
        guard.owner = me
        return guard


def _guard(f: Func) -> Guard:
    assert f.guard is not None
    return f.guard


def _busy(f: Func, thread: int) -> BusyError:
    return BusyError(
        f"{f.instance!r}: cannot call {quoted(f.name)}: a call is running in {_named(thread)}, "
        "and an instance takes one at a time"
    )


def _share(f: Func, me: int, most: int) -> Entered | None:
    depth: int = getattr(_local, "depth", 0)
    if depth >= most:
        raise Trap(STACK_EXHAUSTED)
    first = None
    with _lock:
        guard = f.guard = root(_guard(f))
        if guard.sharer != me:
            if guard.sharer:
                raise _busy(f, guard.sharer)
            guard.sharer = me
            thread = guard.owner
            if thread:
                guard.sharer = 0
                raise _busy(f, thread)
            guard.level = depth
            first = guard
        if not depth:
            state.sharers += 1
            mine = _deep.get(me) or (
                _limit if me == _main else _limit_of(threading.stack_size() or min(_main_stack(), 8 << 20))
            )
            if not _share_limit(min(mine, f.depth)):
                _unshare(first)
                return None
        _local.depth = depth + 1
    return first, True, 0


def _share_limit(mine: int) -> bool:
    """See that the limit is `mine` at least, and restored in the end. False if it is higher than the stack allows."""
    until = 0.0
    while (state.held if _ATOMIC_SWAP else not _free) and not state.mode:
        now = time.monotonic()
        until = until or now + _LOST
        if now > until:
            state.lost = True
            break
        _lock.release()
        try:
            time.sleep(0)  # the owner is about to change the limit, or to leave
        finally:
            _lock.acquire()
    in_force = getrecursionlimit()
    if in_force > mine and not _FREE_CALLS:
        return False
    if state.mode != RAISED and not state.saved:
        state.saved = in_force
    if in_force < mine:
        setrecursionlimit(mine)
    return True


def _unshare(guard: Guard | None) -> None:
    if guard is not None and guard.sharer != _MERGED:
        guard.sharer = guard.level = 0
    if state.sharers == 1 and state.saved:
        restore(state.saved)
        state.saved = 0
    if state.sharers == 1 and state.lost:
        state.lost = False
        state.owner = 0
        _release()
    state.sharers -= 1


def leave(entered: Entered) -> None:
    """Undo `enter`."""
    guard, sharer, limit = entered
    if not sharer:
        state.nested -= 1
        if guard is not None:
            guard.owner = guard.level = 0
            if guard.stopped is not None:
                revive(guard)
        if limit:
            restore(limit)
        return
    with _lock:
        _local.depth -= 1
        if not _local.depth:
            _unshare(guard)
        elif guard is not None and guard.sharer != _MERGED:
            guard.sharer = guard.level = 0
    if guard is not None and guard.stopped is not None:
        revive(guard)


def is_outermost() -> bool:
    """Whether the thread that `enter` let in has no other call in the guest."""
    if state.owner == get_ident():
        return False
    depth: int = _local.depth
    return depth == 1


def back_off(guard: Guard) -> None:
    """The owner stops being it before it has entered: there are sharers."""
    guard.owner = state.owner = 0
    _release()


def hand_over(limit: int) -> None:
    """The owner leaves, sharers may be left: then it is for them to restore `limit`, unless it is 0."""
    with _lock:
        if limit:
            if state.sharers:
                state.saved = state.saved or limit
            else:
                restore(limit)
        state.owner = 0
        _release()


def _release() -> None:
    if _ATOMIC_SWAP:
        state.held = False
    else:
        give(None)


def restore(limit: int) -> None:
    """Put the recursion limit back; a little higher if the stack is deeper by now than Python lets it be."""
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
_FUNC = r"func(\d+)"  # compiled when first needed, as all here: a start that needs none has 0.3 ms less of each


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
    match = re.match(_FUNC, code.co_name)
    if match is None:  # module level: a loader
        return []
    i = int(match.group(1))
    file = code.co_filename
    frame = Frame(i, instance.info.wasm_names.get(i), instance.code.locate(file, tb.tb_lineno))
    return [frame if file.startswith("<") else frame._replace(file=file, line=tb.tb_lineno)]
