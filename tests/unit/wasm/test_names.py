"""The name section: what it says, and that a bad one only loses the names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from polymerase.wasm.decode import decode
from polymerase.wasm.module import Names
from tests.unit.wasm.binary import HEADER, custom, leb, section, vec


def name(text: str) -> bytes:
    data = text.encode()
    return leb(len(data)) + data


def test_names(wat: Callable[[str], bytes]) -> None:
    names = decode(wat("(module $m (global $g i32 (i32.const 0)) (func $f (param $a i32) (local $b i32)))")).names
    assert Names("m", {0: "f"}, {0: {0: "a", 1: "b"}}, {0: "g"}) == names


def test_names_are_any_text() -> None:
    text = 'def """\n\0' + "🎉" * 2500
    data = HEADER + custom(b"name", section(1, vec([b"\7" + name(text)])))
    assert {7: text} == decode(data).names.funcs


def test_unknown_parts_are_skipped() -> None:
    data = HEADER + custom(b"name", section(9, b"\xff\xff") + section(0, name("m")))
    assert "m" == decode(data).names.module


@pytest.mark.parametrize(
    "payload",
    [
        b"\1",
        b"\1\5",
        b"\1\xff\xff\xff\xff\x0f",
        section(1, b"\2\0\1a"),
        section(1, b"\1\0\1\xff"),
        section(1, b"\1\0\1a\0"),
        section(1, b"\2\0\1a\0\1b"),
        section(1, b"\xff\xff\xff\xff\x0f"),
        section(2, b"\1\0\xff\x7f"),
    ],
)
def test_a_malformed_section_has_no_names(payload: bytes) -> None:
    assert Names() == decode(HEADER + custom(b"name", section(0, name("m")) + payload)).names


def test_the_first_section_counts() -> None:
    sections = [custom(b"name", section(0, name(m))) for m in ("a", "b")]
    assert "a" == decode(HEADER + b"".join(sections)).names.module
