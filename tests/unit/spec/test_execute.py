"""The executor: what counts as the expected outcome, and what does not."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spec import execute
from spec.execute import Execution, Step, f32_bits, f32_value, f64_bits, f64_value


class Trap(Exception):
    """Stands for the runtime's."""


class LinkError(Exception):
    """Stands for the runtime's."""


def raising(error: Exception) -> Callable[..., Any]:
    """A function that raises."""

    def func(*args: Any) -> Any:
        raise error

    return func


def instance(**exports: Any) -> Callable[[Mapping[str, Any]], Any]:
    """A module whose instances have these exports."""
    return lambda imports: SimpleNamespace(exports=exports)


MODULE: Step = {"do": "module", "name": None, "definition": False, "expect": None, "module": 0}


def invoke(expect: Any, *args: Any, export: str = "f", name: str | None = None) -> Step:
    """The step that calls an export."""
    return {"do": "invoke", "instance": name, "export": export, "args": args, "expect": expect}


def run(step: Step, **exports: Any) -> tuple[bool, str]:
    """The outcome of one step on a module with these exports."""
    made, outcome = Execution([instance(**exports)], {}).run([MODULE, step])
    assert (True, "") == made
    return outcome


@pytest.mark.parametrize(
    ("passes", "result", "pattern"),
    [
        (True, -1, ("i32", 0xFFFFFFFF)),
        (False, 0xFFFFFFFF, ("i32", 0xFFFFFFFF)),  # results are signed at the public border
        (False, True, ("i32", 1)),  # and numbers, not conditions
        (True, 1 << 62, ("i64", 1 << 62)),
        (True, 0.0, ("f64", 0)),
        (False, -0.0, ("f64", 0)),
        (False, 0, ("f64", 0)),
        (True, f64_value(0x7FF0000000000001), ("f64", 0x7FF0000000000001)),
        (False, f64_value(0x7FF8000000000001), ("f64", 0x7FF0000000000001)),
        (True, f64_value(0xFFF8000000000000), ("f64", "canonical")),
        (False, f64_value(0x7FF8000000000001), ("f64", "canonical")),
        (True, f64_value(0x7FF8000000000001), ("f64", "arithmetic")),
        (False, f64_value(0x7FF0000000000001), ("f64", "arithmetic")),
        (True, f32_value(0x7FA00000), ("f32", 0x7FA00000)),
        (True, f32_value(0xFFC00000), ("f32", "canonical")),
        (False, f64_value(0x7FF8000000000001), ("f32", "arithmetic")),  # more payload than an f32 has
        (False, 0.1, ("f32", 0x3DCCCCCD)),  # not rounded
        (True, f32_value(0x3DCCCCCD), ("f32", 0x3DCCCCCD)),
        (False, 1e300, ("f32", 0x7F800000)),
        (True, None, ("ref", "func", "null")),
        (False, 1, ("ref", None, "null")),
        (True, print, ("ref", "func", None)),
        (False, None, ("ref", "func", None)),
        (False, None, ("ref", "extern", 1)),
        (True, object(), ("ref", "any", None)),
        (True, 2, ("either", [("i32", 1), ("i32", 2)])),
        (True, 0x0002_0001, ("v128", "i16x8", [1, 2, 0, 0, 0, 0, 0, 0])),
        (True, 0x7FC00000 << 96, ("v128", "f32x4", [0, 0, 0, "canonical"])),
        (False, 0x7FA00000 << 96, ("v128", "f32x4", [0, 0, 0, "arithmetic"])),
    ],
)
def test_results_are_compared_to_the_bit(passes: bool, result: Any, pattern: Any) -> None:
    assert passes is run(invoke(["return", [pattern]]), f=lambda: result)[0]


def test_float_conversions_keep_every_bit() -> None:
    for bits in (0, 1, 0x80000000, 0x7F800000, 0xFF800000, 0x7F800001, 0xFFFFFFFF, 0x7FC00000, 0x3F800000):
        assert bits == f32_bits(f32_value(bits))
    for bits in (0, 1 << 63, 0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF):
        assert bits == f64_bits(f64_value(bits))
    assert math.isnan(f32_value(0x7F800001))


def test_arguments_are_public_values() -> None:
    seen: list[Any] = []
    args = (("i32", 0x80000000), ("f32", 0x3F800000), ("v128", "i32x4", [1, 0, 0, 2]), ("ref", "func", "null"))
    assert (True, "") == run(invoke(["return", []], *args), f=lambda *values: seen.extend(values))
    assert [-0x80000000, 1.0, 1 + (2 << 96), None] == seen


def test_an_external_reference_is_the_same_object_each_time() -> None:
    steps = [MODULE, invoke(["return", [("ref", "extern", 1)]], ("ref", "extern", 1))]
    steps.append(invoke(["return", [("ref", "extern", 2)]], ("ref", "extern", 1)))
    outcomes = Execution([instance(f=lambda x: x)], {}).run(steps)
    assert [True, True, False] == [passed for passed, _ in outcomes]


@pytest.mark.parametrize(
    ("passes", "error", "expect"),
    [
        (True, Trap("integer overflow"), ["trap", "integer overflow"]),
        (True, Trap("uninitialized element"), ["trap", "uninitialized element 2"]),
        (True, Trap("call stack exhausted"), ["exhaustion", "call stack exhausted"]),
        (False, Trap("integer overflow"), ["trap", "integer divide by zero"]),
        (False, Trap("integer"), ["trap", "integers"]),
        (False, RecursionError("call stack exhausted"), ["exhaustion", "call stack exhausted"]),
        (False, IndexError("unreachable"), ["trap", "unreachable"]),
        (False, Trap("unreachable"), ["return", []]),
        (False, Trap("unreachable"), None),
        (False, LinkError("unknown import"), ["trap", "unknown import"]),
    ],
)
def test_faults_are_told_by_class_and_words(passes: bool, error: Exception, expect: Any) -> None:
    assert passes is run(invoke(expect), f=raising(error))[0]


def test_no_fault_where_one_is_expected_fails() -> None:
    assert (False, "no fault") == run(invoke(["trap", "unreachable"]), f=lambda: None)


def test_the_number_of_results_counts() -> None:
    assert (False, "2 results") == run(invoke(["return", [("i32", 1)]]), f=lambda: (1, 2))
    assert (False, "1 results") == run(invoke(["return", []]), f=lambda: 1)
    assert (True, "") == run(invoke(["return", []]), f=lambda: None)


def test_a_missing_export_fails_its_command_only() -> None:
    outcomes = Execution([instance(f=lambda: None)], {}).run([MODULE, invoke(None, export="g"), invoke(None)])
    assert [True, False, True] == [passed for passed, _ in outcomes]


def test_commands_on_a_module_that_failed_fail_too() -> None:
    broken: Step = {**MODULE, "fault": "not compiled: unsupported: gc"}
    del broken["module"]
    outcomes = Execution([instance(f=lambda: None)], {}).run([MODULE, broken, invoke(None)])
    assert [(False, "not compiled: unsupported: gc"), (False, "its module was not instantiated")] == outcomes[1:]


def test_what_is_left_of_an_unsupported_module_is_used() -> None:
    pruned: Step = {**MODULE, "fault": "not compiled: unsupported: gc"}
    outcomes = Execution([instance(f=lambda: None)], {}).run([pruned, invoke(None)])
    assert [(False, "not compiled: unsupported: gc"), (True, "")] == outcomes


def test_definitions_instances_and_registration() -> None:
    def module(imports: Mapping[str, Any]) -> Any:
        return SimpleNamespace(exports={"f": lambda: len(imports), "g": SimpleNamespace(value=7)})

    steps: list[Step] = [
        {**MODULE, "name": "$m", "definition": True},
        invoke(None),  # a definition is no instance
        {"do": "instance", "name": "$a", "module": "$m", "expect": None},
        {"do": "instance", "name": "$b", "module": None, "expect": None},
        {"do": "register", "name": "a", "instance": "$a", "expect": None},
        {"do": "instance", "name": "$c", "module": "$m", "expect": None},
        invoke(["return", [("i32", 2)]], name="$c"),
        {"do": "get", "instance": "$b", "export": "g", "args": [], "expect": ["return", [("i32", 7)]]},
        {"do": "instance", "name": "$d", "module": "$unknown", "expect": None},
    ]
    outcomes = Execution([module], {}).run(steps)
    assert [True, False, True, True, True, True, True, True, False] == [passed for passed, _ in outcomes]


def test_the_executor_compiles_on_the_oldest_python() -> None:
    source = Path(execute.__file__).read_text("utf-8")
    compile(source, "execute.py", "exec", dont_inherit=True)
    import ast

    ast.parse(source, feature_version=(3, 9))


def test_the_executor_imports_nothing_but_the_standard_library() -> None:
    program = f"import runpy, sys; runpy.run_path({execute.__file__!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True, capture_output=True, text=True)
    assert not {"spec", "polymerase", "click"} & set(done.stdout.split())
