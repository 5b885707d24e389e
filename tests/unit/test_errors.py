"""Errors: their text, and that they can be passed between processes."""

from __future__ import annotations

import pickle

import pytest

from polymerase.errors import (
    InternalError,
    InvalidError,
    LinkError,
    LocatedError,
    MalformedError,
    PolymeraseError,
    UnsupportedError,
    Where,
    quote,
)


def test_text_is_place_then_fault() -> None:
    error = InvalidError("type mismatch in i32.add", Where("fib.wasm", 3, "fac", 0x4F))
    assert 'fib.wasm:0x4f: func 3 "fac": type mismatch in i32.add' == str(error)


@pytest.mark.parametrize(
    "where, text",
    [
        (Where(), "fault"),
        (Where("a.wasm"), "a.wasm: fault"),
        (Where("a.wasm", at=8), "a.wasm:0x8: fault"),
        (Where(at=8), "<module>:0x8: fault"),
        (Where("a.wasm", 2), "a.wasm: func 2: fault"),
    ],
)
def test_what_is_not_known_is_left_out(where: Where, text: str) -> None:
    assert text == str(MalformedError("fault", where))


def test_locate_fills_in_only_what_is_missing() -> None:
    error = MalformedError("fault", Where(at=5))
    error.locate("a.wasm", 1, "f")
    error.locate("b.wasm", 2, "g")
    assert Where("a.wasm", 1, "f", 5) == error.where


def test_a_hostile_name_stays_on_its_line() -> None:
    error = InvalidError("fault", Where("a.wasm", 0, 'x"\n\x1b[31m\u202e' + "y" * 10_000, 1))
    text = str(error)
    assert text.startswith('a.wasm:0x1: func 0 "x\\"\\n\\x1b[31m\\u202e')
    assert text.isprintable()
    assert len(text) < 200


def test_quote_keeps_printable_text() -> None:
    assert '"größe 🎉"' == quote("größe 🎉")


@pytest.mark.parametrize(
    "error",
    [
        MalformedError("m", Where("a", 1, "f", 2)),
        InvalidError("m", Where("a", 1, "f", 2)),
        UnsupportedError("m", Where("a", 1, "f", 2), "simd"),
        InternalError("lower", "m", Where("a", 1, "f", 2)),
    ],
)
def test_errors_pickle(error: LocatedError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(error) is type(copy)
    assert str(error) == str(copy)
    assert error.__dict__ == copy.__dict__


def test_a_located_error_pickles_with_its_place() -> None:
    error = MalformedError("m", Where(at=1))
    error.locate("a.wasm", 4)
    assert "a.wasm:0x1: func 4: m" == str(pickle.loads(pickle.dumps(error)))


def test_one_base_class() -> None:
    for cls in (MalformedError, InvalidError, UnsupportedError, InternalError, LinkError):
        assert issubclass(cls, PolymeraseError)
