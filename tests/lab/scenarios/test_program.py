"""vfioctl as a program that is started, held against the forks that the other scenarios use instead of it."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.guest import bindings, cli, kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICE = "0000:00:03.0"
pytestmark = [pytest.mark.once, pytest.mark.topologies("legacy"), pytest.mark.deadline(300)]

LINES = (
    "--version",
    "scan",
    "scan --json",
    "scan --nosuch",
    f"show {DEVICE} --json",
    "show 0000:1f:1f.7",
    "groups",
    f"bind -n {DEVICE}",
    f"unbind {DEVICE} --json",
    "bind 0000:00:1f.0",
    "recover",
    "doctor --only journal --json",
    "persist verify",
    "sriov list --json",
    "mdev types",
    "cdi list",
    f"container-args --runtime podman {DEVICE}",
    f"libvirt-xml {DEVICE}",
    f"pod-spec {DEVICE}",
    "completion bash",
)
"""At least one line of every command that the other scenarios give, understood with Click and without it."""


FEWER_RIGHTS = (
    ("scan -v", {"user": cli.NOBODY}),
    (f"bind {DEVICE}", {"user": cli.NOBODY}),
    ("scan -v", {"capabilities": ()}),
    (f"bind -n {DEVICE} --owner nobody", {"capabilities": ("sys_ptrace", "chown")}),
)
"""What another user is told, and root without all or most of its capabilities."""


def both(*arguments: str, **rights: Any) -> Iterator[tuple[int, str, str]]:  # noqa: ANN401 (as cli.vfioctl has them)
    """Give what the fork says, then what the program says."""
    for program in (False, True):
        answer = cli.vfioctl(*arguments, program=program, **rights)
        yield answer.exit_code, answer.stdout, answer.stderr


def differing(*pair: tuple[int, str, str]) -> list[str]:
    """Give what only one of both has said, to the letter: - what the fork has, + what the program has."""
    texts = [
        [f"exit {code}\n", *out.splitlines(keepends=True), *err.splitlines(keepends=True)]
        for code, out, err in pair
    ]
    return [line for line in difflib.ndiff(*texts) if line[0] in "-+"]


@pytest.mark.kernels("6.12")
def test_every_command_says_as_a_program_what_it_says_as_a_fork() -> None:
    """Exit code, output and errors, to the letter; on one kernel, which has no part in how a process began."""
    said = {line: tuple(both(*line.split())) for line in LINES}
    assert [line for pair in said.values() for line in differing(*pair)] == []
    assert [line for line, (fork, program) in said.items() if fork != program] == []
    assert {pair[0][0] for pair in said.values()} >= {0, 2, 3, 5}


def test_with_fewer_rights_a_program_says_what_a_fork_says() -> None:
    """As another user, and with few capabilities: what a fork gives up is what a program has not been given."""
    said = [tuple(both(*line.split(), **rights)) for line, rights in FEWER_RIGHTS]
    assert [line for pair in said for line in differing(*pair)] == []
    assert [fork for fork, program in said if fork != program] == []
    assert [pair[0][0] for pair in said] == [0, 6, 0, 0]
    assert "only its first 64 bytes can be read" in said[2][0][2]


def test_a_program_binds_and_gives_back_by_the_same_steps() -> None:
    """What is done, not only what is said."""
    kernel.modprobe("vfio-pci", "vfio_iommu_type1")  # else the first bind alone would
    before = bindings.bindings()
    steps = []
    for program in (False, True):
        for words in (("bind", DEVICE), ("unbind", DEVICE)):
            answer = cli.vfioctl(*words, "--json", program=program)
            assert answer.exit_code == 0, answer.stderr
            steps.append(bindings.steps(answer.document))
            assert kernel.driver_of(DEVICE) == ("vfio-pci" if words[0] == "bind" else "")
    assert steps[:2] == steps[2:]
    assert bindings.bindings() == before


def test_a_fork_is_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes environment and folder of whoever asks, and nothing of it is left for the next one."""
    monkeypatch.setenv("VFIOCTL_ROOT", "sample")
    sample = cli.vfioctl("scan")
    monkeypatch.delenv("VFIOCTL_ROOT")
    monkeypatch.chdir("/run")
    assert cli.vfioctl("snapshot", "save", "here.txt").exit_code == 0
    assert os.path.exists("/run/here.txt")
    os.unlink("/run/here.txt")
    assert DEVICE not in sample.stdout
    assert DEVICE in cli.vfioctl("scan").stdout
