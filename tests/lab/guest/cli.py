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

    It is forked from a process that has its modules loaded, or started as a program of its own. With
    ``capabilities`` it has these and no others, and no way to more.
    """
    started = time.monotonic()
    if program:
        done = subprocess.run(
            [*_with_only(capabilities), sys.executable, "-m", "vfioctl", *arguments],
            user=user, group=user, capture_output=True, text=True, timeout=deadline, check=False,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - started)
    rights = ready.Rights(user, None if capabilities is None else tuple(capabilities))
    try:
        code, stdout, stderr = ready.run(arguments, started + deadline, rights)
    except TimeoutError as error:
        raise subprocess.TimeoutExpired(["vfioctl", *arguments], deadline, str(error)) from error
    return Answer(code, stdout, stderr, time.monotonic() - started)


def _with_only(capabilities: Sequence[str] | None) -> list[str]:
    """Give the words that start a program with these capabilities only, none where it has all."""
    if capabilities is None:
        return []
    few = ",".join(("-all", *(f"+{name}" for name in capabilities)))
    return ["setpriv", f"--bounding-set={few}", "--inh-caps=-all", "--no-new-privs", "--"]


def document(*arguments: str, user: int | None = None) -> dict[str, Any]:
    """Run a command with `--json` that must succeed, and give its document."""
    answer = vfioctl(*arguments, "--json", user=user)
    assert answer.exit_code == 0, f"vfioctl {' '.join(arguments)}: exit {answer.exit_code}: {answer.stderr}"
    return answer.document


def devices(user: int | None = None) -> dict[str, dict[str, Any]]:
    """Give the devices of `vfioctl scan` by address."""
    return {device["address"]: device for device in document("scan", user=user)["devices"]}
