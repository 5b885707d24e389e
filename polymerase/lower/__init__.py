"""WebAssembly bodies to IR: operand stack to expressions, labels to `while`, `if`, `break`."""

from polymerase.lower.body import lower

__all__ = ["lower"]
