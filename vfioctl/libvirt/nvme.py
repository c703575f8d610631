"""One namespace of an NVMe controller as ``<disk type='nvme'>``: QEMU drives it, the guest sees a disk."""

from __future__ import annotations

from vfioctl.libvirt.address import append_source, number, read_source
from vfioctl.libvirt.info import append_info, info_features, read_info, switch
from vfioctl.libvirt.text import append, element, yes_no
from vfioctl.libvirt.values import NvmeDisk
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree


def build(device: NvmeDisk) -> etree._Element:
    """Make the element."""
    made = element("disk", type="nvme", device="disk")
    append(made, "driver", name="qemu", type="raw")
    source = append(made, "source", type="pci", managed=yes_no(device.managed), namespace=device.namespace)
    append_source(source, device.source)
    append(made, "target", dev=device.target, bus=device.bus)
    append_info(made, device.info)
    return made


def read(node: etree._Element) -> NvmeDisk | None:
    """Read the element; None without the address of a controller and a namespace."""
    source_node, target = node.find("source"), node.find("target")
    source = read_source(node.find("source/address"))
    if source_node is None or source is None or target is None:
        return None
    namespace = number(source_node.get("namespace"))
    if namespace is None:
        return None
    return NvmeDisk(
        source=source,
        namespace=namespace,
        target=target.get("dev", ""),
        managed=switch(source_node.get("managed")),
        bus=target.get("bus"),
        info=read_info(node),
    )


def features(device: NvmeDisk) -> Iterator[str]:
    """Yield the features it uses."""
    yield "nvme"
    yield from info_features(device.info, "pci")
