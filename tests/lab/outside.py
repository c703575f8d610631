"""What can only be judged outside the guest: a snapshot of it, read back here, against what it saw live."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.lab.results import Case

SNAPSHOT: Final = "host.tar.gz"
LIVE: Final = "scan.json"
DEADLINE: Final = 120.0
"""Seconds that scan may take here, beside guests that keep the machine busy."""
NAME: Final = "outside::snapshot_of_the_live_guest_reads_back_equal"


def compare_snapshot(files: dict[str, bytes], checkout: Path) -> tuple[Case, ...]:
    """Give the case that compares scan on the snapshot with scan in the guest; none if neither came back."""
    if SNAPSHOT not in files or LIVE not in files:
        return ()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vfioctl-lab-") as name:
        snapshot = Path(name) / SNAPSHOT
        snapshot.write_bytes(files[SNAPSHOT])
        command = [sys.executable, "-m", "vfioctl", "--root", str(snapshot), "scan", "--json"]
        try:
            done = subprocess.run(
                command, cwd=checkout, capture_output=True, text=True, check=False, timeout=DEADLINE
            )
        except subprocess.TimeoutExpired as error:
            return (Case(NAME, "failed", time.monotonic() - started, str(error)),)
    text = done.stderr
    if done.returncode == 0:
        text = "\n".join(differences(json.loads(files[LIVE]), json.loads(done.stdout)))
    outcome = "passed" if done.returncode == 0 and not text else "failed"
    return (Case(NAME, outcome, time.monotonic() - started, text),)


def differences(live: Any, stored: Any, where: str = "") -> list[str]:  # noqa: ANN401 (any JSON value)
    """Name each place where two JSON documents differ."""
    if isinstance(live, dict) and isinstance(stored, dict):
        keys = sorted(live.keys() | stored.keys())
        return [
            line for key in keys for line in differences(live.get(key), stored.get(key), f"{where}.{key}")
        ]
    if isinstance(live, list) and isinstance(stored, list) and len(live) == len(stored):
        pairs = enumerate(zip(live, stored, strict=True))
        return [line for index, (a, b) in pairs for line in differences(a, b, f"{where}[{index}]")]
    return [] if live == stored else [f"{where}: live {live!r}, snapshot {stored!r}"]
