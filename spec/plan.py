"""Turns a script into steps for `spec.execute`: assembles and compiles its modules, judges those that must not.

What an assembler refuses is a fault of the text format, which is not ours to find: such an assertion is put down as
"text", neither passed nor failed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, assert_never

from spec import wast
from spec.execute import Outcome, Step
from spec.prune import Hopeless, prune


class Rejected(Exception):
    """A module that an engine does not take. `kind`: "malformed", "invalid", "unsupported", "internal", or "any"."""

    def __init__(self, kind: str, fault: str) -> None:
        super().__init__(f"{kind}: {fault}")
        self.kind = kind
        self.fault = fault


class Session(Protocol):
    """One script's stay in an engine. The script's own modules are numbered in the order of `compile`."""

    def check(self, data: bytes) -> None:
        """Decodes and validates. Raises Rejected."""

    def compile(self, data: bytes) -> int:
        """Compiles; the module's number. Raises Rejected."""

    def run(self, steps: Sequence[Step]) -> list[Outcome]:
        """Carries out the steps. Raises TimeoutError and whatever kills a worker, as EOFError."""

    def close(self) -> None:
        """Forgets the modules."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one command. `status`: "passed", "failed" or "text" (tests only the text format)."""

    line: int
    command: str
    status: str
    detail: str = ""


@dataclass(slots=True)
class Plan:
    """A script made ready: for each command either its verdict or a step."""

    commands: list[wast.Command]
    steps: list[Step] = field(default_factory=list)
    stepped: list[int] = field(default_factory=list)  # the command that each step carries out
    verdicts: dict[int, Verdict] = field(default_factory=dict)


def make_plan(commands: list[wast.Command], session: Session) -> Plan:
    """Goes through a script once."""
    plan = Plan(commands)
    for i, command in enumerate(commands):
        step: Step | None
        match command:
            case wast.Module():
                step = module_step(command, session, None)
            case wast.Instance():
                step = {"do": "instance", "name": command.name, "module": command.module, "expect": None}
            case wast.Register():
                step = {"do": "register", "name": command.name, "instance": command.instance, "expect": None}
            case wast.Action():
                step = action_step(command, None)
            case wast.AssertReturn():
                step = action_step(command.action, ["return", command.results])
            case wast.AssertFault(subject=wast.Action() as action):
                step = action_step(action, [command.kind, command.message])
            case wast.AssertFault():
                module = command.subject
                assert isinstance(module, wast.Module)
                if command.kind not in ("trap", "unlinkable", "exception"):
                    status, detail = judge(command, module, session)
                    plan.verdicts[i] = Verdict(command.line, wast.describe(command), status, detail)
                    continue
                step = module_step(module, session, [command.kind, command.message])
            case _:
                assert_never(command)
        plan.steps.append(step)
        plan.stepped.append(i)
    return plan


def action_step(action: wast.Action, expect: list[Any] | None) -> Step:
    """The step for `invoke` or `get`."""
    return {
        "do": action.kind,
        "instance": action.instance,
        "export": action.export,
        "args": action.args,
        "expect": expect,
    }


def module_step(module: wast.Module, session: Session, expect: list[Any] | None) -> Step:
    """The step that instantiates (or only defines) a module; with "fault" where it does not compile."""
    step: Step = {"do": "module", "name": module.name, "definition": module.definition, "expect": expect}
    try:
        step["module"] = session.compile(assemble(module))
    except AssemblerError as error:
        step["fault"] = f"not compiled: {error}"
    except Rejected as error:
        step["fault"] = f"not compiled: {error}"
        if error.kind == "unsupported" and module.form == "text":
            try:
                step["module"] = session.compile(prune(module.source, assemble_text))
            except (AssemblerError, Hopeless, Rejected):
                pass
    return step


def judge(command: wast.AssertFault, module: wast.Module, session: Session) -> tuple[str, str]:
    """Status and detail of an assertion that a module is malformed or invalid.

    The fault must be of that kind and begin with the words that the suite expects, unless those are about the text.
    """
    if command.kind.endswith("_custom"):
        return "text", "custom sections in the text format"
    try:
        data = assemble(module)
    except AssemblerError as error:
        return "text", str(error)
    try:
        session.check(data)
    except Rejected as rejected:
        if rejected.kind not in (command.kind, "any"):
            return ("text" if module.form == "quote" else "failed"), str(rejected)
        if rejected.kind == "any" or module.form == "quote" or rejected.fault.startswith(command.message):
            return "passed", ""
        return "failed", f"in other words: {rejected}"
    if command.kind == "malformed" and module.form == "quote":
        return "text", "the assembler takes it, and makes a good module of it"
    return "failed", "accepted"


class AssemblerError(Exception):
    """Text that the assembler refuses."""


def assemble(module: wast.Module) -> bytes:
    """A module's bytes. Raises AssemblerError."""
    return module.source if module.form == "binary" else assemble_text(module.source)


def assemble_text(text: bytes) -> bytes:
    """A module's binary from its text. Raises AssemblerError."""
    import wasmtime  # here, so that the script reader and the executor can be used without it

    try:
        return bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError as error:
        first = error
    try:
        return bytes(wasmtime.wat2wasm(LITERAL.sub(escape, text)))
    except wasmtime.WasmtimeError:
        raise AssemblerError("wat2wasm: " + str(first)) from first


LITERAL = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def escape(m: re.Match[bytes]) -> bytes:
    """A string literal without raw non-ASCII bytes: the assembler refuses some characters unless they are escaped."""
    return re.sub(rb"[\x80-\xff]", lambda c: b"\\%02x" % ord(c[0]), m[0])
