"""The CDI specification beside ``serve-plugin``: it has every name that the kubelet is answered with."""

from __future__ import annotations

from threading import Lock

from vfioctl.errors import VfioctlError
from vfioctl.export.cdi import Access, CdiDevice, CdiNode, cdi_device, completed, why_stale
from vfioctl.export.cdi_files import read_stored, store
from vfioctl.export.nodes import Backend, nodes_after_bind
from vfioctl.sysfs.root import CDI_RUNTIME, CDI_STATIC
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.plugin.naming import Named


class Specification:
    """Completes what is stored; what somebody else stored there stays, with its owners and modes.

    It is left behind in the end: a container that starts again is given its name without the plugin.
    """

    def __init__(self, folder: str = CDI_RUNTIME, static: str = CDI_STATIC) -> None:
        """Write below ``folder``; what ``static`` has already is not written."""
        self._folder = folder
        self._static = static
        self._named: set[PciAddress] = set()
        self._lock = Lock()

    def __call__(self, host: Host, wanted: Iterable[Named]) -> str | None:
        """Have these names on disk, as the host is now; return why that could not be."""
        with self._lock:
            try:
                self._complete(host, tuple(_devices(host, wanted)))
            except VfioctlError as error:
                return error.message
        return None

    def _complete(self, host: Host, needed: tuple[CdiDevice, ...]) -> None:
        self._named |= {device.address for device in needed}
        runtime, static = read_stored(self._folder), read_stored(self._static)
        before = runtime.devices if runtime else ()
        # What holds no more goes, if it came from here.
        passed = self._named - {one.address for one in needed}
        kept = [one for one in before if one.address not in passed or why_stale(host, one) is None]
        known = {one.address: _paths(one) for one in (*(static.devices if static else ()), *kept)}
        missing = [one for one in needed if known.get(one.address) != _paths(one)]
        if missing or len(kept) < len(before):
            store(self._folder, completed(kept, missing))


def _devices(host: Host, wanted: Iterable[Named]) -> Iterator[CdiDevice]:
    for address, backend in wanted:
        device = host.by_address.get(address)
        if device is None:
            continue
        if device.on_vfio:
            made = cdi_device(device, Backend(backend.value), Access())
        else:
            # It is bound when a pod asks for it; the node of its group is known before.
            made = CdiDevice(address, tuple(map(CdiNode, nodes_after_bind(device))))
        if made.nodes:
            yield made


def _paths(device: CdiDevice) -> tuple[str, ...]:
    return tuple(node.path for node in device.nodes)
