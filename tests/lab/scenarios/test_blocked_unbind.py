"""An unbind that blocks because somebody holds the device: vfioctl still answers (K33, K34, K55)."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.guest import cli, holder, kernel

SPARE = {"workstation": "0000:03:00.0", "server": "0000:06:00.0"}
SLOWNESS_REFERENCE = 0.05
"""Seconds that `python3 -c pass` takes where the promise of two seconds is made."""
PROMISE = 2.0
"""Seconds in which a scan answers although an unbind is blocked."""

pytestmark = [pytest.mark.topologies(*SPARE), pytest.mark.deadline(180)]


def state(pid: int) -> str:
    """Give the state letter of a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def blocked(topology):
    """A device on vfio-pci whose holder has no request channel, and an unbind of it stuck in D state."""
    address = SPARE[topology.name]
    with kernel.given_to_vfio([address]):
        with holder.holding(address) as held:
            writer = subprocess.Popen(
                ["/bin/sh", "-c", f"echo {address} > /sys/bus/pci/drivers/vfio-pci/unbind"]
            )
            kernel.wait_until(lambda: kernel.driver_of(address) == "", "the unbind to begin")
            writer.kill()  # the first wait can be interrupted; what follows cannot (K34)
            kernel.wait_until(lambda: state(writer.pid) == "D", "the writer to be uninterruptible", 60)
            yield address
            assert state(writer.pid) == "D", "the writer came back while the device was held"
            holder.release(held)
            writer.wait(timeout=20)
        kernel.wait_until(
            lambda: not Path(f"/dev/vfio/{kernel.group_of(address)}").exists(), "the node to go"
        )


def slowness() -> float:
    """Give how many times slower this machine is than one where the promise is made; never below 1."""
    started = time.monotonic()
    subprocess.run(["python3", "-c", "import json, subprocess"], check=True)
    return max(1.0, (time.monotonic() - started) / SLOWNESS_REFERENCE)


def test_scan_answers_and_says_what_it_does_not_know(blocked, release, scanned):
    """On 6.1 even reading the override hangs (K55): it is reported as unknown, with its reason."""
    deadline = PROMISE * min(slowness(), 20.0)
    answer = cli.vfioctl("scan", "--json", deadline=60, program=True)
    assert answer.exit_code == 0, answer.stderr
    assert answer.seconds < deadline
    devices = {device["address"]: device for device in answer.document["devices"]}
    assert list(devices) == list(scanned)
    named = {(entry["address"], entry["field"]): entry["reason"] for entry in answer.document["unreadable"]}
    if release == "6.1":
        assert devices[blocked]["driver_override"] is None
        assert (blocked, "driver_override") in named, named
    others = [address for address in scanned if address != blocked]
    for key in ("driver", "driver_override", "iommu_group"):
        assert [devices[a][key] for a in others] == [scanned[a][key] for a in others], key


def test_groups_and_show_answer_and_do_not_call_the_device_free(blocked):
    """The driver link is already gone (K55), yet the group is not there for the taking."""
    group = kernel.group_of(blocked)
    (found,) = cli.document("groups", f"group:{group}")["groups"]
    assert found["viable"] is not True
    shown = cli.vfioctl("show", blocked)
    assert shown.exit_code == 0, shown.stderr
    assert "unbind" in shown.stdout
