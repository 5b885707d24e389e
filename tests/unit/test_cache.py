"""The cache on disk: what is found, what is not, and that nothing wrong ever is."""

from __future__ import annotations

import errno
import gc
import hashlib
import marshal
import multiprocessing
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
import pytest

import polymerase
from polymerase import cache as cache_module
from polymerase import driver, stored
from polymerase.cache import SUFFIX, Cache, key_of, options_text, packed, size_of
from polymerase.code import LazyCode
from polymerase.options import Controls, Options
from polymerase_runtime.types import ModuleInfo

Wat = Callable[[str], bytes]
ON_POSIX = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no such owners")

KEY = "ab" * 32
OTHER = "cd" * 32
BLOBS = {3: b"three" * 40, 7: b"", 1: b"one"}

WAT = """
(module
  (import "env" "log" (func $log (param i32)))
  (import "env" "base" (global $base i32))
  (type $t (func (param i32) (result i32)))
  (table (export "table") 4 8 funcref)
  (memory (export "memory") 1 3)
  (global (export "counter") (mut i64) (i64.const -5))
  (elem (i32.const 0) $double $square)
  (data (i32.const 8) "hello")
  (data $passive "world")
  (func $double (type $t) (i32.mul (local.get 0) (i32.const 2)))
  (func $square (type $t) (i32.mul (local.get 0) (local.get 0)))
  (func (export "apply") (param i32 i32) (result i32)
    (call $log (local.get 0))
    (call_indirect (type $t) (local.get 1) (local.get 0)))
  (func (export "twice") (param i32) (result i32) (call $double (call $double (local.get 0))))
  (func (export "copy") (memory.init $passive (i32.const 100) (i32.const 0) (i32.const 5)))
  (func (export "trap") (unreachable)))
"""


@pytest.fixture
def told() -> list[str]:
    """What caches of `made` reported."""
    return []


@pytest.fixture
def made(tmp_path: Path, told: list[str]) -> Callable[..., Cache]:
    def made(**options: Any) -> Cache:
        return Cache(tmp_path / "cache", report=told.append, **options)

    return made


def contents(cache: Cache, key: str = KEY) -> dict[int, bytes | None] | None:
    """The blobs that `cache` gives out for an entry; None where it has none."""
    entry = cache.open(key)
    return None if entry is None else {i: entry.blob(i) for i in entry}


def path_of(cache: Cache, key: str = KEY) -> Path:
    return cache.folder / (key + SUFFIX)


# --- Entries


def test_what_was_written_is_found(made: Callable[..., Cache]) -> None:
    cache = made()
    assert contents(cache) is None
    assert cache.write(KEY, "fib.wasm", b"meta", BLOBS)
    assert BLOBS == contents(cache)
    entry = cache.open(KEY)
    assert entry is not None
    assert (b"meta", "fib.wasm", 3) == (entry.meta, entry.label, len(entry))
    assert entry.blob(2) is None
    assert contents(cache, OTHER) is None


def test_functions_are_added_to_those_that_others_wrote(made: Callable[..., Cache]) -> None:
    one, two = made(), made()
    before = one.open(KEY)
    assert before is None
    one.write(KEY, "a", b"meta", {1: b"one", 2: b"two"})
    reader = two.open(KEY)
    two.write(KEY, "a", b"meta", {2: b"two", 5: b"five"})
    assert {1: b"one", 2: b"two", 5: b"five"} == contents(one)
    assert reader is not None
    assert (b"one", None) == (reader.blob(1), reader.blob(5))  # the old file, whole


def test_the_folder_and_entries_are_the_users_alone(made: Callable[..., Cache]) -> None:
    cache = made()
    old = os.umask(0)
    try:
        cache.write(KEY, "a", b"", BLOBS)
    finally:
        os.umask(old)
    if hasattr(os, "geteuid"):
        assert 0o700 == stat.S_IMODE(cache.folder.stat().st_mode)
        assert {0o600} == {stat.S_IMODE(p.stat().st_mode) for p in cache.folder.iterdir()}


def test_a_damaged_entry_gives_what_was_written_or_nothing(made: Callable[..., Cache], told: list[str]) -> None:
    """Each byte flipped, each length cut, bytes added."""
    cache = made()
    cache.write(KEY, "label", b"meta" * 5, BLOBS)
    path = path_of(cache)
    whole = path.read_bytes()
    damaged = 0
    for at in range(len(whole)):
        for mask in (0x01, 0x80, 0xFF):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])
            entry = cache.open(KEY)
            if entry is not None:
                assert b"meta" * 5 == entry.meta
                assert sorted(BLOBS) == sorted(entry)
                got = {i: entry.blob(i) for i in entry}
                assert 1 == sum(blob is None for blob in got.values())
                assert all(blob in (None, BLOBS[i]) for i, blob in got.items())
                damaged += 1
    assert damaged > 100
    assert any("is damaged" in line for line in told)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert cache.open(KEY) is None
    path.write_bytes(whole + b"x")
    assert cache.open(KEY) is None


def test_a_forged_head_reads_no_further_than_the_file(made: Callable[..., Cache]) -> None:
    cache = made()
    cache.write(KEY, "label", b"meta", BLOBS)
    path = path_of(cache)
    whole = path.read_bytes()
    start = cache_module._START
    for fields in (
        (len(whole), 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (1 << 63, 5, 4, 3),
        (len(whole), 5, 4, 0xFFFFFF),
        (len(whole), 0, 0, 0),
    ):
        head = start.pack(b"pmcache1", bytes(32), bytes.fromhex(KEY), *fields)
        path.write_bytes(head + whole[start.size :])
        assert cache.open(KEY) is None
    # A head that holds, with blobs that lie outside the file or in the head
    for offset in (0, len(whole) - 1, 1 << 62):
        row = cache_module._BLOB.pack(1, 100, offset, bytes(16))
        rest = b"label" + b"meta" + row
        tail = start.pack(b"", b"", bytes.fromhex(KEY), start.size + len(rest), 5, 4, 1)[40:] + rest
        path.write_bytes(b"pmcache1" + hashlib.sha256(tail).digest() + tail)
        entry = cache.open(KEY)
        assert entry is not None
        assert entry.blob(1) is None


def test_an_entry_under_the_name_of_another_is_a_miss(made: Callable[..., Cache], told: list[str]) -> None:
    cache = made()
    cache.write(KEY, "a", b"", BLOBS)
    path_of(cache).rename(path_of(cache, OTHER))
    assert cache.open(OTHER) is None
    assert "another module's" in told[-1]


@ON_POSIX
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_an_entry_that_others_may_write_is_a_miss(mode: int, made: Callable[..., Cache], told: list[str]) -> None:
    cache = made()
    cache.write(KEY, "a", b"", BLOBS)
    path_of(cache).chmod(mode)
    assert cache.open(KEY) is None
    assert f"writable by others (mode {mode:o})" in told[-1]


@ON_POSIX
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_may_write_is_not_used(mode: int, made: Callable[..., Cache], told: list[str]) -> None:
    cache = made()
    cache.write(KEY, "a", b"", BLOBS)
    cache.folder.chmod(mode)
    assert cache.open(KEY) is None
    assert "folder" in told[-1] and "writable by others" in told[-1]
    assert not cache.write(OTHER, "a", b"", BLOBS)
    assert "not written" in told[-1] and "writable by others" in told[-1]
    with pytest.raises(polymerase.PolymeraseError, match="writable by others"):
        cache.clear()
    cache.folder.chmod(0o700)
    assert BLOBS == contents(cache)


@ON_POSIX
def test_what_another_user_owns_is_a_miss(
    made: Callable[..., Cache], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = made()
    cache.write(KEY, "a", b"", BLOBS)
    fstat = os.fstat

    def of_another(kind: Callable[[int], bool]) -> Callable[[int], os.stat_result]:
        def changed(fd: int) -> os.stat_result:
            status = fstat(fd)
            return os.stat_result([*status[:4], status.st_uid + 1, *status[5:]]) if kind(status.st_mode) else status

        return changed

    for kind, where in ((stat.S_ISREG, SUFFIX), (stat.S_ISDIR, "folder")):
        monkeypatch.setattr(os, "fstat", of_another(kind))
        assert cache.open(KEY) is None
        assert where in told[-1] and f"owned by user {os.geteuid() + 1}" in told[-1]
    monkeypatch.setattr(os, "fstat", fstat)
    assert BLOBS == contents(cache)


@ON_POSIX
def test_symbolic_links_and_what_is_no_file_are_misses(made: Callable[..., Cache], told: list[str]) -> None:
    cache = made()
    cache.write(KEY, "a", b"", BLOBS)
    real = cache.folder.parent / (KEY + SUFFIX)
    path_of(cache).rename(real)
    path_of(cache).symlink_to(real)
    assert cache.open(KEY) is None
    assert "a symbolic link" in told[-1]
    path_of(cache).unlink()
    path_of(cache).mkdir()
    assert cache.open(KEY) is None
    assert "not a plain file" in told[-1]
    assert not cache.write(KEY, "a", b"", BLOBS)  # a folder cannot be replaced
    assert "not written" in told[-1]
    assert [] == [p for p in cache.folder.iterdir() if p.name.endswith(".tmp")]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = Cache(tmp_path / "file" / "cache", report=told.append)
    assert cache.open(KEY) is None
    assert not cache.write(KEY, "a", b"", BLOBS)
    assert "not written" in told[-1]
    assert [] == cache.entries()


def test_a_full_disk_is_no_error(made: Callable[..., Cache], told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache = made()
    cache.write(KEY, "a", b"", BLOBS)
    monkeypatch.setattr(os, "replace", full)
    assert not cache.write(KEY, "a", b"", {9: b"nine"})
    assert told[-1].startswith("not written") and os.strerror(errno.ENOSPC) in told[-1]
    assert {KEY + SUFFIX, "lock"} == {p.name for p in cache.folder.iterdir()}
    assert BLOBS == contents(cache)


# --- Size


def test_what_was_not_used_for_longest_goes_first(made: Callable[..., Cache], told: list[str]) -> None:
    keys = [f"{n:02x}" * 32 for n in range(5)]
    size = len(packed(KEY, "a", b"", {1: bytes(1000)}))
    cache = made(size=4 * size)
    for n, key in enumerate(keys[:4]):
        cache.write(key, "a", b"", {1: bytes(1000)})
        os.utime(path_of(cache, key), (n, n))
    assert cache.open(keys[0]) is not None  # used just now
    cache.write(keys[4], "a", b"", {1: bytes(1000)})
    assert {keys[0], keys[2], keys[3], keys[4]} == {e.key for e in cache.entries()}
    assert f"{keys[1]}{SUFFIX}: removed to make room" in told
    smaller = made(size=2 * size)
    smaller.write(keys[1], "a", b"", {1: bytes(1000)})
    assert [keys[1], keys[4]] == [e.key for e in smaller.entries()]


def test_an_entry_larger_than_the_cache_is_not_written(made: Callable[..., Cache], told: list[str]) -> None:
    cache = made(size=1000)
    cache.write(OTHER, "a", b"", {})
    assert not cache.write(KEY, "a", b"", {1: bytes(1000)})
    assert "the cache may have 1000" in told[-1]
    assert [OTHER] == [e.key for e in cache.entries()]


def test_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert (512 << 20, 0, 12, 3 << 10, 5 << 20, 1 << 30) == tuple(map(size_of, ("", "0", "12", "3k", "5M", "1GB")))
    for text in ("x", "-1", "1.5M", "M", "٣", "9" * 30):
        monkeypatch.setenv("POLYMERASE_CACHE_SIZE", text)
        with pytest.raises(polymerase.PolymeraseError, match="POLYMERASE_CACHE_SIZE"):
            Cache(tmp_path)
    monkeypatch.setenv("POLYMERASE_CACHE_SIZE", "1M")
    assert 1 << 20 == Cache(tmp_path).size
    with pytest.raises(polymerase.PolymeraseError):
        Cache(tmp_path, size=-1)


def test_the_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYMERASE_CACHE_DIR", str(tmp_path / "x"))
    assert tmp_path / "x" == Cache().folder
    monkeypatch.delenv("POLYMERASE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "y"))
    assert "polymerase" in str(Cache().folder)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user without a home
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: "~/.cache/polymerase")
    assert not Cache().write(KEY, "a", b"", BLOBS)
    assert not Path("~").exists()


@pytest.mark.parametrize("given", [None, "", " ", "/somewhere/cache"])
def test_the_folder_is_the_one_that_platformdirs_names(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    monkeypatch.delenv("POLYMERASE_CACHE_DIR", raising=False)
    if given is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert platformdirs.user_cache_path("polymerase", appauthor=False) == Cache().folder


def test_clear_removes_entries_and_what_writers_left_and_nothing_else(made: Callable[..., Cache]) -> None:
    cache = made()
    assert 0 == cache.clear()
    cache.write(KEY, "a", b"", BLOBS)
    cache.write(OTHER, "b", b"", BLOBS)
    (cache.folder / "x.tmp").write_bytes(b"left")
    (cache.folder / "mine.txt").write_bytes(b"not ours")
    assert 2 == cache.clear()
    assert {"mine.txt", "lock"} == {p.name for p in cache.folder.iterdir()}


# --- Keys


def test_a_key_holds_all_that_code_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(options: Options) -> str:
        return key_of("digest", *options_text(options))

    base = Options(target="cpython")
    variants = [
        Options(target="pypy"),
        Options(target="cpython", opt_level=1),
        Options(target="cpython", disabled=frozenset(["constants"])),
        Options(target="cpython", controls=Controls(polls=True)),
        Options(target="cpython", controls=Controls(fuel=(("i32.add", 1),))),
        Options(target="cpython", controls=Controls(fuel=(("i32.add", 2),))),
    ]
    assert 7 == len({key(base), *map(key, variants)})
    assert key(base) == key(Options(target="cpython", standalone=True, format=True, force=True))
    both = (frozenset(["a", "b", "c"]), frozenset(["c", "b", "a"]))
    assert 1 == len({key(Options(target="cpython", disabled=names)) for names in both})
    before = key(base)
    for name, value in (("__version__", "9.9"), ("MAGIC_NUMBER", b"\0\0\r\n")):
        with monkeypatch.context() as m:
            m.setattr(cache_module, name, value)
            assert before != key(base)
    monkeypatch.setattr(sys.implementation, "cache_tag", "other-1")
    assert before != key(base)
    assert key_of("a", "bc") != key_of("ab", "c")


# --- Modules


def run(module: polymerase.Module) -> list[object]:
    """Everything that the module does."""
    seen: list[object] = []
    instance = module.instantiate({"env": {"log": seen.append, "base": 4}}, engine="aot")
    exports = instance.exports
    exports.copy()
    with pytest.raises(polymerase.Trap) as caught:
        exports.trap()
    frames = [(f.func, f.name, f.offset) for f in caught.value.frames]
    memory = bytes(instance.memory.data[:110])
    return [exports.twice(5), exports.apply(1, 7), exports.counter.value, memory, len(exports.table), frames, *seen]


def test_a_module_from_the_cache_does_the_same_and_needs_no_compiler(
    wat: Wat, made: Callable[..., Cache], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = wat(WAT)
    expected = run(polymerase.Module(data, "m.wasm"))
    first = polymerase.Module(data, "m.wasm", cache=made())
    assert expected == run(first)
    described = first.imports, first.exports, next(iter(first._codes.values())).lazy.info
    del first
    gc.collect()  # instances are cycles; when the code goes it is written
    assert any("wrote m.wasm, 6 functions" in line for line in told)

    def forbidden(*_: object) -> None:
        raise AssertionError("not needed")

    for name in ("load", "decode_valid", "FunctionCompiler"):
        monkeypatch.setattr(driver, name, forbidden)
    second = polymerase.Module(data, "m.wasm", cache=made())
    assert expected == run(second)
    assert described == (second.imports, second.exports, next(iter(second._codes.values())).lazy.info)
    assert any("hit: m.wasm, 6 functions" in line for line in told)


def test_functions_that_were_not_there_are_compiled_and_added(
    wat: Wat, made: Callable[..., Cache], told: list[str]
) -> None:
    data, imports = wat(WAT), {"env": {"log": print, "base": 4}}
    for name, count in (("trap", 1), ("twice", 3)):
        module = polymerase.Module(data, "m.wasm", cache=made())
        exports = module.instantiate(imports, engine="aot").exports
        try:
            exports[name](*([1] if name == "twice" else []))
        except polymerase.Trap:
            pass
        del module, exports
        gc.collect()
        assert f"wrote m.wasm, {count} functions" in told[-1]


@pytest.mark.parametrize("change", ["data", "name", "options", "limits", "magic", "build"])
def test_what_changes_the_code_is_a_miss(
    change: str, wat: Wat, made: Callable[..., Cache], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, name, options, limits = wat(WAT), "m.wasm", Options(), polymerase.Limits()
    imports = {"env": {"log": lambda x: None, "base": 4}}
    module = polymerase.Module(data, name, options=options, cache=made())
    assert 20 == module.instantiate(imports, engine="aot", limits=limits).exports.twice(5)
    del module
    gc.collect()
    told.clear()
    if change == "data":
        data = data.replace(b"hello", b"jello")
    elif change == "name":
        name = "n.wasm"
    elif change == "options":
        options = Options(opt_level=0)
    elif change == "limits":
        limits = polymerase.Limits(fuel=1000)
    elif change == "magic":
        monkeypatch.setattr(cache_module, "MAGIC_NUMBER", b"\0\0\r\n")
    else:
        monkeypatch.setattr(stored, "_builds", lambda: iter(["another"]))
    module = polymerase.Module(data, name, options=options, cache=made())
    assert 20 == module.instantiate(imports, engine="aot", limits=limits).exports.twice(5)
    assert any("miss" in line for line in told)
    assert not any("hit" in line and "0 functions" not in line for line in told)


def test_damage_is_compiled_again(wat: Wat, made: Callable[..., Cache], told: list[str]) -> None:
    """Whatever byte of an entry changes, the module does what it did."""
    data = wat(WAT)
    expected = run(polymerase.Module(data, "m.wasm", cache=made()))
    gc.collect()
    files = {path: path.read_bytes() for path in made().folder.glob("*" + SUFFIX)}
    assert 2 == len(files)
    rng = random.Random(1)
    for path, whole in files.items():
        for n in range(60):
            at = rng.randrange(len(whole)) if n else len(whole) // 2
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << n % 8]) + whole[at + 1 :] if n % 2 else whole[:at])
            assert expected == run(polymerase.Module(data, "m.wasm", cache=made()))
            path.write_bytes(whole)
    assert any("miss" in line for line in told)


def test_nothing_is_unmarshalled_whose_checksum_does_not_hold(
    wat: Wat, made: Callable[..., Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = wat(WAT)
    run(polymerase.Module(data, "m.wasm", cache=made()))
    gc.collect()
    files = {path: path.read_bytes() for path in made().folder.glob("*" + SUFFIX)}
    good: set[bytes] = set()
    loads, dumps = marshal.loads, marshal.dumps

    def record_new(value: Any) -> bytes:
        blob = dumps(value)
        good.add(blob)
        return blob

    def record(blob: bytes) -> Any:
        good.add(blob)
        return loads(blob)

    def checked(blob: bytes) -> Any:
        assert blob in good
        return loads(blob)

    monkeypatch.setattr(stored.marshal, "loads", record)
    run(polymerase.Module(data, "m.wasm", cache=made()))
    monkeypatch.setattr(stored.marshal, "loads", checked)
    monkeypatch.setattr(stored.marshal, "dumps", record_new)  # what was damaged is compiled and written again
    rng = random.Random(2)
    for path, whole in files.items():
        for _ in range(100):
            at = rng.randrange(len(whole))
            path.write_bytes(whole[:at] + rng.randbytes(rng.randrange(1, 8)) + whole[at + 4 :])
            run(polymerase.Module(data, "m.wasm", cache=made()))
            path.write_bytes(whole)


def test_invalid_modules_are_refused_each_time(wat: Wat, made: Callable[..., Cache]) -> None:
    data = bytearray(wat('(module (func (export "f") (result i32) (i32.const 1)))'))
    data[data.index(b"\x41\x01\x0b")] = 0x42
    for _ in range(2):
        with pytest.raises(polymerase.InvalidError):
            polymerase.Module(bytes(data), cache=made())
    assert [] == made().entries()


def test_modules_without_floats_are_checked_once(wat: Wat, made: Callable[..., Cache]) -> None:
    limits = polymerase.Limits(floats=False)
    good, bad = wat('(module (func (export "f") (nop)))'), wat('(module (func (export "f") (drop (f32.const 1))))')
    for _ in range(2):
        polymerase.Module(good, cache=made()).instantiate(limits=limits).exports.f()
        with pytest.raises(polymerase.UnsupportedError):
            polymerase.Module(bad, cache=made()).instantiate(limits=limits)


def test_descriptions_come_back_as_they_were(root: Path) -> None:
    for path in sorted((root / "examples").glob("*.wasm")):
        module = driver.load(path.read_bytes(), path.name)
        info = LazyCode(module, Options()).info
        flat = stored._flat((info, "<wasm>"))
        back, filename = stored._described(marshal.loads(marshal.dumps(flat)))
        assert (info, "<wasm>") == (back, filename)
        assert repr(info) == repr(back)  # the same classes, too
    assert {"name", "types", "digest", "controls"} <= set(ModuleInfo._fields)


def test_long_compiles_are_saved_on_the_way(
    wat: Wat, made: Callable[..., Cache], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "SAVE_SECONDS", 0.0)
    module = polymerase.Module(wat(WAT), "m.wasm", cache=made())
    exports = module.instantiate({"env": {"log": print, "base": 4}}, engine="aot").exports
    exports.twice(1)
    assert any("functions" in line and "wrote m.wasm, 1" in line for line in told)


# --- Many at once


def _write_many(folder: str, seed: int) -> None:
    cache = Cache(folder)
    for n in range(20):
        key = (KEY, OTHER)[n % 2]
        i = seed * 100 + n
        cache.write(key, "a", b"meta", {i: hashlib.sha256(str(i).encode()).digest() * 50})
        entry = cache.open(key)
        assert entry is not None
        assert all(hashlib.sha256(str(k).encode()).digest() * 50 == entry.blob(k) for k in entry)


def test_processes_that_write_at_once_lose_nothing(made: Callable[..., Cache], tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_many, args=(str(made().folder), n)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [0] * 4 == [process.exitcode for process in processes]
    found = {**(contents(made()) or {}), **(contents(made(), OTHER) or {})}
    if os.name == "posix":
        assert {seed * 100 + n for seed in range(4) for n in range(20)} == set(found)
    assert all(hashlib.sha256(str(k).encode()).digest() * 50 == blob for k, blob in found.items())
    assert [] == [p for p in made().folder.iterdir() if p.suffix == ".tmp"]


_WRITER = """
import hashlib, os, sys
from polymerase.cache import Cache
cache = Cache(sys.argv[1], size=4_000_000)
print("ready", flush=True)
n = int(sys.argv[2])
while True:
    n += 1
    key = hashlib.sha256(str(n % 7).encode()).hexdigest()
    cache.write(key, "a", b"meta", {n % 50: hashlib.sha256(str((n % 7, n % 50)).encode()).digest() * 2000})
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_writers_that_are_killed_leave_nothing_wrong(made: Callable[..., Cache]) -> None:
    """kill -9 during writes, 100 times."""
    cache = made(size=4_000_000)
    rng = random.Random(9)
    for n in range(100):
        command = [sys.executable, "-c", _WRITER, str(cache.folder), str(n * 13)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert b"ready\n" == writer.stdout.readline()
            time.sleep(rng.random() * 0.03)
            writer.send_signal(signal.SIGKILL)
        for key_of_seven in range(7):
            key = hashlib.sha256(str(key_of_seven).encode()).hexdigest()
            entry = cache.open(key)
            for i in entry or ():
                assert entry is not None
                assert hashlib.sha256(str((key_of_seven, i)).encode()).digest() * 2000 == entry.blob(i)
    assert cache.write(KEY, "a", b"", BLOBS)
    assert BLOBS == contents(cache)
    assert [] == [p for p in cache.folder.iterdir() if p.suffix == ".tmp"]
    assert sum(p.stat().st_size for p in cache.folder.glob("*" + SUFFIX)) <= 4_000_000


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_runs_that_are_killed_leave_a_cache_that_runs(made: Callable[..., Cache], root: Path) -> None:
    """kill -9 of `polymerase run` while it compiles, writes and reads."""
    program = str(root / "examples" / "wordcount.wasm")
    environment = {**os.environ, "POLYMERASE_CACHE_DIR": str(made().folder)}
    command = [sys.executable, "-m", "polymerase", "run", program]
    plain = subprocess.run([*command[:4], "--no-cache", program], capture_output=True, stdin=subprocess.DEVNULL)
    rng = random.Random(3)
    for _ in range(30):
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
            time.sleep(rng.random() * 1.0)
            p.send_signal(signal.SIGKILL)
    for _ in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL)
        assert (plain.returncode, plain.stdout, plain.stderr) == (done.returncode, done.stdout, done.stderr)


def test_auto_does_not_interpret_what_was_compiled_before(wat: Wat, made: Callable[..., Cache]) -> None:
    data = wat(WAT)
    imports = {"env": {"log": print, "base": 4}}
    first = polymerase.Module(data, cache=made())
    assert 20 == first.instantiate(imports, engine="aot").exports.twice(5)
    del first
    gc.collect()
    instance = polymerase.Module(data, cache=made()).instantiate(imports, engine="auto")
    assert instance.machine is not None
    i = next(index for name, kind, index in instance.info.exports if name == "twice")
    assert i not in instance.machine.interpreted and instance.machine.interpreted
    assert 20 == instance.exports.twice(5)
