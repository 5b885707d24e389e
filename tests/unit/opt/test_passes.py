"""What each pass does, and that what it leaves keeps the rules of the IR."""

from __future__ import annotations

import wasmtime

from polymerase.ir.check import check
from polymerase.ir.nodes import Func
from polymerase.ir.show import show
from polymerase.lower import lower
from polymerase.opt import PASSES
from polymerase.opt.constants import constants
from polymerase.opt.dead_stores import dead_stores
from polymerase.wasm.decode import decode
from polymerase.wasm.module import Module


def function(body: str, head: str = "(param i32 i32) (result i32)") -> tuple[Func, Module]:
    module = decode(bytes(wasmtime.wat2wasm(f"(module (memory 1) (func {head} {body}))")))
    return lower(module, 0), module


def lines(f: Func) -> list[str]:
    check(f)
    return [line.strip() for line in show(f).splitlines()[1:]]


def test_a_constant_is_not_stored_again() -> None:
    f, module = function(
        """(local i32) local.get 0 if i32.const 0 local.set 2 local.get 1 if local.get 0 i32.load local.set 2 end
        i32.const 1 local.get 1 i32.store end local.get 2"""
    )
    assert lines(f).count("v2 = 0") == 2
    assert lines(constants(f, module)).count("v2 = 0") == 1


def test_a_constant_does_not_outlive_a_loop_that_sets_it() -> None:
    f, module = function(
        """(local i32) loop local.get 2 local.get 1 i32.store local.get 2 i32.const 1 i32.add local.set 2
        local.get 0 br_if 0 end local.get 2"""
    )
    assert "i32_store(v2, p1)" in lines(constants(f, module))


def test_a_join_keeps_what_all_ways_agree_on() -> None:
    f, module = function("""(local i32 i32) i32.const 7 local.set 2
        local.get 0 if i32.const 8 local.set 3 i32.const 0 local.get 0 i32.store
        else i32.const 9 local.set 3 i32.const 4 local.get 0 i32.store end
        i32.const 8 local.get 3 i32.store local.get 2""")
    found = lines(constants(f, module))
    assert "i32_store(8, v3)" in found
    assert found[-1] == "return 7"


def test_floats_stay_in_their_variables() -> None:
    f, module = function("(local f64) f64.const nan local.set 2 i32.const 0 local.get 2 f64.store local.get 0")
    found = ["v2 = f64:0x7ff8000000000000", "f64_store(0, v2)", "return p0"]
    assert lines(constants(f, module)) == found


def test_a_value_that_nobody_reads_is_dropped_with_all_it_is_made_of() -> None:
    f, module = function("""(local i32 i32) loop local.get 2 i32.const 1 i32.add local.set 2 local.get 2 local.set 3
        local.get 0 br_if 0 end local.get 1""")
    found = lines(dead_stores(f, module))
    assert not any(line.startswith(("v2", "v3")) for line in found)
    assert found[-1] == "return p1"


def test_what_may_trap_or_write_stays() -> None:
    f, module = function("local.get 0 i32.load local.set 1 local.get 0 local.get 0 i32.div_s local.set 1 i32.const 5")
    assert lines(dead_stores(f, module)) == ["i32_load(p0)", "i32_div_s(p0, p0)", "return 5"]


def test_a_condition_without_arms_goes_too() -> None:
    f, module = function("local.get 0 if i32.const 3 local.set 1 else i32.const 4 local.set 1 end local.get 0 i32.load")
    assert lines(dead_stores(f, module)) == ["return i32_load(p0)"]


def test_a_value_read_in_the_next_turn_stays() -> None:
    f, module = function("""(local i32 i32) loop i32.const 0 local.get 2 i32.store local.get 0 local.set 2
        local.get 1 br_if 0 end i32.const 1""")
    assert "v2 = p0" in lines(dead_stores(f, module))


def test_a_parallel_move_keeps_its_live_part() -> None:
    f, module = function("local.get 0 if local.get 0 i32.const 1 i32.sub local.get 0 return_call 0 end i32.const 1")
    assert "p0, p1 = i32_sub(p0, 1), p0" in lines(f)
    assert "p0 = i32_sub(p0, 1)" in lines(dead_stores(f, module))


def test_levels_select_passes() -> None:
    assert [p.name for p in PASSES] == ["constants", "dead_stores"]
    assert all(p.level >= 1 for p in PASSES)
