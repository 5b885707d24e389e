"""WebAssembly modules as Python packages: compile ahead of time, import, run."""

from polymerase.api import (
    Exit,
    ExportType,
    FuncType,
    ImportType,
    Instance,
    Module,
    Trap,
    Wasi,
    compile_package,
    format_trap,
)
from polymerase.errors import (
    InternalError,
    InvalidError,
    LinkError,
    MalformedError,
    PolymeraseError,
    UnsupportedError,
    Where,
)
from polymerase.options import Options
from polymerase.version import __version__

__all__ = [
    "Exit",
    "ExportType",
    "FuncType",
    "ImportType",
    "Instance",
    "InternalError",
    "InvalidError",
    "LinkError",
    "MalformedError",
    "Module",
    "Options",
    "PolymeraseError",
    "Trap",
    "UnsupportedError",
    "Wasi",
    "Where",
    "__version__",
    "compile_package",
    "format_trap",
]
