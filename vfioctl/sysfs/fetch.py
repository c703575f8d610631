"""Get the facts of every device and group, where a read that blocks can be left behind."""

from __future__ import annotations

import errno
import os

from vfioctl.lean import partial
from vfioctl.model.address import PciAddress
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.attribute import resolve
from vfioctl.sysfs.denied import BLOCKED, BLOCKED_REASON, reason_of
from vfioctl.sysfs.groups import GroupFacts, probe_group, probe_outline
from vfioctl.sysfs.probe import CONFIG, DRIVER_OVERRIDE, MDEV_TYPES, Probe, Unidentified, probe
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from vfioctl.sysfs.attribute import Files

    Work = Callable[..., tuple[Any, ...] | str | None]

_ONE_PROCESS_UP_TO = 256
"""Jobs that one reading process does faster than two can be started."""

_MOST_PROCESSES = 4
"""More only wait for each other in the kernel."""

# What to leave out when reading a device blocked: first what is known to take the device's lock, then
# all that asks hardware or a driver (K55).
_ESCALATION: tuple[tuple[str, ...], ...] = (
    (DRIVER_OVERRIDE,),
    (DRIVER_OVERRIDE, CONFIG, MDEV_TYPES),
)


class Found(NamedTuple):
    """A device's facts beside where it is in the device tree."""

    address: PciAddress
    path: str
    facts: Probe


class Fetched(NamedTuple):
    """All that could be read, and what could not."""

    devices: list[Found]
    groups: list[tuple[int, GroupFacts]]
    unread: dict[str, str]
    """Host path to reason."""


def fetch(files: Files, devices: Sequence[str], groups: Sequence[str], *, outline: bool = False) -> Fetched:
    """Read these devices and groups, given by name; on a live host in processes of their own.

    With ``outline`` only the reserved regions of groups are read, and the BARs of displays only.
    """
    unread: dict[str, str] = {}
    addresses: dict[str, PciAddress] = {}
    for name in devices:
        address = PciAddress.from_name(name)
        if address is None:
            unread[f"{paths.PCI_DEVICES}/{name}"] = "malformed: not a PCI address"
        else:
            addresses[f"{paths.PCI_DEVICES}/{name}"] = address
    jobs = [*addresses, *(f"{paths.IOMMU_GROUPS}/{name}" for name in groups)]
    work = partial(_work, files, outline=outline)
    results = dict(zip(jobs, _read(files, jobs, work), strict=True))
    return Fetched(
        devices=list(_devices(addresses, results, unread)),
        groups=list(_groups(groups, results, unread)),
        unread=unread,
    )


def _devices(
    addresses: dict[str, PciAddress],
    results: dict[str, Any],
    unread: dict[str, str],
) -> Iterable[Found]:
    for link, address in addresses.items():
        result = results[link]
        if result is None:
            unread[link] = BLOCKED_REASON
        elif isinstance(result, str):
            unread[link] = result
        else:
            path, facts = result
            yield Found(address, path, Probe._make(facts))


def _groups(
    names: Iterable[str],
    results: dict[str, Any],
    unread: dict[str, str],
) -> Iterable[tuple[int, GroupFacts]]:
    for name in names:
        result = results[f"{paths.IOMMU_GROUPS}/{name}"]
        if result is None:
            unread[f"{paths.IOMMU_GROUPS}/{name}"] = BLOCKED_REASON
            continue
        facts = GroupFacts._make(result)
        unread.update(facts.unread)
        yield int(name), facts


def _read(files: Files, jobs: list[str], work: Work) -> list[Any]:
    """Return what each job gave; None for what blocked to the end."""
    if not files.can_block and len(jobs) <= _ONE_PROCESS_UP_TO:
        return [work(job) for job in jobs]
    processes = 1 if len(jobs) <= _ONE_PROCESS_UP_TO else min(os.cpu_count() or 1, _MOST_PROCESSES)
    results = _in_processes(files, jobs, work, processes)
    for skip in _ESCALATION:
        blocked = [at for at, result in enumerate(results) if result is None]
        if not blocked:
            break
        again = _in_processes(files, [jobs[at] for at in blocked], partial(work, skip=skip), 1)
        for at, result in zip(blocked, again, strict=True):
            results[at] = result
    return results


def _in_processes(files: Files, jobs: list[str], work: Work, processes: int) -> list[Any]:
    """Read in child processes, which also send what a recording keeps."""
    from vfioctl.sysfs.disposable import PATIENCE, gather

    patience = PATIENCE if files.can_block else None
    return gather(jobs, work, processes=processes, patience=patience, files=files)


def _work(
    files: Files, job: str, *, outline: bool, skip: tuple[str, ...] = ()
) -> tuple[Any, ...] | str | None:
    """Read one device or group into plain values; a text says why there are none, None that it blocked."""
    if files.root.denied.get(job) == BLOCKED:
        return None
    if job.startswith(paths.IOMMU_GROUPS):
        return tuple(probe_outline(files, job) if outline else probe_group(files, job))
    try:
        path = _place(files, job)
        folder = files.folder(path)
        try:
            return path, tuple(probe(folder, skip, outline=outline))
        finally:
            folder.close()
    except Unidentified as error:
        return str(error)
    except OSError as error:
        return reason_of(error) or "it went away while it was read"


def _place(files: Files, link: str) -> str:
    """Return where in the device tree a device of the bus is."""
    try:
        return resolve(link, files.link(link))
    except OSError as error:
        # A folder where the kernel has a link: a recording that copied instead of linking.
        if error.errno == errno.EINVAL:
            return link
        raise
