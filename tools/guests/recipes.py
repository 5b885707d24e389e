"""What is built and how: a literal table. Sources come from PyPI's source packages or from `src/` beside this file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sdist:
    """A source package on PyPI, pinned."""

    package: str
    version: str
    sha256: str

    @property
    def folder(self) -> str:
        """The one folder in the archive."""
        return f"{self.package}-{self.version}"


@dataclass(frozen=True, slots=True)
class Guest:
    """One WASI command. `main` is in `src/`; `sources` are patterns in the sdist, `includes` folders of it.

    `language` says which tool builds it: c (ziglang's clang), zig, go or rust. The last three are optional: where the
    tool is missing the guest is reported and left out.
    """

    name: str
    language: str
    main: str
    sdist: Sdist | None = None
    sources: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a guest. `stdin` is "data" (generated), "text" (its first lines), "script" (`src/suite.js`),
    "garbage", or "=JOB": what wasmtime printed in that job of the same guest."""

    guest: str
    name: str
    args: tuple[str, ...]
    stdin: str


GUESTS: tuple[Guest, ...] = (
    Guest(
        "lz4",
        "c",
        "lz4_main.c",
        Sdist("lz4", "4.4.5", "5f0b9e53c1e82e88c10d7c180069363980136b9d7a8306c4dca4f760d60c39f0"),
        ("lz4libs/*.c",),
        ("lz4libs",),
    ),
    Guest(
        "zstd",
        "c",
        "zstd_main.c",
        Sdist("zstandard", "0.25.0", "7713e1179d162cf5c7906da876ec2ccb9c3a9dcbdffef0cc7f70c3667a205f0b"),
        ("zstd/zstd.c",),
        ("zstd",),
        ("__EMSCRIPTEN__",),  # the amalgamation's only switch for leaving threads out
    ),
    Guest(
        "brotli",
        "c",
        "brotli_main.c",
        Sdist("brotli", "1.2.1", "02b2f7b5a83485efe448a44ddf7983def05c3bb1dcf917d4f7154070260e13de"),
        ("c/common/*.c", "c/dec/*.c", "c/enc/*.c"),
        ("c/include",),
    ),
    Guest(
        "quickjs",
        "c",
        "quickjs_main.c",
        Sdist("quickjs", "1.19.4", "1205953abc24ff757f4a795304d5d61e4bf1e555c9ef6ec96a132d4b95535484"),
        ("upstream-quickjs/*.c",),
        ("upstream-quickjs",),
        # EMSCRIPTEN: no threads, no malloc_usable_size. WASI has one rounding mode: asking for another is ignored.
        ("EMSCRIPTEN", "CONFIG_BIGNUM", 'CONFIG_VERSION="2021-03-27"', "FE_DOWNWARD=1", "FE_UPWARD=2"),
    ),
    Guest("zig", "zig", "report.zig"),
    Guest("rust", "rust", "report.rs"),
    Guest("go", "go", "report.go"),
)

JOBS: tuple[Job, ...] = (
    Job("lz4", "compress", ("compress", "9"), "data"),
    Job("lz4", "decompress", ("decompress",), "=compress"),
    Job("lz4", "garbage", ("decompress",), "garbage"),
    Job("zstd", "compress", ("compress", "3"), "data"),
    Job("zstd", "decompress", ("decompress",), "=compress"),
    Job("zstd", "garbage", ("decompress",), "garbage"),
    Job("brotli", "compress", ("compress", "5"), "data"),
    Job("brotli", "decompress", ("decompress",), "=compress"),
    Job("brotli", "garbage", ("decompress",), "garbage"),
    Job("quickjs", "script", (), "script"),
    Job("quickjs", "error", (), "garbage"),
    Job("zig", "report", ("alpha", "/no/such"), "text"),
    Job("rust", "report", ("alpha", "/no/such"), "text"),
    Job("go", "report", ("alpha", "/no/such"), "text"),
)
