"""A short campaign of every target, and what a campaign must notice."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fuzz import guard as guards
from tests.fuzz.campaign import PROJECT, Campaign, Outcome, run, table
from tests.fuzz.guard import Guard, current
from tests.fuzz.target import CORPUS, load, names
from vfioctl.errors import UsageError, VfioctlError

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 1
"""Drawn inputs are the same in every run; `make fuzz` takes others."""
RUNS = 120


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize("name", names())
def test_nothing_but_words_comes_back(name: str, tmp_path: Path) -> None:
    """The whole corpus, which has what was ever found, and some drawn inputs: no traceback, no hang."""
    target = load(name)
    asked = Campaign("drawn", SEED, int(RUNS * target.share) + len(target.seeds), 60.0)
    print(f"make fuzz TARGET={name} SEED={SEED} ENGINE=drawn RUNS={asked.runs}")

    outcome = run(target, asked, tmp_path)

    assert outcome.clean, outcome
    assert outcome.inputs >= asked.runs
    assert outcome.seeds == len(target.seeds) > 1


def test_the_corpus_is_small_and_named_by_its_content() -> None:
    """So that the same input is kept once, and a reviewer can read what is added."""
    files = [path for path in CORPUS.rglob("*") if path.is_file()]

    assert {path.parent.name for path in files} <= set(names())
    for path in files:
        content = path.read_bytes()
        assert path.name == hashlib.sha256(content).hexdigest()[:16], path
        assert len(content) <= 4096, path


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[bytes], None]], Guard]:
    """Return a guard of a function, which may write below a folder of its own."""
    monkeypatch.setattr(guards, "LONGEST", 0.2)
    place = tmp_path / "place"
    place.mkdir()
    return lambda function: Guard(function, (KeyError,), place, tmp_path / "kept")


def raising(problem: BaseException) -> Callable[[bytes], None]:
    """Return a target that raises this."""

    def target(_data: bytes) -> None:
        raise problem

    return target


@pytest.mark.parametrize(
    "problem",
    [UsageError("no", hint="write it otherwise"), VfioctlError("no", hint=""), KeyError("documented")],
)
def test_errors_in_words_are_answers(problem: Exception, trial: Callable[..., Guard]) -> None:
    """As is what a target says that it may raise."""
    guard = trial(raising(problem))
    guard(b"x")

    assert (guard.inputs, guard.crashes, guard.hangs) == (1, {}, {})


@pytest.mark.parametrize(
    "problem",
    [
        ZeroDivisionError(),
        RecursionError(),
        AssertionError(),
        UsageError("", hint="what?"),
        VfioctlError("it went wrong", hint="report it, with the file"),
    ],
    ids=repr,
)
def test_anything_else_is_a_crash(problem: Exception, trial: Callable[..., Guard]) -> None:
    """The input is kept, once for each place."""
    guard = trial(raising(problem))
    guard(b"first")
    guard(b"second")

    ((_, path),) = guard.crashes.items()
    assert Path(path).read_bytes() == b"first"


@pytest.mark.slow
@pytest.mark.parametrize(
    "act", [lambda: time.sleep(60), lambda: sum(range(100_000))], ids=["wait", "compute"]
)
def test_an_input_that_takes_too_long_is_a_hang(
    act: Callable[[], object], trial: Callable[..., Guard]
) -> None:
    """Also where the program catches every exception, and the next input has its own time."""

    def target(data: bytes) -> None:
        while data == b"slow":
            try:
                act()
            except Exception:  # noqa: BLE001, S112 - that is the point
                continue

    guard = trial(target)
    guard(b"slow")
    guard(b"quick")

    assert len(guard.hangs) == 1
    assert guard.crashes == {}


@pytest.mark.parametrize(
    "act",
    [
        lambda place: (place.parent / "stray").write_bytes(b""),
        lambda place: os.mkdir(f"{place}/../stray"),
        lambda place: os.symlink("x", f"{place}/../stray"),
        lambda place: os.rename(f"{place}/link/there", f"{place}/x"),
        lambda place: (place / "link" / "there").write_bytes(b""),
        lambda _: subprocess.run(["true"], check=False),
        lambda _: os.kill(os.getpid(), 0),
    ],
    ids=["file", "folder", "link", "away", "through", "program", "signal"],
)
def test_nothing_gets_over_the_fence(
    act: Callable[[Path], object], trial: Callable[..., Guard], tmp_path: Path
) -> None:
    """As if this user might not: not beside the folder, not through a link in it."""
    (tmp_path / "there").touch()
    os.symlink(tmp_path, tmp_path / "place" / "link")
    guard = trial(lambda _data: act(tmp_path / "place"))
    guard(b"")

    (found,) = guard.crashes
    assert found.startswith("PermissionError")
    assert not (tmp_path / "stray").exists()


def test_a_target_may_write_in_its_folder(trial: Callable[..., Guard], tmp_path: Path) -> None:
    """And outside a target the fence is open."""
    guard = trial(lambda _data: (tmp_path / "place" / "x").write_bytes(b"") and None)
    guard(b"")
    (tmp_path / "beside").touch()

    assert guard.crashes == {}


def test_the_input_at_which_a_process_died_is_known(tmp_path: Path) -> None:
    """It stands in shared memory, whatever ended the process."""
    lines = (
        "import os, pathlib, sys",
        "from tests.fuzz.guard import Guard",
        "place = pathlib.Path(sys.argv[1])",
        "Guard(lambda data: os._exit(7), (), place, place)(b'the last one')",
    )
    ended = subprocess.run([sys.executable, "-c", "\n".join(lines), tmp_path], cwd=PROJECT, check=False)

    assert ended.returncode == 7
    assert current(tmp_path) == b"the last one"


def test_the_table_has_a_sum() -> None:
    """One line for each target."""
    clean = Outcome("a", 1000, 3, {}, {}, 2.0)
    lines = table([clean, clean._replace(name="b", crashes={"x": "y"})])

    assert re.split(r" +", lines[-1]) == ["all", "2,000", "1", "0", "6", "4"]


def test_a_finding_ends_with_1() -> None:
    """`make fuzz` fails then."""
    guard = "type('Found', (), {'inputs': 1, 'crashes': {'a': 'b'}, 'hangs': {}})"
    code = f"from tests.fuzz.worker import finish; finish({guard}, 1)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, check=False)

    assert ended.returncode == 1
    assert json.loads(ended.stdout)["crashes"] == {"a": "b"}
