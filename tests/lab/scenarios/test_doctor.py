"""vfioctl doctor on real kernels: nothing is called ok that the guest's own files do not say."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.guest import bindings, cli, kernel

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.deadline(180)

EVERYTHING = ("doctor", "*:*:*.*", "--memory", "1G", "--json")
ABSENT = {"not there", "no stored binding"}
READABLE = "import os, sys; print(*(int(os.access(name, os.R_OK)) for name in sys.argv[1:]))"
"""Says of each file whether who runs it may read it."""

Check = dict[str, Any]


def checks(*words: str, user: int | None = None) -> list[Check]:
    """Run doctor, whatever it finds, and give its checks."""
    answer = cli.vfioctl(*words, user=user)
    assert answer.exit_code in {0, 1}, (answer.exit_code, answer.stderr)
    assert "Traceback" not in answer.stderr
    found: list[Check] = answer.document["checks"]
    return found


def lines(path: Path) -> str:
    """Give what a file says, on one line."""
    return " ".join(path.read_text(encoding="utf-8", errors="replace").split())


def members(path: Path, value: str) -> bool:
    """Tell whether a group has just these members, on just these drivers."""
    said = {
        address: "" if driver == "no driver" else driver
        for address, driver in re.findall(r"(\S+) \((.*?)\)", value)
    }
    return said == {name: kernel.driver_of(name) for name in sorted(os.listdir(path))}


def endpoints(_path: Path, value: str) -> bool:
    """Tell whether so many devices are no bridges, or whether these are the domains."""
    if value.startswith("domains: "):
        return value == "domains: " + " ".join(sorted({name[:4] for name in os.listdir(kernel.DEVICES)}))
    return value.startswith(f"{sum(not kernel.is_bridge(name) for name in os.listdir(kernel.DEVICES))} ")


def regions(path: Path, value: str) -> bool:
    """Tell whether a group has reserved regions of just these types."""
    return set(value.split()) == {line.split()[2] for line in path.read_text().splitlines()}


def node(path: Path, value: str) -> bool:
    """Tell whether a node has this mode, if one is named."""
    found = re.search(r"\b0[0-7]{3}\b", value)
    return found is None or int(found[0], 8) == stat.S_IMODE(path.stat().st_mode)


ORACLES: list[tuple[str, Callable[[Path, str], bool]]] = [
    (r"/sys/class/iommu", lambda path, value: value == " ".join(sorted(os.listdir(path)))),
    (r"/sys/firmware/acpi/tables", lambda path, value: set(value.split()) <= set(os.listdir(path))),
    (r"/sys/kernel/iommu_groups", lambda path, value: value == f"{len(os.listdir(path))} groups"),
    (r"/sys/kernel/iommu_groups/\d+/devices", members),
    (r"/sys/kernel/iommu_groups/\d+/reserved_regions", regions),
    (r"/sys/bus/pci/devices", endpoints),
    (r"/sys/.*/(reset_method|power_state|drivers_autoprobe)", lambda path, value: value == lines(path)),
    (r"/sys/.*/aer_dev_\w+", lambda path, value: value == lines(path).split()[-1]),
    (r"/dev/vfio/.*", node),
]
"""Whether a value is what the kernel says, asked without vfioctl."""


def holds(file: str, value: str) -> bool:
    """Tell whether evidence is what stands in the guest's own file."""
    path = Path(file)
    if path.name == "driver":
        return value == (kernel.driver_of(path.parent.name) or "none")
    if value in ABSENT:
        return not path.exists()
    asked = next((oracle for pattern, oracle in ORACLES if re.fullmatch(pattern, file)), None)
    return path.exists() and (asked is None or asked(path, value))


def wrong(found: list[Check]) -> list[str]:
    """Give what is called ok and has no evidence, or some that is not so."""
    fine = [check for check in found if check["status"] == "ok"]
    unfounded = [f"{check['id']} {check['address']}: no evidence" for check in fine if not check["evidence"]]
    return unfounded + [
        f"{check['id']} {check['address']}: {one['file']}: {one['value']}"
        for check in fine
        for one in check["evidence"]
        if not holds(one["file"], one["value"])
    ]


def test_every_ok_stands_in_the_guests_own_files(topology):
    """Asked about every device of the machine; what does not hold has a remedy."""
    found = checks(*EVERYTHING)
    assert wrong(found) == []
    statuses = {check["id"]: check["status"] for check in found if check["address"] is None}
    expected = "ok" if topology.iommu else "fail"
    assert (statuses["iommu-groups"], statuses["iommu-units"]) == (expected, expected)
    assert statuses["journal"] == "ok"
    assert [check for check in found if check["status"] in {"warn", "fail"} and not check["remedy"]] == []
    assert sum(check["status"] == "ok" for check in found) > 5


def test_another_user_is_told_unknown_where_it_cannot_read():
    """Nothing is ok to it that is not ok to root, or that rests on a file it may not read."""
    # Some checks say several things of one subject, such as of memory.
    as_root = {
        (check["id"], check["address"]) for check in checks(*EVERYTHING) if check["status"] == "ok"
    }
    found = checks(*EVERYTHING, user=cli.NOBODY)
    assert wrong(found) == []
    fine = [check for check in found if check["status"] == "ok"]
    assert [check for check in fine if (check["id"], check["address"]) not in as_root] == []
    files = sorted({one["file"] for check in fine for one in check["evidence"] if one["value"] not in ABSENT})
    said = subprocess.run(
        [sys.executable, "-c", READABLE, *files],
        user=cli.NOBODY, group=cli.NOBODY, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    readable = dict(zip(files, said.split(), strict=True))
    hidden = [file for file in files if readable[file] == "0" and os.path.lexists(file)]
    # A node that may not be opened can be looked at; a link that is not there says that there is no driver.
    assert [file for file in hidden if not Path(file).is_char_device()] == []


@pytest.mark.topologies("server")
def test_a_device_on_vfio_pci_is_looked_at_without_being_named():
    """Viable and with its node; another override, without a driver, is an orphan with both ways out."""
    bindings.done("bind", "0000:06:00.0")
    try:
        found = checks("doctor", "--json")
        assert wrong(found) == []
        (viable,) = [one for one in found if (one["id"], one["address"]) == ("viable", "0000:06:00.0")]
        assert viable["status"] == "ok"
        kernel.unbind("0000:06:00.0")
        (orphan,) = [one for one in checks("doctor", "--json") if one["id"] == "orphan"]
        assert (orphan["status"], orphan["address"]) == ("warn", "0000:06:00.0")
        assert "vfioctl unbind 0000:06:00.0" in orphan["remedy"]
    finally:
        kernel.bind("0000:06:00.0", "vfio-pci")
        bindings.done("unbind", "0000:06:00.0")
