"""A running virtual machine has the device: vfioctl does not take it away (K21, K57)."""

from __future__ import annotations

import pytest

from tests.lab.guest import bindings, cli, machine
from tests.lab.scenarios.test_bind_held import ASKED_FOR, kernel_log

NVME = "0000:03:00.0"
DISPLAY, SOUND = "0000:02:00.0", "0000:02:00.1"

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
    said = kernel_log()
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
    assert not any(words in kernel_log().removeprefix(said) for words in ASKED_FOR)


def test_binding_what_a_vm_has_is_already_so(given):
    """Nothing to do is no reason to refuse."""
    with machine.running("web1", NVME):
        assert bindings.done("bind", NVME)["result"] == "already"
