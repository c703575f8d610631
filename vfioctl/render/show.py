"""One device, the verdict first."""

from __future__ import annotations

from vfioctl.model.device import PhysicalFunction, VirtualFunction
from vfioctl.model.together import why_together
from vfioctl.model.usage import UsageKind
from vfioctl.model.verdict import reasons_against
from vfioctl.render.device_text import NONE, Namer
from vfioctl.render.fields import field
from vfioctl.render.groups import next_step
from vfioctl.render.outlook import Outlook, outlook
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import Bar, PciDevice
    from vfioctl.model.host import Host
    from vfioctl.render.styled import Line
    from vfioctl.sysfs.names import Names

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def show_lines(host: Host, device: PciDevice, names: Names, *, width: int | None) -> Iterator[Line]:
    """Yield everything about a device."""
    yield [(str(device.address), "strong"), (f"  {Namer(names).name(device)}", "")]
    yield []
    yield from _verdict(host, device, width=width)
    for title, facts in (
        ("what it is", _identity(device, names)),
        ("where it is", _place(host, device)),
        ("who has it", _holders(host, device)),
        ("what it can", _abilities(device)),
        ("not known", _unknown(host, device)),
    ):
        lines = [line for label, *texts in facts for line in field(label, texts, width=width)]
        if lines:
            yield []
            yield [(title, "strong")]
            yield from lines


def _verdict(host: Host, device: PciDevice, *, width: int | None) -> Iterator[Line]:
    reasons = reasons_against(host, device)
    group = host.group_of(device)
    prospects = outlook(host, group, device.address) if group else None
    answer, style, because = _answer(device, [reason.text for reason in reasons], prospects)
    yield [("can be passed through: ", "strong"), (answer, style)]
    yield from field("because", because, width=width)
    if prospects and not reasons:
        yield from next_step(prospects, width=width)


def _answer(device: PciDevice, reasons: list[str], prospects: Outlook | None) -> tuple[str, str, list[str]]:
    if reasons:
        return "no", "bad", reasons
    if prospects is None:
        return "unknown", "unknown", ["its IOMMU group could not be read"]
    holders = [use.detail for use in device.usage if use.kind is UsageKind.VM]
    if holders:
        return "yes, and a VM has it now", "good", holders
    if prospects.word == "viable" and device.on_vfio:
        return "yes, it is ready", "good", []
    answers = {
        "viable": "yes, once it is bound",
        "viable after bind": "yes, after binding its group",
        "unknown": "unknown",
    }
    return answers.get(prospects.word, "no"), prospects.style, list(prospects.why)


def _identity(device: PciDevice, names: Names) -> Iterator[tuple[str, ...]]:
    yield "vendor", f"{names.vendor(device.vendor_id) or NONE} [{device.vendor_id:04x}]"
    yield "device", f"{names.device(device.vendor_id, device.device_id) or NONE} [{device.device_id:04x}]"
    if device.subsystem_vendor_id is not None and device.subsystem_device_id is not None:
        ids = (device.subsystem_vendor_id, device.subsystem_device_id)
        name = names.subsystem(device.vendor_id, device.device_id, *ids) or names.vendor(ids[0]) or NONE
        yield "subsystem", f"{name} [{ids[0]:04x}:{ids[1]:04x}]"
    revision = NONE if device.revision is None else f"{device.revision:02x}"
    class_name = names.class_name(device.class_code) or NONE
    yield "class", f"{class_name} [{device.class_code:06x}] ({device.word}), revision {revision}"
    kind = [device.header.value, "PCI Express" if device.express else "conventional PCI"]
    if device.port_type:
        kind.append(device.port_type.value)
    yield "kind", ", ".join(kind)
    if device.alive is False:
        yield "state", "does not answer: its configuration space reads all ones"


def _place(host: Host, device: PciDevice) -> Iterator[tuple[str, ...]]:
    above = [str(bridge.address) for bridge in host.ancestors(device)]
    yield "behind", " < ".join(above) or "a root bus"
    if device.physical_slot:
        yield "slot", device.physical_slot
    if device.numa_node is not None:
        yield "NUMA node", str(device.numa_node)
    if device.companions:
        yield "companions", " ".join(map(str, device.companions))


def _holders(host: Host, device: PciDevice) -> Iterator[tuple[str, ...]]:
    yield "driver", device.driver or NONE
    if device.driver_override:
        yield "override", device.driver_override
    group = host.group_of(device)
    if group is None:
        yield "IOMMU group", NONE if device.iommu_group is None else str(device.iommu_group)
    else:
        mates = [str(address) for address in group.members if address != device.address]
        mates += [other.name for other in group.other_members]
        yield "IOMMU group", f"{group.id}, " + (f"with {' '.join(mates)}" if mates else "alone")
        together = why_together(host, group)
        if together:
            yield "together", *together
    if device.net_interfaces:
        yield "network", " ".join(device.net_interfaces)
    if device.block_devices:
        yield "disks", " ".join(device.block_devices)
    nodes = [node for node in (device.vfio_group_node, device.vfio_cdev) if node]
    if nodes:
        yield "vfio nodes", " ".join(nodes)
    if device.usage:
        yield "used for", *(use.detail for use in device.usage)


def _abilities(device: PciDevice) -> Iterator[tuple[str, ...]]:
    yield "resets by", " ".join(device.reset_methods) or "no method is known"
    if device.power_state:
        yield "power", device.power_state
    match device.sriov:
        case PhysicalFunction(total, functions):
            most = "an unknown number of" if total is None else f"up to {total}"
            yield "SR-IOV", f"{most} virtual functions, {len(functions)} enabled", *map(str, functions)
        case VirtualFunction(physical, index):
            number = "" if index is None else f" number {index}"
            yield "SR-IOV", f"virtual function{number} of {physical}"
        case None:
            pass
    if device.mdev_types:
        yield (
            "mdev types",
            *(
                f"{kind.id} ({kind.name or NONE}): {_count(kind.available_instances)} available"
                for kind in device.mdev_types
            ),
        )
    if device.bars:
        yield "BARs", *map(_bar_text, device.bars)


def _count(number: int | None) -> str:
    return "unknown" if number is None else str(number)


def _bar_text(bar: Bar) -> str:
    size, unit = bar.size, 0
    while size >= 1024 and size % 1024 == 0 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - binary units
        size, unit = size // 1024, unit + 1
    return f"{bar.index}: {size} {_UNITS[unit]} of {bar.space} at 0x{bar.start:x}"


def _unknown(host: Host, device: PciDevice) -> Iterator[tuple[str, ...]]:
    """Yield what could not be read of the device, and of the host as far as it may concern the device."""
    for unread in host.unread:
        if unread.address in {device.address, None}:
            yield "", f"{unread.field or unread.path}: {unread.reason}"
