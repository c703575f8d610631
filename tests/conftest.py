"""What every test stands on: private surroundings, the program in process, golden files."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.golden_files import FOLDER, GoldenFiles
from tests.in_process import Program

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

pytest_plugins = ("tests.support.fixtures", "tests.tracing")

_HYPOTHESIS = Path(__file__).parent.parent / "build" / "hypothesis"
set_hypothesis_home_dir(_HYPOTHESIS)
# One machine is much slower than another; and a test that found a bad case once must find it again.
settings.register_profile("vfioctl", deadline=None, database=None, derandomize=True, max_examples=50)
# pytest --hypothesis-profile=thorough: new examples each time, and many.
settings.register_profile("thorough", deadline=None, database=None, max_examples=1000)
settings.load_profile("vfioctl")

# Hosts are made of thousands of small files: in memory they are written ten times as fast as on a disk.
_MEMORY = "/dev/shm"
_ENOUGH = 1 << 30
if os.access(_MEMORY, os.W_OK):
    _volume = os.statvfs(_MEMORY)
    if _volume.f_bavail * _volume.f_frsize >= _ENOUGH and not _volume.f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _MEMORY)

# As serve-plugin has it: what gRPC does at a fork opens and closes descriptors of tests that come later.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

_CLEARED = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "SSH_CONNECTION", "SSH_TTY")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _Writes:
    """The places that the running test wrote to and must not."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] = ()
        self.strayed: list[str] = []

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note a write outside the allowed folders (an audit hook: it sees open(2) however it is spelt)."""
        if not self.allowed:
            return
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & _WRITING:
                return
        elif event in {"os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.truncate", "os.symlink"}:
            path = arguments[1] if event == "os.symlink" else arguments[0]
        else:
            return
        if isinstance(path, str | bytes | os.PathLike):
            self.note(os.path.abspath(os.fsdecode(path)))

    def note(self, path: str) -> None:
        """Keep a path that no test may write."""
        if not path.startswith(self.allowed) and "__pycache__" not in path:
            self.strayed.append(path)


_writes = _Writes()


def pytest_configure() -> None:
    """Watch every write of this process from here on."""
    sys.addaudithook(_writes.hook)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --regen."""
    parser.addoption("--regen", action="store_true", help="write the golden files anew")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep modules and collected tests, which stay to the end, out of every search for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest; under --regen run only the tests that have golden files.

    Properties go over the same lines many times, and tracing doubles what that takes: others cover them.
    """
    for item in items:
        if _is_property(item):
            item.add_marker("no_cover")
        if item.get_closest_marker("slow") or item.get_closest_marker("no_cover"):
            item.add_marker("long")
    items.sort(key=_turn)
    if config.getoption("--regen"):
        others = [item for item in items if "golden" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def _turn(item: pytest.Item) -> int:
    """Tell when a test's turn is: what waits first, so that other processes compute meanwhile.

    What is not traced comes last, unless it is slow: a module that it were the first to import would count as
    not imported, and what is slow either imports nothing late or is run in other processes.
    """
    if item.get_closest_marker("slow") and not _is_property(item):
        return 0
    return 2 if item.get_closest_marker("no_cover") else 1


def _is_property(item: pytest.Item) -> bool:
    return bool(getattr(getattr(item, "obj", None), "is_hypothesis_test", False))


@pytest.fixture(autouse=True)
def surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """Give the test a home, a cache and a current folder of its own; fail it if it writes elsewhere."""
    for name in list(os.environ):
        if name.startswith(("VFIOCTL_", "_VFIOCTL_", "XDG_")) or name in _CLEARED:
            monkeypatch.delenv(name)
    for name, folder in {"HOME": "home", "XDG_CACHE_HOME": "cache", "TMPDIR": "temporary"}.items():
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(tmp_path)
    base = request.getfixturevalue("tmp_path_factory").getbasetemp()
    golden = (str(FOLDER),) if request.config.getoption("--regen") else ()
    _writes.strayed.clear()
    _writes.allowed = (str(base), os.path.realpath(base), "/dev/", str(_HYPOTHESIS), *golden)
    yield tmp_path
    _writes.allowed = ()
    assert not _writes.strayed, f"the test wrote outside its folder: {_writes.strayed}"


@pytest.fixture
def runner() -> Program:
    """Return the program, to be called in process with its arguments."""
    return Program()


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> GoldenFiles:
    """Return the golden files: golden.check("scan/workstation.txt", text)."""
    return GoldenFiles(regenerate=request.config.getoption("--regen"))
