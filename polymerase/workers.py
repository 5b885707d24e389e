"""Work spread over processes: a list of tasks in, the list of their results out, whatever the number of processes.

    with Workers(jobs, make, *args) as workers:
        results = workers.map(tasks)

`make(*args)` is called once in each process and gives the function that does one task. With one job it is called here,
and no process is started. Processes are forked or spawned, as `multiprocessing` has it: where they are spawned, `make`
and `args` are pickled; tasks, results and exceptions always are.

A process that dies is an error that says so. When this process is interrupted, fails or is killed, the others end.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

from polymerase.errors import PolymeraseError

_GRACE = 2.0  # seconds for a process to end when told to


def cpus() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """`jobs` processes, 0 for one each processor. Entering the context starts none: the first `map` does."""

    def __init__(self, jobs: int, make: Callable[..., Callable[[Any], Any]], *args: Any) -> None:
        self.jobs = jobs or cpus()
        self._make = make
        self._args = args
        self._work: Callable[[Any], Any] | None = None
        self._processes: dict[Connection, Any] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        processes = self._processes
        self._processes = {}
        for connection in processes:
            connection.close()
        if kind is not None:
            for process in processes.values():
                process.terminate()
        for process in processes.values():
            process.join(_GRACE)
            if process.is_alive():
                process.kill()
                process.join()

    def map(self, tasks: Sequence[Any], done: Callable[[int], None] | None = None) -> list[Any]:
        """The results of `tasks`, in their order; `done(i)` is called after task `i`, in the order they are finished.

        Of several tasks that fail the first one's exception is raised. Raises PolymeraseError when a process dies.
        """
        if self.jobs == 1:
            if self._work is None:
                self._work = self._make(*self._args)
            results = []
            for i, task in enumerate(tasks):
                results.append(self._work(task))
                if done is not None:
                    done(i)
            return results
        return self._spread(tasks, done)

    def _spread(self, tasks: Sequence[Any], done: Callable[[int], None] | None) -> list[Any]:
        for _ in range(min(self.jobs, len(tasks)) - len(self._processes)):
            self._start()
        results: list[Any] = [None] * len(tasks)
        failed: dict[int, BaseException] = {}
        following = 0
        idle = list(self._processes)
        busy: dict[Connection, int] = {}
        while busy or following < len(tasks) and not failed:
            while idle and following < len(tasks) and not failed:
                connection = idle.pop()
                self._send(connection, tasks[following])
                busy[connection] = following
                following += 1
            for connection in [c for c in wait(list(busy)) if isinstance(c, Connection)]:
                good, value = self._receive(connection)
                i = busy.pop(connection)
                idle.append(connection)
                if good:
                    results[i] = value
                    if done is not None:
                        done(i)
                else:
                    failed[i] = value
        if failed:
            raise failed[min(failed)]
        return results

    def _start(self) -> None:
        context = multiprocessing.get_context()
        ours, theirs = context.Pipe()
        inherited = [*self._processes, ours] if context.get_start_method() == "fork" else []
        process: Any = context.Process(target=_serve, args=(theirs, inherited, self._make, self._args), daemon=True)
        with _no_interrupt():  # nor has the process inherited one
            process.start()
        theirs.close()  # so that its end is the end of what we read
        self._processes[ours] = process

    def _send(self, connection: Connection, task: Any) -> None:
        try:
            connection.send(task)
        except OSError:
            raise self._died(connection) from None

    def _receive(self, connection: Connection) -> Any:
        try:
            return connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            raise self._died(connection) from None

    def _died(self, connection: Connection) -> PolymeraseError:
        process = self._processes[connection]
        process.join(_GRACE)
        code = process.exitcode
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return PolymeraseError(f"a worker process ended before its work was done ({how}); fewer jobs take less memory")


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Without Ctrl-C, in this thread and in processes started by it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(
    connection: Connection, inherited: list[Connection], make: Callable[..., Callable[[Any], Any]], args: Any
) -> None:
    """A process: do tasks until there are no more or the one that gives them is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process sees to it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in inherited:
        other.close()
    gc.disable()  # as in driver
    parent = multiprocessing.parent_process()
    assert parent is not None
    work = None
    try:
        while connection in wait([connection, parent.sentinel]):
            task = connection.recv()
            try:
                if work is None:
                    work = make(*args)
                message = (True, work(task))
            except Exception as e:
                message = (False, _portable(e))
            connection.send(message)
    except (EOFError, OSError):
        pass


def _portable(e: Exception) -> Exception:
    """`e` as it can be sent; what is not meant for users tells where it was raised."""
    if not isinstance(e, (PolymeraseError, OSError, MemoryError)):
        e.add_note("in a worker process:\n" + "".join(traceback.format_exception(e)).rstrip())
    try:
        pickle.loads(pickle.dumps(e))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(e)).rstrip())
    return e
