"""Bindings that survive a reboot: a machine that is started three times, at last with another card in a port.

What the first boot leaves in /etc is there in the next ones, and udev acts on it as on any host. The guest is not
started by systemd: its init does what systemd-modules-load does, once before udev's coldplug and once after it,
and a systemd beside it starts the unit.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.lab.guest import bindings, cli, kernel, kernel_log, service
from tests.lab.guest.bindings import NO_OVERRIDE, Bound

pytestmark = [pytest.mark.once, pytest.mark.topologies("restarted"), pytest.mark.deadline(180)]

TWIN = "0000:01:00.0"
"""The NIC with the default route: the same model as the card that is swapped. Nobody touches it."""
DISK, CARD, SPARE = "0000:03:00.0", "0000:04:00.0", "0000:05:00.0"
HOSTS = {DISK: "nvme", CARD: "e1000e", SPARE: "e1000"}
"""What drives them where vfioctl has no say."""
GIVEN = Bound("vfio-pci", "vfio-pci")
PHYSICAL = "0000:02:00.0"
"""An igb that is split at every boot."""
FUNCTIONS = [f"0000:02:10.{number}" for number in (0, 2)]
"""What it is split into."""
NETWORK = f"""[Unit]
DefaultDependencies=no
After=network-pre.target
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/test -e /sys/bus/pci/devices/{FUNCTIONS[-1]}/driver
"""
"""What sets up the network of a host that cloud-init has set up, and looks whether it has a function's too."""
UNMADE = {PHYSICAL: "number"}
"""What has drifted in later boots as long as nothing runs the unit."""
UNIT = Path("/etc/systemd/system/vfioctl-restore.service")
RULES = Path("/etc/udev/rules.d/40-vfioctl.rules")
MODULES = Path("/etc/modules-load.d/vfioctl.conf")
FOLDER = Path("/etc/vfioctl")


def drift() -> dict[str, str]:
    """Run `persist verify`, and give the kind of drift of each address."""
    answer = cli.vfioctl("persist", "verify", "--json")
    found = {one["address"]: one["kind"] for one in answer.document["drift"]}
    assert answer.exit_code == (10 if found else 0), (answer.exit_code, answer.stdout, answer.stderr)
    return found


@pytest.fixture(scope="module")
def systemd():
    """A systemd as it is at this boot, with what is stored."""
    with service.manager(plugin=False) as manager:
        yield manager


@pytest.mark.boots(1)
def test_three_devices_are_stored_and_given_back_for_this_boot():
    """Stored beside the binding; an unbind leaves what is stored, and verify tells the difference."""
    for address, driver in HOSTS.items():
        assert bindings.bound(address) == Bound(driver, NO_OVERRIDE)
        assert bindings.done("bind", "--persist", address)["result"] == "done"
    assert {path.stem for path in (FOLDER / "devices.d").iterdir()} == set(HOSTS)
    assert MODULES.exists()
    assert drift() == {}
    bindings.done("unbind", *HOSTS)
    assert drift() == dict.fromkeys(HOSTS, "driver")


@pytest.mark.boots(1)
def test_virtual_functions_are_stored_and_removed_for_this_boot():
    """With the unit that makes them; off leaves what is stored."""
    made = cli.document("sriov", "set", "--bind", "--persist", PHYSICAL, "2")
    assert made["result"] == "done"
    assert UNIT.exists()
    assert drift() == dict.fromkeys(HOSTS, "driver")
    assert cli.vfioctl("sriov", "off", PHYSICAL).exit_code == 0
    assert drift() == {**dict.fromkeys(HOSTS, "driver"), **UNMADE}


@pytest.mark.boots(2, 3)
def test_systemd_makes_the_virtual_functions_before_the_network(systemd):
    """At a boot, as far as it goes here; whoever starts the unit once more finds all as it is."""
    assert drift()[PHYSICAL] == "number"
    service.write_boot("network.service", NETWORK)
    assert systemd.ask("daemon-reload").returncode == 0
    try:
        started = systemd.ask("start", "multi-user.target")
        assert started.returncode == 0, started.stderr
        ended = {unit: systemd.shown("ActiveState", unit) for unit in (service.RESTORE_UNIT, "network.service")}
        assert ended == dict.fromkeys(ended, "active"), service.log()
        for restarted in (False, True):
            assert not restarted or systemd.ask("restart", service.RESTORE_UNIT).returncode == 0, service.log()
            assert [bindings.bound(function) for function in FUNCTIONS] == [GIVEN, GIVEN]
            assert PHYSICAL not in drift()
    finally:
        assert cli.vfioctl("sriov", "off", PHYSICAL).exit_code == 0


@pytest.mark.boots(2, 3)
def test_a_unit_that_cannot_make_them_has_failed_and_says_why(systemd):
    """With the exit code of the command, for whoever asks systemctl."""
    held = FOLDER / "sriov.d" / f"{PHYSICAL}.toml"
    stored = held.read_text()
    held.write_text(re.sub(r"^number = .*$", "number = 200", stored, flags=re.MULTILINE))
    try:
        assert systemd.ask("restart", service.RESTORE_UNIT).returncode != 0
        assert systemd.shown("Result", service.RESTORE_UNIT) == "exit-code"
        assert systemd.shown("ExecMainStatus", service.RESTORE_UNIT) == "5"
        assert PHYSICAL in service.log()
        assert [one for one in FUNCTIONS if (kernel.DEVICES / one).exists()] == []
    finally:
        held.write_text(stored)


@pytest.mark.boots(2)
def test_after_a_reboot_no_driver_of_the_hosts_has_touched_them():
    """The twin shows what the kernel says of a card that a driver of the host takes."""
    assert {address: bindings.bound(address) for address in HOSTS} == dict.fromkeys(HOSTS, GIVEN)
    assert bindings.bound(TWIN) == Bound("e1000e", NO_OVERRIDE)
    said = kernel_log.said()
    assert f"e1000e {TWIN}" in said
    for address, driver in HOSTS.items():
        assert f"{driver} {address}" not in said
    assert "nvme nvme0" not in said
    assert drift() == UNMADE


@pytest.mark.boots(2)
def test_what_is_given_back_stays_given_back_until_the_next_boot():
    """A rule is for a device that no driver has: an event alone moves nothing."""
    bindings.done("unbind", CARD)
    try:
        device = str(kernel.DEVICES / CARD)
        subprocess.run(["udevadm", "trigger", "--action=add", device], check=True)
        kernel.settle()
        assert bindings.bound(CARD) == Bound("e1000e", NO_OVERRIDE)
        assert drift() == {**UNMADE, CARD: "driver"}
    finally:
        bindings.done("bind", CARD)
    assert drift() == UNMADE


@pytest.mark.boots(2)
def test_an_override_of_driverctl_is_a_conflict_that_is_named():
    """Both would have the device at the next boot, each for another driver."""
    subprocess.run(["driverctl", "set-override", DISK, "nvme"], check=True)
    try:
        assert drift() == {**UNMADE, DISK: "driver"}
        listed = cli.vfioctl("persist", "list")
        assert listed.exit_code == 0
        assert "conflict" in listed.stdout
        (conflict,) = cli.document("persist", "list")["conflicts"]
        assert (conflict["address"], conflict["mechanism"]) == (DISK, "driverctl")
        assert conflict["file"] == f"/etc/driverctl.d/pci-{DISK}"
    finally:
        subprocess.run(["driverctl", "unset-override", DISK], check=True)
        bindings.done("bind", DISK)
    assert cli.document("persist", "list")["conflicts"] == []
    assert drift() == UNMADE


@pytest.mark.boots(2)
def test_one_is_forgotten_and_stays_where_it_is_for_this_boot():
    """The other two are stored as before."""
    answer = cli.vfioctl("persist", "remove", SPARE)
    assert answer.exit_code == 0, answer.stderr
    assert bindings.bound(SPARE) == GIVEN
    assert {path.stem for path in (FOLDER / "devices.d").iterdir()} == {DISK, CARD}
    assert SPARE not in RULES.read_text()
    assert drift() == UNMADE


@pytest.mark.boots(3)
def test_another_card_at_the_address_is_left_to_the_host():
    """Same address, same bridge, other ids: it was not bound, and verify says so (H9)."""
    assert bindings.bound(CARD) == Bound("e1000", NO_OVERRIDE)
    assert bindings.bound(DISK) == GIVEN
    assert bindings.bound(TWIN) == Bound("e1000e", NO_OVERRIDE)
    said = kernel_log.said()
    assert f"vfio-pci {CARD}" not in said
    assert drift() == {**UNMADE, CARD: "ids"}
    shown = cli.vfioctl("persist", "verify").stdout
    assert "8086:100e" in shown
    assert "8086:10d3" in shown
    checked = cli.vfioctl("doctor", "--only", "drift", "--json")
    assert checked.exit_code == 1
    assert [one["status"] for one in checked.document["checks"] if one["address"] == CARD] == ["fail"]


@pytest.mark.boots(3)
def test_what_was_forgotten_is_the_hosts_again():
    """Without a trace of vfioctl at this boot."""
    assert bindings.bound(SPARE) == Bound("e1000", NO_OVERRIDE)
    assert f"e1000 {SPARE}" in kernel_log.said()


@pytest.mark.boots(3)
def test_the_last_one_leaves_no_trace():
    """Neither a file nor an empty folder of vfioctl's own."""
    answer = cli.vfioctl("persist", "remove", "--all")
    assert answer.exit_code == 0, answer.stderr
    assert not FOLDER.exists()
    assert not RULES.exists()
    assert not MODULES.exists()
    assert not UNIT.exists()
    assert not list(UNIT.parent.iterdir())
    assert bindings.bound(DISK) == GIVEN
    assert drift() == {}
