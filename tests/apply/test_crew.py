from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.sysfs.d_state import sleep_uninterruptibly
from vfioctl.apply.crew import LOST, Crew
from vfioctl.apply.inflight import await_end
from vfioctl.apply.port import Answer, Look, Write
from vfioctl.apply.state import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vfioctl.apply.port import Command

SOON = 0.05
"""Seconds to wait for what must not come."""
LATEST = 30.0
"""Seconds within which must come what is waited for: a machine may be busy."""
AT_ONCE = 2.5
"""Seconds within which ends what must not wait."""


def echo(command: Command) -> Answer:
    """Answer with what was asked."""
    return Answer(text=f"{os.getpid()} {command.path}" if isinstance(command, Look) else "")


def stuck(command: Command) -> Answer:
    """Never come back from a write, in uninterruptible sleep; other commands are answered."""
    if isinstance(command, Write):
        sleep_uninterruptibly()
    return echo(command)


@pytest.fixture
def crew_of(state: str) -> Iterator[Callable[..., Crew]]:
    """Return crews that do this work, and close them in the end."""
    prepare(state)
    crews: list[Crew] = []

    def make(work: Callable[[Command], Answer]) -> Crew:
        crews.append(Crew(state, work))
        return crews[-1]

    yield make
    for crew in crews:
        crew.close()


def one_answer(crew: Crew, lane: int, command: Command) -> Answer:
    """Carry out one command."""
    crew.start(lane, command)
    ((answered, answer),) = crew.wait(LATEST)
    assert answered == lane
    return answer


def children() -> set[int]:
    """Return this process's children, zombies and what earlier tests left too."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def eventually(there: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + LATEST
    while not there():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_every_lane_has_a_process_of_its_own_and_keeps_it(crew_of: Callable[..., Crew]) -> None:
    """A command costs two messages and no fork; lanes answer independently."""
    crew = crew_of(echo)
    first = [one_answer(crew, lane, Look("a")).text for lane in (0, 1, 2)]
    again = [one_answer(crew, lane, Look("a")).text for lane in (2, 1, 0)]

    assert len(set(first)) == 3
    assert again == first[::-1]
    crew.close()
    assert not {int(text.split()[0]) for text in first} & children()


def test_answers_of_several_lanes_come_together(crew_of: Callable[..., Crew]) -> None:
    """One wait returns what there is, each with its lane."""
    crew = crew_of(echo)
    for lane in range(5):
        crew.start(lane, Look(f"path {lane}"))
    seen: dict[int, str] = {}
    while len(seen) < 5:
        seen.update((lane, answer.text.partition(" ")[2]) for lane, answer in crew.wait(LATEST))

    assert seen == {lane: f"path {lane}" for lane in range(5)}


def test_who_could_go_on_is_told_from_who_waits(crew_of: Callable[..., Crew], tmp_path: Path) -> None:
    """Of one that runs there may be an answer yet, however late it is."""
    end, door = tmp_path / "end", tmp_path / "door"
    os.mkfifo(door)

    def work(command: Command) -> Answer:
        if command == Look("wait"):
            door.read_bytes()
        while command == Look("run") and not end.exists():
            pass
        return Answer()

    crew = crew_of(work)
    crew.start(0, Look("run"))
    crew.start(1, Look("wait"))
    eventually(lambda: not crew.starves(1))
    eventually(lambda: crew.starves(0))

    assert not crew.starves(1)
    end.touch()
    assert crew.wait(LATEST) == [(0, Answer())]
    door.write_bytes(b"")
    assert crew.wait(LATEST) == [(1, Answer())]


def test_a_writer_in_d_state_is_left_behind(crew_of: Callable[..., Crew], state: str) -> None:
    """Neither waiting nor closing hangs; the lane can be used again; what is under way can be told."""
    others = children()
    crew = crew_of(stuck)
    crew.start(0, Write("/sys/bus/pci/drivers/vfio-pci/unbind", "0000:01:00.0"))
    assert crew.wait(SOON) == []
    (blocked,) = children() - others
    eventually(lambda: not crew.starves(0))

    crew.abandon(0)
    assert one_answer(crew, 0, Look("a")).errno is None
    assert await_end(state, SOON) == ("/sys/bus/pci/drivers/vfio-pci/unbind 0000:01:00.0",)
    began = time.monotonic()
    crew.close()

    assert time.monotonic() - began < AT_ONCE
    assert children() - others == {blocked}
    os.kill(blocked, signal.SIGKILL)  # its sleep ends with its own child; a kernel's would not
    for pid in Path(f"/proc/{blocked}/task/{blocked}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    os.waitpid(blocked, 0)
    assert await_end(state, LATEST) is None


def test_a_writer_holds_nothing_of_its_parents(crew_of: Callable[..., Crew], tmp_path: Path) -> None:
    """Its input, output and errors are /dev/null, and it has no file open but its pipes and its own state."""

    def tell(_command: Command) -> Answer:
        names = []
        for name in sorted(os.listdir("/proc/self/fd"), key=int):
            with suppress(FileNotFoundError):  # the listing's own
                names.append(os.readlink(f"/proc/self/fd/{name}"))
        return Answer(text="\n".join([*names, os.getcwd(), str(os.getsid(0) == os.getpid())]))

    with open(tmp_path / "the lock", "w", encoding="utf-8"):
        *files, folder, leads = one_answer(crew_of(tell), 0, Look("a")).text.split("\n")

    assert files[:3] == ["/dev/null"] * 3
    assert sorted(name.partition(":")[0].rpartition("/")[2] for name in files[3:]) == [
        "pipe",
        "pipe",
        "writers",
    ]
    assert (folder, leads) == ("/", "True")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_writer_ignores_what_asks_for_an_end(crew_of: Callable[..., Crew], number: signal.Signals) -> None:
    """Ctrl-C reaches all of a terminal's processes: its parent decides, between two steps."""
    crew = crew_of(echo)
    pid = int(one_answer(crew, 0, Look("a")).text.split()[0])

    os.kill(pid, number)

    assert one_answer(crew, 0, Look("a")).text == f"{pid} a"


def test_a_writer_killed_while_idle_is_replaced(crew_of: Callable[..., Crew]) -> None:
    """Nothing was under way, so nothing is lost."""
    crew = crew_of(echo)
    pid = int(one_answer(crew, 0, Look("a")).text.split()[0])
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    assert int(one_answer(crew, 0, Look("a")).text.split()[0]) != pid


def test_a_writer_killed_at_work_is_an_answer(crew_of: Callable[..., Crew], tmp_path: Path) -> None:
    """Whether its write took effect is not known: that is told as it is, and the lane goes on."""
    marker = tmp_path / "pid"

    def work(command: Command) -> Answer:
        if isinstance(command, Write):
            marker.write_text(str(os.getpid()))
            time.sleep(60)
        return echo(command)

    crew = crew_of(work)
    crew.start(3, Write("a", "b"))
    eventually(lambda: marker.exists() and marker.read_text() != "")
    os.kill(int(marker.read_text()), signal.SIGKILL)

    assert crew.wait(LATEST) == [(3, LOST)]
    assert one_answer(crew, 3, Look("a")).errno is None


def test_an_error_in_the_work_is_an_answer(crew_of: Callable[..., Crew]) -> None:
    """A defect of the program ends the writer, not the wait."""

    def work(_command: Command) -> Answer:
        raise KeyError

    assert one_answer(crew_of(work), 0, Look("a")) == LOST


def test_a_long_answer_arrives_whole(crew_of: Callable[..., Crew]) -> None:
    """Longer than a pipe holds."""
    assert one_answer(crew_of(lambda _: Answer(text="x" * 300_000)), 0, Look("a")).text == "x" * 300_000


def test_effects_wait_for_a_parent_that_is_still_there(state: str, tmp_path: Path) -> None:
    """After kill -9 of vfioctl the write under way is waited for; the one behind it is never begun."""
    fifo, done = tmp_path / "unbind", tmp_path / "done"
    os.mkfifo(fifo)
    prepare(state)
    code = f"""
import os, time
from vfioctl.apply.crew import Crew
from vfioctl.apply.kernel import Kernel
from vfioctl.apply.port import Write, Answer
def work(command):
    answer = Kernel().perform(command)
    open({str(done)!r}, "a").write(command.text + "\\n")
    return answer
crew = Crew({state!r}, work)
crew.start(0, Write({str(fifo)!r}, "first"))
writer = crew._writers[0]
writer.send(Write({str(fifo)!r}, "second"))
print("under way", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "under way\n"
        eventually(lambda: await_end(state, 0) is not None)
        program.kill()
        assert program.stdout.read() == "", "the pipe ends although the writer lives"
    assert await_end(state, SOON) == (f"{fifo} first",)

    reader = os.open(fifo, os.O_RDONLY)
    assert await_end(state, LATEST) is None
    written = os.read(reader, 100)
    os.close(reader)

    assert written == b"first"
    assert done.read_text() == "first\n"


def test_a_write_not_yet_begun_when_vfioctl_is_killed_is_not_begun_later(state: str, tmp_path: Path) -> None:
    """It was sent, and waits for recover, which makes sure of just that."""
    attribute = tmp_path / "unbind"
    attribute.write_text("")
    prepare(state)
    code = f"""
import time
from vfioctl.apply.crew import Crew
from vfioctl.apply.port import Look, Write
crew = Crew({state!r})
crew.start(0, Look("/"))
crew.wait(10)
crew.start(0, Write({str(attribute)!r}, "late"))
print(crew._writers[0].pid, flush=True)
time.sleep(60)
"""
    recovering = os.open(f"{state}/writers", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(recovering, fcntl.LOCK_EX)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        writer = int(program.stdout.readline())
        eventually(lambda: waits_for_a_lock(writer))
        program.kill()

    os.close(recovering)
    eventually(lambda: not Path(f"/proc/{writer}/fd").exists() or not lives(writer))

    assert attribute.read_text() == ""


def waits_for_a_lock(pid: int) -> bool:
    """Tell whether the kernel lists a process among those that wait for a lock."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any(line.split()[1] == "->" and str(pid) in line.split() for line in lines)


def lives(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    path = Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rpartition(") ")[2][0] not in {"Z", "X"}


def test_a_pipe_behind_the_program_ends_although_a_write_is_stuck(state: str, tmp_path: Path) -> None:
    """``vfioctl unbind | cat`` comes back, and the program ends with its own code."""
    fifo = tmp_path / "unbind"
    os.mkfifo(fifo)
    prepare(state)
    code = f"""
import sys
from vfioctl.apply.crew import Crew
from vfioctl.apply.port import Write
crew = Crew({state!r})
crew.start(0, Write({str(fifo)!r}, "0000:01:00.0"))
assert crew.wait(0.1) == []
crew.abandon(0)
crew.close()
print("stuck")
sys.exit(8)
"""
    began = time.monotonic()
    ended = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" -c "$1" | cat', sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
        timeout=LATEST,
    )

    assert (ended.stdout, ended.stderr, ended.returncode) == ("stuck\n", "", 8)
    assert time.monotonic() - began < 2 * AT_ONCE
    assert await_end(state, 0) == (f"{fifo} 0000:01:00.0",)
    os.close(os.open(fifo, os.O_RDONLY))  # the holder leaves: the writer ends
    assert await_end(state, LATEST) is None
