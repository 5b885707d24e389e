"""README.md and the tutorial show only what was run: their sessions are run here. `pytest --update` writes down what
those of the shell print now."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGES = ("README.md", "docs/tutorial.md")
PROMPT = "    $ "
INDENT = "    "


def sessions(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Each run of indented or empty lines that begins with a prompt: (first line, line after the last indented one)."""
    i = 0
    while i < len(lines):
        start = end = i
        while i < len(lines) and (lines[i].startswith(INDENT) or start < i and not lines[i]):
            i += 1
            end = i if lines[i - 1] else end
        if lines[start].startswith(PROMPT):
            yield start, end
        i = max(i, start + 1)


def comparable(output: str) -> str:
    """Output without what may differ from run to run (seconds), or grows with the compiler (sizes of packages)."""
    return re.sub(r"[\d,]+ lines, [\d,]+ bytes in [\d.]+ s", "… lines, … bytes in … s", output)


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    """A folder like a clone in which README's sessions run, `polymerase` and `python` being this Python's."""
    shutil.copytree(root / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "LICENSE", tmp_path)
    for name, command in (("polymerase", "-m polymerase"), ("python", "")):
        script = tmp_path / "bin" / name
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_shell_sessions(root: Path, folder: Path, page: str, update: bool) -> None:
    text = (root / page).read_text(encoding="utf-8")
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    python_path = os.pathsep.join([str(root), str(root / "runtime"), str(folder)])
    env = {**os.environ, "PATH": path, "PYTHONPATH": python_path, "COLUMNS": "80"}
    lines = text.splitlines()
    ran = []
    for start, end in sessions(lines):
        now = []
        for line in lines[start:end]:
            if not line.startswith(PROMPT):
                continue
            done = subprocess.run(
                line.removeprefix(PROMPT), shell=True, cwd=folder, env=env, capture_output=True, text=True, timeout=120
            )
            output = (done.stdout + done.stderr).strip("\n")
            now += [line, *(f"{INDENT}{row}".rstrip() for row in output.splitlines())]
        ran.append((start, end, now))
    if update:
        for start, end, now in reversed(ran):
            if comparable("\n".join(now)) != comparable("\n".join(lines[start:end])):
                lines[start:end] = now
        (root / page).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return
    assert ran or page != "README.md"
    for start, end, now in ran:
        assert comparable("\n".join(lines[start:end])) == comparable("\n".join(now))


@pytest.mark.parametrize("page", PAGES)
def test_python_sessions(root: Path, folder: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (root / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))  # a session may add to it
    test = doctest.DocTestParser().get_doctest("".join(blocks), {}, page, page, 0)
    said: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert (0, True) == (results.failed, results.attempted > 0), "".join(said)
