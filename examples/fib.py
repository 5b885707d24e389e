"""Call the functions of a module: `python examples/fib.py`."""

from pathlib import Path

import polymerase

module = polymerase.Module.from_file(Path(__file__).with_name("fib.wasm"))
print([str(export.type) for export in module.exports if export.name == "gcd"])
fib = module.instantiate().exports

print(fib.fib(20), fib.gcd(1071, 462), fib.newton_sqrt(2.0), fib.average(1.0, 2.5))
print(fib["factorial"](21))  # 64 bits wrap around; results are signed
try:
    fib.divide(1, 0)
except polymerase.Trap as trap:
    print("trap:", trap)
