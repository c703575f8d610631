"""What hangs below which PCI function: interfaces, disks, vfio nodes, slots, links between functions.

The kernel lists these by class, each a link into the device tree; the last PCI address on the way names
the function. One listing per class serves all devices, however deep the object sits.
"""

from __future__ import annotations

from vfioctl.lean import lru_cache
from vfioctl.model.address import PciAddress
from vfioctl.model.host import MdevInstance
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from vfioctl.sysfs.attribute import Attributes

_NOIOMMU = "noiommu-"


class Member(NamedTuple):
    """An object of a class."""

    name: str
    path: str
    """Where it is in the device tree."""
    function: PciAddress | None
    """The PCI function it belongs to; None for virtual ones."""


class VfioNodes(NamedTuple):
    """The nodes VFIO offers now."""

    groups: dict[int, str]
    """Group number to its node, ``/dev/vfio/17``, or ``/dev/vfio/noiommu-17`` (K29)."""
    cdevs: dict[PciAddress, str]
    """Function to its own node, ``/dev/vfio/devices/vfio0``; only where the kernel makes one (K27)."""
    functions: dict[PciAddress, str]
    """Function to its vfio device's name, ``vfio0``."""


# The functions of a card and the partitions of a disk have one place in common.
@lru_cache(maxsize=1024)
def function_above(path: str) -> PciAddress | None:
    """Return the nearest PCI function on the way to an object in the device tree."""
    for part in reversed(path.split("/")):
        address = PciAddress.from_name(part)
        if address is not None:
            return address
    return None


def class_members(
    attributes: Attributes,
    path: str,
    keep: Callable[[str], bool] | None = None,
) -> Iterator[Member]:
    """Yield the objects of a class."""
    for name in attributes.names(path, keep):
        target = attributes.target(f"{path}/{name}")
        if target is not None:
            yield Member(name, target, function_above(target))


def is_numbered(name: str, *kinds: str) -> bool:
    """Tell whether a name is one of these words and a number, as ``card0``."""
    # By hand, as wherever a scan looks at names: importing re costs more than to read twenty devices.
    return any(name.startswith(kind) and name[len(kind) :].isdecimal() for kind in kinds)


def read_framebuffers(attributes: Attributes) -> dict[str, PciAddress]:
    """Return every framebuffer that sits on a PCI function."""
    members = class_members(attributes, root.FRAMEBUFFERS, lambda name: name.startswith("fb"))
    return {member.name: member.function for member in members if member.function}


def read_vfio_nodes(attributes: Attributes) -> VfioNodes:
    """Return the nodes of VFIO groups and devices."""
    nodes = VfioNodes({}, {}, {})
    for name in attributes.names(root.VFIO_GROUPS):
        number = name.removeprefix(_NOIOMMU)
        if number.isdecimal():
            nodes.groups[int(number)] = f"{root.VFIO_GROUP_NODES}/{name}"
    for name in attributes.names(root.VFIO_DEVICES):
        path = attributes.target(f"{root.VFIO_DEVICES}/{name}")
        address = function_above(path) if path is not None else None
        # ".../0000:01:00.0/vfio-dev/vfio0"; that of a mediated device sits one step deeper, below its UUID.
        if path is not None and address is not None and _name_above(path, "/vfio-dev/") == address:
            _add_vfio_device(attributes, address, path, nodes)
    return nodes


def read_vfio_nodes_again(
    attributes: Attributes,
    known: VfioNodes,
    functions: Mapping[PciAddress, str | None],
    groups: Iterable[int],
) -> VfioNodes:
    """Return the nodes where only these functions and groups changed: a thousand have two thousand of them.

    Of each function it is told where in the device tree it is; None: it is gone.
    """
    nodes = VfioNodes(dict(known.groups), dict(known.cdevs), dict(known.functions))
    for number in groups:
        nodes.groups.pop(number, None)
        for name in (str(number), f"{_NOIOMMU}{number}"):
            if attributes.target(f"{root.VFIO_GROUPS}/{name}") is not None:
                nodes.groups[number] = f"{root.VFIO_GROUP_NODES}/{name}"
    for address, place in functions.items():
        nodes.cdevs.pop(address, None)
        nodes.functions.pop(address, None)
        for name in attributes.names(f"{place}/vfio-dev") if place is not None else ():
            _add_vfio_device(attributes, address, f"{place}/vfio-dev/{name}", nodes)
    return nodes


def _add_vfio_device(attributes: Attributes, address: PciAddress, path: str, nodes: VfioNodes) -> None:
    name = path.rpartition("/")[2]
    nodes.functions[address] = name
    # The `dev` attribute is there only where the kernel has CONFIG_VFIO_DEVICE_CDEV (K27).
    if attributes.names(path, "dev".__eq__):
        nodes.cdevs[address] = f"{root.VFIO_DEVICE_NODES}/{name}"


def _name_above(path: str, folder: str) -> PciAddress | None:
    return PciAddress.from_name(path.partition(folder)[0].rpartition("/")[2])


def read_slots(attributes: Attributes) -> dict[tuple[int, int, int], str]:
    """Return the label of every physical slot by domain, bus and device."""
    slots: dict[tuple[int, int, int], str] = {}
    for name in attributes.names(root.PCI_SLOTS):
        # "0000:05:00", without a function.
        text = attributes.text(f"{root.PCI_SLOTS}/{name}/address")
        address = PciAddress.from_name(f"{text}.0") if text else None
        if address is not None:
            slots[address.slot] = name
    return slots


def read_companions(attributes: Attributes) -> dict[PciAddress, tuple[PciAddress, ...]]:
    """Return the functions tied together by device links, such as a GPU and its audio (K50)."""
    ties: dict[PciAddress, set[PciAddress]] = {}
    for name in attributes.names(root.DEVICE_LINKS):
        # "pci:0000:01:00.0--pci:0000:01:00.1": supplier and consumer.
        supplier, _, consumer = name.partition("--")
        first = PciAddress.from_name(supplier.removeprefix("pci:"))
        second = PciAddress.from_name(consumer.removeprefix("pci:"))
        if first is not None and second is not None:
            ties.setdefault(first, set()).add(second)
            ties.setdefault(second, set()).add(first)
    return {address: tuple(sorted(others)) for address, others in ties.items()}


def read_mdevs(attributes: Attributes) -> tuple[MdevInstance, ...]:
    """Return the mediated devices that exist now (K53)."""
    mdevs = []
    for uuid in attributes.names(root.MDEV_DEVICES):
        path = f"{root.MDEV_DEVICES}/{uuid}"
        target = attributes.target(path)
        parent = function_above(target) if target else None
        if target is None or parent is None:
            continue
        group = attributes.link_name(f"{target}/iommu_group")
        mdevs.append(
            MdevInstance(
                uuid=uuid,
                parent=parent,
                type_id=attributes.link_name(f"{target}/mdev_type"),
                iommu_group=int(group) if group and group.isdecimal() else None,
            ),
        )
    return tuple(mdevs)
