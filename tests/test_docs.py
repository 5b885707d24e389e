"""The documentation: what is public says what it is, the site builds without a warning, and help names units."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import polymerase
from polymerase.cli import cli

# What an option's value may be measured in; what takes a number names one of these.
UNITS = re.compile(r"bytes|pages|seconds|elements|units|functions|processes|parameters and locals|cheap ones")


def members(cls: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties that a class defines."""
    for name, value in vars(cls).items():
        described = isinstance(value, (property, classmethod, staticmethod)) or inspect.isroutine(value)
        if described and not name.startswith("_"):
            yield name, value


def test_every_public_name_is_documented() -> None:
    for name in polymerase.__all__:
        value = getattr(polymerase, name)
        if name != "__version__":
            doc = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
            assert doc and not doc.startswith(f"{name}("), name


def test_every_public_method_is_documented() -> None:
    classes = [value for value in (getattr(polymerase, name) for name in polymerase.__all__) if isinstance(value, type)]
    missing = [f"{cls.__name__}.{name}" for cls in classes for name, member in members(cls) if not member.__doc__]
    assert [] == missing


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; pdoc's warnings are errors."""
    pytest.importorskip("pdoc", reason="pdoc, of the extra docs, builds the site")
    folder = tmp_path_factory.mktemp("site")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "runtime")])}
    done = subprocess.run(
        [sys.executable, "-m", "tools.docs", str(folder)],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return folder


def test_the_site_has_every_page_and_public_name(root: Path, site: Path) -> None:
    pages = {"index" if path.stem == "README" else path.stem for path in (root / "docs").glob("*.md")}
    assert {*pages, "polymerase"} == {path.stem for path in site.glob("*.html")}
    reference = (site / "polymerase.html").read_text(encoding="utf-8")
    assert [] == [name for name in polymerase.__all__ if f'id="{name}"' not in reference]
    assert "polymerase_runtime.memory.Memory" not in reference  # but Memory, linked
    assert "Memory.views" not in reference  # compiled code's


def test_no_link_of_the_site_is_dead(site: Path) -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in site.glob("*.html")}
    dead = []
    for name, text in texts.items():
        for href in re.findall(r'href="([^"]*)"', text):
            page, _, anchor = href.partition("#")
            if not re.match(r"https?:", href):
                target = texts.get(page.removeprefix("./") or name)
                if target is None or anchor and f'id="{anchor}"' not in target:
                    dead.append(f"{name}: {href}")
    assert [] == dead


def test_the_index_names_every_page(root: Path) -> None:
    index = (root / "docs" / "README.md").read_text(encoding="utf-8")
    missing = [path.name for path in (root / "docs").glob("*.md") if f"({path.name})" not in index]
    assert ["README.md"] == missing


def test_no_link_of_a_page_is_dead(root: Path) -> None:
    dead = []
    for path in [*(root / "docs").glob("*.md"), root / "README.md", *(root / "examples").glob("*.md")]:
        text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for href in re.findall(r"\]\(([^)#\s]+)", text):
            if not re.match(r"https?:", href) and not (path.parent / href).exists():
                dead.append(f"{path.name}: {href}")
    assert [] == dead


def commands(group: click.Group, *names: str) -> Iterator[tuple[str, click.Command]]:
    """Each command by what one types, subcommands included."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield " ".join((*names, name)), command


@pytest.mark.parametrize("name, command", list(commands(cli)))
def test_help_says_what_an_option_does_and_in_which_unit(name: str, command: click.Command) -> None:
    assert command.help, name
    for option in command.params:
        if not isinstance(option, click.Option) or option.name == "help":
            continue
        spelled = f"{name} {option.opts[-1]}"
        assert option.help and option.help.endswith((".", ")", "]")), spelled
        if option.is_flag or isinstance(option.type, click.Choice):
            continue
        assert option.metavar, spelled
        if isinstance(option.type, (type(click.INT), type(click.FLOAT))):
            assert UNITS.search(f"{option.metavar} {option.help}".lower()), f"{spelled}: in which unit?"
