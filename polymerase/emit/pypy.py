"""PyPy's spelling."""

from polymerase.emit.cpython import CPython


class PyPy(CPython):
    """Spells expressions and stores for PyPy."""
