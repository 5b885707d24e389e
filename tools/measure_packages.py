"""What packages of large programs cost: compiling them (time and memory, in one process and in several) and starting
them (functions compiled at the first start, read at the next; all of them, for comparison).

    python -m tools.measure_packages [-j N] [PROG.wasm …]

Without PROG two programs in Go are built that import many packages, of 6 and of 19 MB; that needs `go`, and no network.
A program is a WASI command. Times are of the wall clock: measure on a machine that does nothing else; CPU seconds, in
brackets, depend less on what else runs. Memory is the largest process's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

SMALL = """encoding/json.Unmarshal encoding/xml.Unmarshal go/format.Source html/template.New math/big.NewInt
regexp.MustCompile"""
LARGE = f"""{SMALL} archive/tar.NewReader archive/zip.NewReader compress/bzip2.NewReader compress/gzip.NewReader
compress/lzw.NewReader compress/zlib.NewReader crypto/aes.NewCipher crypto/ecdsa.Sign crypto/ed25519.Sign
crypto/rsa.SignPSS crypto/tls.Dial crypto/x509.ParseCertificate database/sql.Open debug/dwarf.New
debug/elf.NewFile debug/macho.NewFile debug/pe.NewFile encoding/csv.NewReader encoding/gob.NewDecoder
expvar.NewInt go/build.Import go/doc.New go/importer.Default go/types.NewPackage image/draw.Draw
image/gif.Decode image/jpeg.Decode image/png.Decode log/slog.Info mime/multipart.NewReader
net/http.ListenAndServe net/http/httptest.NewServer net/http/httputil.DumpRequest net/mail.ReadMessage
net/rpc/jsonrpc.Dial net/smtp.Dial runtime/trace.Start testing/quick.Check text/tabwriter.NewWriter"""
PROGRAM = """package main

import (
    "fmt"
    "os"
{imports}
)

var keep = []any{{{names}}}

func main() {{
    if len(os.Args) > 5 {{
        fmt.Println(keep...)
    }}
    fmt.Println("hello", len(os.Args))
}}
"""

# Runs in a process of its own: package, share of the functions to load, or "" to run the program.
START = """
import sys, time
start, cpu = time.perf_counter(), time.process_time()
import random
from importlib import import_module
package = import_module(sys.argv[1])
instance = package.instantiate()
own = range(sum(i.kind == "func" for i in instance.info.imports), len(instance.info.funcs))
if sys.argv[2]:
    for f in random.Random(1).sample(own, round(len(own) * float(sys.argv[2]))):
        instance.code.define(instance.namespace, f)
else:
    try:
        instance.exports["_start"]()
    except package.Exit:
        pass
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
from polymerase_runtime.loading import is_loaded
loaded = sum(is_loaded(instance.namespace, instance.info.func_names[f]) for f in own)
print(seconds, cpu, loaded, len(own), file=sys.stderr)
"""


class Cost(NamedTuple):
    """Seconds of the wall clock and of all CPUs; MB of the largest process."""

    wall: float
    cpu: float
    memory: float

    def __str__(self) -> str:
        return f"{self.wall:7.2f} s ({self.cpu:.2f}), {self.memory:.0f} MB"


def build(names: str, folder: Path) -> Path:
    """A program in Go that uses `names`, PACKAGE.NAME each, as a WASI module."""
    used = [name.rpartition(".") for name in names.split()]
    imports = "\n".join(f'    p{i} "{path}"' for i, (path, _, _) in enumerate(used))
    program = PROGRAM.format(imports=imports, names=", ".join(f"p{i}.{name}" for i, (_, _, name) in enumerate(used)))
    folder.mkdir()
    (folder / "main.go").write_text(program)
    (folder / "go.mod").write_text("module large\n\ngo 1.21\n")
    env = {**os.environ, "GOOS": "wasip1", "GOARCH": "wasm", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    subprocess.run(["go", "build", "-o", "large.wasm", "."], cwd=folder, env=env, check=True)
    return folder / "large.wasm"


def cost(args: list[str], env: dict[str, str]) -> Cost:
    """Run Python with `args`."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *args], env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(args)}: status {status}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6)


def started(folder: Path, share: str, env: dict[str, str]) -> str:
    """Start the package `made` in `folder`, load so many of its functions or run it."""
    env = {**env, "PYTHONPATH": f"{folder}{os.pathsep}{env['PYTHONPATH']}"}
    command = [sys.executable, "-c", START, "made", share]
    done = subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    seconds, cpu, loaded, count = done.stderr.split()
    return f"{float(seconds):7.2f} s ({float(cpu):.2f}), {loaded} of {count} functions"


def measure(program: Path, folder: Path, jobs: int) -> None:
    """Print what the package of `program` costs."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "runtime")])
    made = folder / "made"
    print(f"{program.name}: {program.stat().st_size / 1e6:.1f} MB")
    for n in sorted({1, jobs}):
        args = ["-m", "polymerase", "compile", str(program), "-o", str(made), "--no-progress", "-j", str(n)]
        print(f"  compile -j {n:<10}{cost(args, env)}")
    for what, share in (("program", ""), ("5 %", "0.05"), ("all", "1")):
        for when in ("first start", "next start"):
            print(f"  {what + ', ' + when:<21}{started(folder, share, env)}", flush=True)
        shutil.rmtree(made / "__pycache__")
    print(f"  compileall {'':<10}{cost(['-m', 'compileall', '-q', str(made)], env)}")
    for what, share in (("program", ""), ("5 %", "0.05"), ("all", "1")):
        print(f"  {what + ', bytecode':<21}{started(folder, share, env)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.measure_packages", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="processes to compare with one")
    parser.add_argument("programs", metavar="PROG.wasm", nargs="*", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        programs = options.programs
        if not programs:
            programs = [build(SMALL, folder / "small"), build(LARGE, folder / "large")]
        for program in programs:
            measure(program, folder, options.jobs)


if __name__ == "__main__":
    main()
