"""Plan to make and to remove mediated devices (K53)."""

from __future__ import annotations

import re

from vfioctl.errors import NotFoundError
from vfioctl.model.usage import UsageKind
from vfioctl.plan.findings import refuse
from vfioctl.plan.plan import Finding, Plan, Unit
from vfioctl.plan.scope import named
from vfioctl.plan.steps import CreateMdev, RemoveMdev
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.model.device import MdevType, PciDevice
    from vfioctl.model.host import Host, MdevInstance
    from vfioctl.plan.plan import Request

_NVIDIA, _INTEL = 0x10DE, 0x8086
_NO_MDEV = (6, 8)
"""The kernel from which on NVIDIA's vGPU driver does without mediated devices (K53)."""
_HOLDING = frozenset({UsageKind.VM, UsageKind.PROCESS})


def plan_creation(host: Host, request: Request, wanted: str, uuids: Sequence[str]) -> Plan:
    """Plan to make a mediated device for each UUID, of a type that is given by its id or its name.

    Raises:
        NotFoundError: the parent is not there, or has no such type.

    """
    (parent,) = named(host, request)
    if not parent.mdev_types:
        text, hint = _without_types(host, parent)
        return _plan("create", parent, (), (refuse("host-cannot", parent, text, hint),))
    kind = kind_of(parent, wanted)
    known = {one.uuid: one for one in host.mdevs}
    new = [uuid for uuid in dict.fromkeys(uuids) if not _is_it(known.get(uuid), parent, kind)]
    findings = [
        refuse("host-cannot", parent, f"{uuid} is the UUID of another mediated device", "take another one")
        for uuid in new
        if uuid in known
    ]
    left = kind.available_instances
    if left is not None and len(new) > left:
        text = f"{left} more of type {kind.id} can be made, not {len(new)}"
        hint = f"see what is left of which: vfioctl mdev types {parent.address}"
        findings.append(refuse("host-cannot", parent, text, hint))
    steps = tuple(CreateMdev(parent.address, kind.id, uuid) for uuid in new)
    return _plan("create", parent, () if findings else steps, tuple(findings))


def plan_removal(host: Host, uuids: Sequence[str]) -> Plan:
    """Plan to remove mediated devices.

    Raises:
        NotFoundError: one of them is not there.

    """
    known = {one.uuid: one for one in host.mdevs}
    for uuid in uuids:
        if uuid not in known:
            raise NotFoundError(
                f"there is no mediated device {uuid}", hint="see which there are: vfioctl mdev list"
            )
    found = [known[uuid] for uuid in dict.fromkeys(uuids)]
    findings = tuple(finding for one in found for finding in _holders(host, one))
    steps = tuple(RemoveMdev(one.parent, one.type_id or "", one.uuid) for one in found)
    parents = tuple(sorted({one.parent for one in found}))
    return Plan("mdev remove", parents, parents, units=(Unit((), steps),), findings=findings)


def _plan(
    command: str, parent: PciDevice, steps: tuple[CreateMdev, ...], findings: tuple[Finding, ...]
) -> Plan:
    units = (Unit((), steps),) if steps else ()
    return Plan(f"mdev {command}", (parent.address,), (parent.address,), units=units, findings=findings)


def _is_it(found: MdevInstance | None, parent: PciDevice, kind: MdevType) -> bool:
    return found is not None and (found.parent, found.type_id) == (parent.address, kind.id)


def kind_of(parent: PciDevice, wanted: str) -> MdevType:
    """Return the type of mediated devices that is meant, by its id or its name.

    Raises:
        NotFoundError: the parent has no such type.

    """
    for kind in parent.mdev_types:
        if wanted in {kind.id, kind.name}:
            return kind
    listed = ", ".join(kind.id for kind in parent.mdev_types)
    raise NotFoundError(f"{parent.address} has no type {wanted}", hint=f"its types are: {listed}")


def _without_types(host: Host, parent: PciDevice) -> tuple[str, str]:
    """Say why a device has no types, and where its maker has put them instead."""
    text = "it offers no types of mediated devices"
    if parent.vendor_id == _NVIDIA and (host.kernel is None or host.kernel[:2] >= _NO_MDEV):
        where = "/sys/bus/pci/devices/VF/nvidia/{creatable_vgpu_types,current_vgpu_type}"
        return (
            f"{text}: from kernel 6.8 on, NVIDIA's vGPU driver has a setting of each virtual function",
            f"make virtual functions: /usr/lib/nvidia/sriov-manage -e {parent.address}; then see {where}",
        )
    if parent.vendor_id == _INTEL and parent.word == "gpu":
        return f"{text}: GVT-g is switched off", "boot with i915.enable_gvt=1, then: modprobe kvmgt"
    hint = "see which devices offer some: vfioctl mdev types"
    return f"{text}: that is for its driver ({parent.driver or 'it has none'}) to do", hint


def _holders(host: Host, mdev: MdevInstance) -> Iterator[Finding]:
    parent = host.by_address.get(mdev.parent)
    if parent is None or mdev.iommu_group is None:
        return
    node = re.compile(rf"/dev/vfio/{mdev.iommu_group}\b")
    for usage in parent.usage:
        if usage.kind in _HOLDING and node.search(usage.detail):
            hint = "shut the virtual machine down, or end the program, first"
            yield refuse("vm", parent, f"{mdev.uuid}: {usage.detail}", hint)
