"""What cannot be: each with its own exit code, at once, and nothing changed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.lab.guest import bindings, cli, kernel

SPARE = {
    "workstation": "0000:03:00.0",
    "server": "0000:04:00.0",
    "legacy": "0000:02:01.0",
    "bare": "0000:02:00.0",
    "hotplug": "0000:01:00.0",
}
BRIDGE = "0000:00:01.0"
pytestmark = pytest.mark.deadline(120)


@pytest.fixture
def spare(topology) -> str:
    """A device that could be bound, were it not for what the scenario says."""
    return SPARE[topology.name]


@pytest.mark.topologies("server", "bare")
def test_without_root_nothing_is_changed_but_a_plan_is_shown(topology, spare):
    """Exit 6 at once; --dry-run is for everybody."""
    for words in (("bind", spare), ("unbind", spare), ("recover",)):
        answer = bindings.refused(*words, exit_code=6, user=cli.NOBODY)
        assert "root" in answer.stderr
    planned = cli.vfioctl("bind", "-n", spare, "--json", user=cli.NOBODY)
    assert planned.exit_code == (0 if topology.iommu else 5), planned.stderr


@pytest.mark.topologies("workstation")
def test_a_plan_without_root_says_what_it_could_not_see():
    """Which programs have the display open is hidden from other users: unknown is not fine."""
    planned = cli.vfioctl("bind", "-n", "0000:02:00.0", "--json", user=cli.NOBODY)
    assert "unknown" in bindings.checks(planned.document, "warn"), planned.document["findings"]


def inside(script: str, *words: str) -> cli.Answer:
    """Run vfioctl in a mount namespace of its own, after a line of shell."""
    line = f'{script} && exec {sys.executable} -m vfioctl "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation=private", "sh", "-c", line, "sh", *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return cli.Answer(done.returncode, done.stdout, done.stderr, 0.0)


@pytest.mark.topologies("server")
def test_a_read_only_sysfs_is_told_from_everything_else(spare):
    """As in a container; nothing was changed, and the message says what is read-only."""
    before = bindings.bindings()
    answer = inside("mount -o remount,bind,ro /sys", "bind", spare)
    assert answer.exit_code == 6, (answer.stdout, answer.stderr)
    assert "read-only" in answer.stderr, answer.stderr
    assert "/sys" in answer.stderr
    assert bindings.bindings() == before
    assert not bindings.JOURNAL.exists()


@pytest.mark.topologies("server")
def test_a_module_that_is_not_there_is_named(spare):
    """vfio-pci itself, on a kernel that lacks it, and a variant driver that this kernel lacks (K52)."""
    answer = bindings.refused("bind", spare, "--driver", "mlx5_vfio_pci", exit_code=5)
    assert "mlx5_vfio_pci" in answer.stderr
    answer = bindings.refused("bind", spare, "--driver", "nosuchdriver", exit_code=5)
    assert "nosuchdriver" in answer.stderr
    subprocess.run(["modprobe", "--remove", "vfio_iommu_type1", "vfio_pci"], check=True)
    answer = inside(f"mount -t tmpfs none /lib/modules/{os.uname().release}/kernel", "bind", spare)
    gone = inside("mount -t tmpfs none /usr/lib/modules", "bind", spare)
    assert gone.exit_code in {5, 7}, (gone.stdout, gone.stderr)
    assert "vfio" in gone.stderr
    assert (answer.exit_code, "vfio" in answer.stderr) == (7, True), (answer.stdout, answer.stderr)
    assert kernel.driver_of(spare) == "e1000e"


@pytest.mark.topologies("server")
@pytest.mark.parametrize(
    ("script", "code", "says"),
    [
        ("mount --bind /etc /etc && mount -o remount,bind,ro /etc", 6, "/etc is read-only"),
        ("mount -t tmpfs none /run && mount -t tmpfs none /usr/lib/udev", 5, "bind --persist takes udev"),
    ],
    ids=["read-only", "no udev"],
)
def test_what_cannot_be_stored_is_not_bound_either(spare, script, code, says):
    """An image-based system, and one without udev: said before anything is written."""
    before = bindings.bindings()
    answer = inside(script, "bind", "--persist", spare)
    assert answer.exit_code == code, (answer.stdout, answer.stderr)
    assert says in answer.stderr
    assert "hint:" in answer.stderr
    assert bindings.bindings() == before
    assert not bindings.JOURNAL.exists()


def test_a_bridge_cannot_be_bound(topology):
    """Neither a port nor the board's own functions (K13)."""
    for address in (BRIDGE if topology.name != "server" else "0000:00:05.0", "0000:00:1f.0"):
        answer = bindings.refused("bind", address, exit_code=5, check="[host-cannot]")
        assert "bridge" in answer.stderr.lower()


@pytest.mark.topologies("bare")
def test_without_an_iommu_nothing_can_be_bound(spare):
    """No group, no passthrough (K14)."""
    answer = bindings.refused("bind", spare, exit_code=5, check="[host-cannot]")
    assert "IOMMU" in answer.stderr


@pytest.mark.topologies("server")
def test_what_is_not_there_and_what_is_not_exact():
    """Exit 3 and 2, with the candidates."""
    bindings.refused("bind", "0000:1f:1f.7", exit_code=3)
    several = bindings.refused("bind", "class:nic", exit_code=2)
    assert "0000:04:00.0" in several.stderr
    assert "--all" in several.stderr
    bindings.refused("bind", "--timeout", "0", "0000:04:00.0", exit_code=2)
    bindings.refused("--root", "sample", "bind", "0000:04:00.0", exit_code=2)


@pytest.mark.topologies("server")
def test_unbinding_what_the_host_drives_is_already_so():
    """Nothing to do, and no harm in asking."""
    assert bindings.done("unbind", "04:00.0")["result"] == "already"
    assert bindings.done("recover")["result"] == "already"


@pytest.mark.topologies("legacy")
def test_a_device_without_any_driver_is_bound_and_driverless_again():
    """edu has no driver in any kernel: it goes back to none."""
    before = bindings.bindings()
    assert bindings.bound("0000:00:03.0").driver == ""
    bindings.done("bind", "0000:00:03.0")
    assert bindings.bound("0000:00:03.0").driver == "vfio-pci"
    bindings.done("unbind", "0000:00:03.0")
    assert bindings.bindings() == before
