"""vfioctl as a user runs it in the guest, with a time it must answer in."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.lab.guest import ready

if TYPE_CHECKING:
    from collections.abc import Sequence

NOBODY: Final = 65534
ANSWER_DEADLINE: Final = 60.0
"""Seconds any command may take: a busy machine under TCG needs ten for what takes one elsewhere."""


class Answer(NamedTuple):
    """What a command said, and how long it took."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found


def vfioctl(
    *arguments: str,
    user: int | None = None,
    deadline: float = ANSWER_DEADLINE,
    program: bool = False,
    capabilities: Sequence[str] | None = None,
) -> Answer:
    """Run a command, as root or as another user; raise subprocess.TimeoutExpired past the deadline.

    It is forked from a process that has its modules loaded, or started as a program of its own, as it is
    for another user. With ``capabilities`` it has these and no others, and no way to more.
    """
    started = time.monotonic()
    if program or user is not None or capabilities is not None:
        command: Sequence[str] = [sys.executable, "-m", "vfioctl", *arguments]
        if capabilities is not None:
            few = ",".join(("-all", *(f"+{name}" for name in capabilities)))
            command = [
                "setpriv",
                f"--bounding-set={few}",
                "--inh-caps=-all",
                "--no-new-privs",
                "--",
                *command,
            ]
        done = subprocess.run(
            command, user=user, group=user, capture_output=True, text=True, timeout=deadline, check=False
        )
        return Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - started)
    try:
        code, stdout, stderr = ready.run(arguments, started + deadline)
    except TimeoutError as error:
        raise subprocess.TimeoutExpired(["vfioctl", *arguments], deadline, str(error)) from error
    return Answer(code, stdout, stderr, time.monotonic() - started)


def document(*arguments: str, user: int | None = None) -> dict[str, Any]:
    """Run a command with `--json` that must succeed, and give its document."""
    answer = vfioctl(*arguments, "--json", user=user)
    assert answer.exit_code == 0, f"vfioctl {' '.join(arguments)}: exit {answer.exit_code}: {answer.stderr}"
    return answer.document


def devices(user: int | None = None) -> dict[str, dict[str, Any]]:
    """Give the devices of `vfioctl scan` by address."""
    return {device["address"]: device for device in document("scan", user=user)["devices"]}
