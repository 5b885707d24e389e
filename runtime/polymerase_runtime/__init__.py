"""What compiled WebAssembly modules need to run. Standard library only; runs on CPython 3.9 and later, and PyPy.

Everything emitted code or an embedder may use is imported here; `HELPERS` (instance.py) are the names that emitted
functions find in their namespace.
"""

from __future__ import annotations

from .traps import Exit, Frame, LinkError, PolymeraseError, Trap, format_trap
from .types import (
    ABI,
    Data,
    Elem,
    ExportType,
    FuncType,
    GlobalType,
    ImportType,
    Limits,
    MemoryType,
    ModuleInfo,
    TableType,
)

__all__ = [
    "ABI",
    "Data",
    "Elem",
    "Exit",
    "ExportType",
    "Frame",
    "FuncType",
    "GlobalType",
    "ImportType",
    "Limits",
    "LinkError",
    "MemoryType",
    "ModuleInfo",
    "PolymeraseError",
    "TableType",
    "Trap",
    "format_trap",
]
