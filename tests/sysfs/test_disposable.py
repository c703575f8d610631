from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.descriptors import open_files
from tests.sysfs.d_state import sleep_uninterruptibly
from tests.sysfs.reading import root_of
from vfioctl.sysfs import disposable
from vfioctl.sysfs.disposable import gather
from vfioctl.sysfs.entries import File
from vfioctl.sysfs.recording import RecordingFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.tree import HostTree

SOON = 0.05
"""Patience of these tests: they wait for what never comes."""


def length(job: str) -> tuple[Any, ...]:
    """Do a job at once."""
    return (len(job), job)


def stuck(job: str) -> tuple[Any, ...]:
    """Do a job that starts with an x never, and any other at once."""
    while job.startswith("x"):
        time.sleep(60)
    return length(job)


def children() -> set[int]:
    """Return this process's children, zombies too."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(pid) for pid in path.read_text().split()}


def lives(pid: str) -> bool:
    """Tell whether a process is there and no zombie that nobody has asked for yet."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(") ")[2][0] not in {"Z", "X"}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test of this file leaves a process, a zombie or a descriptor."""
    processes, descriptors = children(), open_files()
    yield
    disposable._reap(10)  # on a busy machine a killed child may need longer than the program waits
    assert children() <= processes
    assert open_files() <= descriptors


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 128, 129, 1000])
def test_results_come_in_the_order_of_the_jobs(processes: int, count: int) -> None:
    """However many processes share the work, also where there is less of it than of them."""
    jobs = [f"job {number}" for number in range(count)]
    assert gather(jobs, length, processes=processes) == [length(job) for job in jobs]


def test_a_large_result_arrives_whole() -> None:
    """More than a pipe holds at a time."""
    (result,) = gather(["a"], lambda job: (job * 3_000_000, b"\0" * 1_000_000))
    assert result == ("a" * 3_000_000, b"\0" * 1_000_000)


def test_what_a_recording_keeps_comes_back_with_the_results(tree: HostTree) -> None:
    """From every process and every batch of it."""
    jobs = [f"/sys/kernel/iommu_groups/{number}/type" for number in range(300)]
    for job in jobs:
        tree.file(job, job)
    recording = RecordingFiles(root_of(tree))

    results = gather(jobs, recording.read, processes=2, files=recording)

    assert results == [job.encode() for job in jobs]
    assert recording.entries() == {job: File(job, job.encode()) for job in jobs}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_a_job_that_never_ends_is_left_behind_and_the_others_arrive(processes: int) -> None:
    """None for it, within bounds; what was read and not yet sent is read again (K55)."""
    jobs = ["a", "x1", "b", "c", "x2", "d", "e"]
    began = time.monotonic()
    results = gather(jobs, stuck, processes=processes, patience=SOON)
    assert results == [None if job.startswith("x") else length(job) for job in jobs]
    assert time.monotonic() - began < 2 * disposable.MOST_ROUNDS * (SOON + disposable.LEAST_PATIENCE) + 5


@pytest.mark.slow
def test_all_jobs_may_be_left_behind() -> None:
    """Then there is no result at all, and an end."""
    assert gather(["x1", "x2"], stuck, processes=2, patience=SOON) == [None, None]


def test_a_slow_job_is_waited_for() -> None:
    """Slowness alone, longer than the patience, is no reason to leave a child that can still run."""

    def slow(job: str) -> tuple[Any, ...]:
        time.sleep(SOON * 4)
        return length(job)

    assert gather(["a", "b"], slow, patience=SOON) == [length("a"), length("b")]


@pytest.mark.slow
def test_slow_jobs_that_make_progress_are_not_left_behind() -> None:
    """Nothing is sent before a batch is complete, and a batch may take longer than any patience."""

    def slow(job: str) -> tuple[Any, ...]:
        time.sleep(SOON / 2)
        return length(job)

    jobs = [str(number) for number in range(60)]
    assert gather(jobs, slow, patience=SOON) == [length(job) for job in jobs]


def standard(job: str) -> tuple[Any, ...]:
    """Tell what standard input, output and errors are."""
    return (job, *(os.readlink(f"/proc/self/fd/{number}") for number in range(3)))


def test_a_child_holds_no_pipe_that_somebody_reads_to_its_end() -> None:
    """One that is left behind would hold up `vfioctl scan | less`, and the ssh session it was typed in."""
    assert gather(["a"], standard, patience=SOON) == [("a", "/dev/null", "/dev/null", "/dev/null")]


def in_d_state(job: str) -> tuple[Any, ...]:
    """Do a job that starts with an x never, in uninterruptible sleep, and any other at once."""
    if job.startswith("x"):
        sleep_uninterruptibly()
    return length(job)


@pytest.mark.slow
def test_a_child_in_d_state_is_left_after_two_looks() -> None:
    """There is nothing to wait for; and less patience is spent on what blocks after it."""
    patience = 0.5
    began = time.monotonic()
    assert gather(["a", "x", "b"], in_d_state, patience=patience) == [length("a"), None, length("b")]
    assert 2 * patience < time.monotonic() - began < disposable.MOST_ROUNDS * patience


@pytest.mark.slow
def test_a_child_that_spins_is_left() -> None:
    """It is let run, and gets nowhere."""

    def spin(job: str) -> tuple[Any, ...]:
        while job.startswith("x"):
            pass
        return length(job)

    assert gather(["a", "x", "b"], spin, patience=SOON) == [length("a"), None, length("b")]


@pytest.mark.parametrize(
    ("looks", "stuck"),
    [
        ("DDDD", True),
        ("DDD", False),
        ("DDRDD", False),  # D state now and then is what any process has
        ("S" * 13, True),
        ("S" * 12, False),
        ("R" * 120, False),
        ("R" * 121, True),
        ("R" * 30 + "S", True),
    ],
)
def test_when_a_child_is_stuck(looks: str, stuck: bool) -> None:
    """Asleep in D state at every look, or somewhere for long; longer still where it is not let run."""
    standing = disposable._NOWHERE
    for state in looks:
        standing = standing.after(5, state.encode(), 7)

    assert standing.is_stuck is stuck
    assert not standing.after(6, b"D", 7).is_stuck


def test_a_child_that_is_let_run_has_no_more_time_for_it() -> None:
    """A second is enough for any job."""
    standing = disposable._NOWHERE
    for look in range(14):
        standing = standing.after(5, b"R", 10 * look)

    assert standing.is_stuck


def test_a_process_that_waits_or_runs_is_not_in_d_state() -> None:
    """Nor is one that does not exist."""
    assert not disposable._sleeps_uninterruptibly(os.getpid())
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as echo:
        assert echo.stdin is not None
        assert echo.stdout is not None
        # What has answered has its pages: a program that starts may wait long for a busy disk, in D state.
        echo.stdin.write(b"there\n")
        echo.stdin.flush()
        assert echo.stdout.readline() == b"there\n"
        until = time.monotonic() + 10
        while disposable._sleeps_uninterruptibly(echo.pid) and time.monotonic() < until:
            time.sleep(0.01)
        asleep = disposable._sleeps_uninterruptibly(echo.pid)
    assert not asleep
    assert not disposable._sleeps_uninterruptibly(echo.pid)


@pytest.mark.parametrize("processes", [1, 3])
def test_what_the_work_raises_is_raised_here(processes: int) -> None:
    """With kind and text; the other children are ended."""

    def wrong(job: str) -> tuple[Any, ...]:
        if job == "b":
            raise KeyError(job)
        return stuck(job)

    with pytest.raises(ChildProcessError, match="KeyError: 'b'"):
        gather(["b", "x1", "x2"], wrong, processes=processes, patience=SOON)


def test_a_result_that_cannot_be_sent_is_an_error() -> None:
    """Results are plain values; anything else is a mistake in the program and not a hang."""
    with pytest.raises(ChildProcessError, match="ValueError"):
        gather(["a"], lambda _job: (object(),))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_that_is_killed_is_an_error_and_no_hang(number: signal.Signals) -> None:
    """What it had not sent is missing: to return the rest as if it were all would be a lie."""

    def killed(job: str) -> tuple[Any, ...]:
        if job == "b":
            os.kill(os.getpid(), number)
        return stuck(job)

    with pytest.raises(ChildProcessError, match="ended from outside"):
        gather(["a", "b", "x"], killed, patience=SOON)


def test_an_interrupt_ends_the_children(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a read that hangs: the program ends, and none of its children stays."""
    marker = tmp_path / "children"
    code = f"""
import os, time
from vfioctl.sysfs.disposable import gather
from vfioctl.sysfs.entries import File
from vfioctl.sysfs.recording import RecordingFiles
def work(job):
    with open({str(marker)!r}, "a") as file:
        file.write(f"{{os.getpid()}}\\n")
    time.sleep(60)
    return ()
try:
    gather(["a", "b"], work, processes=2)
except KeyboardInterrupt:
    print("interrupted")
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        while not marker.exists() or marker.read_text().count("\n") < 2:
            time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        output, _ = program.communicate(timeout=10)
    assert output == "interrupted\n"
    until = time.monotonic() + 10
    while any(map(lives, marker.read_text().split())):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_children_write_nothing_of_what_the_parent_had_not_written_yet(tmp_path: Path) -> None:
    """A fork copies buffers; they must not be flushed twice."""
    out = tmp_path / "out"
    code = (
        "from vfioctl.sysfs.disposable import gather\n"
        "print('once')\n"
        "gather(['a', 'b'], lambda job: (job,), processes=2)\n"
    )
    with out.open("w") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert out.read_text() == "once\n"


def test_reads_that_end_are_shared_with_this_process() -> None:
    """All have a result, also where one side sends more than a pipe holds while the other is at work."""
    jobs = [str(number) for number in range(2000)]

    results = gather(jobs, lambda job: (job, os.getpid(), "x" * 200), processes=2, patience=None)

    assert [result[0] for result in results if result] == jobs
    workers = Counter(result[1] for result in results if result)
    assert workers[os.getpid()] == len(jobs) // 2
    assert len(workers) == 2
    assert gather(jobs[:3], lambda job: (job,), patience=None) == [(job,) for job in jobs[:3]]
