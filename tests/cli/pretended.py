"""A sample host that can be changed: it is read as recorded, and the fake kernel has its bindings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.support.fake_kernel import BOOT_ID, Device, FakeKernel
from vfioctl.apply import recovery, transaction
from vfioctl.cli import examining, planning
from vfioctl.model.device import PhysicalFunction
from vfioctl.model.situation import NodeMode, Situation
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    import pytest

    from vfioctl.model.host import Host
    from vfioctl.model.usage import Usage
    from vfioctl.plan.outcome import Report

MODULES = {"vfio_pci": "vfio-pci", "vfio_iommu_type1": ""}


class Pretended:
    """This host is that sample host, and this user is root."""

    def __init__(self, host: Host, root: HostRoot, state: Path) -> None:
        """Take a machine with the host's devices, each of which goes to the driver it has."""
        self.recorded = host
        self.root = root
        self.state = str(state)
        self.joined: dict[str, tuple[Usage, ...]] = {}
        """Uses that began after the recording, by address."""
        self.kernel = FakeKernel(
            {str(device.address): _device(device) for device in host.devices},
            {"vfio-pci", *(device.driver for device in host.devices if device.driver)},
            modules=dict(MODULES),
        )

    def host(self, *_root: object, **_how: object) -> Host:
        """Read the host: the recording with the bindings of the kernel."""
        devices = [
            device._replace(
                driver=self.kernel.devices[str(device.address)].driver,
                driver_override=self.kernel.devices[str(device.address)].override,
                unbinding=self.kernel.devices[str(device.address)].blocked,
                usage=(*device.usage, *self.joined.get(str(device.address), ())),
            )
            for device in self.recorded.devices
        ]
        return self.recorded._replace(devices=tuple(devices))

    def nodes(self, *_root: object) -> Iterator[NodeMode]:
        """Yield the nodes of VFIO."""
        for path, text in self.kernel.owners.items():
            uid, gid, mode = text.split(" ")
            yield NodeMode(path, int(uid), int(gid), int(mode, 8))

    def situation(self, *_arguments: object) -> Situation:
        """Return what stands around."""
        return Situation(BOOT_ID, nodes=tuple(self.nodes()))

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the program see and change this host instead of the real one."""

        class Root(HostRoot):
            """A folder that counts as the running system."""

            live = True

        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr("vfioctl.sysfs.root.HostRoot", lambda: Root(*self.root))
        monkeypatch.setattr("vfioctl.sysfs.reader.read_host", self.host)
        # Modules that have a name of their own for these must be loaded by now, or they would keep ours.
        monkeypatch.setattr(planning, "read_host", self.host)
        # It is pretended as a whole.
        monkeypatch.setattr(planning, "read_near", lambda *_: None)
        monkeypatch.setattr(examining, "read_host", self.host)
        monkeypatch.setattr("vfioctl.sysfs.situation.read_situation", self.situation)
        monkeypatch.setattr(planning, "read_situation", self.situation)
        monkeypatch.setattr("vfioctl.sysfs.situation.read_nodes", self.nodes)
        monkeypatch.setattr("vfioctl.sysfs.exclusive.read_exclusive", lambda *_: ((), ()))
        monkeypatch.setattr("vfioctl.apply.transaction.STATE", self.state)
        for room, name in ((transaction, "carry_out"), (recovery, "recover"), (recovery, "forget")):
            monkeypatch.setattr(room, name, self._on_kernel(getattr(room, name)))

    def _on_kernel(self, real: Callable[..., Report | None]) -> Callable[..., Report | None]:
        def called(*arguments: Any, **given: Any) -> Report | None:  # noqa: ANN401
            *plan, settings = arguments
            return real(*plan, settings._replace(state=self.state), port=self.kernel, **given)

        return called


def _device(device: Any) -> Device:  # noqa: ANN401 - a PciDevice
    physical = isinstance(device.sriov, PhysicalFunction)
    return Device(
        str(device.address),
        device.iommu_group,
        (device.driver,) if device.driver and not device.on_vfio else (),
        device.driver,
        device.driver_override,
        device.vendor_id,
        device.device_id,
        device.is_bridge,
        len(device.sriov.virtual_functions) if physical else 0,
        total_vfs=device.sriov.total_vfs if physical else None,
    )
