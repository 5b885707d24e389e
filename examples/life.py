"""Life's command, made of polymerase: its flags, imports and printed lines.

`python examples/life.py [-entry NAME] [-polymerase] [-no-fp] [PROG.wasm [N…]]`, by default `life.wasm` and `app_main`.
"""

import argparse
import sys
import time
from pathlib import Path

import polymerase
from polymerase import Caller, FuncType, Limits, Trap


def life_log(caller: Caller, text: int, size: int) -> None:
    print("[app]", caller.memory.read(text, size).decode())


def life_ping(x: int) -> int:
    return x + 1


def print_i64(x: int) -> None:
    print("[app] print_i64:", x)


FUNCTIONS = {"__life_log": life_log, "__life_ping": life_ping, "print_i64": print_i64}
GLOBALS = {"__life_magic": 424}


def resolve(module: str, name: str, wanted: object) -> object:
    """What a module gets that imports `name` of `module`; LookupError is a LinkError that names it."""
    kind = "func" if isinstance(wanted, FuncType) else "global"
    print(f"Resolve {kind}: {module} {name}")
    return {"env": FUNCTIONS if kind == "func" else GLOBALS}[module][name]


def print_stack(trap: Trap) -> None:
    print("--- Begin stack trace ---")
    for depth, frame in reversed(list(enumerate(trap.frames))):
        print(f"<{depth}> [{frame.func}] {frame.name or ''}")
    print("--- End stack trace ---")


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-entry", default="app_main")
    parser.add_argument("-polymerase", action="store_true")
    parser.add_argument("-no-fp", action="store_true")
    parser.add_argument("program", nargs="?", default=Path(__file__).with_name("life.wasm"))
    parser.add_argument("args", nargs="*", type=int)
    options = parser.parse_args()

    module = polymerase.Module.from_file(options.program)
    start = time.perf_counter()
    if options.polymerase:
        print("[Polymerase] Compilation started.")
    engine = "aot" if options.polymerase else "interp"
    instance = module.instantiate(resolve, engine=engine, limits=Limits(floats=not options.no_fp))
    if options.polymerase:
        print(f"[Polymerase] Compilation finished successfully in {time.perf_counter() - start:.3f} s.")

    start = time.perf_counter()
    try:
        result = instance.exports[options.entry](*options.args)
    except Trap as trap:
        print_stack(trap)
        sys.exit(f"trap: {trap}")
    print(f"return value = {result}, duration = {time.perf_counter() - start:.6f} s")


if __name__ == "__main__":
    try:
        main()
    except polymerase.PolymeraseError as error:
        sys.exit(str(error))
