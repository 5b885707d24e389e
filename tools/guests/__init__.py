"""Real programs that nobody here wrote, built for WASI and compared with wasmtime: `python -m tools.guests`."""
