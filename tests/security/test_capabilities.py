"""What can be done with few rights on this machine; drivers are changed in the lab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

DROPPED = ("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
READING = (
    ("scan", "--json"),
    ("groups", "--json"),
    ("doctor", "--json"),
    ("persist", "list"),
    ("sriov", "list"),
    ("mdev", "list"),
    ("cdi", "list"),
    ("serve-plugin", "--dry-run"),
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can take rights away from itself"),
    pytest.mark.skipif(
        shutil.which("setpriv") is None, reason="setpriv is not installed (package util-linux)"
    ),
]


def called(*arguments: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program without any capability, as root or as another user."""
    words = ["setpriv", *DROPPED]
    if user is not None:
        probe = [
            *words,
            f"--reuid={user}",
            f"--regid={user}",
            "--clear-groups",
            "--",
            sys.executable,
            "-c",
            "",
        ]
        if subprocess.run(probe, capture_output=True, check=False).returncode:
            pytest.skip("this interpreter is in a folder that only root may read; the lab's is not")
        words = probe[: probe.index("--")]
    return subprocess.run(
        [*words, "--", sys.executable, "-m", "vfioctl", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", READING, ids=" ".join)
@pytest.mark.parametrize("user", [None, 65534], ids=["root", "nobody"])
def test_what_only_reads_needs_no_capability(words: tuple[str, ...], user: int | None) -> None:
    """It answers, and says what it could not see."""
    ended = called(*words, user=user)

    if "no PCI bus" in ended.stderr:
        pytest.skip("this machine has no PCI bus")
    assert ended.returncode in ({0, 1} if words[0] == "doctor" else {0}), ended
    assert "Traceback" not in ended.stderr
    if words[0] == "scan" and '"usage"' in ended.stdout:
        json.loads(ended.stdout)


@pytest.mark.parametrize(
    "words", [("bind", "ff:1f.7"), ("unbind", "ff:1f.7"), ("persist", "apply")], ids=" ".join
)
def test_another_user_changes_nothing(words: tuple[str, ...]) -> None:
    """Refused before anything is read, by name: not permitted."""
    ended = called(*words, user=65534)

    assert ended.returncode == 6, ended
    assert "root" in ended.stderr
