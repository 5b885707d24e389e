"""`python -m polymerase`, and the command `polymerase`."""

from __future__ import annotations

import gc
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit."""
    # The search for reference cycles finds none in what is imported, which stays: it need not walk that while it grows
    # nor afterwards. Nor need it begin at each 700 objects: of what a program needs to start, most stay. Together they
    # took a tenth of a start from the cache.
    gc.disable()
    from polymerase.cli import main

    if hasattr(gc, "freeze"):
        gc.freeze()
        gc.set_threshold(10_000, *gc.get_threshold()[1:])
    gc.enable()
    main()


if __name__ == "__main__":
    main()
