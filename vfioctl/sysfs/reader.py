"""Read a whole host once into a frozen value.

One odd device never empties the machine: what is malformed, vanished, unreadable or blocked is reported
in :attr:`vfioctl.model.host.Host.unread`, and the rest is read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from vfioctl.errors import NotPermittedError, UsageError
from vfioctl.model.address import PciAddress
from vfioctl.model.host import Host, Unread
from vfioctl.model.kernel import KernelRelease
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.assemble import Surroundings, make_device
from vfioctl.sysfs.attribute import Attributes, Files
from vfioctl.sysfs.classes import read_companions, read_mdevs, read_slots, read_vfio_nodes
from vfioctl.sysfs.denied import BLOCKED_REASON
from vfioctl.sysfs.disposable import gather
from vfioctl.sysfs.groups import GroupFacts, group_names, groups_from_devices, make_group, probe_group
from vfioctl.sysfs.probe import CONFIG, DRIVER_OVERRIDE, MDEV_TYPES, Probe, Unidentified, probe
from vfioctl.sysfs.usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup
    from vfioctl.sysfs.root import HostRoot

_ONE_CHILD_UP_TO = 256
"""Jobs that one reading process does faster than two can be started."""

# What to leave out when reading a device blocked: first what is known to take the device's lock, then
# all that asks hardware or a driver (K55).
_ESCALATION: tuple[tuple[str, ...], ...] = (
    (DRIVER_OVERRIDE,),
    (DRIVER_OVERRIDE, CONFIG, MDEV_TYPES),
)


class _Found(NamedTuple):
    """A device's facts beside where it is."""

    address: PciAddress
    path: str
    facts: Probe


def read_host(root: HostRoot, *, files: Files | None = None) -> Host:
    """Read the host below a root; ``files`` replaces how (a snapshot is made by recording reads).

    Raises:
        UsageError: there is no PCI bus below this root.
        NotPermittedError: the list of PCI devices may not be read.

    """
    files = files or Files(root)
    attributes = Attributes(files)
    names = _device_names(files)
    groups = group_names(attributes)
    located = _locate(attributes, names)
    results = _gather(files, located, groups or ())
    found = list(_found(located, results, attributes))
    probes = {one.address: one.facts for one in found}
    vfio, mdevs = read_vfio_nodes(attributes), read_mdevs(attributes)
    surroundings = Surroundings(
        slots=read_slots(attributes),
        vfio=vfio,
        companions=read_companions(attributes),
        usage=read_usage(attributes, probes, vfio, mdevs),
        vf_indexes=_vf_indexes(found),
    )
    devices = tuple(make_device(one.address, one.path, one.facts, surroundings) for one in found)
    unread = [*_unread_attributes(found), *(Unread(*pair) for pair in attributes.unread.items())]
    return Host(
        kernel=KernelRelease.parse(attributes.text(paths.KERNEL_RELEASE) or ""),
        iommu=_iommu_at_work(groups, devices),
        devices=devices,
        groups=_groups(groups, results, devices, unread),
        mdevs=mdevs,
        iommu_units=tuple(attributes.names(paths.IOMMU_UNITS)),
        iommufd=attributes.target(paths.IOMMUFD) is not None,
        lockdown=_lockdown(attributes),
        denylist_disabled=attributes.text(paths.DENYLIST_DISABLED) == "Y",
        unread=tuple(sorted(set(unread))),
    )


def _device_names(files: Files) -> list[str]:
    try:
        names = files.names(paths.PCI_DEVICES)
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
    # Kernel names are fixed width but for the domain, so this is numeric order without parsing.
    names.sort(key=lambda name: (len(name), name))
    return names


def _locate(attributes: Attributes, names: list[str]) -> dict[PciAddress, str]:
    """Return where each device's own folder is; what has no address for a name is reported."""
    located: dict[PciAddress, str] = {}
    for name in names:
        path = f"{paths.PCI_DEVICES}/{name}"
        address = PciAddress.from_name(name)
        if address is None:
            attributes.unread[path] = "malformed: not a PCI address"
            continue
        target = attributes.target(path)
        if target is not None:
            located[address] = target
    return located


def _gather(files: Files, located: dict[PciAddress, str], groups: Collection[str]) -> dict[str, Any]:
    """Read devices and groups: on a live host, or where there are many, in reading processes."""
    group_paths = [f"{paths.IOMMU_GROUPS}/{name}" for name in groups]
    jobs = [*located.values(), *group_paths]
    # A folder's reads cannot block, so a small one is read right here.
    if not files.root.live and len(jobs) <= _ONE_CHILD_UP_TO:
        return {job: _work(files, job) for job in jobs}
    processes = 1 if len(jobs) <= _ONE_CHILD_UP_TO else min(os.cpu_count() or 1, 4)
    results = _in_processes(files, jobs, (), processes)
    for skip in _ESCALATION:
        blocked = [job for job, result in results.items() if result is None]
        if not blocked:
            break
        results.update(_in_processes(files, blocked, skip, 1))
    return results


def _in_processes(files: Files, jobs: list[str], skip: tuple[str, ...], processes: int) -> dict[str, Any]:
    """Read in child processes; None for what blocked."""
    results: dict[str, Any] = {}
    found = gather(jobs, lambda job: (_work(files, job, skip), files.drain()), processes=processes)
    for job, result in zip(jobs, found, strict=True):
        results[job] = None
        if result is not None:
            results[job], traces = result
            files.absorb(traces)
    return results


def _work(files: Files, job: str, skip: tuple[str, ...] = ()) -> tuple[Any, ...]:
    """Read one device or group into plain values; a text alone says why there are none."""
    if job.startswith(paths.IOMMU_GROUPS):
        return tuple(probe_group(files, job))
    try:
        folder = files.folder(job)
        try:
            return tuple(probe(folder, skip))
        finally:
            folder.close()
    except Unidentified as error:
        return (str(error),)
    except OSError as error:
        return (f"it went away while it was read ({(error.strerror or '').lower()})",)


def _found(
    located: dict[PciAddress, str],
    results: dict[str, Any],
    attributes: Attributes,
) -> Iterator[_Found]:
    for address, path in located.items():
        result = results[path]
        if result is None:
            attributes.unread[path] = BLOCKED_REASON
        elif len(result) == 1:
            attributes.unread[path] = result[0]
        else:
            yield _Found(address, path, Probe._make(result))


def _unread_attributes(found: list[_Found]) -> Iterator[Unread]:
    for one in found:
        for field, reason in one.facts.unread:
            yield Unread(f"{one.path}/{field}", reason, one.address, field)


def _vf_indexes(found: list[_Found]) -> dict[PciAddress, int]:
    pairs = (
        (PciAddress.from_name(name), index) for one in found for index, name in one.facts.virtual_functions
    )
    return {address: index for address, index in pairs if address is not None}


def _iommu_at_work(groups: tuple[str, ...] | None, devices: tuple[PciDevice, ...]) -> bool | None:
    # The folder exists without an IOMMU too, empty (K22); recordings may have only the devices' links.
    if groups or any(device.iommu_group is not None for device in devices):
        return True
    return None if groups is None else False


def _groups(
    names: tuple[str, ...] | None,
    results: dict[str, Any],
    devices: tuple[PciDevice, ...],
    unread: list[Unread],
) -> tuple[IommuGroup, ...]:
    if not names:
        return groups_from_devices(devices)
    groups = []
    for name in names:
        path = f"{paths.IOMMU_GROUPS}/{name}"
        if results[path] is None:
            unread.append(Unread(path, BLOCKED_REASON))
            continue
        facts = GroupFacts._make(results[path])
        unread.extend(Unread(*pair) for pair in facts.unread)
        groups.append(make_group(int(name), facts))
    return tuple(groups)


def _lockdown(attributes: Attributes) -> str | None:
    # "none [integrity] confidentiality": the mode in force stands in brackets (K32).
    text = attributes.text(paths.LOCKDOWN) or ""
    _, bracket, rest = text.partition("[")
    return rest.partition("]")[0] if bracket else None
