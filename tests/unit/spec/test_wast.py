"""The script reader: every form of command and value, and what is no script."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec import wast
from spec.wast import Action, AssertFault, AssertReturn, Instance, Module, Register, ScriptError


def one(text: str) -> wast.Command:
    """The only command of a script."""
    (command,) = wast.read(text.encode())
    return command


def value(text: str) -> wast.Value:
    """A value as a result of an assertion."""
    command = one(f'(assert_return (invoke "f") {text})')
    assert isinstance(command, AssertReturn)
    return command.results[0]


def test_module_text_stays_a_slice_of_the_file() -> None:
    text = '(module $m ;; (comment "\n  (func (export ")") (@a "(" )))'
    assert Module(2, "$m", "text", text.encode()) == one("\n" + text)


def test_definition_is_dropped_from_the_text_to_assemble() -> None:
    assert Module(1, "$m", "text", b"(module  $m (func))", True) == one("(module definition $m (func))")


def test_strings_of_binary_and_quoted_modules_are_joined() -> None:
    assert Module(1, None, "binary", b"\0asm\x01\0") == one(r'(module binary "\00asm" "\01\00")')
    assert Module(1, "$q", "quote", b'(func "\t\\\n)') == one(r'(module $q quote "(func \22\t\\" "\n)")')
    assert Module(1, None, "quote", "é€".encode()) == one(r'(module quote "é\u{20_ac}")')


def test_fields_alone_are_a_module() -> None:
    assert Module(1, None, "text", b"(module (func) (memory 0)\n)") == one("(func) (memory 0)")


def test_instances_and_registration() -> None:
    assert Instance(1, "$i", "$m") == one("(module instance $i $m)")
    assert Instance(1, None, None) == one("(module instance)")
    assert Register(1, "é", "$i") == one('(register "é" $i)')
    assert Register(1, "", None) == one('(register "")')


def test_actions() -> None:
    expected = Action(1, "invoke", "$i", "a\nb", (("i32", 1), ("ref", "extern", 3)))
    assert expected == one(r'(invoke $i "a\nb" (i32.const 1) (ref.extern 3))')
    assert Action(1, "get", None, "g", ()) == one('(get "g")')


def test_faults_of_actions_and_of_modules() -> None:
    action = Action(1, "invoke", None, "f", ())
    assert AssertFault(1, "trap", action, "unreachable") == one('(assert_trap (invoke "f") "unreachable")')
    assert AssertFault(1, "exception", action, "") == one('(assert_exception (invoke "f"))')
    module = Module(1, None, "text", b"(module)")
    assert AssertFault(1, "unlinkable", module, "unknown import") == one(
        '(assert_unlinkable (module) "unknown import")'
    )


def test_comments_nest_and_lines_end_at_either_newline() -> None:
    assert [] == wast.read(b'(; ( (; " ;) ;) ;; (\r;; "\n')


@pytest.mark.parametrize("text", ["(@a b) ", '(@"a" ) ', '(@a (") (" x) , ; ] { ) ', "(@ (@ @))"])
def test_annotations_are_skipped(text: str) -> None:
    assert Action(1, "get", None, "g", ()) == one(text + '(get "g")')


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (("i32", 0xFFFFFFFF), "(i32.const -1)"),
        (("i32", 0x80000000), "(i32.const 0x8000_0000)"),
        (("i64", (1 << 64) - 16), "(i64.const -0x10)"),
        (("f32", 0x7F800000), "(f32.const inf)"),
        (("f32", 0xFFC00000), "(f32.const -nan)"),
        (("f32", 0x7FA00000), "(f32.const nan:0x200000)"),
        (("f64", 0xFFF0000000000001), "(f64.const -nan:0x1)"),
        (("f64", "canonical"), "(f64.const nan:canonical)"),
        (("f32", "arithmetic"), "(f32.const nan:arithmetic)"),
        (("f32", 0x80000000), "(f32.const -0)"),
        (("f32", 0x00000001), "(f32.const 0x1p-149)"),
        (("f32", 0x00000000), "(f32.const 0x1p-150)"),
        (("f32", 0x00000001), "(f32.const 0x1.000002p-150)"),
        (("f32", 0x7F7FFFFF), "(f32.const 0x1.fffffefffffffp127)"),
        (("f32", 0x7F800000), "(f32.const 0x1.ffffffp127)"),
        (("f32", 0x3F800001), "(f32.const 1.00000005960464477539062500000000000000000000000000000001)"),
        (("f32", 0x3F800000), "(f32.const 1.00000005960464477539062500000000000000000000000000000000)"),
        (("f64", 0x3FF8000000000000), "(f64.const 0x1.8p0)"),
        (("f64", 0x4024000000000000), "(f64.const 1_0.e+0_0)"),
        (("ref", "extern", 7), "(ref.extern 7)"),
        (("ref", "func", None), "(ref.func)"),
        (("ref", "func", "null"), "(ref.null func)"),
        (("ref", None, "null"), "(ref.null)"),
        (("v128", "i16x8", [1, 2, 3, 4, 5, 6, 7, 0xFFFF]), "(v128.const i16x8 1 2 3 4 5 6 7 -1)"),
        (("v128", "f64x2", ["canonical", 0]), "(v128.const f64x2 nan:canonical 0)"),
        (("either", [("i32", 1), ("i32", 2)]), "(either (i32.const 1) (i32.const 2))"),
    ],
)
def test_values_are_read_to_the_bit(expected: wast.Value, text: str) -> None:
    assert expected == value(text)


@given(st.integers(0, 0x7F7FFFFF))
def test_f32_literals_are_rounded_once(bits: int) -> None:
    (number,) = struct.unpack("<f", struct.pack("<I", bits))
    for text in (repr(number), number.hex(), f"{number:.60e}"):
        assert bits == wast.float_bits(text, 32)


@given(st.floats(0, allow_nan=False))
def test_f64_literals_are_rounded_once(number: float) -> None:
    for text in (repr(number), number.hex()):
        assert struct.unpack("<Q", struct.pack("<d", number))[0] == wast.float_bits(text, 64)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("line 2: unknown command 'frobnicate'", "\n(frobnicate)"),
        ("line 1: unclosed (", '(invoke "f"'),
        ("line 2: unbalanced )", "\n)"),
        ("unclosed comment", "(; (; ;)"),
        ("line 1: cannot read", '(invoke "f)'),
        ("line 1: expected an action", '(assert_return "f")'),
        ("line 1: unknown value i31.const", '(invoke "f" (i31.const 1))'),
        ("line 1: invalid literal", '(invoke "f" (i32.const one))'),
        ("line 1: list index out of range", '(invoke "f" (v128.const))'),
        ("line 1: list index out of range", "(get $i)"),
        ("line 1: expected a name", "(get f)"),
    ],
)
def test_what_is_no_script_is_refused_with_its_line(expected: str, text: str) -> None:
    with pytest.raises(ScriptError) as caught:
        wast.read(text.encode())
    assert str(caught.value).startswith(expected)


def test_deep_nesting_is_read_without_recursion() -> None:
    text = "(module " + "(block " * 100_000 + ")" * 100_000 + ")"
    assert len(wast.read(text.encode())) == 1
