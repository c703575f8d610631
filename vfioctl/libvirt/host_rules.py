"""Rules about a host's devices: what libvirt or the kernel would refuse when the VM starts."""

from __future__ import annotations

from vfioctl.libvirt.findings import Finding, impossible, warning
from vfioctl.libvirt.values import NvmeDisk, PciHostdev, VfInterface, name_of
from vfioctl.model.address import PciAddress
from vfioctl.model.device import VirtualFunction
from vfioctl.model.usage import UsageKind
from vfioctl.model.verdict import reasons_against
from vfioctl.model.viability import assess
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.libvirt.values import Device
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host

# What no change of the host's setup lifts; the other reasons are said, and the XML is made all the same.
_FOR_GOOD = frozenset({"bridge", "board", "vmd"})
_NVME_CLASS = 0x010802


def host_findings(host: Host, devices: Sequence[Device], beside: Sequence[Device] = ()) -> Iterator[Finding]:
    """Yield what the host says to devices that are to go into one domain, beside those it has already."""
    for device in devices:
        if isinstance(device, PciHostdev | VfInterface | NvmeDisk):
            there = host.by_address.get(device.source)
            if there is not None:
                yield from _function_findings(host, device, there)
    yield from _group_findings(host, devices, beside)


def _function_findings(
    host: Host, device: PciHostdev | VfInterface | NvmeDisk, there: PciDevice
) -> Iterator[Finding]:
    name = name_of(device)
    for reason in reasons_against(host, there):
        if reason.check in _FOR_GOOD:
            yield impossible("X6", name, reason.text, f"see: vfioctl show {name}")
        else:
            yield warning("X6", name, reason.text, f"see: vfioctl show {name}")
    if not device.managed and not there.on_vfio:
        now = f"it is on {there.driver}" if there.driver else "it has no driver"
        message = f"managed='no': libvirt will not detach it, and {now}"
        yield warning("X1", name, message, f"before the VM starts: vfioctl bind {name}")
    if isinstance(device, VfInterface):
        yield from _interface_findings(host, there)
    if isinstance(device, NvmeDisk) and there.class_code != _NVME_CLASS:
        message = f"it is no NVMe controller but of class {there.class_code:06x}"
        yield impossible("nvme", name, message, "leave --nvme out: it can go as a whole")
    if not isinstance(device, NvmeDisk) and device.driver_model and not device.managed:
        message = "the driver model has no effect without managed='yes'"
        yield warning("X3", name, message, f"vfioctl bind --driver {device.driver_model} {name}")
    if there.usage:
        uses = "; ".join(usage.detail for usage in there.usage)
        message = f"the host uses it, and libvirt does not ask: {uses}"
        yield warning("usage", name, message, f"see: vfioctl show {name}")


def _interface_findings(host: Host, there: PciDevice) -> Iterator[Finding]:
    name = str(there.address)
    if not isinstance(there.sriov, VirtualFunction):
        message = "it is no virtual function: libvirt gives only those as interfaces"
        yield impossible("X5", name, message, "leave --interface out: it can go as a plain host device")
        return
    physical = host.by_address.get(there.sriov.physical_function)
    if physical is None or (not physical.net_interfaces and physical.driver is None):
        owner = there.sriov.physical_function
        message = f"no interface of {owner} can be seen, and libvirt sets the MAC by it"
        yield warning("X5", name, message, f"see: vfioctl show {owner}")
    elif not physical.net_interfaces:
        message = (
            f"its physical function {physical.address} is on {physical.driver} and has no interface,"
            " by which libvirt would set the MAC"
        )
        yield impossible("X5", name, message, "leave --interface out, or give the network driver back to it")
    elif not any(usage.kind is UsageKind.INTERFACE for usage in physical.usage):
        interface = physical.net_interfaces[0]
        message = (
            f"{interface} of its physical function is down, and libvirt sets the MAC only while it is up"
        )
        yield warning("offline", name, message, f"before the VM starts: ip link set {interface} up")


def _group_findings(host: Host, devices: Sequence[Device], beside: Sequence[Device]) -> Iterator[Finding]:
    """Yield the members of the devices' groups that stay with the host and keep the group from VFIO (X2)."""
    listed = {str(address) for address in _functions([*devices, *beside])}
    groups: dict[int, PciAddress] = {}
    for address in _functions(devices):
        there = host.by_address.get(address)
        group = host.group_of(there) if there is not None else None
        if group is not None:
            groups.setdefault(group.id, address)
    for number, first in groups.items():
        for blocker in assess(host, host.by_group[number]).blockers:
            # What is listed is detached by libvirt, or the rule about managed='no' speaks of it.
            if blocker.name not in listed:
                message = f"its group {number} is not viable: {blocker.name}: {blocker.reason}"
                member = PciAddress.from_name(blocker.name)
                helps = member is not None and member in siblings(host, [first])
                hint = f"add --group, or: vfioctl bind {first}" if helps else f"vfioctl groups group:{number}"
                yield warning("X2", str(first), message, hint)


def _functions(devices: Sequence[Device]) -> list[PciAddress]:
    return [device.source for device in devices if isinstance(device, PciHostdev | VfInterface | NvmeDisk)]


def siblings(host: Host, listed: Sequence[PciAddress]) -> tuple[PciAddress, ...]:
    """Return the other endpoints of the devices' groups that can be given away, in address order."""
    groups = {host.by_address[address].iommu_group for address in listed if address in host.by_address}
    return tuple(
        device.address
        for device in host.devices
        if device.iommu_group in groups - {None}
        and device.address not in listed
        and not reasons_against(host, device)
    )
