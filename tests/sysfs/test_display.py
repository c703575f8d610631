from __future__ import annotations

import pytest

from tests.support.tree import Bar, HostTree
from tests.sysfs.reading import host_of, unread_of, uses_of
from vfioctl.model.usage import UsageKind

GPU, OTHER = "0000:01:00.0", "0000:02:00.0"
CONSOLE, FRAMEBUFFER = UsageKind.CONSOLE, UsageKind.FRAMEBUFFER


@pytest.fixture
def displays(tree: HostTree) -> HostTree:
    """Return a machine with two displays; only the first has large memory."""
    tree.device(GPU, "10de:2204", 0x030000, bars=[Bar(0x6000000000, 0x10000000, prefetchable=True)])
    return tree.device(OTHER, "1002:73bf", 0x038000, bars=[Bar(0xC0000000, 0x1000000)])


def test_the_display_the_firmware_started_on_is_the_console(displays: HostTree) -> None:
    """By boot_vga (K47)."""
    displays.attributes(GPU, boot_vga="1").attributes(OTHER, boot_vga="0")
    assert uses_of(displays, GPU) == [(CONSOLE, "it is the display the firmware started on (boot VGA)")]
    assert uses_of(displays, OTHER) == []


def test_a_framebuffer_belongs_to_the_device_it_is_below(displays: HostTree) -> None:
    """The console's own folder begins with the same letters and is none."""
    path = f"{displays.path(GPU)}/graphics/fb0"
    displays.folder(path).link("/sys/class/graphics/fb0", path)
    displays.link("/sys/class/graphics/fbcon", "/sys/devices/virtual/graphics/fbcon")
    assert uses_of(displays, GPU) == [(FRAMEBUFFER, "the framebuffer fb0 is on it")]
    assert uses_of(displays, OTHER) == []


@pytest.mark.parametrize("name", ["BOOTFB", "efifb", "simpledrm", "simple-framebuffer", "vesafb", "efidrm"])
def test_the_firmwares_framebuffer_is_found_by_its_memory(displays: HostTree, name: str) -> None:
    """Cards that are not VGA keep it, and then a VM cannot have their memory (K47)."""
    displays.file("/proc/iomem", f"c0000000-dfffffff : PCI Bus 0000:02\n  c0000000-c07fffff : {name}\n")
    ((kind, detail),) = uses_of(displays, OTHER)
    assert (kind, name in detail) == (FRAMEBUFFER, True)
    assert uses_of(displays, GPU) == []


@pytest.mark.parametrize(
    "line",
    [
        "c1000000-c17fffff : BOOTFB",
        "bffff000-c07fffff : BOOTFB",
        "c0000000-c07fffff : something else",
        "c0000000 : BOOTFB",
        "BOOTFB",
    ],
)
def test_other_memory_is_no_framebuffer_of_it(displays: HostTree, line: str) -> None:
    """It must lie within one of the device's regions."""
    displays.file("/proc/iomem", f"{line}\n")
    assert uses_of(displays, OTHER) == []
    assert host_of(displays).unread == ()


def test_only_a_display_has_the_firmwares_framebuffer(tree: HostTree) -> None:
    """A bridge's window holds it as well and does not use it."""
    tree.device(GPU, class_code=0x058000, bars=[Bar(0xC0000000, 0x1000000)])
    assert uses_of(tree.file("/proc/iomem", "c0000000-c07fffff : BOOTFB\n"), GPU) == []


def test_ports_are_not_memory(tree: HostTree) -> None:
    """An I/O region of the same numbers is something else."""
    tree.device(GPU, class_code=0x030000).file(
        f"{tree.path(GPU)}/resource", "0x00000000c0000000 0x00000000c0ffffff 0x0000000000040101\n"
    )
    assert uses_of(tree.file("/proc/iomem", "c0000000-c07fffff : BOOTFB\n"), GPU) == []


def test_addresses_hidden_from_an_ordinary_user_are_unknown(displays: HostTree) -> None:
    """The kernel prints zeros (K31): there is a firmware framebuffer, and where is not to be had."""
    displays.file("/proc/iomem", "00000000-00000000 : PCI Bus 0000:02\n  00000000-00000000 : BOOTFB\n")
    host = host_of(displays)
    assert all(device.usage == () for device in host.devices)
    assert unread_of(host) == {"iomem": "its addresses read as zeros (run as root to see them)"}
