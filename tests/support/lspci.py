"""lspci, reading the same tree: what vfioctl finds must be what it finds."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from vfioctl.model.host import Host

_DEVICE = re.compile(
    r"(?P<address>\S+) .*\[(?P<class>[0-9a-f]{4})\]: "
    r".*\[(?P<ids>[0-9a-f]{4}:[0-9a-f]{4})\](?: \(rev [0-9a-f]{2}\))?"
)
_DRIVER = re.compile(r"\tKernel driver in use: (?P<name>.+)")


class Listed(NamedTuple):
    """What both programs say of a function."""

    address: str
    class_code: str
    """Base and sub class, four digits."""
    ids: str
    """``vendor:device``."""
    driver: str | None


def lspci(base: str) -> frozenset[Listed]:
    """Let lspci list a tree; skips the test where there is no lspci."""
    if shutil.which("lspci") is None:
        pytest.skip("lspci (package pciutils) is not installed")
    command = ["lspci", "-D", "-nnk", "-A", "linux-sysfs", "-O", f"sysfs.path={base}/sys/bus/pci"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return frozenset(_parse(output))


def _parse(output: str) -> list[Listed]:
    found: list[Listed] = []
    for line in output.splitlines():
        if match := _DEVICE.fullmatch(line):
            found.append(Listed(match["address"], match["class"], match["ids"], None))
        elif match := _DRIVER.fullmatch(line):
            found[-1] = found[-1]._replace(driver=match["name"])
        elif not line.startswith("\t"):
            raise ValueError(f"lspci printed what this test does not understand: {line!r}")
    return found


def listed(host: Host) -> frozenset[Listed]:
    """Say of a host that was read what lspci would say."""
    return frozenset(
        Listed(
            str(device.address),
            f"{device.class_code >> 8:04x}",
            f"{device.vendor_id:04x}:{device.device_id:04x}",
            device.driver,
        )
        for device in host.devices
    )
