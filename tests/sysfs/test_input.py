from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import KEYBOARD
from tests.sysfs.reading import device_of, root_of, uses_of, written
from vfioctl.model.usage import UsageKind
from vfioctl.sysfs.entries import File
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.redact import redact
from vfioctl.sysfs.snapshot import capture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.tree import HostTree

USB, AUDIO = "0000:00:14.0", "0000:00:1f.3"
INPUT = UsageKind.INPUT


@pytest.fixture
def hub(tree: HostTree) -> str:
    """Return where a device at a USB controller's port is; the machine has no input yet."""
    tree.device(USB, class_code=0x0C0330, driver="xhci_hcd").device(AUDIO, class_code=0x040300)
    return f"{tree.path(USB)}/usb1/1-2/1-2:1.0/0003:046D:C31C.0001"


def test_keyboards_and_mice_are_uses_of_their_controller(tree: HostTree, hub: str) -> None:
    """However deep they are plugged in, each once."""
    tree.input(3, hub, "Logitech Keyboard", KEYBOARD).input(4, f"{hub}/2", "Logitech Keyboard", KEYBOARD)
    tree.input(5, f"{hub}/3", "Logitech Mouse", "70000 0 0 0 0", mouse=0)
    assert uses_of(tree, USB) == [
        (INPUT, "the keyboard Logitech Keyboard is behind it"),
        (INPUT, "the mouse Logitech Mouse is behind it"),
    ]
    assert [usage.subject for usage in device_of(tree, USB).usage] == ["keyboard", "mouse"]


@pytest.mark.parametrize(
    "keys",
    [
        "0",
        "3e000b00000000 0 0 0",
        "18000",
        "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffff0fffe",
        "x",
        "",
    ],
    ids=["none", "headset", "lid", "no letters", "malformed", "empty"],
)
def test_a_few_buttons_are_no_keyboard(tree: HostTree, hub: str, keys: str) -> None:
    """The kernel's kbd handler takes power buttons, headsets and cameras as well."""
    tree.input(3, hub, "Camera", keys).input(4, f"{tree.path(AUDIO)}/sound/card0", "Headphone", keys)
    assert (uses_of(tree, USB), uses_of(tree, AUDIO)) == ([], [])


def test_what_is_on_no_function_is_nobodys_use(tree: HostTree, hub: str) -> None:
    """PS/2 keyboards, and the list of all mice; an input may go away while it is looked at."""
    tree.input(0, "/sys/devices/platform/i8042/serio0", "AT keyboard", KEYBOARD, mouse=0)
    tree.link("/sys/class/input/mice", "/sys/devices/virtual/input/mice")
    tree.input(9, hub, "Gone", KEYBOARD).remove(f"{hub}/input/input9")
    assert uses_of(tree, USB) == []


def test_an_input_may_be_a_function_itself(tree: HostTree) -> None:
    """As virtio-input is; without a name it has its number."""
    tree.device(USB, "1af4:1052", 0x090000, driver="virtio-pci")
    tree.input(2, f"{tree.path(USB)}/virtio0", "", KEYBOARD)
    assert uses_of(tree, USB) == [(INPUT, "the keyboard input2 is behind it")]


def test_disks_and_networks_behind_a_controller_are_its_uses(tree: HostTree, hub: str) -> None:
    """As grave as those of any other device: a bind checks them by their kind."""
    disk = f"{hub}/host4/target4:0:0/4:0:0:0/block"
    tree.block("sda", "8:0", disk).block("sda1", "8:1", f"{disk}/sda").mounts(
        ("8:1", "/", "/dev/sda1", "ext4")
    )
    path = f"{hub}/net/enx0"
    tree.link("/sys/class/net/enx0", path).file(f"{path}/flags", "0x1003\n")
    tree.network({"enx0": ["192.0.2.7/24"]}, default="enx0")
    device = device_of(tree, USB)
    assert (device.block_devices, device.net_interfaces) == (("sda",), ("enx0",))
    assert [(usage.kind.value, usage.critical) for usage in device.usage] == [
        ("mount", True), ("interface", False), ("address", False), ("route", False),
    ]  # fmt: skip


def test_a_snapshot_has_the_inputs_and_not_their_owners(tree: HostTree, hub: str, tmp_path: Path) -> None:
    """A keyboard may be called after the machine, and have a serial number that nobody reads."""
    tree.input(3, hub, "keyboard of topsecret", KEYBOARD).file(f"{hub}/input/input3/uniq", "4711\n")
    tree.file(f"{hub}/input/input3/phys", "usb-0000:00:14.0-2/input0\n")
    host, entries = capture(root_of(tree))
    assert read_host(written(entries, tmp_path)) == host
    assert not any(entry.path.endswith(("/uniq", "/phys")) for entry in entries)
    (name,) = (
        entry.content
        for entry in redact(entries, ["topsecret"])
        if isinstance(entry, File) and entry.path.endswith("/input3/name")
    )
    assert name == b"keyboard of host\n"
