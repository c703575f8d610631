"""Every check over every device that would move, in one list; ``--force`` turns a refusal into a warning."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.plan.plan import Finding, Severity
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.binding import Move
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.situation import Situation
    from vfioctl.plan.plan import Request

FORCEABLE = ("storage", "storage-root", "net", "ssh", "console", "gpu-busy", "input", "mdev")
"""Checks that ``--force`` lifts; those of running machines and of what the host cannot do have none."""


class Case(NamedTuple):
    """What the checks look at."""

    host: Host
    situation: Situation
    request: Request
    moves: tuple[Move, ...]
    for_vfio: bool
    """The devices go to VFIO: then the IOMMU, the group and the device itself must allow it."""

    @property
    def moving(self) -> tuple[PciDevice, ...]:
        """The devices that would move."""
        return tuple(self.host.by_address[move.address] for move in self.moves)

    @property
    def losing(self) -> tuple[PciDevice, ...]:
        """Those that would leave a driver of the host's."""
        return tuple(
            device
            for device in self.moving
            if device.driver is not None and not device.on_vfio and not device.is_bridge
        )


def gather(case: Case) -> tuple[Finding, ...]:
    """Run every check; refusals first, then by address."""
    from vfioctl.plan.checks import display, host, network, storage, vfio

    found = [
        _forced(case, finding)
        for check in (
            host.cannot,
            vfio.held,
            vfio.mediated,
            vfio.viability,
            storage.storage,
            network.network,
            network.ssh,
            display.console,
            display.gpu_busy,
            display.input_devices,
            host.unknown,
        )
        for finding in check(case)
    ]
    order = list(Severity)
    return tuple(sorted(dict.fromkeys(found), key=lambda one: order.index(one.severity)))


def _forced(case: Case, finding: Finding) -> Finding:
    lifted = finding.check in case.request.force and finding.check in FORCEABLE
    if not lifted or finding.severity is not Severity.REFUSE:
        return finding
    return finding._replace(severity=Severity.WARN, hint="lifted by --force")


def refuse(check: str, device: PciDevice, message: str, hint: str) -> Finding:
    """Return a refusal."""
    return Finding(check, Severity.REFUSE, device.address, message, hint)


def warn(check: str, device: PciDevice, message: str, hint: str) -> Finding:
    """Return a warning."""
    return Finding(check, Severity.WARN, device.address, message, hint)
