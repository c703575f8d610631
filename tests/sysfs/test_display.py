from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import Bar, HostTree
from tests.sysfs.reading import host_of, root_of, unread_of, uses_of, written
from vfioctl.model.usage import UsageKind
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.snapshot import capture

if TYPE_CHECKING:
    from pathlib import Path

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


def test_the_only_display_with_a_screen_is_the_console(displays: HostTree) -> None:
    """Where boot_vga says nothing, as for a GPU that is no VGA; a GPU without connectors is no display."""
    displays.drm(OTHER, 1, 128, DP_1="disconnected", HDMI_A_1="connected", VGA_1="connected")
    displays.drm(GPU, 0, 129)
    assert uses_of(displays, OTHER) == [
        (CONSOLE, "it is the only display the host drives, with a screen at HDMI-A-1")
    ]
    assert uses_of(displays, GPU) == []


@pytest.mark.parametrize("screens", [{"DP_1": "disconnected"}, {"DP_1": "unknown"}, {}])
def test_the_only_display_without_a_screen_is_nothing_to_lose(
    displays: HostTree, screens: dict[str, str]
) -> None:
    """Nobody looks at it."""
    displays.drm(OTHER, 1, None, **screens)
    assert uses_of(displays, OTHER) == []


def test_a_snapshot_has_the_same_console(displays: HostTree, tmp_path: Path) -> None:
    """With cards, render nodes and connectors; what is no part of them is not there."""
    displays.drm(OTHER, 1, 128, DP_1="connected").file("/sys/class/drm/version", "drm 1.1.0 20060810\n")
    displays.file(f"{displays.path(OTHER)}/drm/card1/card1-DP-1/edid", b"\0secret")
    host, entries = capture(root_of(displays))
    assert read_host(written(entries, tmp_path)) == host
    assert [usage.kind for usage in host.devices[1].usage] == [CONSOLE]
    assert not any(entry.path.endswith(("/edid", "/version")) for entry in entries)


def test_of_two_displays_none_is_the_only_one(displays: HostTree) -> None:
    """One stays when the other is given away."""
    displays.drm(GPU, 0, DP_1="connected").drm(OTHER, 1, eDP_1="connected")
    assert (uses_of(displays, GPU), uses_of(displays, OTHER)) == ([], [])


def test_beside_the_console_no_display_is_the_only_one(displays: HostTree) -> None:
    """The one the firmware started on may have a driver without screens; and it is named once."""
    displays.attributes(GPU, boot_vga="1").drm(OTHER, 1, DP_1="connected")
    assert uses_of(displays, OTHER) == []
    displays.remove("/sys/class/drm").drm(GPU, 0, DP_1="connected")
    assert uses_of(displays, GPU) == [(CONSOLE, "it is the display the firmware started on (boot VGA)")]


def test_the_display_the_firmware_started_on_may_be_no_vga(displays: HostTree) -> None:
    """Newer kernels tell it from the rest (K47), of cards and not of their connectors."""
    displays.drm(GPU, 0, 128, DP_1="connected").drm(OTHER, 1, 129, DP_2="connected")
    displays.file(f"{displays.path(OTHER)}/drm/card1/boot_display", "1\n")
    assert uses_of(displays, OTHER) == [(CONSOLE, "it is the display the firmware started on")]
    assert uses_of(displays, GPU) == []
