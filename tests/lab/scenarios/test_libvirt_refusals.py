"""What libvirt refuses when a virtual machine is to start, and that `--check` has said it before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import bindings, cli, kernel, libvirt

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.once, pytest.mark.topologies("libvirt"), pytest.mark.deadline(180)]
ALONE, FIRST, SECOND, BEHIND_A_BRIDGE = "0000:02:00.0", "0000:03:00.0", "0000:03:00.1", "0000:05:01.0"


def written(virsh: libvirt.Virsh, name: str, *words: str) -> Path:
    """Write a domain with devices."""
    path = virsh.file(name)
    done = cli.vfioctl("libvirt-xml", *words, "--domain", str(path))
    assert done.exit_code == 0, done.stderr
    return path


def foretold(*paths: Path, check: str, exit_code: int = 4) -> str:
    """Hold files against the host, which must find something; give what it says."""
    words = [word for path in paths for word in ("--check", str(path))]
    answer = cli.vfioctl("libvirt-xml", *words, "--json")
    assert answer.exit_code == exit_code, answer.stdout
    document = answer.document
    findings = [*document["findings"], *(one for domain in document["domains"] for one in domain["findings"])]
    found = [one["message"] for one in findings if (one["check"], one["severity"]) == (check, "refuse")]
    assert found, findings
    return "\n".join(found)


def not_started(virsh: libvirt.Virsh, path: Path) -> str:
    """Let libvirt refuse to start a domain; nothing of the host has moved then."""
    before = bindings.bindings()
    virsh("define", str(path), "--validate")
    said = virsh.refused("start", path.stem, "--paused")
    kernel.settle()
    assert bindings.bindings() == before
    return said


def test_a_sibling_that_is_not_listed_keeps_the_vm_from_starting(virsh: libvirt.Virsh) -> None:
    """managed='yes' takes what is listed, and nothing else of the group (X2)."""
    path = written(virsh, "web1", FIRST)
    assert SECOND in foretold(path, check="X2")
    assert "is not viable" in not_started(virsh, path)


def test_a_bridge_on_shpchp_keeps_the_vm_from_starting(virsh: libvirt.Virsh) -> None:
    """It cannot be listed, and libvirt does not take drivers from bridges (K19)."""
    path = written(virsh, "web1", BEHIND_A_BRIDGE, "--group")
    assert "shpchp" in foretold(path, check="X2")
    assert "is not viable" in not_started(virsh, path)


def test_an_unmanaged_device_on_its_driver_keeps_the_vm_from_starting(virsh: libvirt.Virsh) -> None:
    """managed='no' is a promise that it is bound (X1)."""
    path = written(virsh, "web1", ALONE, "--managed", "no")
    assert "e1000e" in foretold(path, check="X1")
    assert "must be manually detached" in not_started(virsh, path)


def test_a_card_shared_by_two_vms_keeps_the_second_from_starting(virsh: libvirt.Virsh) -> None:
    """One function each: a group belongs to one of them (X6)."""
    bindings.done("bind", FIRST)
    first, second = (written(virsh, *pair, "--managed", "no") for pair in (("web1", FIRST), ("web2", SECOND)))
    assert "web2" in foretold(first, second, check="X6")
    virsh.start(first)
    assert "web1" in not_started(virsh, second)
    virsh("destroy", "web1")
    bindings.done("unbind", FIRST)
