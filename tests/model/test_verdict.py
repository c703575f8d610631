from __future__ import annotations

from typing import Any

import pytest

from tests.model.factory import at, make_device, make_group, make_host, make_port
from vfioctl.model.device import Header, PhysicalFunction, VirtualFunction
from vfioctl.model.group import ReservedRegion
from vfioctl.model.host import Unread
from vfioctl.model.verdict import Reason, reasons_against


def checks(address: str = "65:00.0", *, host: dict[str, Any] | None = None, **fields: Any) -> list[str]:  # noqa: ANN401 - the fields of a named tuple
    """Return the names of the checks that speak against a device with these fields."""
    device = make_device(address, **fields)
    return [reason.check for reason in reasons_against(make_host(device, **(host or {})), device)]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"driver": "nvme", "class_code": 0x010802},
        {"driver": "vfio-pci"},
        {"class_code": 0x030000, "boot_vga": True},
        {"class_code": 0x010400, "driver": "vmd"},
        {"class_code": 0x0C8000},
        {"class_code": 0x078000, "vendor_id": 0x1912},
        {"alive": None},
        {"unbinding": True},
        {"sriov": PhysicalFunction(8, ())},
        {"sriov": PhysicalFunction(None, ())},
        {"sriov": VirtualFunction(at("65:00.1"), 0)},
        {"vendor_id": 0x8087, "device_id": 0x37C8},
        {"iommu_group": 99},
    ],
)
def test_an_ordinary_endpoint_can_be_given_away(fields: dict[str, Any]) -> None:
    """A driver, a use or an unknown field is no reason why a device can never be given away."""
    assert checks(**fields) == []


@pytest.mark.parametrize("header", [Header.BRIDGE, Header.CARDBUS])
@pytest.mark.parametrize("driver", [None, "pcieport", "shpchp"])
def test_a_bridge_has_that_one_reason(header: Header, driver: str | None) -> None:
    """vfio-pci refuses a bridge whatever else is true of it (K13)."""
    bridge = make_port("00:01.0", header=header, driver=driver, alive=False, iommu_group=None)
    assert reasons_against(make_host(bridge, iommu=False), bridge) == (
        Reason("bridge", "it is a bridge; bridges stay with the host"),
    )


@pytest.mark.parametrize(
    ("class_code", "vendor", "word"),
    [
        (0x060000, 0x8086, "host bridge"),
        (0x060100, 0x8086, "ISA bridge"),
        (0x068000, 0x8086, "bridge function"),
        (0x060400, 0x8086, "bridge function"),
        (0x080600, 0x1022, "IOMMU"),
        (0x080700, 0x8086, "event collector"),
        (0x0C0500, 0x8086, "SMBus"),
        (0x0C0700, 0x1A03, "IPMI"),
        (0x0C0701, 0x103C, "IPMI"),
        (0x078000, 0x8086, "management engine"),
    ],
)
def test_a_function_of_the_board_stays_with_the_host(class_code: int, vendor: int, word: str) -> None:
    """Its header is an endpoint's, but the host's own controls hang on it."""
    device = make_device(class_code=class_code, vendor_id=vendor)
    (reason,) = reasons_against(make_host(device), device)
    assert reason.check == "board"
    assert word in str(reason)


def test_a_dead_device_cannot_be_given_away() -> None:
    """All ones in the configuration space: it fell off the bus (K46)."""
    assert checks(alive=False) == ["dead"]


def test_a_device_behind_vmd_cannot_be_given_away_alone() -> None:
    """It shares the controller's requester id, so the controller is the thing to give away (K51)."""
    assert checks("10000:e1:00.0") == ["vmd"]


@pytest.mark.parametrize(
    ("iommu", "check", "text"),
    [
        (False, "no-iommu", "this host has no IOMMU enabled"),
        (None, "no-group", "its IOMMU group is unknown: this host's groups could not be read"),
        (True, "no-group", "it has no IOMMU group: no IOMMU translates for it"),
    ],
)
def test_without_a_group_it_is_said_what_is_missing(*, iommu: bool | None, check: str, text: str) -> None:
    """No IOMMU, an IOMMU that leaves the device out, and ignorance are three things (K14)."""
    device = make_device(iommu_group=None)
    assert reasons_against(make_host(device, iommu=iommu), device) == (Reason(check, text),)


@pytest.mark.parametrize("iommu", [True, False, None])
def test_a_group_that_could_not_be_read_is_unknown_not_absent(*, iommu: bool | None) -> None:
    """The device may well have one."""
    device = make_device(iommu_group=None)
    unread = (
        Unread("/sys/bus/pci/devices/x/iommu_group", "permission denied", device.address, "iommu_group"),
    )
    (reason,) = reasons_against(make_host(device, iommu=iommu, unread=unread), device)
    assert reason == Reason("no-group", "its IOMMU group is unknown: it could not be read")


@pytest.mark.parametrize(
    ("kind", "expected"), [("direct", ["rmrr"]), ("direct-relaxable", []), ("msi", []), ("reserved", [])]
)
def test_a_firmware_mapping_speaks_against_every_member(kind: str, expected: list[str]) -> None:
    """Attaching fails for a plain direct region only (K24)."""
    device = make_device(iommu_group=5)
    group = make_group(5, [device], reserved_regions=(ReservedRegion(0x1000, 0x1FFF, kind),))
    reasons = reasons_against(make_host(device, groups=(group,)), device)
    assert [reason.check for reason in reasons] == expected


@pytest.mark.parametrize("model", [0x19E2, 0x19E3, 0x37C8, 0x37C9, 0x0435, 0x0443, 0x0B25, 0x0CFE])
def test_the_denylist_of_vfio_pci_holds_unless_it_was_switched_off(model: int) -> None:
    """QAT and Sapphire Rapids' DSA and IAX, by vendor and device (K16)."""
    assert checks(device_id=model) == ["denylist"]
    assert checks(device_id=model, host={"denylist_disabled": True}) == []
    assert checks(device_id=model, vendor_id=0x10DE) == []


@pytest.mark.parametrize(
    ("count", "text"), [(1, "has 1 virtual function enabled"), (3, "has 3 virtual functions")]
)
def test_a_physical_function_with_virtual_ones_waits_until_they_are_gone(count: int, text: str) -> None:
    """vfio-pci answers EBUSY (K15)."""
    functions = tuple(at(f"65:10.{index}") for index in range(count))
    device = make_device(sriov=PhysicalFunction(8, functions))
    (reason,) = reasons_against(make_host(device), device)
    assert reason.check == "vfs"
    assert text in reason.text


def test_every_reason_is_told_not_only_the_first() -> None:
    """Who mends one must not find the next only afterwards."""
    found = checks(
        "10000:00:1f.0",
        class_code=0x060100,
        device_id=0x19E2,
        alive=False,
        iommu_group=None,
        sriov=PhysicalFunction(1, (at("65:10.0"),)),
        host={"iommu": False},
    )
    assert found == ["board", "dead", "vmd", "no-iommu", "denylist", "vfs"]
