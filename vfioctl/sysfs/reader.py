"""Read a whole host once into a frozen value.

One odd device never empties the machine: what is malformed, vanished, unreadable or blocked is reported
in :attr:`vfioctl.model.host.Host.unread`, and the rest is read.
"""

from __future__ import annotations

from vfioctl.errors import NotPermittedError, UsageError
from vfioctl.model.address import PciAddress
from vfioctl.model.host import Host, Unread
from vfioctl.model.kernel import KernelRelease
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.assemble import Surroundings, make_device
from vfioctl.sysfs.attribute import Attributes, Files
from vfioctl.sysfs.classes import read_companions, read_mdevs, read_slots, read_vfio_nodes
from vfioctl.sysfs.display import read_gpus
from vfioctl.sysfs.fetch import fetch
from vfioctl.sysfs.groups import group_names, make_group, outline_groups
from vfioctl.sysfs.holders import read_holders
from vfioctl.sysfs.unbinding import mark_unbinding
from vfioctl.sysfs.usage import Vfio, read_usage
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup
    from vfioctl.sysfs.classes import VfioNodes
    from vfioctl.sysfs.fetch import Fetched, Found
    from vfioctl.sysfs.groups import GroupFacts
    from vfioctl.sysfs.holders import Holder
    from vfioctl.sysfs.root import HostRoot


class Gathered(NamedTuple):
    """What devices, groups and VFIO say: the reads that grow with the number of devices."""

    names: tuple[str, ...]
    """The devices that the bus lists."""
    groups: tuple[str, ...] | None
    """The groups that are listed; None where that cannot be known."""
    fetched: Fetched
    vfio: VfioNodes


class Held(NamedTuple):
    """Which programs hold nodes, and of which that may not be known."""

    holders: tuple[Holder, ...]
    unread: dict[str, str]


class Reading(NamedTuple):
    """A host, and what it was put together from."""

    host: Host
    gathered: Gathered
    found: Mapping[PciAddress, Found]
    """The devices' facts, with those marked whose unbind waits."""
    around: Surroundings
    held: Held | None
    """None where it was not looked, as there was nothing to hold."""


def read_host(root: HostRoot, *, files: Files | None = None, outline: bool = False) -> Host:
    """Read the host below a root; ``files`` replaces how (a snapshot is made by recording reads).

    With ``outline`` groups have no type and no members but PCI functions, only displays have BARs, and no
    device is said to be a PCI Express function: enough to list devices, too little to explain groups or to
    show one device.

    Raises:
        UsageError: there is no PCI bus below this root.
        NotPermittedError: the list of PCI devices may not be read.

    """
    return read_whole(files or Files(root), outline=outline).host


def read_whole(files: Files, *, outline: bool = False, before: Reading | None = None) -> Reading:
    """Read a host as `read_host` does, and keep what it was put together from.

    Devices and groups of which all is as ``before`` are the very same objects.
    """
    attributes = Attributes(files)
    names = device_names(files)
    groups = group_names(attributes)
    fetched = fetch(files, names, groups or (), outline=outline)
    gathered = gather(attributes, names, groups, fetched)
    return put_together(attributes, gathered, outline=outline, before=before)


def gather(
    attributes: Attributes, names: list[str], groups: tuple[str, ...] | None, fetched: Fetched
) -> Gathered:
    """Put what was fetched in order of address, beside the nodes of VFIO."""
    fetched.devices.sort(key=_by_address)
    return Gathered(tuple(names), groups, fetched, read_vfio_nodes(attributes))


def put_together(
    attributes: Attributes,
    gathered: Gathered,
    *,
    outline: bool = False,
    before: Reading | None = None,
    held: Held | None = None,
) -> Reading:
    """Make a host of what was gathered, and read what does not grow with the number of devices.

    Which programs hold nodes is read only where it is not given.
    """
    found, group_facts, unread = gathered.fetched
    vfio, mdevs = gathered.vfio, read_mdevs(attributes)
    gpus = read_gpus(attributes, found)
    # Without a node there is nothing to hold: the walk through all processes is spared.
    may_hold = vfio.groups or vfio.functions or gpus.maybe_open
    held = (held or _held(attributes.files)) if may_hold else None
    holders = held.holders if held else ()
    found = mark_unbinding(found, vfio, holders)
    marked = {one.address: one for one in found}
    probes = {one.address: one.facts for one in found}
    around = Surroundings(
        slots=read_slots(attributes),
        vfio=vfio,
        companions=read_companions(attributes),
        usage=read_usage(attributes, probes, Vfio(vfio, holders, mdevs), gpus),
        vf_indexes=_vf_indexes(found),
    )
    devices = _devices(marked, around, before)
    host = Host(
        kernel=KernelRelease.parse(attributes.text(paths.KERNEL_RELEASE) or ""),
        iommu=_iommu_at_work(gathered.groups, devices),
        devices=devices,
        groups=_groups(group_facts, devices, outline=outline, before=before),
        mdevs=mdevs,
        iommu_units=tuple(attributes.names(paths.IOMMU_UNITS)),
        iommufd=attributes.target(paths.IOMMUFD) is not None,
        lockdown=_lockdown(attributes),
        denylist_disabled=attributes.text(paths.DENYLIST_DISABLED) == "Y",
    )
    unread = unread | attributes.unread | (held.unread if held else {})
    notes = {*_unread_attributes(found), *(Unread(*pair) for pair in unread.items())}
    host = host._replace(unread=tuple(sorted(notes, key=_by_place)))
    return Reading(host, gathered, marked, around, held)


def _held(files: Files) -> Held:
    attributes = Attributes(files)
    return Held(read_holders(attributes), attributes.unread)


def _devices(
    found: Mapping[PciAddress, Found], around: Surroundings, before: Reading | None
) -> tuple[PciDevice, ...]:
    if before is None:
        return tuple(make_device(one.address, one.path, one.facts, around) for one in found.values())
    from vfioctl.sysfs.again import remade

    return remade(found, around, before)


def _by_address(one: Found) -> PciAddress:
    return one.address


def _by_place(note: Unread) -> tuple[str, str]:
    return note.path, note.reason


def device_names(files: Files) -> list[str]:
    """Return the devices that the bus lists; raises as `read_host` does."""
    try:
        return files.names(paths.PCI_DEVICES)
    except PermissionError as error:
        raise NotPermittedError(
            f"cannot list PCI devices: {files.root.local(paths.PCI_DEVICES)}: permission denied",
            hint="run it as a user who may read sysfs, or give another --root",
        ) from error
    except OSError as error:
        raise UsageError(
            f"no PCI bus below {files.root.base}: {paths.PCI_DEVICES} cannot be listed",
            hint="give --root a folder that holds sys/bus/pci/devices, an archive made by"
            " 'vfioctl snapshot save', or the word sample",
        ) from error


def _unread_attributes(found: list[Found]) -> Iterator[Unread]:
    # Of thousands few have any; no step of a generator is made for the others, here and below.
    for one in [one for one in found if one.facts.unread]:
        for field, reason in one.facts.unread:
            yield Unread(f"{one.path}/{field}", reason, one.address, field)


def _vf_indexes(found: list[Found]) -> dict[PciAddress, int]:
    parents = [one.facts for one in found if one.facts.virtual_functions]
    pairs = (
        (PciAddress.from_name(name), index) for facts in parents for index, name in facts.virtual_functions
    )
    return {address: index for address, index in pairs if address is not None}


def _iommu_at_work(groups: tuple[str, ...] | None, devices: tuple[PciDevice, ...]) -> bool | None:
    # The folder exists without an IOMMU too, empty (K22); recordings may have only the devices' links.
    if groups or any(device.iommu_group is not None for device in devices):
        return True
    return None if groups is None else False


def _groups(
    found: list[tuple[int, GroupFacts]],
    devices: tuple[PciDevice, ...],
    *,
    outline: bool,
    before: Reading | None,
) -> tuple[IommuGroup, ...]:
    if outline or not found:
        return outline_groups(devices, dict(found))
    if before is None:
        return tuple(make_group(number, facts) for number, facts in found)
    from vfioctl.sysfs.again import groups_remade

    return groups_remade(found, before)


def _lockdown(attributes: Attributes) -> str | None:
    # "none [integrity] confidentiality": the mode in force stands in brackets (K32).
    text = attributes.text(paths.LOCKDOWN) or ""
    _, bracket, rest = text.partition("[")
    return rest.partition("]")[0] if bracket else None
