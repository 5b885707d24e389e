"""Options and fixtures of every test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import Call, Done

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite golden files with what the compiler now says")


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests run neither finds nor leaves anything in the cache of whoever runs them."""
    with pytest.MonkeyPatch.context() as m:
        m.setenv("POLYMERASE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        m.delenv("POLYMERASE_CACHE_SIZE", raising=False)
        yield


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs a command line of polymerase in this process, in an empty folder."""
    from polymerase import cli

    monkeypatch.chdir(tmp_path)

    def call(*argv: str | Path) -> Done:
        with pytest.raises(SystemExit) as exit:
            cli.main(list(map(str, argv)))
        code = exit.value.code
        assert isinstance(code, int)
        return Done(code, *capfd.readouterr())

    return call


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten."""
    return bool(request.config.getoption("--update"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def wat() -> Callable[[str], bytes]:
    """Assemble text format; a test that needs it is skipped where wasmtime is not installed."""
    wasmtime = pytest.importorskip("wasmtime", reason="wasmtime assembles the test's module")
    return lambda text: bytes(wasmtime.wat2wasm(text))


@pytest.fixture(scope="session")
def pypy() -> str:
    """The path of PyPy; a test that needs it is skipped where there is none."""
    found = os.environ.get("POLYMERASE_PYPY") or shutil.which("pypy3")
    if found is None:
        pytest.skip("no pypy3 on this machine")
    return found
