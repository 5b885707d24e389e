"""`python -m polymerase`."""

from polymerase.cli import main

main()
