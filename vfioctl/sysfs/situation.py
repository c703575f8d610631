"""Read what stands around a request to change something, beside the host itself."""

from __future__ import annotations

import os
import stat

from vfioctl.model.situation import NodeMode, Situation
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.attribute import Attributes, Files
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot

RECORDED = "a recorded host does not tell which session a command runs in, nor what has opened its disks"


def read_situation(
    root: HostRoot, host: Host, devices: Iterable[PciAddress], environ: Mapping[str, str]
) -> Situation:
    """Read boot id, ssh sessions, the nodes of VFIO, and which disks below these devices are open.

    The disks are those that something has for itself alone although no use of the host explains it. Records
    are left empty. Raises nothing: what cannot be found out is said in `unknown`.
    """
    attributes = Attributes(Files(root))
    boot_id = attributes.text(paths.BOOT_ID)
    if not root.live:
        return Situation(boot_id, unknown=(RECORDED,))
    from vfioctl.sysfs.exclusive import read_exclusive
    from vfioctl.sysfs.session import read_sessions

    sessions, doubts = read_sessions(attributes, host, environ)
    exclusive, unasked = read_exclusive(host, devices)
    return Situation(
        boot_id,
        sessions=sessions,
        exclusive=exclusive,
        nodes=tuple(sorted(read_nodes(root))),
        unknown=(*doubts, *unasked),
    )


def read_nodes(root: HostRoot) -> Iterator[NodeMode]:
    """Yield owner and mode of the nodes of VFIO."""
    for folder in (paths.VFIO_GROUP_NODES, paths.VFIO_DEVICE_NODES):
        try:
            names = os.listdir(root.local(folder))
        except OSError:
            continue
        for name in names:
            try:
                found = os.stat(root.local(f"{folder}/{name}"))
            except OSError:
                continue
            if stat.S_ISCHR(found.st_mode):
                yield NodeMode(f"{folder}/{name}", found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
