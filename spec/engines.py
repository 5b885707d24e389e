"""The engines that scripts run on, as one table, and their sessions."""

from __future__ import annotations

import gc
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from spec import execute
from spec.execute import Execution, Instantiate, Outcome, Step
from spec.plan import Rejected, Session

if TYPE_CHECKING:
    from polymerase.wasm.module import Module


@dataclass(frozen=True, slots=True)
class Settings:
    """What to run with. `python` None: in this process; `timeout`: seconds for one script."""

    engine: str
    opt_level: int
    python: str | None
    timeout: float


class Overtime(BaseException):
    """Time is up. Not an Exception, so that nothing on the way takes it for a fault of the guest."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raises TimeoutError when the body takes longer (where there are alarm signals)."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Overtime

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except Overtime:
        raise TimeoutError from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def refusals() -> Iterator[None]:
    """Raises Rejected for an exception of the compiler; what is no refusal is an internal error."""
    from polymerase.errors import InvalidError, MalformedError, UnsupportedError

    try:
        yield
    except MalformedError as error:
        raise Rejected("malformed", error.message) from error
    except InvalidError as error:
        raise Rejected("invalid", error.message) from error
    except UnsupportedError as error:
        raise Rejected("unsupported", error.message) from error
    except Exception as error:
        raise Rejected("internal", f"{type(error).__name__}: {error}") from error


def interpreted(engine: str, module: Module) -> range:
    """The functions that are interpreted: none, all ("interp") or every second one ("mixed")."""
    defined = range(module.imported_funcs, len(module.func_types))
    return {"aot": range(0), "interp": defined, "mixed": defined[::2]}[engine]


class AotSession:
    """Compiled in memory, interpreted ("interp"), or every second function interpreted ("mixed"); in this process."""

    def __init__(self, settings: Settings) -> None:
        from polymerase.options import Options

        self.options = Options(opt_level=settings.opt_level)
        self.engine = settings.engine
        self.timeout = settings.timeout
        self.modules: list[Instantiate] = []

    def check(self, data: bytes) -> None:
        from polymerase import driver

        with alarm(self.timeout), refusals():
            driver.load(data)

    def compile(self, data: bytes) -> int:
        from polymerase import driver
        from polymerase_runtime import instantiate

        with alarm(self.timeout), refusals():
            module = driver.load(data)
            # All of it now: what is refused is known before the run.
            chosen = interpreted(self.engine, module)
            info, code = driver.compile_mixed(module, self.options, frozenset(chosen))
            for i in chosen:
                code.bodies.code(i)
        self.modules.append(partial(instantiate, info, code, blob=driver.data_blob(module)))
        return len(self.modules) - 1

    def run(self, steps: Sequence[Step]) -> list[Outcome]:
        with alarm(self.timeout):
            return Execution(self.modules, execute.spectest()).run(steps)

    def close(self) -> None:
        self.modules.clear()
        gc.collect()


class Worker:
    """A process of another Python that carries out steps on compiled packages; started anew after it died."""

    def __init__(self, settings: Settings) -> None:
        import polymerase_runtime

        self.python = settings.python or sys.executable
        self.timeout = settings.timeout
        self.folder = Path(tempfile.mkdtemp(prefix="polymerase-spec-"))
        runtime = Path(polymerase_runtime.__file__).parent.parent
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.folder), str(runtime)]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.target = self.ask_target()
        self.scripts = 0

    def ask_target(self) -> str:
        """Which spelling suits the worker's Python."""
        program = "import sys; print('pypy' if sys.implementation.name == 'pypy' else 'cpython')"
        return subprocess.run([self.python, "-c", program], check=True, capture_output=True, text=True).stdout.strip()

    def ask(self, job: Mapping[str, Any]) -> Any:
        """The answer to one job. Raises TimeoutError, EOFError if the process dies."""
        if self.process is None:
            # By its path, without its folder on sys.path and without site-packages: nothing but the standard library,
            # the runtime and the packages can be imported.
            program = f"import runpy; runpy.run_path({execute.__file__!r}, run_name='__main__')"
            self.process = subprocess.Popen(
                [self.python, "-S", "-c", program],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps(job).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise EOFError(self.stop()) from None
        if not select.select([stdout], [], [], self.timeout)[0]:
            self.stop()
            raise TimeoutError
        line = stdout.readline()
        if not line:
            raise EOFError(self.stop())
        return json.loads(line)

    def stop(self) -> str:
        """Ends the process; how it ended."""
        if self.process is None:
            return ""
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        code = self.process.wait()
        self.process = None
        return f"the worker ended with code {code}"

    def close(self) -> None:
        """Ends the process and removes its packages."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class PackageSession:
    """Compiled to packages, run by a worker under another Python."""

    def __init__(self, settings: Settings, worker: Worker) -> None:
        from polymerase.options import Options

        self.worker = worker
        self.engine = settings.engine
        self.options: Any = Options(opt_level=settings.opt_level, target=worker.target)  # type: ignore[arg-type]
        worker.scripts += 1
        self.timeout = settings.timeout
        self.prefix = f"script{worker.scripts}_"
        self.packages: list[str] = []

    def check(self, data: bytes) -> None:
        from polymerase import driver

        with alarm(self.timeout), refusals():
            driver.load(data)

    def compile(self, data: bytes) -> int:
        from polymerase import driver

        name = f"{self.prefix}{len(self.packages)}"
        with alarm(self.timeout), refusals():
            module = driver.load(data)
            options = replace(self.options, interpret=tuple(map(str, interpreted(self.engine, module))))
            driver.compile_package(module, self.worker.folder / name, options)
        self.packages.append(name)
        return len(self.packages) - 1

    def run(self, steps: Sequence[Step]) -> list[Outcome]:
        answer = self.worker.ask({"modules": self.packages, "steps": steps})
        return [(bool(passed), str(detail)) for passed, detail in answer["outcomes"]]

    def close(self) -> None:
        for name in self.packages:
            shutil.rmtree(self.worker.folder / name, ignore_errors=True)
        self.packages.clear()


class WasmtimeSession:
    """wasmtime, to check the runner by. It does not tell malformed from invalid.

    Runs in a forked process: its C API aborts on functions whose types it cannot express.
    """

    def __init__(self, session: Any, timeout: float) -> None:
        self.session = session
        self.timeout = timeout
        self.modules: list[Instantiate] = []

    def check(self, data: bytes) -> None:
        fault = self.session.fault(data)
        if fault is not None:
            raise Rejected(*fault)

    def compile(self, data: bytes) -> int:
        try:
            self.modules.append(self.session.compile(data))
        except Exception as error:
            raise Rejected(*self.session.fault(data) or ("any", str(error))) from error
        return len(self.modules) - 1

    def run(self, steps: Sequence[Step]) -> list[Outcome]:
        receiving, sending = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with alarm(self.timeout), open(sending, "w") as pipe:
                    json.dump(Execution(self.modules, self.session.spectest).run(steps), pipe)
            finally:
                os._exit(0)
        os.close(sending)
        with open(receiving) as pipe:
            answer = pipe.read()
        status = os.waitpid(child, 0)[1]
        if not answer:
            raise EOFError(f"wasmtime gave up, with status {status}")
        return [(bool(passed), str(detail)) for passed, detail in json.loads(answer)]

    def close(self) -> None:
        self.modules.clear()
        self.session = None
        gc.collect()


@contextmanager
def aot(settings: Settings) -> Iterator[Callable[[], Session]]:
    """Our compiler: in memory, or as packages for another Python."""
    if settings.python is None:
        yield lambda: AotSession(settings)
        return
    worker = Worker(settings)
    try:
        yield lambda: PackageSession(settings, worker)
    finally:
        worker.close()


@contextmanager
def wasmtime(settings: Settings) -> Iterator[Callable[[], Session]]:
    """wasmtime; "wasmtime-2.0" without the proposals that came after 2.0."""
    from spec import oracle

    make = oracle.sessions(later=settings.engine == "wasmtime")
    yield lambda: WasmtimeSession(make(), settings.timeout)


@dataclass(frozen=True, slots=True)
class Engine:
    """`open` gives what makes sessions. `promise` is how much of support.md is about this engine: "numbers" (all of
    it), "names" (which scripts do not pass whole) or "nothing" (it does all proposals)."""

    open: Callable[[Settings], AbstractContextManager[Callable[[], Session]]]
    promise: str


ENGINES = {
    "aot": Engine(aot, "numbers"),
    "interp": Engine(aot, "numbers"),
    "mixed": Engine(aot, "numbers"),
    "wasmtime": Engine(wasmtime, "nothing"),
    "wasmtime-2.0": Engine(wasmtime, "names"),
}
