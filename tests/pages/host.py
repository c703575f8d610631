"""The host that the pages speak of: its 65:00 is free or given, and it has all else that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.composed.desktops import AUDIO, GPU, NIC, NVME, USB, dmar, nvme
from tests.support.config_space import PCIE_TO_PCI
from tests.support.tree import HostTree

if TYPE_CHECKING:
    from pathlib import Path

MEDIATED = "4b20d080-1b54-4048-85b3-a6a62d165c01", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"


def documented(base: Path, *, given: bool) -> Path:
    """Write the host into a folder: with its GPU on vfio-pci, or with nobody."""
    tree = HostTree(base, kernel="6.12.48-amd64")
    tree.device("0000:00:02.0", "8086:5912:1849:5912", GPU, driver="i915", group=1, numa=0)
    for kind in ("i915-GVTg_V5_4", "i915-GVTg_V5_8"):
        folder = f"{tree.path('0000:00:02.0')}/mdev_supported_types/{kind}"
        tree.file(f"{folder}/available_instances", "2\n").file(f"{folder}/device_api", "vfio-pci\n")
    for number, uuid in enumerate(MEDIATED):
        _mediated(tree, uuid, 90 + number)
    _usb(tree)
    for slot, (bus, ids) in enumerate(
        {0x01: "8086:7ab8", 0x03: "8086:7ab9", 0x65: "8086:2030", 0x81: "8086:2031"}.items()
    ):
        tree.bridge(f"0000:00:1c.{slot}", bus, ids=ids, numa=0, group=10 + slot)
    _network_card(tree)
    for number, bus in enumerate((0x03, 0x04)):
        parent = "0000:00:1c.1"
        address = f"0000:{bus:02x}:00.0" if bus == 0x03 else "0000:03:01.0"
        driver = None if given and bus == 0x03 else "nvme"
        tree.device(
            address, "144d:a80a:144d:a801", NVME, parent=parent, driver=driver, numa=0, group=20 + number
        )
        if driver:
            nvme(tree, address, number)
        else:
            tree.vfio(address, 4)
    tree.bridge("0000:06:00.0", 7, ids="104c:8240", driver="shpchp", group=30, pcie=PCIE_TO_PCI, acs=False)
    tree.device("0000:07:04.0", "1131:7146:13c2:0003", 0x048000, parent="0000:06:00.0", group=30, pcie=None)
    for function, (ids, code) in enumerate(
        {"10de:2204:1043:87d9": GPU, "10de:1aef:1043:87d9": AUDIO}.items()
    ):
        address = f"0000:65:00.{function}"
        tree.device(
            address,
            ids,
            code,
            parent="0000:00:1c.2",
            driver=None if given else ("nvidia", "snd_hda_intel")[function],
            numa=0,
            group=17,
        )
        if given:
            tree.vfio(address, function)
    tree.virtual_functions("0000:65:00.0", 128)
    tree.slot("3", "0000:65:00")
    tree.device(
        "0000:81:00.0", "8086:1592:8086:0002", NIC, parent="0000:00:1c.3", driver="ice", numa=0, group=40
    )
    tree.virtual_functions("0000:81:00.0", 8)
    for name in ("vfio_pci", "vfio_iommu_type1", "vfio", "kvm"):
        tree.module(name)
    tree.file(
        "/etc/vfioctl/devices.d/0000:65:00.0.toml",
        'address = "0000:65:00.0"\ndriver = "vfio-pci"\nvendor = "10de"\ndevice = "2204"\nclass = "030000"\n',
    )
    dmar(tree)
    return base


def _network_card(tree: HostTree) -> None:
    tree.device(
        "0000:01:00.0", "8086:1572:8086:0000", NIC, parent="0000:00:1c.0", driver="i40e", numa=0, group=15
    )
    virtual = [f"0000:01:{2 + index // 8:02x}.{index % 8}" for index in range(64)]
    for index, address in enumerate(virtual):
        tree.device(
            address, "8086:154c:8086:0000", NIC, parent="0000:00:1c.0", driver="iavf", numa=0,
            group=100 + index, virtual_function=True, reset="flr",
        )  # fmt: skip
    tree.virtual_functions("0000:01:00.0", 64, virtual)
    tree.net("enp1s0", "0000:01:00.0")


def _mediated(tree: HostTree, uuid: str, group: int) -> None:
    gpu = tree.path("0000:00:02.0")
    tree.folder(f"{gpu}/{uuid}").link(f"{gpu}/{uuid}/mdev_type", f"{gpu}/mdev_supported_types/i915-GVTg_V5_4")
    tree.folder("/sys/bus/mdev/drivers/vfio_mdev").link(
        f"{gpu}/{uuid}/driver", "/sys/bus/mdev/drivers/vfio_mdev"
    )
    tree.group(f"{gpu}/{uuid}", group).link(f"/sys/bus/mdev/devices/{uuid}", f"{gpu}/{uuid}")


def _usb(tree: HostTree) -> None:
    tree.device("0000:00:14.0", "8086:a2af:1849:a2af", USB, driver="xhci_hcd", group=2, pcie=None, numa=0)
    above = f"{tree.path('0000:00:14.0')}/usb1"
    for name, place, ids in (("usb1", above, "1d6b:0002"), ("1-2.5", f"{above}/1-2/1-2.5", "046d:c52b")):
        vendor, _, product = ids.partition(":")
        tree.link(f"/sys/bus/usb/devices/{name}", place)
        for key, value in {
            "idVendor": vendor,
            "idProduct": product,
            "busnum": "1",
            "devnum": "5",
            "bDeviceClass": "00",
        }.items():
            tree.file(f"{place}/{key}", f"{value}\n")
