"""Specifications of the Container Device Interface (CDI): which nodes a container gets with a name."""

from __future__ import annotations

from vfioctl.export.nodes import SHARED, Backend, nodes_now
from vfioctl.model.address import PciAddress
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host

KIND = "vfioctl.io/vfio"
"""Vendor and class: what stands before the ``=`` of a device's full name."""

VERSION = "0.5.0"
"""The first release in which a device's name may begin with a digit, as addresses do; nothing here needs a
later one, and runtimes refuse versions they do not know."""


class Access(NamedTuple):
    """Owner and mode of the nodes inside the container; None leaves them as they are on the host."""

    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


class CdiNode(NamedTuple):
    """A device node; its numbers are left to the runtime, since those of a group change with each bind."""

    path: str
    access: Access = Access()


class CdiDevice(NamedTuple):
    """A device by its address, with all its nodes."""

    address: PciAddress
    nodes: tuple[CdiNode, ...]

    @property
    def name(self) -> str:
        """What a container asks for: ``vfioctl.io/vfio=0000:65:00.0``."""
        return f"{KIND}={self.address}"


def cdi_device(device: PciDevice, backend: Backend, access: Access) -> CdiDevice:
    """Describe a device on a vfio driver.

    Nodes that several devices share stand with each of them: a runtime makes a node of one path once.
    """
    nodes = nodes_now(device, backend)
    return CdiDevice(
        device.address, tuple(CdiNode(path, Access() if path in SHARED else access) for path in nodes)
    )


def completed(stored: Iterable[CdiDevice], needed: Iterable[CdiDevice]) -> tuple[CdiDevice, ...]:
    """Return what is stored and what is needed: the latter's nodes, with owner and mode as stored."""
    devices = {device.address: device for device in stored}
    for device in needed:
        before = devices.get(device.address)
        devices[device.address] = device if before is None else _with_access(device, _access_of(before))
    return tuple(devices[address] for address in sorted(devices))


def _access_of(device: CdiDevice) -> Access:
    return next((node.access for node in device.nodes if node.path not in SHARED), Access())


def _with_access(device: CdiDevice, access: Access) -> CdiDevice:
    nodes = (node if node.path in SHARED else node._replace(access=access) for node in device.nodes)
    return device._replace(nodes=tuple(nodes))


def spec_document(devices: Iterable[CdiDevice]) -> dict[str, Any]:
    """Return the specification's JSON."""
    return {
        "cdiVersion": VERSION,
        "kind": KIND,
        "devices": [
            {
                "name": str(device.address),
                "containerEdits": {"deviceNodes": [_node_document(node) for node in device.nodes]},
            }
            for device in devices
        ],
    }


def spec_text(devices: Iterable[CdiDevice]) -> str:
    """Return the specification as it is stored."""
    import json

    return json.dumps(spec_document(devices), indent=2) + "\n"


def read_spec(text: str) -> tuple[CdiDevice, ...]:
    """Read a specification that this program wrote.

    Raises:
        ValueError: it is none; the message says what is wrong.

    """
    import json

    try:
        document = json.loads(text)
    except RecursionError as problem:
        raise ValueError("it is nested too deeply") from problem
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise ValueError(f"it is no specification of {KIND}")
    devices = document.get("devices")
    if not isinstance(devices, list):
        raise ValueError("it has no list of devices")  # noqa: TRY004 - what is wrong is the file's content
    return tuple(_read_device(device) for device in devices)


def why_stale(host: Host, stored: CdiDevice) -> str | None:
    """Say how a stored device differs from the host; None where it is as it was."""
    device = host.by_address.get(stored.address)
    if device is None:
        return "no such device any more"
    if not device.on_vfio:
        return f"{device.driver or 'no driver'} has it now"
    paths = {node.path for node in stored.nodes}
    if any(paths == set(nodes_now(device, backend)) for backend in Backend):
        return None
    now = " ".join(nodes_now(device, Backend.AUTO))
    return f"its nodes are now {now}" if now else "its nodes could not be read"


def _node_document(node: CdiNode) -> dict[str, Any]:
    uid, gid, mode = node.access
    given = {"fileMode": mode, "uid": uid, "gid": gid}
    return {
        "path": node.path,
        "type": "c",
        "permissions": "rw",
        **{key: value for key, value in given.items() if value is not None},
    }


def _read_device(device: object) -> CdiDevice:
    match device:
        case {"name": str(name), "containerEdits": {"deviceNodes": [*nodes]}}:
            address = PciAddress.from_name(name)
            read = [_read_node(node) for node in nodes]
            if address is not None and None not in read:
                return CdiDevice(address, tuple(node for node in read if node is not None))
        case _:
            pass
    raise ValueError("it has a device that is not described as vfioctl does")


def _read_node(node: object) -> CdiNode | None:
    match node:
        case {"path": str(path), **rest}:
            uid, gid, mode = rest.get("uid"), rest.get("gid"), rest.get("fileMode")
            if isinstance(uid, int | None) and isinstance(gid, int | None) and isinstance(mode, int | None):
                return CdiNode(path, Access(uid, gid, mode))
        case _:
            pass
    return None
