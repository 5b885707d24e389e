"""What a WebAssembly module's bytes say: decoding (spec 5) and validation (spec 3). Knows nothing of Python source."""
