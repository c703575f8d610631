"""Reading in outline: all that a list of devices shows, for less."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fixtures import HOST_NAMES
from vfioctl.model.verdict import reasons_against
from vfioctl.sysfs.reader import read_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot


@pytest.mark.parametrize("name", HOST_NAMES)
def test_an_outline_has_the_same_devices_and_verdicts(
    name: str, host_root: Callable[[str], HostRoot], sample_host: Callable[[str], Host]
) -> None:
    """What is left out belongs to the explanation of groups and of one device, not to a list of them."""
    whole = sample_host(name)

    outline = read_host(host_root(name), outline=True)

    assert [device._replace(bars=()) for device in outline.devices] == [
        device._replace(bars=(), express=False) for device in whole.devices
    ]
    assert [group.id for group in outline.groups] == [group.id for group in whole.groups]
    assert [reasons_against(outline, device) for device in outline.devices] == [
        reasons_against(whole, device) for device in whole.devices
    ]


def test_an_outline_knows_the_memory_of_displays_only(
    host_root: Callable[[str], HostRoot], sample_host: Callable[[str], Host]
) -> None:
    """The firmware's framebuffer may be in it; a list of devices shows no other BARs."""
    outline = read_host(host_root("workstation-6.12"), outline=True)

    shown = {device.address: device.bars for device in outline.devices if device.bars}
    whole = sample_host("workstation-6.12").devices

    assert shown == {device.address: device.bars for device in whole if device.class_code >> 16 == 0x03}
    assert any(device.bars for device in whole if device.address not in shown)


def test_an_outline_knows_reserved_regions_but_no_platform_members(
    host_root: Callable[[str], HostRoot], sample_host: Callable[[str], Host]
) -> None:
    """The regions decide about devices (K24); members that are no PCI functions only explain a group."""
    outline = read_host(host_root("arm64"), outline=True)

    assert any(group.other_members for group in sample_host("arm64").groups)
    assert not any(group.other_members for group in outline.groups)
    assert [group.reserved_regions for group in outline.groups] == [
        group.reserved_regions for group in sample_host("arm64").groups
    ]
