"""From selectors to the devices of ``vfioctl container-args``, and what of the host matters to them."""

from __future__ import annotations

from pathlib import Path

from vfioctl.cli.export_targets import endpoints, exactly_named, no_backend
from vfioctl.errors import HostCannotError
from vfioctl.export.cdi_files import read_stored
from vfioctl.export.container import Circumstances, Runtime, Workload
from vfioctl.export.nodes import Backend, nodes_now
from vfioctl.export.readiness import Finding, State, group_findings, node_findings, readiness
from vfioctl.sysfs.root import CDI_RUNTIME, CDI_STATIC, KVM_NODE, SELINUX
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.cli.session import Session
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector

_SHOWN = 4


def devices_for_arguments(
    session: Session, host: Host, selectors: Sequence[Selector], backend: str, *, cdi: bool
) -> tuple[tuple[PciDevice, ...], tuple[Finding, ...]]:
    """Return the devices to hand over, bound or not, and what is to be said of them.

    Raises:
        NotFoundError: nothing matches.
        HostCannotError: a device that was named can never be given away or lacks the nodes of the backend; or
            nothing of what was described can be given away.

    """
    chosen = endpoints(session, host, selectors)
    named = exactly_named(host, chosen, selectors)
    states = {device.address: readiness(host, device) for device in chosen}
    never = [device for device in chosen if states[device.address].state is State.NEVER]
    for device in never:
        if device.address in named or len(never) == len(chosen):
            state = states[device.address]
            raise HostCannotError(f"{device.address}: {state.reason}", hint=state.hint)
    devices = tuple(device for device in chosen if device not in never)
    for device in devices:
        if device.on_vfio and backend != Backend.AUTO and not nodes_now(device, Backend(backend)):
            raise no_backend(device.address, backend)
    findings = [
        *_never(never),
        *_unbound(device for device in devices if not device.on_vfio),
        *group_findings(host, devices),
        *node_findings(host, devices),
        *(_not_stored(devices) if cdi and session.root == "/" else ()),
    ]
    return devices, tuple(findings)


def circumstances(
    session: Session,
    devices: Sequence[PciDevice],
    *,
    runtime: str,
    workload: str | None,
    backend: str,
    cdi: bool,
    rootless: bool,
) -> Circumstances:
    """Return what was asked for, with what this host adds: a recorded host does not tell who owns a node."""
    live = session.root == "/"
    nodes = {node for device in devices if device.on_vfio for node in nodes_now(device, Backend(backend))}
    if workload == Workload.QEMU:
        nodes.add(KVM_NODE)
    return Circumstances(
        runtime=Runtime(runtime),
        workload=Workload(workload) if workload else None,
        backend=Backend(backend),
        cdi=cdi,
        rootless=rootless,
        groups=_groups_of(nodes) if live else (),
        labelled=live and Path(SELINUX).exists(),
    )


def _groups_of(nodes: Iterable[str]) -> tuple[int, ...]:
    """Return the groups that may read and write nodes which not everybody may."""
    groups: set[int] = set()
    for node in nodes:
        try:
            found = Path(node).stat()
        except OSError:
            continue
        if found.st_gid and found.st_mode & 0o066 == 0o060:  # noqa: PLR2004 - rw for the group alone
            groups.add(found.st_gid)
    return tuple(sorted(groups))


def _never(devices: Sequence[PciDevice]) -> Iterator[Finding]:
    if devices:
        names = " ".join(str(device.address) for device in devices[:_SHOWN])
        more = f" and {len(devices) - _SHOWN} more" if len(devices) > _SHOWN else ""
        yield Finding(
            "host-cannot", "note", None, f"cannot be given away, left out: {names}{more}", "vfioctl show"
        )


def _unbound(devices: Iterable[PciDevice]) -> Iterator[Finding]:
    for device in devices:
        yield Finding(
            "driver",
            "warn",
            device.address,
            "not on a vfio driver yet; these are the flags it will need, and on a kernel with iommufd its own"
            " node as well",
            f"vfioctl bind {device.address}",
        )


def _not_stored(devices: Iterable[PciDevice]) -> Iterator[Finding]:
    stored = [found for place in (CDI_STATIC, CDI_RUNTIME) if (found := read_stored(place)) is not None]
    known = {device.address for one in stored for device in one.devices}
    for device in devices:
        if device.address not in known:
            yield Finding(
                "cdi", "warn", device.address, "no specification names it yet", "vfioctl cdi generate"
            )
