"""The command line's options for suspending a program into a file and going on from it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import click

from polymerase import api

EXIT_SUSPENDED = 75  # EX_TEMPFAIL of sysexits.h: try again

suspend_option = click.option(
    "--suspend-to",
    metavar="FILE",
    help="When the fuel is used up, and at Ctrl-C, suspend the program into FILE instead of ending it: exit code 75. "
    "Needs the interpreter.",
)
resume_option = click.option(
    "--resume",
    metavar="FILE",
    help="Go on with the program that is suspended in FILE; or with --entry, call an export of what was saved there. "
    "Arguments and environment are those it had; directories are given again.",
)


@contextmanager
def suspended_by_ctrl_c(instances: Sequence[api.Instance]) -> Iterator[None]:
    """Ctrl-C suspends the last of `instances`; the second time, or while none runs, it ends the program as usual."""
    import signal  # not for every start of the program

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def suspend(number: int, frame: Any) -> None:
        nonlocal asked
        if asked or not instances or not instances[-1].interrupt(suspend=True):
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, suspend)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def save(instance: api.Instance, file: str) -> int:
    """Write a snapshot of `instance` to `file`, whole or not at all; its size in bytes. SnapshotError, OSError."""
    import tempfile

    data = instance.snapshot()
    folder, name = os.path.split(os.path.abspath(file))
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(data)
        os.replace(temporary, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    return len(data)
