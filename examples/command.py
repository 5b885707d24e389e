"""Run a WASI command inside a Python program, on streams and files of your own: `python examples/command.py`."""

import io
from pathlib import Path

import polymerase
from polymerase_runtime.wasi import Wasi

here = Path(__file__).resolve().parent


def run(name: str, *args: str, stdin: bytes = b"") -> tuple[int, bytes]:
    """The exit code of a command and what it printed; it sees this folder, as /src, and nothing else."""
    output = io.BytesIO()
    module = polymerase.Module.from_file(here / f"{name}.wasm")
    with Wasi([name, *args], dirs={"/src": here}, stdin=io.BytesIO(stdin), stdout=output) as wasi:
        try:
            module.instantiate(wasi=wasi).exports._start()
        except polymerase.Exit as end:
            return end.code, output.getvalue()
    return 0, output.getvalue()


print(run("wordcount", stdin=b"two words\n"))
print(run("sha256sum", "/src/primes.fth"))
print(run("forth", ": square dup * ; 12 square . nonsense"))
