"""serve-plugin under systemd, with a kubelet, on devices that come and go."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.lab.guest import bindings, cli, kernel, kubelets, service
from tests.lab.guest.qmp import Monitor

pytestmark = [pytest.mark.topologies("hotplug"), pytest.mark.deadline(400)]

SLOT = "0000:02:00.0"
ROUTE = "0000:01:00.0"
RESOURCE = "vfioctl.io/8086_10d3"
KUBELET = "/var/lib/kubelet"
WITHIN = 90.0
"""Seconds for anything to happen under software emulation."""


@pytest.fixture(scope="module")
def systemd():
    """A systemd that has the unit."""
    with service.manager() as manager:
        yield manager


@pytest.fixture
def card():
    """A NIC in an empty port, on vfio-pci."""
    with Monitor() as monitor:
        plug(monitor)
        yield monitor
        pull(monitor)


def plug(monitor):
    """Plug the NIC in, and give it to vfio-pci."""
    monitor.add("e1000e", "extra", "rp2", netdev="net2", romfile="")
    kernel.wait_until(lambda: present() and kernel.driver_of(SLOT) == "e1000e", "the NIC to be driven", 60)
    kernel.settle()
    assert bindings.done("bind", SLOT)["result"] == "done"


def pull(monitor):
    """Pull the NIC."""
    if present():
        monitor.remove("extra")
    kernel.wait_until(lambda: not present() and not monitor.has("extra"), "the NIC to go", 60)


def present():
    """Tell whether the kernel has the NIC."""
    return (kernel.DEVICES / SLOT).exists()


def sockets():
    """Give the plugin's sockets."""
    return sorted(path.name for path in Path(KUBELET, "device-plugins").glob("vfioctl-*"))


async def counted(kubelet, capacity, allocatable):
    """Wait until the node would show these numbers."""
    await kubelet.until(lambda: kubelet.books.counts(RESOURCE) == (capacity, allocatable), within=WITHIN)


@asynccontextmanager
async def serving(systemd):
    """Run a kubelet and start the service, until it has the card."""
    from tests.plugin.kubelet.kubelet import Kubelet  # gRPC, for which no other machine has to wait

    async with Kubelet(KUBELET, kubelets.settings()) as kubelet:
        started = await asyncio.to_thread(systemd.ask, "start", service.UNIT)
        assert started.returncode == 0, (started.stderr, service.log())
        try:
            await counted(kubelet, 1, 1)
            yield kubelet
        finally:
            await asyncio.to_thread(systemd.ask, "stop", service.UNIT)


@pytest.mark.once
def test_the_service_is_ready_when_it_is_registered_and_says_how_it_stands(systemd, card):
    """READY=1, STATUS=, the admin socket, and what the journal would have."""

    async def run():
        async with serving(systemd):
            await asyncio.to_thread(systemd.wait_for, "SubState", "running")
            assert systemd.shown("StatusText").startswith("1 of 1 resources registered, 1 items, 1 healthy")
            told = await asyncio.to_thread(cli.document, "plugin", "status")
            assert [item["id"] for one in told["resources"] for item in one["items"]] == [SLOT]
        assert sockets() == []
        assert systemd.shown("Result") == "success"

    asyncio.run(run())


def test_unbind_unplug_and_plug_reach_the_kubelet(systemd, card):
    """By the kernel's reports: each long before the next periodic look."""

    async def run():
        async with serving(systemd) as kubelet:
            assert (await asyncio.to_thread(bindings.done, "unbind", SLOT))["result"] == "done"
            await counted(kubelet, 1, 0)
            assert (await asyncio.to_thread(bindings.done, "bind", SLOT))["result"] == "done"
            await counted(kubelet, 1, 1)
            await asyncio.to_thread(pull, card)
            await counted(kubelet, 1, 0)
            assert f"{SLOT} missing" in service.log()
            await asyncio.to_thread(plug, card)
            await counted(kubelet, 1, 1)

    asyncio.run(run())


@pytest.mark.once
def test_what_is_allocated_can_be_opened(systemd, card):
    """Nodes that exist, are character devices, and open."""
    from tests.plugin.kubelet.pods import pod

    async def run():
        async with serving(systemd) as kubelet:
            one = await kubelet.run(pod("one", {RESOURCE: 1}))
            assert one.phase == "Running", one.message
            grant = await kubelet.start_container(one, one.containers[0])
            nodes = [node.host_path for node in grant[RESOURCE].devices]
            assert nodes == ["/dev/vfio/vfio", f"/dev/vfio/{kernel.group_of(SLOT)}"]
            for node in nodes:
                os.close(os.open(node, os.O_RDWR))

    asyncio.run(run())


@pytest.mark.once
def test_it_begins_when_udev_has_ended_what_the_boot_began(systemd):
    """Stored devices get their drivers by udev: what was said before would not be how the host stands."""
    subprocess.run(["udevadm", "control", "--stop-exec-queue"], check=True)
    try:
        subprocess.run(["udevadm", "trigger", "--action=change", str(kernel.DEVICES / ROUTE)], check=True)
        assert systemd.ask("start", "--no-block", service.UNIT).returncode == 0
        systemd.wait_for("StatusText", "waiting for udev to give devices their drivers")
        assert systemd.shown("ActiveState") == "activating"
    finally:
        subprocess.run(["udevadm", "control", "--start-exec-queue"], check=True)
    systemd.wait_for("ActiveState", "active")
    assert "udev is still busy" not in service.log()
    assert systemd.ask("stop", service.UNIT).returncode == 0


@pytest.mark.kernels("6.12")
def test_a_restart_and_a_kill_by_the_watchdog_are_gone_through(systemd, card):
    """The next one has a socket of its own, and the kubelet has the device again; nothing is left behind.

    It is between systemd, the plugin and the kubelet; no kernel has a part in it.
    """

    async def run():
        async with serving(systemd) as kubelet:
            (before,) = sockets()
            again = await asyncio.to_thread(systemd.ask, "restart", service.UNIT)
            assert again.returncode == 0, (again.stderr, service.log())
            await counted(kubelet, 1, 1)
            (after,) = sockets()
            assert after != before
            stopped = int(systemd.shown("MainPID"))
            os.kill(outer(stopped), signal.SIGSTOP)
            await asyncio.to_thread(systemd.wait_for, "NRestarts", "1", WITHIN)
            await asyncio.to_thread(systemd.wait_for, "SubState", "running", WITHIN)
            await counted(kubelet, 1, 1)
            assert len(sockets()) == 1
            assert int(systemd.shown("MainPID")) != stopped

    asyncio.run(run())


def outer(inner):
    """Give the number that a process of systemd's namespace has out here."""
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            numbers = re.search(r"^NSpid:\s*(.*)$", path.read_text(), re.MULTILINE)
        except OSError:
            continue
        if numbers and len(found := numbers[1].split()) == 2 and int(found[1]) == inner:
            return int(found[0])
    raise AssertionError(f"there is no process {inner} in systemd's namespace")
