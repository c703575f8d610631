"""Plan to make and to remove virtual functions.

While they are made no driver takes them: no interface appears that DHCP or NetworkManager would configure,
and none has to be taken from a driver again (K41, K59). Nothing is ever removed that somebody has open (K56).
"""

from __future__ import annotations

from vfioctl.model.binding import Binding, Move
from vfioctl.model.device import PhysicalFunction, VirtualFunction
from vfioctl.plan.findings import Case, gather, ordered, refuse
from vfioctl.plan.plan import Finding, Plan, Severity, Unit
from vfioctl.plan.scope import named
from vfioctl.plan.splitting_causes import driver_hint
from vfioctl.plan.steps import AwaitVfs, SetAutoprobe, SetVfs
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.situation import Situation
    from vfioctl.model.splitting import Splittings
    from vfioctl.plan.plan import Request
    from vfioctl.plan.steps import Step


def plan_sriov(
    host: Host, splittings: Splittings, situation: Situation, request: Request, number: int
) -> Plan:
    """Plan to give each of the devices so many virtual functions; 0 removes them."""
    command = f"sriov {'set' if number else 'off'}"
    units: list[Unit] = []
    findings: list[Finding] = []
    for device in named(host, request):
        barrier = _barrier(device, splittings, number)
        if barrier is not None:
            findings.append(barrier)
            continue
        findings += _doubts(device, splittings, number)
        findings += _losses(host, situation, request, command, device, number)
        steps = tuple(_steps(device, splittings, number))
        if steps:
            units.append(Unit((), steps))
    return Plan(
        command,
        request.devices,
        tuple(sorted(set(request.devices))),
        units=tuple(units),
        findings=ordered(findings),
    )


def vfs_of(device: PciDevice) -> int:
    """Return how many virtual functions a device has."""
    return len(device.sriov.virtual_functions) if isinstance(device.sriov, PhysicalFunction) else 0


def _steps(device: PciDevice, splittings: Splittings, number: int) -> Iterator[Step]:
    now, splitting = vfs_of(device), splittings.of(device.address)
    if number == now:
        return
    if now:
        # Their number changes by way of 0 only (K37).
        yield SetVfs(device.address, 0, now)
    if not number:
        return
    probing = splitting is not None and splitting.autoprobe is True
    if probing:
        yield SetAutoprobe(device.address, on=False, before=True)
    yield SetVfs(device.address, number, 0)
    yield AwaitVfs(device.address, number)
    if probing:
        yield SetAutoprobe(device.address, on=True, before=False)


def _barrier(device: PciDevice, splittings: Splittings, number: int) -> Finding | None:
    """Return what this host cannot do at all (K37, K39, K40)."""
    address = device.address
    if isinstance(device.sriov, VirtualFunction):
        parent = device.sriov.physical_function
        text, hint = "it is a virtual function itself", f"name the one it is part of: {parent}"
    elif not isinstance(device.sriov, PhysicalFunction):
        text, hint = "it has no SR-IOV capability", "see which devices have: vfioctl sriov list"
    elif number == vfs_of(device):
        return None
    elif number > (most := device.sriov.total_vfs if device.sriov.total_vfs is not None else number):
        text = f"it can have {most} virtual functions at most"
        hint = "ask for fewer" if most else "switch SR-IOV on in the firmware of the machine and of the card"
    elif device.driver is None:
        text = "it has no driver, and only a driver makes or removes virtual functions"
        hint = driver_hint(device)
    elif device.on_vfio and number and splittings.vfio_splits is not True:
        text = f"it is on {device.driver}, which makes virtual functions only with enable_sriov=1"
        hint = f"give it back to its own driver: vfioctl unbind {address}"
    else:
        return None
    return refuse("host-cannot", device, text, hint)


def _doubts(device: PciDevice, splittings: Splittings, number: int) -> Iterator[Finding]:
    splitting = splittings.of(device.address)
    if number not in {0, vfs_of(device)} and (splitting is None or splitting.autoprobe is None):
        text = "whether drivers take its virtual functions as they are made is not known"
        hint = f"see: cat /sys/bus/pci/devices/{device.address}/sriov_drivers_autoprobe"
        yield Finding("unknown", Severity.WARN, device.address, text, hint)


def _losses(
    host: Host, situation: Situation, request: Request, command: str, device: PciDevice, number: int
) -> Iterator[Finding]:
    """Yield what is lost with the virtual functions that are there, by the checks of every change."""
    if number == vfs_of(device) or not isinstance(device.sriov, PhysicalFunction):
        return
    present = [host.by_address[one] for one in device.sriov.virtual_functions if one in host.by_address]
    moves = tuple(
        Move(one.address, Binding(one.driver, one.driver_override), Binding(None, None)) for one in present
    )
    yield from gather(Case(command, host, situation, request, moves), recovering=True)
    bound = [str(one.address) for one in present if one.on_vfio]
    if bound:
        text = f"bindings are lost with them: {len(bound)} of {len(present)} are on a vfio driver"
        yield Finding("vfs", Severity.WARN, device.address, text, "new ones have to be bound anew")
    if device.on_vfio and number:
        text = f"it is on {device.driver}: opening its virtual functions takes a VF token"
        hint = "give the same one to both: QEMU -device vfio-pci,vf-token=UUID"
        yield Finding("vfs", Severity.NOTE, device.address, text, hint)
