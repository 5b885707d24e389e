"""Whole modules in memory: what functions see of the state that they share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

import polymerase_runtime
from polymerase import driver
from polymerase.emit.module import blob, compile_in_memory
from polymerase.options import Options

ACCESSES = [
    "i32.load8_u",
    "i32.load16_s",
    "i32.load",
    "i64.load",
    "i64.load32_u",
    "f32.load",
    "f64.load",
    "i32.store8",
    "i32.store16",
    "i32.store",
    "i64.store",
    "f32.store",
    "f64.store",
]


def instance(data: bytes, target: str) -> Any:
    module = driver.load(data, "module.wasm")
    options = Options(target=target)  # type: ignore[arg-type]
    info, code = compile_in_memory(module, lambda n: driver.ir_of(module, n, options), options)
    return polymerase_runtime.instantiate(info, code, blob=blob(module))


@pytest.mark.parametrize("target", ["cpython", "pypy"])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("access", ACCESSES)
def test_what_an_address_or_value_grows_can_be_accessed(
    access: str, aligned: bool, target: str, wat: Callable[[str], bytes]
) -> None:
    t = access[:3]
    masked = "(i32.and (call $grow) (i32.const -16))" if aligned else "(call $grow)"
    grown = f"({t}.reinterpret_i{t[1:]} " if t[0] == "f" else "("
    value = {
        "i32": "(call $grow)",
        "i64": "(i64.extend_i32_u (call $grow))",
        "f32": "(f32.convert_i32_u (call $grow))",
        "f64": "(f64.convert_i32_u (call $grow))",
    }[t]
    assert grown
    if "load" in access:
        body = f"({access} {masked})"
        more = ""
    else:
        body = f"({access} {masked} ({t}.const 0)) ({t}.const 0)"
        more = f'(func (export "g") ({access} (i32.const 131072) {value}))'
    text = f"""
    (module
      (memory 1)
      (func $grow (result i32) (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
      (func (export "f") (result {t}) {body})
      (func (export "twice") (result i32)
        (i32.add (i32.load8_u (call $grow)) (i32.load8_u (call $grow))))
      {more})
    """
    made = instance(wat(text), target).exports
    for _ in range(3):
        assert 0 == made.f()
    assert 0 == made.twice()
    if more:
        instance(wat(text.replace("(memory 1)", "(memory 2)")), target).exports.g()


@pytest.mark.parametrize("target", ["cpython", "pypy"])
def test_a_global_is_read_before_the_call_that_changes_it(target: str, wat: Callable[[str], bytes]) -> None:
    text = """
    (module
      (global $g (mut i32) (i32.const 10))
      (global $e (export "e") (mut i32) (i32.const 100))
      (func $change (result i32)
        (global.set $g (i32.add (global.get $g) (i32.const 1)))
        (global.set $e (i32.add (global.get $e) (i32.const 1)))
        (i32.const 7))
      (func (export "f") (result i32)
        (i32.add (i32.add (global.get $g) (global.get $e)) (i32.div_u (call $change) (global.get $g))))
      (func (export "g") (result i32)
        (i32.sub (global.get $g) (i32.rem_u (global.get $e) (i32.sub (call $change) (global.get $g))))))
    """
    made = instance(wat(text), target).exports
    assert 110 + 7 // 11 == made.f()
    assert 11 - 101 % ((7 - 12) % 2**32) == made.g()
    assert 102 == made.e.value


def test_the_description_holds_the_digest_of_the_bytes(wat: Callable[[str], bytes]) -> None:
    data = wat('(module (func (export "f")))')
    info, _ = driver.compile_in_memory(driver.load(data), Options())
    assert hashlib.sha256(data).hexdigest() == info.digest
