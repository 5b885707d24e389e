"""Pruning of modules that mix proposals."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spec.prune import Hopeless, prune

OLD = '(func (export "old") (result i32) (i32.const 1))'


def echo(text: bytes) -> bytes:
    """An assembler that takes everything."""
    return text


@pytest.mark.parametrize(
    "later",
    [
        "(type $t (func (param (ref null $u))))",
        "(func (result anyref) (unreachable))",
        "(func (call_ref $t))",
        "(type (struct (field i32)))",
        "(memory i64 1)",
        "(tag $e)",
        "(func (drop (i8x16.splat (i32.const 1))))",
        "(func (throw $e))",
    ],
)
def test_fields_of_later_proposals_go(later: str) -> None:
    assert f"(module {OLD})" == prune(f"(module {later} {OLD})".encode(), echo).decode()


@pytest.mark.parametrize(
    "field",
    [
        "(func (result funcref) (ref.null func))",
        "(table 1 externref)",
        "(func (return_call $f))",
        "(func (ref.func 0))",
    ],
)
def test_fields_of_2_0_and_tail_calls_stay(field: str) -> None:
    assert field in prune(f"(module {field} (tag))".encode(), echo).decode()


def test_a_field_that_names_a_removed_one_goes_too(wat: Callable[[str], bytes]) -> None:
    text = f"(module (func $a (param anyref)) (func $b (call $a (unreachable))) (func $c (call $b)) {OLD})"
    assert wat(f"(module {OLD})") == prune(text.encode(), lambda source: wat(source.decode()))


@pytest.mark.parametrize("text", ["(module (tag))", f"(module {OLD})", "(module)"])
def test_there_must_be_something_to_remove_and_to_keep(text: str) -> None:
    with pytest.raises(Hopeless):
        prune(text.encode(), echo)


def test_another_fault_of_the_assembler_ends_it() -> None:
    def refuse(text: bytes) -> bytes:
        raise ValueError("unexpected token")

    with pytest.raises(Hopeless):
        prune(f"(module (tag) {OLD})".encode(), refuse)
