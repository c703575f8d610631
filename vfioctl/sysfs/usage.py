"""What the host uses each function for, gathered from procfs and sysfs."""

from __future__ import annotations

from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root
from vfioctl.sysfs.classes import class_members, read_framebuffers
from vfioctl.sysfs.display import display_uses, displays, firmware_framebuffers, screen_uses
from vfioctl.sysfs.input import input_uses
from vfioctl.sysfs.network import network_uses, read_network
from vfioctl.sysfs.storage import read_blocks, storage_uses
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeVar

    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import MdevInstance
    from vfioctl.sysfs.attribute import Attributes
    from vfioctl.sysfs.classes import VfioNodes
    from vfioctl.sysfs.display import Gpus
    from vfioctl.sysfs.holders import Holder
    from vfioctl.sysfs.probe import Probe

    T = TypeVar("T")


class Vfio(NamedTuple):
    """What VFIO offers now, and who has it open."""

    nodes: VfioNodes
    holders: Sequence[Holder]
    mdevs: Sequence[MdevInstance]


class UsageFacts(NamedTuple):
    """What sits on each function, and what it is used for."""

    interfaces: Mapping[PciAddress, tuple[str, ...]]
    disks: Mapping[PciAddress, tuple[str, ...]]
    uses: Mapping[PciAddress, tuple[Usage, ...]]


def read_usage(
    attributes: Attributes,
    probes: Mapping[PciAddress, Probe],
    vfio: Vfio,
    gpus: Gpus,
) -> UsageFacts:
    """Read interfaces, disks, console, input, mediated devices and open nodes of every function."""
    uses: dict[PciAddress, list[Usage]] = {}
    disks: dict[PciAddress, list[str]] = {}
    interfaces: dict[PciAddress, list[str]] = {}
    blocks = read_blocks(attributes)
    for block in blocks.values():
        for address in block.functions if block.disk == block.name else ():
            disks.setdefault(address, []).append(block.name)
    for address, found in storage_uses(attributes, blocks).items():
        uses.setdefault(address, []).extend(found)
    _add_network(attributes, interfaces, uses)
    _add_displays(attributes, probes, gpus, uses)
    _add_programs(attributes, gpus, vfio.holders, uses)
    for address, usage in input_uses(attributes):
        uses.setdefault(address, []).append(usage)
    for mdev in vfio.mdevs:
        detail = f"it is the parent of the mediated device {mdev.uuid}"
        uses.setdefault(mdev.parent, []).append(Usage(UsageKind.MDEV, mdev.uuid, detail))
    _add_holders(probes, vfio, uses)
    return UsageFacts(_frozen(interfaces), _frozen(disks), _frozen(uses))


def _frozen(lists: Mapping[PciAddress, list[T]]) -> dict[PciAddress, tuple[T, ...]]:
    return {address: tuple(dict.fromkeys(found)) for address, found in lists.items()}


def _add_network(
    attributes: Attributes,
    interfaces: dict[PciAddress, list[str]],
    uses: dict[PciAddress, list[Usage]],
) -> None:
    members = tuple(class_members(attributes, root.NET))
    network = read_network(attributes, members)
    for name, _, address in members:
        if address is not None:
            interfaces.setdefault(address, []).append(name)
            uses.setdefault(address, []).extend(network_uses(network, name))


def _add_displays(
    attributes: Attributes,
    probes: Mapping[PciAddress, Probe],
    gpus: Gpus,
    uses: dict[PciAddress, list[Usage]],
) -> None:
    framebuffers = read_framebuffers(attributes)
    firmware = firmware_framebuffers(attributes)
    found = displays(probes, framebuffers)
    for address, usage in display_uses(found, framebuffers, firmware):
        uses.setdefault(address, []).append(usage)
    consoles = {address for address, facts in found.items() if facts.boot_vga}
    for address, usage in screen_uses(attributes, gpus.screens, consoles):
        uses.setdefault(address, []).append(usage)


def _add_programs(
    attributes: Attributes,
    gpus: Gpus,
    holders: Sequence[Holder],
    uses: dict[PciAddress, list[Usage]],
) -> None:
    drawing = [holder for holder in holders if not holder.node.startswith(root.VFIO_GROUP_NODES)]
    if not drawing:
        return
    from vfioctl.sysfs.busy import gpu_uses

    for address, usage in gpu_uses(attributes, gpus, drawing):
        uses.setdefault(address, []).append(usage)


def _add_holders(
    probes: Mapping[PciAddress, Probe],
    vfio: Vfio,
    uses: dict[PciAddress, list[Usage]],
) -> None:
    if not vfio.holders:
        return
    groups = {node: number for number, node in vfio.nodes.groups.items()}
    functions = {node: address for address, node in vfio.nodes.cdevs.items()}
    for holder in vfio.holders:
        usage = holder.usage()
        if holder.node in functions:
            uses.setdefault(functions[holder.node], []).append(usage)
            continue
        number = groups.get(holder.node)
        if number is None:
            continue
        for address, facts in probes.items():
            given = is_vfio_driver(facts.driver) or facts.unbinding
            if facts.iommu_group == number and given:
                uses.setdefault(address, []).append(usage)
        # A mediated device has a group of its own; taking its parent away takes it from its holder.
        for mdev in vfio.mdevs:
            if mdev.iommu_group == number:
                uses.setdefault(mdev.parent, []).append(usage)
