"""Why a driver may not have taken a device: what ``bind`` and ``drivers_probe`` answer (K2, K13)."""

from __future__ import annotations

import errno

from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.usage import UsageKind
from vfioctl.model.value import NamedTuple
from vfioctl.model.verdict import reasons_against
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.plan.outcome import StepOutcome
    from vfioctl.plan.steps import BindDriver

DEVICES = "/sys/bus/pci/devices"
LOG = "see what the kernel says: dmesg | tail"
GONE = "the device is gone: it was unplugged, or its virtual function was removed"
MEDDLER = "something else moves it too: a udev rule, driverctl or libvirt"
_HOLDING = frozenset({UsageKind.VM, UsageKind.PROCESS, UsageKind.GPU})
_HINTS = {
    "bridge": "give the VM a device behind it: vfioctl scan",
    "no-iommu": "switch it on in the firmware and, on Intel, boot with intel_iommu=on",
    "no-group": "see: ls -l {where}/iommu_group",
    "denylist": "if you must: modprobe -r vfio_pci; modprobe vfio_pci disable_denylist=1",
}


class Cause(NamedTuple):
    """One possible cause, and what to do if it is the one."""

    text: str
    hint: str


def of_bind(step: BindDriver, outcome: StepOutcome, device: PciDevice | None, host: Host) -> Iterator[Cause]:
    """Yield why a driver did not take a device that it was given."""
    where = f"{DEVICES}/{step.address}"
    match outcome.errno:
        case errno.ENODEV:
            text = f"its driver_override names another driver, or {step.driver} is not made for it"
            yield Cause(text, f"see: cat {where}/driver_override; modinfo {step.driver}")
            yield Cause(GONE, "see which there are: vfioctl scan")
        case errno.ENOENT:
            text = (
                f"there is no driver {step.driver}: its module was unloaded, or brings it under another name"
            )
            yield Cause(text, f"see which there are: ls /sys/bus/pci/drivers; modprobe {step.driver}")
        case errno.EINVAL | errno.EBUSY if is_vfio_driver(step.driver):
            yield from _of_vfio_bind(outcome.errno, device, host, where)
        case errno.EBUSY:
            yield _sibling_in_use(device, host)
            yield Cause("something else has bound it meanwhile", f"see: readlink {where}/driver")
        case errno.EAGAIN:
            yield _deferred(step.driver)
        case None if is_vfio_driver(outcome.seen):
            yield _dynamic_id(device, str(outcome.seen))
        case None:
            yield Cause(f"{step.driver} let go of it again, or something else took it", LOG)
            yield Cause(MEDDLER, f"see: udevadm info -a {where}; driverctl list-overrides")
        case _:
            yield Cause(f"this is what {step.driver} answered when it looked at the device", LOG)


def _of_vfio_bind(number: int | None, device: PciDevice | None, host: Host, where: str) -> Iterator[Cause]:
    reasons = () if device is None else reasons_against(host, device)
    if number == errno.EBUSY:
        if any(reason.check == "vfs" for reason in reasons):
            hint = f"remove them first: vfioctl sriov off {where.rpartition('/')[2]}"
            yield Cause("it has virtual functions enabled", hint)
        yield Cause("something else has bound it meanwhile", f"see: readlink {where}/driver")
        yield Cause("virtual functions of it were enabled meanwhile", f"see: cat {where}/sriov_numvfs")
        return
    # In the order in which the kernel looks (K13, K14, K16).
    for check in ("bridge", "no-iommu", "no-group", "denylist"):
        for reason in reasons:
            if reason.check == check:
                yield Cause(reason.text, _HINTS[check].format(where=where))
    yield Cause(
        "it is a bridge, or has no IOMMU group, or vfio-pci denies its model", f"{LOG}; ls -l {where}"
    )


def of_probe(outcome: StepOutcome, device: PciDevice | None, host: Host) -> Iterator[Cause]:
    """Yield why the kernel did not find a driver of the host's."""
    match outcome.errno:
        case errno.EINVAL | errno.EBUSY:
            yield _sibling_in_use(device, host)
        case errno.ENODEV:
            yield Cause(GONE, "see which there are: vfioctl scan")
        case errno.EAGAIN:
            yield _deferred("the driver")
        case None if is_vfio_driver(outcome.seen):
            yield _dynamic_id(device, str(outcome.seen))
        case None:
            yield Cause(MEDDLER, f"see: readlink {DEVICES}/{outcome.step.address}/driver")
        case _:
            yield Cause("this is what the driver answered when it looked at the device", LOG)


def _sibling_in_use(device: PciDevice | None, host: Host) -> Cause:
    """Return the cause that a host driver is kept from a group which a VFIO user owns (K4, K21)."""
    held = next(holders(device, host), None)
    group = "" if device is None or device.iommu_group is None else f" group:{device.iommu_group}"
    if held is None:
        hint = f"see who has it open, end that program, and try again: vfioctl groups{group}"
        return Cause("a device of the same IOMMU group is in use by a virtual machine", hint)
    text = f"a device of the same IOMMU group is in use: {held}"
    return Cause(text, f"end that program first, then look again: vfioctl groups{group}")


def _deferred(driver: str) -> Cause:
    text = f"{driver} waits for something else before it takes the device, and did not get it in time"
    return Cause(
        text, "see for what: cat /sys/kernel/debug/devices_deferred; try again with a longer --timeout"
    )


def _dynamic_id(device: PciDevice | None, driver: str) -> Cause:
    # Ids that were added cannot be listed, and outlive every binding (K11).
    text = (
        f"{driver} was told to take every device with these ids: by new_id, or by its option ids="
        " (modprobe.d, kernel command line)"
    )
    if device is None:
        return Cause(text, "see: grep -r ids= /etc/modprobe.d /proc/cmdline")
    ids = f"{device.vendor_id:04x} {device.device_id:04x}"
    return Cause(
        text, f"take the ids back, then try again: echo {ids} > /sys/bus/pci/drivers/{driver}/remove_id"
    )


def holders(device: PciDevice | None, host: Host) -> Iterator[str]:
    """Yield who has a device open, then who has a sibling, each once."""
    if device is None:
        return
    group = host.group_of(device)
    members = (device, *(host.members(group) if group is not None else ()))
    uses = (usage.detail for member in members for usage in member.usage if usage.kind in _HOLDING)
    yield from dict.fromkeys(uses)
