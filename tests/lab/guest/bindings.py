"""Who drives what, read and put right by hand: what a scenario found, it leaves."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.lab.guest import cli, kernel

if TYPE_CHECKING:
    from collections.abc import Iterable

STATE: Final = Path("/run/vfioctl")
JOURNAL: Final = STATE / "journal"
NO_OVERRIDE: Final = "(null)"
WRITER: Final = "vfioctl-writer"
"""What the processes call themselves in which vfioctl lets its writes block."""
WRITTEN: Final = frozenset({"driver_override", "bind", "unbind", "drivers_probe"})
"""The only files of sysfs that vfioctl may write to: none of them can take the global lock hostage (K56)."""

Steps = list[tuple[str, str | None, str, str]]


class Bound(NamedTuple):
    """Driver ("" for none) and override of one device."""

    driver: str
    override: str


def bound(address: str) -> Bound:
    """Give one device's driver and override; on 6.1 it hangs while an unbind of it is blocked (K55)."""
    # Read by the bare means: every scenario does it for every device, emulated.
    attribute = os.open(f"{kernel.DEVICES}/{address}/driver_override", os.O_RDONLY)
    try:
        override = os.read(attribute, 4096).decode("ascii").strip()
    finally:
        os.close(attribute)
    return Bound(kernel.driver_of(address), override)


def bindings(addresses: Iterable[str] = ()) -> dict[str, Bound]:
    """Give drivers and overrides of these devices, or of all."""
    chosen = tuple(addresses) or sorted(os.listdir(kernel.DEVICES))
    return {address: bound(address) for address in chosen}


def differing(before: dict[str, Bound], after: dict[str, Bound]) -> dict[str, tuple[Bound | None, ...]]:
    """Give what is not as it was: device, then before and after."""
    return {
        address: (before.get(address), after.get(address))
        for address in sorted(before.keys() | after.keys())
        if before.get(address) != after.get(address)
    }


def restore(before: dict[str, Bound]) -> None:
    """Put every device that moved back by hand, and forget what vfioctl had noted."""
    for name in ("journal", "drivers.json"):
        (STATE / name).unlink(missing_ok=True)
    moved = {address: was for address, was in before.items() if bound(address) != was}
    for address in moved:
        if kernel.driver_of(address) != before[address].driver:
            kernel.unbind(address)
    for address, was in moved.items():
        kernel.write(
            kernel.DEVICES / address / "driver_override",
            "\n" if was.override == NO_OVERRIDE else was.override,
        )
    for address, was in moved.items():
        if was.driver and not kernel.driver_of(address):
            with suppress(FileExistsError):
                kernel.write(kernel.DRIVERS / was.driver / "bind", address)
    kernel.settle()


def steps(document: dict[str, Any]) -> Steps:
    """Give what a plan's document says is written, in order."""
    return [(step["step"], step["address"], step["path"], step["value"]) for step in document["steps"]]


def checks(document: dict[str, Any], severity: str = "refuse") -> set[str]:
    """Give the names of the checks that found something of this weight."""
    return {finding["check"] for finding in document["findings"] if finding["severity"] == severity}


def refused(*arguments: str, exit_code: int = 4, check: str = "", user: int | None = None) -> cli.Answer:
    """Run a command that must be refused without any change; give its answer."""
    before = bindings()
    answer = cli.vfioctl(*arguments, user=user)
    assert answer.exit_code == exit_code, (arguments, answer.exit_code, answer.stdout, answer.stderr)
    assert "error:" in answer.stderr, answer.stderr
    assert "hint:" in answer.stderr, answer.stderr
    assert check in answer.stderr, (check, answer.stderr)
    assert "Traceback" not in answer.stderr, answer.stderr
    assert differing(before, bindings()) == {}
    assert not JOURNAL.exists()
    return answer


def done(*arguments: str) -> dict[str, Any]:
    """Run a command that must succeed, and give its document."""
    answer = cli.vfioctl(*arguments, "--json")
    assert answer.exit_code == 0, (arguments, answer.exit_code, answer.stdout, answer.stderr)
    document = answer.document
    assert {Path(path).name for step, _, path, _ in steps(document) if path.startswith("/sys")} <= WRITTEN
    return document


def writers() -> list[int]:
    """Give the pids of vfioctl's writing processes that are still there."""
    text = subprocess.run(["pgrep", "-x", WRITER[:15]], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in text.split()]
