from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sysfs.reading import at, attributes_of, root_of
from vfioctl.model.usb import UsbDevice, matching
from vfioctl.sysfs.attribute import Attributes, Files
from vfioctl.sysfs.entries import Denied, complete
from vfioctl.sysfs.root import HostRoot
from vfioctl.sysfs.snapshot import capture
from vfioctl.sysfs.unpack import TreeWriter
from vfioctl.sysfs.usb import read_usb

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.tree import HostTree

CONTROLLER = "0000:00:14.0"
STICK = UsbDevice(1, "2.5", 7, 0x046D, 0xC52B, 0, at(CONTROLLER))
HUB = UsbDevice(1, "2", 2, 0x05E3, 0x0610, 9, at(CONTROLLER))


def plug(tree: HostTree, *devices: UsbDevice) -> HostTree:
    """Plug devices into the controller of a machine, with a root hub and an interface each."""
    if CONTROLLER not in tree._paths:
        tree.device(CONTROLLER, "8086:a36d", 0x0C0330, driver="xhci_hcd", group=4)
    above = f"{tree.path(CONTROLLER)}/usb1"
    tree.link("/sys/bus/usb/devices/usb1", above).file(f"{above}/idVendor", "1d6b\n")
    for device in devices:
        path = f"{above}/{device.name}"
        facts = {
            "idVendor": f"{device.vendor_id:04x}",
            "idProduct": f"{device.product_id:04x}",
            "devnum": str(device.device),
            "bDeviceClass": f"{device.device_class or 0:02x}",
            "serial": "SECRET-4711",
        }
        for name, value in facts.items():
            tree.file(f"{path}/{name}", f"{value}\n")
        tree.link(f"/sys/bus/usb/devices/{device.name}", path)
        tree.folder(f"{path}/{device.name}:1.0")
        tree.link(f"/sys/bus/usb/devices/{device.name}:1.0", f"{path}/{device.name}:1.0")
    return tree


def test_devices_are_read_by_port_and_interfaces_are_none(tree: HostTree) -> None:
    """In the order of ports, which is not that of names; root hubs and interfaces are no devices."""
    tenth = STICK._replace(port="10", device=9)

    assert read_usb(attributes_of(plug(tree, tenth, STICK, HUB))) == (HUB, STICK, tenth)
    assert (STICK.name, STICK.ids, STICK.is_hub, HUB.is_hub) == ("1-2.5", "046d:c52b", False, True)


def test_a_host_that_does_not_say_is_not_one_without_devices(tree: HostTree) -> None:
    """Unknown is not none: a kernel without USB, a snapshot of a program that did not look."""
    assert read_usb(attributes_of(tree)) is None
    assert read_usb(attributes_of(tree.folder("/sys/bus/usb/devices"))) == ()


def test_a_device_whose_ids_cannot_be_read_is_left_out_and_noted(tree: HostTree) -> None:
    """It was pulled while it was read, or gives nonsense."""
    plug(tree, STICK, HUB)
    tree.file(f"{tree.path(CONTROLLER)}/usb1/1-2/idVendor", "xyz\n")
    attributes = attributes_of(tree)

    assert read_usb(attributes) == (STICK,)
    assert [reason for path, reason in attributes.unread.items() if path.endswith("/1-2/idVendor")] == [
        "malformed: 'xyz' is no number"
    ]


def test_a_device_is_known_by_id_and_by_port() -> None:
    """Both spellings of a selector."""
    twin = STICK._replace(port="3")

    assert matching([STICK, twin, HUB], "046d:c52b") == (STICK, twin)
    assert matching([STICK, twin, HUB], "1-2.5") == (STICK,)
    assert matching([STICK], "1-2") == ()


def test_a_snapshot_has_the_usb_devices_and_no_serial_numbers(tree: HostTree, tmp_path: Path) -> None:
    """read(snapshot(read(h))) == read(h), here as well."""
    plug(tree, STICK, HUB)
    _, entries = capture(root_of(tree))
    whole = complete(entries)
    base = tmp_path / "snapshot"
    base.mkdir()
    writer = TreeWriter(str(base))
    writer.write(whole)
    writer.finish()
    root = HostRoot(str(base), {one.path: one.errno for one in whole if isinstance(one, Denied)})

    assert read_usb(Attributes(Files(root))) == (HUB, STICK)
    assert capture(root)[1] == entries
    assert not [one for one in entries if one.path.endswith("/serial")]
