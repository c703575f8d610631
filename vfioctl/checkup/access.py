"""May the program that runs the VM open the nodes (H36, H38, K27, K28)."""

from __future__ import annotations

from vfioctl.checkup.check import Check, Evidence, Status, in_doubt
from vfioctl.model import paths
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.checkup.check import Patient, User
    from vfioctl.model.device import PciDevice
    from vfioctl.model.facts import Stamp

_OPEN = 0o6
_EVERYBODY = 0o666


def nodes(patient: Patient) -> Iterator[Check]:
    """Judge the nodes of the devices that are on a VFIO driver, and the one that all programs open first."""
    facts = patient.facts
    container = next((fact for path in paths.CONTAINERS if (fact := facts.fact(path)).text is not None), None)
    if container is not None:
        title = "this is a container: its device cgroup decides as well, and cannot be read"
        remedy = "hand the nodes in: docker run $(vfioctl container-args SELECTOR) ..."
        yield in_doubt("perm", title, (container,), remedy)
    yield from _common(patient)
    for device in patient.wanted.devices:
        node = device.vfio_group_node or device.vfio_cdev
        if device.on_vfio and node is not None:
            yield _node(patient, device, node)
        elif device.on_vfio:
            seen = (Evidence(f"{paths.VFIO_NODES}/{device.iommu_group}", "not known"),)
            title = "it is on a VFIO driver, but its node is not known"
            yield Check("perm", title, device.address, Status.UNKNOWN, seen)


def _common(patient: Patient) -> Iterator[Check]:
    """Judge /dev/vfio/vfio, which every program of the legacy interface opens first."""
    stamp = patient.facts.stamps.get(paths.VFIO_NODE)
    if stamp is None:
        seen = (Evidence(paths.VFIO_NODE, "not known, or not there before the module vfio is loaded"),)
        yield Check("perm", "who may open /dev/vfio/vfio is unknown", None, Status.UNKNOWN, seen)
        return
    seen = (Evidence(paths.VFIO_NODE, _spelled(stamp)),)
    if stamp.mode & _EVERYBODY == _EVERYBODY:
        yield Check("perm", "everybody may open /dev/vfio/vfio, which is harmless", None, Status.OK, seen)
        return
    user = patient.wanted.user
    allowed = None if user is None or stamp.acl else _may_open(stamp, user)
    if allowed:
        yield Check("perm", f"{user.name if user else ''} may open /dev/vfio/vfio", None, Status.OK, seen)
        return
    title = "only some may open /dev/vfio/vfio: a VM that does not run as root fails (systemd 254 did that)"
    yield Check("perm", title, None, Status.WARN, seen, f"chmod 0666 {paths.VFIO_NODE}; update systemd")


def _node(patient: Patient, device: PciDevice, node: str) -> Check:
    stamp = patient.facts.stamps.get(node)
    if stamp is None:
        seen = (Evidence(node, "owner and mode are not known"),)
        return Check("perm", f"who may open {node} is unknown", device.address, Status.UNKNOWN, seen)
    user, seen = patient.wanted.user, (Evidence(node, _spelled(stamp)),)
    if user is None:
        title = f"{node} belongs to uid {stamp.uid}; libvirt hands it on (--user asks for others)"
        return Check("perm", title, device.address, Status.OK, seen)
    allowed = _may_open(stamp, user)
    if allowed:
        return Check("perm", f"{user.name} may open {node}", device.address, Status.OK, seen)
    if stamp.acl or allowed is None:
        title = f"whether {user.name} may open {node} is unknown"
        return Check("perm", title, device.address, Status.UNKNOWN, seen, f"getfacl {node}")
    title = f"{user.name} may not open {node}: Permission denied"
    remedy = f"vfioctl bind --owner {user.name} {device.address} (libvirt does that by itself)"
    return Check("perm", title, device.address, Status.FAIL, seen, remedy)


def _spelled(stamp: Stamp) -> str:
    return f"uid {stamp.uid}, gid {stamp.gid}, mode {stamp.mode:04o}" + (", with an ACL" if stamp.acl else "")


def _may_open(stamp: Stamp, user: User) -> bool | None:
    """Tell whether a user may open a node for reading and writing; None where the user is not known here."""
    if user.uid is None:
        return None
    if user.uid == 0:
        return True
    if user.uid == stamp.uid:
        return stamp.mode >> 6 & _OPEN == _OPEN
    if stamp.gid in user.gids:
        return stamp.mode >> 3 & _OPEN == _OPEN
    return stamp.mode & _OPEN == _OPEN
