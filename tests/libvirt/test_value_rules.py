from __future__ import annotations

from typing import Any

import pytest

from tests.libvirt.shapes import GPU, NVME, UUID, VF
from vfioctl.errors import HostCannotError, UsageError
from vfioctl.libvirt.findings import raise_refused
from vfioctl.libvirt.value_rules import value_findings
from vfioctl.libvirt.values import (
    UNASSIGNED,
    Device,
    GuestAddress,
    Info,
    MdevHostdev,
    NvmeDisk,
    PciHostdev,
    Rom,
    UsbHostdev,
    VfInterface,
)
from vfioctl.model.address import PciAddress


def pci(**fields: Any) -> PciHostdev:  # noqa: ANN401 - the fields of a named tuple
    """Return a PCI device with an info of these fields."""
    return PciHostdev(GPU, info=Info(**fields))


REFUSED: list[tuple[str, Device]] = [
    ("X2", VfInterface(VF, info=Info(guest=UNASSIGNED))),
    ("X3", PciHostdev(GPU, driver_model="../vfio")),
    ("X3", VfInterface(VF, driver_model="")),
    ("X4", MdevHostdev(UUID, "vfio-platform")),
    ("X5", VfInterface(VF, mac="01:00:5e:00:00:01")),
    ("X5", VfInterface(VF, mac="00:00:00:00:00:00")),
    ("X5", VfInterface(VF, mac="52:54:00:12:34")),
    ("X5", VfInterface(VF, vlan=0)),
    ("X5", VfInterface(VF, vlan=4095)),
    ("X7", pci(rom=Rom(file="/a", enabled=False))),
    ("X7", pci(rom=Rom(bar=False, enabled=False))),
    ("X7", pci(rom=Rom(file="card.rom"))),
    ("X7", pci(rom=Rom(file="/a\nb"))),
    ("X7", pci(rom=Rom(file="/"))),
    ("X8", pci(boot=0)),
    ("X8", MdevHostdev(UUID, "vfio-pci", info=Info(boot=1))),
    ("X9", PciHostdev(GPU, ramfb=True)),
    ("X9", MdevHostdev(UUID, "vfio-pci", display=False, ramfb=True)),
    ("X9", MdevHostdev(UUID, "vfio-ap", display=True)),
    ("X10", UsbHostdev()),
    ("X10", UsbHostdev(vendor_id=1)),
    ("X10", UsbHostdev(1, 2, bus=1)),
    ("X10", UsbHostdev(bus=1, device=2, port="1")),
    ("X10", UsbHostdev(bus=1, port="1.2.3.4.5")),
    ("X10", UsbHostdev(bus=1, port="1-2")),
    ("X13", pci(alias="gpu0")),
    ("X13", pci(alias="ua-")),
    ("X13", pci(alias="ua-gr\u00fcn")),
    ("X13", PciHostdev(GPU, teaming="net0")),
    ("H53", pci(guest=GuestAddress(5, 0, 1, multifunction=True))),
    ("guest-slot", pci(guest=GuestAddress(0, 0))),
    ("guest-slot", pci(guest=GuestAddress(0x100, 0))),
    ("guest-slot", pci(guest=GuestAddress(5, 0x20))),
    ("guest-slot", pci(guest=GuestAddress(5, 0, 8))),
    ("acpi", pci(acpi_index=0)),
    ("acpi", pci(acpi_index=16384)),
    ("acpi", pci(acpi_nodeset="1;2")),
    ("usb", UsbHostdev(1, 2, startup_policy="never")),
    ("usb", UsbHostdev(1, 2, guest_reset="maybe")),
    ("nvme", NvmeDisk(NVME, 0, "vda")),
    ("nvme", NvmeDisk(NVME, 1, "nvme0n1")),
]
"""The rule by its number, and a device that breaks it."""


@pytest.mark.parametrize(
    ("check", "device"), REFUSED, ids=[f"{check}-{n}" for n, (check, _) in enumerate(REFUSED)]
)
def test_each_rule_refuses_what_libvirt_would(check: str, device: Device) -> None:
    """By its number, with what to do instead; and each of these breaks one rule only."""
    found = list(value_findings(device))

    assert [finding.check for finding in found] == [check]
    assert found[0].hint
    with pytest.raises(UsageError):
        raise_refused(found)


@pytest.mark.parametrize("kind", [PciHostdev, VfInterface])
def test_a_domain_that_a_driver_made_cannot_be_given_away(kind: type[PciHostdev | VfInterface]) -> None:
    """X14: the schema accepts 0x10000, the kernel does not (K51)."""
    (finding,) = value_findings(kind(PciAddress(0x10000, 1, 0, 0)))

    assert finding.check == "X14"
    with pytest.raises(HostCannotError):
        raise_refused([finding])


def test_several_refusals_are_told_together() -> None:
    """Nobody wants to learn of them one call at a time."""
    device = PciHostdev(GPU, driver_model="/", info=Info(boot=0, alias="x"))

    with pytest.raises(UsageError) as caught:
        raise_refused(value_findings(device))

    assert caught.value.message.count("\n") == 2
