"""WebAssembly modules as Python packages: compile ahead of time, import, run."""

from typing import TYPE_CHECKING, Any

from polymerase.api import (
    Cache,
    Caller,
    Exit,
    ExportType,
    FallbackWarning,
    Func,
    FuncType,
    Global,
    GlobalType,
    ImportType,
    Instance,
    Limits,
    Memory,
    MemoryType,
    Module,
    SizeLimits,
    Summary,
    Suspend,
    Suspended,
    Table,
    TableType,
    Trap,
    Wasi,
    compile_package,
    format_trap,
)
from polymerase.errors import (
    BusyError,
    InternalError,
    InvalidError,
    LinkError,
    MalformedError,
    PolymeraseError,
    SnapshotError,
    UnsupportedError,
    Where,
)
from polymerase.options import Options
from polymerase.version import __version__

if TYPE_CHECKING:
    from polymerase.api import Snapshot

__all__ = [
    "BusyError",
    "Cache",
    "Caller",
    "Exit",
    "ExportType",
    "FallbackWarning",
    "Func",
    "FuncType",
    "Global",
    "GlobalType",
    "ImportType",
    "Instance",
    "InternalError",
    "InvalidError",
    "Limits",
    "LinkError",
    "MalformedError",
    "Memory",
    "MemoryType",
    "Module",
    "Options",
    "PolymeraseError",
    "SizeLimits",
    "Snapshot",
    "SnapshotError",
    "Summary",
    "Suspend",
    "Suspended",
    "Table",
    "TableType",
    "Trap",
    "UnsupportedError",
    "Wasi",
    "Where",
    "__version__",
    "compile_package",
    "format_trap",
]


def __getattr__(name: str) -> Any:
    if name == "Snapshot":  # imported when asked for: programs that the cache has start without
        from polymerase.api import Snapshot

        return Snapshot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
