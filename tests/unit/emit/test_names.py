"""Names: hostile text in, identifiers out."""

from __future__ import annotations

import builtins
import keyword

import pytest

from polymerase.emit.names import MAX_NAME, mangle

HOSTILE = [
    "fac",
    "",
    "class",
    "print",
    "__init__",
    "a b",
    'x"); import os; os.system("rm")',
    "new\nline",
    "\0",
    "\u202e\ufeff",
    "😀" * 5000,
    "é",
    "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE",
    "a" * 1_000_000,
    "____",
    "9",
    "tail",
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_any_name_becomes_a_short_identifier(name: str) -> None:
    made = mangle("func", 3, name)
    assert made.isascii()
    assert made.isidentifier()
    assert not keyword.iskeyword(made)
    assert not hasattr(builtins, made)
    assert made.startswith("func3")
    assert len(made) <= len("func3_") + MAX_NAME


def test_names_that_mangle_alike_differ_by_index() -> None:
    assert ("func1_a_b", "func2_a_b") == (mangle("func", 1, "a.b"), mangle("func", 2, "a b"))


def test_a_digit_does_not_run_into_the_index() -> None:
    assert mangle("func", 1, "2") != mangle("func", 12, "")
