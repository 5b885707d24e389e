"""Compile a module to a Python package and import it: `python examples/package.py`."""

import importlib
import sys
import tempfile
from pathlib import Path

import polymerase

with tempfile.TemporaryDirectory() as folder:
    summary = polymerase.compile_package(Path(__file__).with_name("fib.wasm"), Path(folder, "fib_py"))
    print(summary.functions, "functions")
    sys.path.insert(0, folder)
    fib_py = importlib.import_module("fib_py")
    print(fib_py.fib(15), fib_py.gcd(12, 18))
    second = fib_py.instantiate()
    print(second.exports.factorial(10))
