"""A running virtual machine has the device: vfioctl does not take it away (K21, K57)."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.lab.guest import bindings, channel, cli, kernel, kernel_log, machine
from tests.lab.scenarios.test_bind_held import ASKED_FOR

NVME = "0000:03:00.0"
DISPLAY, SOUND = "0000:02:00.0", "0000:02:00.1"

SPLIT = "0000:81:00.0"
"""The server's NVMe controller with virtual functions."""
ANSWERS = 20.0
"""Seconds within which QEMU has answered the kernel, emulated twice over; it takes less than one."""

pytestmark = [pytest.mark.topologies("workstation"), pytest.mark.deadline(180)]


@pytest.fixture
def given():
    """Disk, display and sound on vfio-pci; back at the end."""
    before = bindings.bindings()
    bindings.done("bind", NVME, DISPLAY)
    yield
    bindings.done("unbind", NVME, DISPLAY)
    assert bindings.bindings() == before


def test_a_device_of_a_running_vm_and_its_sibling_are_refused_by_the_vms_name(given):
    """The kernel would hand it over without a word (K57)."""
    last = kernel_log.last()
    with machine.running("web1", NVME, DISPLAY) as vm:
        for words in (
            ("unbind", NVME),
            ("unbind", DISPLAY),
            ("unbind", SOUND, "--device-only"),
            ("bind", NVME, "--driver", "nvme"),
            ("bind", SOUND, "--driver", "snd_hda_intel"),
        ):
            answer = bindings.refused(*words, check="vm")
            assert "web1" in answer.stderr, answer.stderr
            assert str(vm.pid) in answer.stderr, answer.stderr
        assert cli.vfioctl("unbind", NVME, "--force", "vm").exit_code == 2
        assert machine.held_by(vm.pid) == 2
    assert not any(words in kernel_log.said(last) for words in ASKED_FOR)


def test_binding_what_a_vm_has_is_already_so(given):
    """Nothing to do is no reason to refuse."""
    with machine.running("web1", NVME):
        assert bindings.done("bind", NVME)["result"] == "already"


def test_a_machine_that_runs_is_refused_by_its_name_as_one_that_is_stopped(given):
    """Its firmware is at work; what vfioctl says does not depend on it."""
    with machine.running("web2", NVME, stopped=False) as vm:
        answer = bindings.refused("unbind", NVME, check="vm")
        assert "web2" in answer.stderr, answer.stderr
        assert machine.held_by(vm.pid) == 1


@pytest.mark.parametrize("plugged", ["before", "while it runs"])
def test_what_a_machine_that_runs_does_when_the_kernel_asks_for_its_device(given, release, plugged):
    """A bare write, as a careless program's (K57): what came of it is brought back.

    Either QEMU gives the device up and the write returns, or it keeps it and the write blocks until QEMU has
    ended. A slot that the machine has not switched on asks nobody in it.

    The machine has sound as well, and keeps it: with its last group a container is freed, also under a call of
    QEMU's that is at work in it, and the kernel panics now and then (docs/lab.md).
    """
    last = kernel_log.last()
    with machine.running("web3", SOUND, *([NVME] if plugged == "before" else []), stopped=False) as vm:
        talk = machine.Talk("web3")
        if plugged != "before":
            talk.ask("device_add", driver="vfio-pci", host=NVME, bus="empty", id="late")
        assert machine.held_by(vm.pid) == 2
        status = talk.ask("query-status")["status"]
        writer = subprocess.Popen(["/bin/sh", "-c", f"echo {NVME} > /sys/bus/pci/drivers/vfio-pci/unbind"])
        began = time.monotonic()
        while writer.poll() is None and time.monotonic() - began < ANSWERS:
            time.sleep(0.05)
        seconds, gave = time.monotonic() - began, writer.poll() is not None
        status_after = talk.ask("query-status")["status"]
        events = [event["event"] for event in talk.events]
        held = machine.held_by(vm.pid)
        document = cli.document("show", NVME)
        talk.close()
        log = kernel_log.said(last)
        lines = [
            f"machine: {status} before, {status_after} after; events {events}",
            f"the write {'returned' if gave else 'was still blocked'} after {seconds:.2f} s",
            f"QEMU holds {held} device(s); driver {kernel.driver_of(NVME) or 'none'}",
            *(line for line in log.splitlines() if "vfio" in line or NVME in line),
        ]
        name = f"request-{plugged.partition(' ')[0]}-{release}.txt"
        channel.bring_back(name, ("\n".join(lines) + "\n").encode())
        assert status == "running", lines
        assert held == (1 if gave else 2), lines
        assert gave or plugged == "before", lines
        assert any(words in log for words in ASKED_FOR), lines
        assert "web3" in str(document) or gave, document
    assert writer.wait(timeout=30) == 0
    kernel.wait_until(lambda: kernel.driver_of(NVME) == "", "the device to be free")
    kernel.bind(NVME, "vfio-pci")


@pytest.fixture
def functions():
    """Two virtual functions of the server's NVMe controller, on vfio-pci; at the end there are none."""
    assert cli.vfioctl("sriov", "set", "--bind", SPLIT, "2").exit_code == 0
    yield [(kernel.DEVICES / SPLIT / f"virtfn{index}").resolve().name for index in range(2)]
    assert cli.vfioctl("sriov", "off", SPLIT).exit_code == 0


@pytest.mark.topologies("server")
def test_sriov_off_is_refused_with_the_name_of_the_machine_that_has_a_function(functions):
    """The kernel would take the function away from it, and hold its global lock meanwhile (K56, K57)."""
    last = kernel_log.last()
    with machine.running("db1", functions[1], stopped=False) as vm:
        for words in (("off", SPLIT), ("set", SPLIT, "1")):
            answer = bindings.refused("sriov", *words, check="vm")
            assert "db1" in answer.stderr, answer.stderr
            assert str(vm.pid) in answer.stderr, answer.stderr
        assert (kernel.DEVICES / SPLIT / "sriov_numvfs").read_text().strip() == "2"
        assert {bindings.bound(one).driver for one in functions} == {"vfio-pci"}
        assert machine.held_by(vm.pid) == 1
    assert not any(words in kernel_log.said(last) for words in ASKED_FOR)
