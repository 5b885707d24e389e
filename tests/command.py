"""What a command line did: the exit code and what was printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Done(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Done]
