"""Names that emitted code uses and that are no operation of WebAssembly: pieces of Python's own library."""

from __future__ import annotations

from math import inf, sqrt

__all__ = ["inf", "sqrt"]
