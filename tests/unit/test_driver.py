"""The stages together, and the optimiser's list of passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from polymerase import driver, opt
from polymerase.errors import InternalError, UnsupportedError
from polymerase.ir.nodes import Func
from polymerase.options import Options
from polymerase.wasm.module import Module

Wat = Callable[[str], bytes]
TWO = '(module (func (import "a" "b")) (func $f (result i32) (i32.const 1)) (func (result i32) (i32.const 2)))'


def test_ir_of_counts_defined_functions(wat: Wat) -> None:
    module = driver.load(wat(TWO), "two.wasm")
    assert [1, 2] == [driver.ir_of(module, n, Options()).i for n in range(2)]


def test_passes_run_in_order_by_level_unless_disabled(wat: Wat, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def note(name: str) -> Callable[[Func, Module], Func]:
        def run(f: Func, module: Module) -> Func:
            ran.append(name)
            return f

        return run

    monkeypatch.setattr(
        opt, "PASSES", tuple(opt.Pass(n, level, note(n)) for n, level in (("x", 1), ("y", 2), ("z", 1)))
    )
    module = driver.load(wat(TWO))
    for options, after, names in [
        (Options(opt_level=0), None, ""),
        (Options(opt_level=1), None, "xz"),
        (Options(), None, "xyz"),
        (Options(disabled=frozenset("y")), None, "xz"),
        (Options(), "y", "xy"),
        (Options(), "lower", ""),
    ]:
        ran.clear()
        driver.ir_of(module, 0, options, after)
        assert names == "".join(ran)


def test_a_failing_pass_is_an_internal_error_that_names_pass_and_function(
    wat: Wat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(f: Func, module: Module) -> Func:
        raise KeyError("v7")

    monkeypatch.setattr(opt, "PASSES", (opt.Pass("facts", 1, fail),))
    module = driver.load(wat(TWO), "two.wasm")
    with pytest.raises(InternalError, match=r'two\.wasm:0x[0-9a-f]+: func 1 "f": .*facts.*KeyError.*-O0'):
        driver.ir_of(module, 0, Options())
    assert driver.ir_of(module, 0, replace(Options(), opt_level=0))


def test_simd_is_decoded_and_validated_but_not_compiled(wat: Wat) -> None:
    module = driver.load(wat('(module (func $v (export "v") (drop (v128.const i64x2 1 2))))'), "simd.wasm")
    with pytest.raises(UnsupportedError, match=r'^simd\.wasm:0x[0-9a-f]+: func 0 "v": .*') as raised:
        driver.compile_in_memory(module, Options())
    assert "simd" in str(raised.value).lower()
    assert "simd" == raised.value.feature
