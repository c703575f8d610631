"""The Debian package: installed by dpkg, used, run by systemd, removed and purged without a trace."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.lab.guest import bindings, kernel, service
from tests.lab.guest.qmp import Monitor

pytestmark = [pytest.mark.topologies("hotplug"), pytest.mark.kernels("6.12"), pytest.mark.deadline(900)]
"""On one kernel: none has a part in what dpkg and systemd do, and what is installed is run on both elsewhere."""

PACKAGE = "/package/vfioctl.deb"
PROGRAM = Path("/usr/bin/vfioctl")
DATABASE = Path("/var/lib/dpkg")
SERVICES = ("vfioctl-cdi.service", "vfioctl-plugin.service")
NAMES = Path("/run/cdi/vfioctl.io-vfio.json")
CARD = "0000:02:00.0"
"""A NIC that is plugged in for this."""
NOT_LOOKED_AT = {
    "/checkout", "/dev", "/package", "/proc", "/root", "/run/udev", "/sys", "/tmp", "/var/lib/dpkg", "/var/log",
}  # fmt: skip
"""Where the kernel, udev, dpkg and this lab write."""
DPKG = ("dpkg", "--force-depends", "--force-not-root")
"""Nothing of this guest was installed by dpkg, so that it knows of no Python."""


@pytest.fixture
def systemd():
    """A systemd that has no unit of vfioctl's."""
    with service.manager(plugin=False) as manager:
        yield manager


@pytest.fixture
def card():
    """A NIC in an empty port, on its driver."""
    with Monitor() as monitor:
        monitor.add("e1000e", "extra", "rp2", netdev="net2", romfile="")
        kernel.wait_until(lambda: there() and kernel.driver_of(CARD) == "e1000e", "the NIC to be driven", 60)
        kernel.settle()
        yield
        monitor.remove("extra")
        kernel.wait_until(lambda: not there() and not monitor.has("extra"), "the NIC to go", 60)


def there():
    """Tell whether the kernel has the NIC."""
    return (kernel.DEVICES / CARD).exists()


@pytest.fixture
def bare(tmp_path):
    """A guest without the checkout's `vfioctl`, and without what compiles Python, which is slow here."""
    DATABASE.mkdir(parents=True, exist_ok=True)
    for name in ("info", "updates", "triggers"):
        (DATABASE / name).mkdir(exist_ok=True)
    (DATABASE / "status").touch()
    moved = [(path, tmp_path / path.name) for path in (PROGRAM, Path("/usr/bin/py3compile")) if path.exists()]
    for path, aside in moved:
        shutil.move(path, aside)
    # What earlier scenarios have left is no loss of this one's, and purged with all else.
    shutil.rmtree(bindings.STATE, ignore_errors=True)
    yield
    for path, aside in moved:
        shutil.move(aside, path)


def everything():
    """Give every path of this machine, but where others write."""
    found = set()
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in NOT_LOOKED_AT]
        found.update(os.path.join(folder, name) for name in (*folders, *files))
    return {path for path in found if path != str(service.LOG) and ("/systemd/" not in path or path.endswith(SERVICES))}


def is_named():
    """Tell whether the card has a name; that it has none, and what the service says, shows in the output."""
    print(service.log()[-300:])
    return NAMES.exists() and CARD in NAMES.read_text()


def done(answer):
    """Give what was said, by a program that must have ended well."""
    assert answer.returncode == 0, (answer.args, answer.stdout, answer.stderr)
    return answer.stdout


def drivers_of(scan):
    """Give the driver of each device of a scan."""
    return {device["address"]: device["driver"] for device in json.loads(scan)["devices"]}


def test_it_is_installed_used_run_and_purged(systemd, bare, card):
    """Nothing is enabled by it, it needs nothing of the checkout, and nothing is left of it."""
    before = everything()
    driver = kernel.driver_of(CARD)

    done(systemd.run(*DPKG, "--install", PACKAGE))
    for name in SERVICES:
        assert systemd.ask("is-enabled", name).stdout.strip() == "disabled"
        assert systemd.ask("is-active", name).stdout.strip() == "inactive"
    assert "vfioctl" in done(systemd.run("vfioctl", "--version"))
    assert drivers_of(done(systemd.run("vfioctl", "scan", "--json")))[CARD] == driver
    unit = done(systemd.run("vfioctl", "serve-plugin", "--print-unit"))
    assert unit == Path("/usr/lib/systemd/system/vfioctl-plugin.service").read_text()

    # Nothing is compiled here, and the service may not write beside what it reads: its start takes long.
    done(systemd.ask("enable", "--now", "vfioctl-cdi.service", deadline=200))
    done(systemd.run("vfioctl", "bind", "--persist", CARD))
    try:
        kernel.wait_until(is_named, "the name of the card", 60)
        done(systemd.ask("start", "vfioctl-plugin.service"))
        assert systemd.shown("ActiveState") == "active"
        assert "udev is still busy" not in service.log()  # which the units leave them the means to ask
    finally:
        done(systemd.run("vfioctl", "unbind", CARD))
    assert kernel.driver_of(CARD) == driver

    done(systemd.run(*DPKG, "--remove", "vfioctl"))
    assert systemd.ask("is-active", "vfioctl-plugin.service").stdout.strip() == "inactive"
    assert not PROGRAM.exists()
    assert not Path("/usr/lib/vfioctl").exists()
    assert Path("/etc/udev/rules.d/40-vfioctl.rules").exists()  # what is stored is configuration

    done(systemd.run(*DPKG, "--purge", "vfioctl"))
    left, lost = sorted(everything() - before), sorted(before - everything())
    assert (left, lost) == ([], []), (left, lost)
