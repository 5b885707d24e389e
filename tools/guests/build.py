"""Fetch sources and build guests. Only pinned source packages are downloaded, through pip, their hashes checked."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tools.guests.recipes import Guest, Sdist

SRC = Path(__file__).resolve().parent / "src"
RUST_TARGET = "wasm32-wasip1"


class Missing(Exception):
    """A tool that a guest is built with is not on this machine; the text says which."""


def _run(command: list[str], **env: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed ({done.returncode}): {done.stderr[-4000:]}")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch(sdist: Sdist, cache: Path) -> Path:
    """The unpacked source package, downloaded once into `cache`."""
    folder = cache / sdist.folder
    archive = cache / f"{sdist.folder}.tar.gz"
    cache.mkdir(parents=True, exist_ok=True)
    if not (archive.exists() and _sha256(archive) == sdist.sha256):
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            pins = Path(scratch, "pins.txt")
            pins.write_text(f"{sdist.package}=={sdist.version} --hash=sha256:{sdist.sha256}\n")
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            _run([*pip, "--no-binary", ":all:", "--no-deps", "-d", scratch, "-r", str(pins)])
            (found,) = Path(scratch).glob("*.tar.gz")
            found.replace(archive)
        if _sha256(archive) != sdist.sha256:
            raise RuntimeError(f"{sdist.folder}: the downloaded archive has another sha256 than the one recorded")
        shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            (top,) = Path(scratch).iterdir()
            top.replace(folder)
    return folder


def zig() -> list[str]:
    """The command that runs Zig; raises Missing."""
    if importlib.util.find_spec("ziglang") is None:
        raise Missing("ziglang not found (pip install ziglang)")
    return [sys.executable, "-m", "ziglang"]


def _leb(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number and the offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def without_debug(wasm: bytes) -> bytes:
    """The module without its DWARF sections. (The linker's --strip-debug drops the names of functions, too.)"""
    kept = [wasm[:8]]
    at = 8
    while at < len(wasm):
        size, start = _leb(wasm, at + 1)
        length, name = _leb(wasm, start)
        if wasm[at] != 0 or not wasm[name : name + length].startswith(b".debug_"):
            kept.append(wasm[at : start + size])
        at = start + size
    return b"".join(kept)


def _go() -> str:
    found = shutil.which("go")
    if found is None:
        raise Missing("go not found")
    return found


def _rustc() -> str:
    found = shutil.which("rustc")
    if found is None:
        raise Missing("rustc not found")
    root = subprocess.run([found, "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    if not Path(root, "lib", "rustlib", RUST_TARGET).exists():
        raise Missing(f"Rust target {RUST_TARGET} not found (rustup target add {RUST_TARGET})")
    return found


def command(guest: Guest, sources: Path | None, out: Path) -> tuple[list[str], dict[str, str]]:
    """The command that builds `guest` to `out`, and its environment; raises Missing."""
    main = str(SRC / guest.main)
    match guest.language:
        case "c":
            flags = [f"-I{SRC}", *(f"-D{d}" for d in guest.defines)]
            files: list[str] = []
            if sources is not None:
                flags += [f"-I{sources / i}" for i in guest.includes]
                files = [str(p) for pattern in guest.sources for p in sorted(sources.glob(pattern))]
            zig_cc = [*zig(), "cc", "-target", "wasm32-wasi", "-O2", "-w"]
            return [*zig_cc, *flags, main, *files, "-o", str(out)], {}
        case "zig":
            flags = ["-target", "wasm32-wasi", "-O", "ReleaseSafe", f"-femit-bin={out}"]
            return [*zig(), "build-exe", *flags, main], {}
        case "go":
            env = {"GOOS": "wasip1", "GOARCH": "wasm", "CGO_ENABLED": "0", "GOFLAGS": "", "GO111MODULE": "off"}
            return [_go(), "build", "-trimpath", "-ldflags=-w", "-o", str(out), main], env
        case "rust":
            flags = ["--edition", "2021", "--target", RUST_TARGET, "-O", "-C", "strip=debuginfo"]
            return [_rustc(), *flags, "-o", str(out), main], {}
        case other:
            raise ValueError(other)


def build(guest: Guest, out: Path) -> tuple[Path, bool]:
    """Build `guest` into `out/NAME.wasm` unless it is there, built from the same; raises Missing.

    Returns the file and whether it was built now."""
    out.mkdir(parents=True, exist_ok=True)
    wasm = out / f"{guest.name}.wasm"
    stamp = out / f"{guest.name}.stamp"  # written last
    headers = sorted(SRC.glob("*.h")) if guest.language == "c" else []
    recipe, _ = command(guest, Path("SDIST"), Path("OUT"))  # before anything is downloaded: is the tool here?
    key = json.dumps([repr(guest), recipe[1:], *(_sha256(p) for p in [SRC / guest.main, *headers])])
    if wasm.exists() and stamp.exists() and stamp.read_text() == key:
        return wasm, False
    stamp.unlink(missing_ok=True)
    sources = fetch(guest.sdist, out / "sdists") if guest.sdist else None
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        made = Path(scratch, "guest.wasm")
        words, env = command(guest, sources, made)
        _run(words, **env)
        wasm.write_bytes(without_debug(made.read_bytes()))
    stamp.write_text(key)
    return wasm, True
