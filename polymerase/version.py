"""The version of polymerase, stated once: the build backend, the cache and the header of emitted code read it."""

__version__ = "0.1.0"
