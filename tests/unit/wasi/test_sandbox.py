"""Nothing outside a preopened folder can be reached; inside it paths mean what they mean to the operating system."""

from __future__ import annotations

import os
import random
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polymerase_runtime.wasi import paths
from polymerase_runtime.wasi.abi import Oflags
from polymerase_runtime.wasi.errno import Errno, from_os_error

SECRET = b"secret"


@pytest.fixture
def outside(tmp_path: Path, root: Path, guest: Any) -> Path:
    """A folder beside the root, with a file, and symlinks to both of all kinds in the root."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_bytes(SECRET)
    (root / "dir").mkdir()
    (root / "file").write_bytes(b"mine")
    (root / "up").symlink_to("..")
    (root / "beside").symlink_to("../outside")
    (root / "absolute").symlink_to(folder)
    (root / "deep").symlink_to("dir/../../outside")
    (root / "dir" / "far").symlink_to("../../outside/file")
    (root / "chain").symlink_to("dir/far")
    (root / "self_absolute").symlink_to(root / "file")
    return folder


ESCAPES = (
    "..",
    "../",
    "../outside/file",
    "dir/../../outside/file",
    "./../root/file",
    "up/outside/file",
    "up/root/file",
    "beside/file",
    "absolute/file",
    "deep/file",
    "dir/../up/outside/file",
    "/",
    "/file",
    "//file",
)
ESCAPES_AT_END = ("dir/far", "chain", "self_absolute", "absolute", "beside", "up", "beside/", "up/.")


@pytest.mark.parametrize("path", ESCAPES)
def test_no_path_function_leaves_the_root(guest: Any, outside: Path, root: Path, path: str) -> None:
    before = snapshot(root.parent)
    one, flags = guest.paths(path), 1
    assert Errno.PERM == guest.try_open(path)
    assert Errno.PERM == guest.try_open(path + "/new", Oflags.CREAT)
    assert Errno.PERM == guest.try_open(path, Oflags.TRUNC)
    assert Errno.PERM == guest.call("path_create_directory", 3, *guest.paths(path + "/new"))
    assert Errno.PERM == guest.call("path_filestat_get", 3, flags, *one, guest.OUT)
    assert Errno.PERM == guest.call("path_filestat_set_times", 3, flags, *one, 1, 1, 5)
    assert Errno.PERM == guest.call("path_link", 3, 0, *one, 3, *guest.paths("new"))
    assert Errno.PERM == guest.call("path_link", 3, 0, *guest.paths("file"), 3, *guest.paths(path + "/new"))
    assert Errno.PERM == guest.call("path_readlink", 3, *one, 1024, 64, guest.OUT)
    assert Errno.PERM == guest.call("path_remove_directory", 3, *one)
    assert Errno.PERM == guest.call("path_rename", 3, *one, 3, *guest.paths("new"))
    assert Errno.PERM == guest.call("path_rename", 3, *guest.paths("file"), 3, *guest.paths(path + "/new"))
    assert Errno.PERM == guest.call("path_symlink", *guest.paths("x"), 3, *guest.paths(path + "/new"))
    assert Errno.PERM == guest.call("path_unlink_file", 3, *one)
    assert before == snapshot(root.parent)


@pytest.mark.parametrize("path", ESCAPES_AT_END)
def test_a_symlink_at_the_end_is_not_followed_out(guest: Any, outside: Path, path: str) -> None:
    assert Errno.PERM == guest.try_open(path)
    assert Errno.PERM == guest.try_open(path, Oflags.CREAT)
    assert Errno.PERM == guest.call("path_filestat_get", 3, 1, *guest.paths(path), guest.OUT)
    assert Errno.PERM == guest.call("path_filestat_set_times", 3, 1, *guest.paths(path), 1, 1, 5)


def test_a_symlink_that_leads_out_can_be_removed_and_renamed(guest: Any, outside: Path, root: Path) -> None:
    assert Errno.SUCCESS == guest.call("path_rename", 3, *guest.paths("beside"), 3, *guest.paths("moved"))
    assert Errno.SUCCESS == guest.call("path_unlink_file", 3, *guest.paths("moved"))
    assert SECRET == (outside / "file").read_bytes()


def test_creating_through_a_dangling_symlink_stays_inside(guest: Any, outside: Path, root: Path) -> None:
    (root / "out").symlink_to("../outside/new")
    (root / "in").symlink_to("dir/new")
    assert Errno.PERM == guest.try_open("out", Oflags.CREAT)
    assert Errno.SUCCESS == guest.try_open("in", Oflags.CREAT)
    assert (root / "dir" / "new").exists()
    assert not (outside / "new").exists()


def test_an_absolute_symlink_is_neither_made_nor_read(guest: Any, outside: Path, root: Path) -> None:
    assert Errno.PERM == guest.call("path_symlink", *guest.paths("/etc"), 3, *guest.paths("new"))
    assert Errno.PERM == guest.call("path_readlink", 3, *guest.paths("absolute"), 1024, 64, guest.OUT)
    assert not (root / "new").is_symlink()


def test_an_opened_directory_is_a_root_of_its_own(guest: Any, outside: Path) -> None:
    fd = guest.open_directory("dir")
    assert Errno.SUCCESS == guest.try_open(".", 0, READ, fd=fd)
    assert Errno.PERM == guest.try_open("..", fd=fd)
    assert Errno.PERM == guest.try_open("../file", fd=fd)


def test_a_root_that_is_reached_by_a_symlink_is_the_hosts_choice(
    make_guest: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "file").write_bytes(b"x")
    for openat in (True, False):
        guest = make_guest(dirs={"/": tmp_path / "link"}, openat=openat)
        assert b"x" == guest.read(guest.open("file"), 10)


@pytest.mark.skipif(not os.path.islink("/proc/self/root"), reason="no /proc")
@pytest.mark.parametrize("path", ["root/etc", "cwd/x", "exe"])
def test_the_kernels_magic_links_lead_nowhere(make_guest: Callable[..., Any], path: str) -> None:
    for openat in (True, False):
        assert Errno.PERM == make_guest(dirs={"/": "/proc/self"}, openat=openat).try_open(path)


def test_links_of_links_end(guest: Any, root: Path) -> None:
    (root / "l0").write_bytes(b"x")
    for i in range(paths.MAX_LINKS + 1):
        (root / f"l{i + 1}").symlink_to(f"l{i}")
    assert Errno.SUCCESS == guest.try_open(f"l{paths.MAX_LINKS}")
    assert Errno.LOOP == guest.try_open(f"l{paths.MAX_LINKS + 1}")
    (root / "circle").symlink_to("circle/circle")
    assert Errno.LOOP == guest.try_open("circle")


def test_going_back_further_than_directories_are_held(guest: Any, root: Path) -> None:
    down = "d/" * (paths.HELD * 3)
    (root / down).mkdir(parents=True)
    (root / "file").write_bytes(b"x")
    before = open_fds()
    assert b"x" == guest.read(guest.open(down + "../" * (paths.HELD * 3) + "file"), 9)
    assert Errno.PERM == guest.try_open(down + "../" * (paths.HELD * 3 + 1) + "file")
    assert Errno.SUCCESS == guest.try_open(("d/../" * 500) + "file")
    assert open_fds() <= before + 2


def test_a_component_swapped_for_a_symlink_while_it_is_opened(
    guest: Any, outside: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: after the look that found a file or directory, before the use."""
    if not isinstance(guest.wasi._process.get(3).handle, int):
        pytest.skip("without openat this cannot be prevented")
    real_open = os.open

    def swap(name: str) -> None:
        def open_after_swap(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if path == name.encode() and not (root / name).is_symlink():
                (root / name).rename(root / f"was_{name}")
                (root / name).symlink_to("../outside" if name == "dir" else "../outside/file")
            return real_open(path, flags, *args, **options)

        monkeypatch.setattr(os, "open", open_after_swap)

    swap("file")
    assert Errno.LOOP == guest.try_open("file")
    swap("dir")
    assert Errno.PERM == guest.try_open("dir/file")
    assert SECRET == (outside / "file").read_bytes()


def test_a_directory_that_another_process_keeps_swapping(guest: Any, outside: Path, root: Path) -> None:
    if not isinstance(guest.wasi._process.get(3).handle, int):
        pytest.skip("without openat this cannot be prevented")
    (root / "dir" / "file").write_bytes(b"mine")
    (root / "link").symlink_to("../outside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(root / "dir", root / "away")
            os.rename(root / "link", root / "dir")
            os.rename(root / "dir", root / "link")
            os.rename(root / "away", root / "dir")

    thread = threading.Thread(target=swap)
    thread.start()
    results = set()
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            errno = guest.try_open("dir/file")
            results.add(errno)
            if errno == Errno.SUCCESS:
                fd = guest.u32()
                assert b"mine" == guest.read(fd, 9)
                guest.call("fd_close", fd)
            guest.call("path_unlink_file", 3, *guest.paths("dir/other"))
            guest.call("path_create_directory", 3, *guest.paths("dir/made"))
    finally:
        stop.set()
        thread.join()
    assert Errno.SUCCESS in results
    assert ["file"] == os.listdir(outside)


NAMES = ("file", "dir", "dir/in", "tofile", "todir", "dangling", "missing", "loop", "dir/up", "empty", "todot", "up2")
ENDS = ("", "", "", "/", "//", "/.", "/..", "/../file", "/in", "/../dir/in", "/missing", "/./in/")

LINKS = (
    ("tofile", "file"),
    ("todir", "dir/"),
    ("todot", "./dir/."),
    ("up2", "dir/up/.."),
    ("dangling", "nowhere"),
    ("loop", "loop"),
)


def plant(root: Path) -> None:
    (root / "dir").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "file").write_bytes(b"file")
    (root / "dir" / "in").write_bytes(b"in")
    for name, target in LINKS:
        (root / name).symlink_to(target)
    (root / "dir" / "up").symlink_to("../todir/../empty")


def test_paths_mean_what_they_mean_to_the_operating_system(guest: Any, tmp_path: Path) -> None:
    """Each operation on random paths, once through WASI and once by the kernel in a twin of the folder."""
    rng = random.Random(2)
    differences = []
    for turn in range(120):
        root, twin = tmp_path / f"root/{turn}", tmp_path / f"twin/{turn}"
        plant(root)
        plant(twin)
        fd = guest.open_directory(str(turn))
        path, other = (rng.choice(NAMES) + rng.choice(ENDS) for _ in "ab")
        if "up/../.." in path + other or "up2/.." in path + other:  # would leave the folder
            continue
        name, theirs = rng.choice(OPERATIONS)
        ours = WASI[name](guest, fd, path, other)
        try:
            theirs(os.fspath(twin) + "/" + path, os.fspath(twin) + "/" + other)
            expected = Errno.SUCCESS
        except OSError as error:
            expected = from_os_error(error)
        guest.call("fd_close", fd)
        if snapshot(root) != snapshot(twin) or not alike(name, ours, expected):
            differences.append((name, path, other, ours.name, expected.name))
    assert [] == differences


def kernel_open(flags: int) -> Callable[[str, str], None]:
    return lambda path, _: os.close(os.open(path, flags, 0o666))


# PyPy's os.link fails if told so, and doesn't follow if not.
NOT_FOLLOWING = {} if sys.implementation.name == "pypy" else {"follow_symlinks": False}
OPERATIONS: tuple[tuple[str, Callable[[str, str], object]], ...] = (
    ("open", kernel_open(os.O_RDONLY)),
    ("open_nofollow", kernel_open(os.O_RDONLY | os.O_NOFOLLOW)),
    ("open_directory", kernel_open(os.O_RDONLY | os.O_DIRECTORY)),
    ("create", kernel_open(os.O_RDWR | os.O_CREAT)),
    ("create_new", kernel_open(os.O_RDWR | os.O_CREAT | os.O_EXCL)),
    ("truncate", kernel_open(os.O_WRONLY | os.O_TRUNC)),
    ("stat", lambda path, _: os.stat(path)),
    ("lstat", lambda path, _: os.lstat(path)),
    ("mkdir", lambda path, _: os.mkdir(path)),
    ("rmdir", lambda path, _: os.rmdir(path)),
    ("unlink", lambda path, _: os.unlink(path)),
    ("readlink", lambda path, _: os.readlink(path)),
    ("rename", os.rename),
    ("link", lambda path, other: os.link(path, other, **NOT_FOLLOWING)),
    ("symlink", lambda _, other: os.symlink("file", other)),
)
READ, READ_WRITE = 2, 66
WASI: dict[str, Callable[[Any, int, str, str], Errno]] = {
    "open": lambda g, fd, path, _: closing(g, g.try_open(path, 0, READ, fd=fd)),
    "open_nofollow": lambda g, fd, path, _: closing(g, g.try_open(path, 0, READ, 0, 0, fd)),
    "open_directory": lambda g, fd, path, _: closing(g, g.try_open(path, Oflags.DIRECTORY, READ, fd=fd)),
    "create": lambda g, fd, path, _: closing(g, g.try_open(path, Oflags.CREAT, READ_WRITE, fd=fd)),
    "create_new": lambda g, fd, path, _: closing(g, g.try_open(path, Oflags.CREAT | Oflags.EXCL, READ_WRITE, fd=fd)),
    "truncate": lambda g, fd, path, _: closing(g, g.try_open(path, Oflags.TRUNC, 64, fd=fd)),
    "stat": lambda g, fd, path, _: g.call("path_filestat_get", fd, 1, *g.paths(path), g.OUT),
    "lstat": lambda g, fd, path, _: g.call("path_filestat_get", fd, 0, *g.paths(path), g.OUT),
    "mkdir": lambda g, fd, path, _: g.call("path_create_directory", fd, *g.paths(path)),
    "rmdir": lambda g, fd, path, _: g.call("path_remove_directory", fd, *g.paths(path)),
    "unlink": lambda g, fd, path, _: g.call("path_unlink_file", fd, *g.paths(path)),
    "readlink": lambda g, fd, path, _: g.call("path_readlink", fd, *g.paths(path), 1024, 64, g.OUT),
    "rename": lambda g, fd, path, other: g.call("path_rename", fd, *g.paths(path), fd, *g.paths(other)),
    "link": lambda g, fd, path, other: g.call("path_link", fd, 0, *g.paths(path), fd, *g.paths(other)),
    "symlink": lambda g, fd, _, other: g.call("path_symlink", *g.paths("file"), fd, *g.paths(other)),
}
# The same failure by another number; (operation, ours, the kernel's)
KNOWN = {
    ("create", Errno.LOOP, Errno.ISDIR),
    ("create_new", Errno.LOOP, Errno.ISDIR),
    ("create_new", Errno.EXIST, Errno.ISDIR),
    ("rmdir", Errno.INVAL, Errno.NOTEMPTY),
}


def alike(name: str, ours: Errno, kernels: Errno) -> bool:
    """Whether a result is as the kernel's; where both of two paths are wrong, either may be told."""
    both_fail = ours != Errno.SUCCESS and kernels != Errno.SUCCESS
    return ours == kernels or (name, ours, kernels) in KNOWN or name in ("rename", "link", "symlink") and both_fail


def closing(guest: Any, errno: Errno) -> Errno:
    if errno == Errno.SUCCESS:
        guest.call("fd_close", guest.u32())
    return errno


def snapshot(folder: Path) -> dict[str, object]:
    """What is in a folder: content of files, targets of symlinks."""
    found: dict[str, object] = {}
    for path, folders, files in os.walk(folder):
        for name in folders + files:
            full = os.path.join(path, name)
            mode = os.lstat(full).st_mode
            name = os.path.relpath(full, folder)
            if stat.S_ISLNK(mode):
                found[name] = "-> " + os.readlink(full)
            elif stat.S_ISREG(mode):
                found[name] = Path(full).read_bytes()
            else:
                found[name] = None
    return found


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
