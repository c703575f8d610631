"""Every check over every device that would move, in one list; ``--force`` turns a refusal into a warning."""

from __future__ import annotations

from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.value import NamedTuple
from vfioctl.plan.foresee import lost_with
from vfioctl.plan.plan import Finding, Severity
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vfioctl.model.binding import Move
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.situation import Situation
    from vfioctl.plan.plan import Request

FORCEABLE = ("storage", "storage-root", "net", "ssh", "console", "gpu-busy", "input", "mdev")
"""Checks that ``--force`` lifts; those of running machines and of what the host cannot do have none."""

_FEW = 8


class Case(NamedTuple):
    """What the checks look at."""

    command: str
    """``bind``, ``unbind`` or ``recover``."""
    host: Host
    situation: Situation
    request: Request
    moves: tuple[Move, ...]
    barred: tuple[PciDevice, ...] = ()
    """Devices that would have to move and cannot: there are no steps for them."""

    @property
    def moving(self) -> tuple[PciDevice, ...]:
        """The devices that would move."""
        return tuple(self.host.by_address[move.address] for move in self.moves)

    @property
    def for_vfio(self) -> tuple[PciDevice, ...]:
        """Those that would come to a VFIO driver."""
        return tuple(
            self.host.by_address[move.address] for move in self.moves if is_vfio_driver(move.goal.driver)
        )

    @property
    def losing(self) -> tuple[PciDevice, ...]:
        """What would leave a driver of the host's, and what vanishes with it."""
        leaving = (move.address for move in self.moves if _leaves_host(move))
        return lost_with(self.host, leaving)

    def asking(self, *options: str) -> str:
        """Return the command as it was typed, with more options."""
        request = self.request
        words = ["vfioctl", self.command]
        words += ["--device-only"] if request.device_only else []
        words += ["--release-shpchp"] if request.release_shpchp else []
        words += ["--driver", request.driver] if request.driver is not None else []
        words += ["--owner", _owner(request)] if _owner(request) else []
        words += ["--mode", f"{request.mode:04o}"] if request.mode is not None else []
        words += [word for check in sorted(request.force) for word in ("--force", check)]
        words += options
        named = [str(address) for address in request.devices]
        return " ".join((*words, *(named if len(named) <= _FEW else [*named[:_FEW], "..."])))


def _owner(request: Request) -> str:
    return ("" if request.uid is None else str(request.uid)) + (
        "" if request.gid is None else f":{request.gid}"
    )


def _leaves_host(move: Move) -> bool:
    driver = move.before.driver
    return (
        driver is not None
        and not is_vfio_driver(driver)
        and (move.kernel_decides or move.goal.driver != driver)
    )


def gather(case: Case, *, recovering: bool = False) -> tuple[Finding, ...]:
    """Run every check; refusals first, then in the order of the checks.

    What is ``recovering`` goes where it has been already: that the host and the groups allow it is known.
    """
    from vfioctl.plan.checks import display, host, network, storage, usb, vfio

    able: tuple[Callable[[Case], Iterator[Finding]], ...] = (host.cannot, vfio.viability, usb.companions)
    checks = (
        *(() if recovering else able),
        vfio.held,
        vfio.mediated,
        storage.storage,
        network.network,
        network.ssh,
        display.console,
        display.gpu_busy,
        display.input_devices,
        vfio.token,
        host.unknown,
    )
    return ordered(_forced(case, finding) for check in checks for finding in check(case))


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings, each once, the gravest first."""
    order = list(Severity)
    return tuple(sorted(dict.fromkeys(findings), key=lambda one: order.index(one.severity)))


def _forced(case: Case, finding: Finding) -> Finding:
    if finding.severity is not Severity.REFUSE or finding.check not in FORCEABLE:
        return finding
    if finding.check in case.request.force:
        return finding._replace(severity=Severity.WARN)
    if case.command == "recover":  # it has no --force: what was begun with one can be begun anew
        return finding
    return finding._replace(hint=f"{finding.hint}; if you mean it: {case.asking('--force', finding.check)}")


def refuse(check: str, device: PciDevice, message: str, hint: str) -> Finding:
    """Return a refusal."""
    return Finding(check, Severity.REFUSE, device.address, message, hint)


def warn(check: str, device: PciDevice, message: str, hint: str) -> Finding:
    """Return a warning."""
    return Finding(check, Severity.WARN, device.address, message, hint)
