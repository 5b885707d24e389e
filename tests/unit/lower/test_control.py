"""The shapes that control flow takes. Whether they are right, the runs in `tests/property` and the suites say."""

from __future__ import annotations

import pytest
import wasmtime

from polymerase.ir.check import check
from polymerase.ir.show import show
from polymerase.lower import lower
from polymerase.wasm.decode import decode


def lowered(body: str, head: str = "(param i32 i32) (result i32)", rest: str = "") -> list[str]:
    """The statements of a function with this body, indented."""
    module = decode(bytes(wasmtime.wat2wasm(f'(module (memory 1) (func (export "f") {head} {body}) {rest})')))
    f = lower(module, 0)
    check(f)
    return show(f).splitlines()[1:]


def test_two_returns_need_no_else() -> None:
    lines = lowered("""local.get 0 i32.const 2 i32.lt_s if (result i32) local.get 0
        else local.get 0 i32.const 1 i32.sub local.get 1 call 0 end""")
    assert lines == ["    if i32_lt_s(p0, 2):", "        return p0", "    return func0(i32_sub(p0, 1), p1)"]


def test_a_loop_with_its_test_first_breaks_or_returns_there() -> None:
    lines = lowered("""block loop local.get 0 i32.eqz br_if 1 local.get 1 local.get 0 i32.add local.set 1
        local.get 0 i32.const 1 i32.sub local.set 0 br 0 end end local.get 1""")
    assert lines == [
        "    while true:",
        "        if i32_eqz(p0):",
        "            return p1",
        "        p1 = i32_add(p1, p0)",
        "        p0 = i32_sub(p0, 1)",
    ]


def test_conditions_that_skip_to_the_same_place_become_one() -> None:
    lines = lowered("""block local.get 0 i32.eqz br_if 0 local.get 1 i32.eqz br_if 0 i32.const 7 local.set 0 end
        local.get 0 i32.load""")
    assert lines == ["    if (p0 and p1):", "        p0 = 7", "    return i32_load(p0)"]


def test_a_switch_whose_cases_end_needs_no_loop() -> None:
    lines = lowered("""block block block local.get 0 br_table 0 1 2 end i32.const 10 return end
        i32.const 20 local.set 1 end local.get 1""")
    assert lines == [
        "    switch p0:",
        "    case 0:",
        "        return 10",
        "    case 1:",
        "        return 20",
        "    default:",
        "        return p1",
    ]


def test_a_jump_past_other_code_breaks_out_of_a_loop_that_runs_once() -> None:
    lines = lowered("""block block local.get 0 br_if 0 i32.const 1 i32.const 2 i32.store local.get 1 br_if 1
        i32.const 2 i32.const 2 i32.store end i32.const 3 i32.const 2 i32.store end local.get 0 i32.load""")
    assert lines == [
        "    while true:",
        "        if i32_eqz(p0):",
        "            i32_store(1, 2)",
        "            if p1:",
        "                break",
        "            i32_store(2, 2)",
        "        i32_store(3, 2)",
        "        break",
        "    return i32_load(p0)",
    ]


def test_unreachable_code_leaves_nothing() -> None:
    assert lowered("local.get 0 return i32.const 1 drop block br 0 end unreachable") == ["    return p0"]


def test_traps_keep_their_order() -> None:
    lines = lowered("local.get 0 i32.load local.get 0 local.get 1 i32.div_s local.set 0 local.get 0 i32.add")
    assert lines == ["    t2 = i32_load(p0)", "    p0 = i32_div_s(p0, p1)", "    return i32_add(t2, p0)"]


def test_an_operand_is_read_before_its_local_changes() -> None:
    lines = lowered("local.get 0 local.get 1 local.set 0 local.get 0 i32.sub")
    assert lines == ["    t2 = p0", "    p0 = p1", "    return i32_sub(t2, p0)"]


def test_a_tail_call_of_itself_is_a_loop_and_moves_its_arguments_at_once() -> None:
    lines = lowered("local.get 0 i32.eqz if local.get 1 return end local.get 1 local.get 0 return_call 0")
    assert lines == ["    while true:", "        if i32_eqz(p0):", "            return p1", "        p0, p1 = p1, p0"]


def test_only_locals_read_before_they_are_set_start_at_zero() -> None:
    lines = lowered("(local i32 i64 i32) i32.const 5 local.set 4 local.get 2 local.get 4 i32.add")
    assert lines == ["    v2 = 0", "    v4 = 5", "    return i32_add(v2, v4)"]


def nested(count: int, open_: str, close: str) -> str:
    return open_ * count + close * count


SHAPES = {
    "loops": nested(40, "loop ", "local.get 0 br_if 0 end local.get 0 i32.const 1 i32.sub local.set 0 "),
    "ifs": nested(300, "local.get 0 if ", "local.get 0 i32.const 3 i32.mul local.set 0 end "),
    "blocks": nested(3000, "block ", "local.get 0 br_if 0 i32.const 3 local.set 0 end "),
    "switch": "block " * 3000
    + f"local.get 0 br_table {' '.join(map(str, range(3000)))} "
    + "end local.get 1 i32.const 3 i32.mul local.set 1 " * 3000,
    "operators": "local.get 0 i32.load " * 9000 + "i32.add " * 8999 + "local.set 0 ",
    "exits": "block " + "local.get 0 i32.const 7 i32.eq br_if 0 local.get 0 call 1 local.set 0 " * 3000 + "end ",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_nests_past_what_python_allows(shape: str) -> None:
    rest = "(func (param i32) (result i32) local.get 0)"
    assert lowered(SHAPES[shape] + " local.get 0", rest=rest)  # `check` holds the limits
