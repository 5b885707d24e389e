"""The Python that comes of small modules: below each `.wat`, as comments, for each target.

`pytest tests/golden --update` writes what the compiler now says; read the difference as you read the code's.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from polymerase import driver
from polymerase.emit.module import Emitter
from polymerase.emit.source import to_source
from polymerase.options import Controls, Options
from polymerase_runtime.instance import HELPERS

FOLDER = Path(__file__).parent
CASES = sorted(FOLDER.glob("*.wat"))
MARK = ";; --- "
# What an instance's namespace holds besides the runtime's names.
STATE = [f"{kind}{bits}" for kind in "us" for bits in (8, 16, 32, 64)] + [
    "f32",
    "f64",
    "data",
    "table0_t0",
    "instance",
    "running",
    "fuel",
]


def split(text: str) -> tuple[str, dict[str, str]]:
    """The module and the expected sections below it."""
    module, *sections = text.split("\n" + MARK)
    expected = {}
    for section in sections:
        title, _, body = section.partition("\n")
        expected[title] = "".join(line.removeprefix(";;").removeprefix(" ") + "\n" for line in body.splitlines())
    return module.rstrip("\n") + "\n", expected


def joined(module: str, sections: dict[str, str]) -> str:
    parts = [module]
    for title, body in sections.items():
        parts.append(f"\n{MARK}{title}\n" + "".join(f";; {line}".rstrip() + "\n" for line in body.splitlines()))
    return "".join(parts)


def controls_of(text: str) -> Controls:
    """What a first line `;; controls: fuel, polls` asks for."""
    line = text.partition("\n")[0]
    words = line.removeprefix(";; controls:").replace(",", " ").split() if line.startswith(";; controls:") else []
    fuel = driver.fuel_table(1) if "fuel" in words else None
    return Controls(fuel=fuel, polls="polls" in words, depth="depth" in words, deterministic="deterministic" in words)


def emitted(data: bytes, target: str, controls: Controls) -> str:
    module = driver.load(data, "golden.wasm")
    emitter = Emitter(module, target, controls)
    body: list[ast.stmt] = []
    for n in range(len(module.codes)):
        body += emitter.function(driver.ir_of(module, n, Options(target="both", controls=controls)))
    return to_source(ast.Module(body, []))


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_golden(path: Path, update: bool, wat: Callable[[str], bytes]) -> None:
    text, expected = split(path.read_text())
    data = wat(text)
    made = {target: emitted(data, target, controls_of(text)) for target in ("cpython", "pypy")}
    if update:
        path.write_text(joined(text, made))
    else:
        assert expected == made


def test_golden_code_passes_ruff(tmp_path: Path) -> None:
    pytest.importorskip("ruff", reason="ruff reads the code")
    for path in CASES:
        for target, text in split(path.read_text())[1].items():
            (tmp_path / f"{path.stem}_{target}.py").write_text(text)
    builtins = f"builtins = {sorted([*HELPERS, *STATE])!r}"
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--no-cache",
        "--select",
        "F",
        "--config",
        builtins,
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert 0 == done.returncode, done.stdout + done.stderr
