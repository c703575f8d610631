"""An errno at a step, in words: what happened, why (most likely first), and what to type next."""

from __future__ import annotations

import errno
from typing import assert_never

from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.usage import UsageKind
from vfioctl.model.value import NamedTuple
from vfioctl.model.verdict import reasons_against
from vfioctl.plan.outcome import Status
from vfioctl.plan.steps import BindDriver, LoadModule, OwnNode, ProbeDrivers, SetOverride, UnbindDriver
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.plan.outcome import StepOutcome

_HOLDING = frozenset({UsageKind.VM, UsageKind.PROCESS, UsageKind.GPU})


class Explanation(NamedTuple):
    """Why a step did not end well."""

    what: str
    why: tuple[str, ...]
    """Possible causes, the most likely first."""
    hint: str


def explain(outcome: StepOutcome, host: Host) -> Explanation:
    """Explain a step that failed or is stuck, by what the host was like before."""
    device = host.by_address.get(outcome.step.address) if outcome.step.address is not None else None
    what = _what(outcome)
    if outcome.status is Status.STUCK:
        return Explanation(what, tuple(_why_stuck(device)), _after_stuck(device))
    why = tuple(dict.fromkeys((*_of_any_write(outcome), *_of_step(outcome, device, host))))
    return Explanation(what, why, _hint(outcome, device))


def _what(outcome: StepOutcome) -> str:
    tried = _tried(outcome)
    if outcome.status is Status.STUCK:
        return f"{tried}: the kernel has not answered; the write goes on"
    if outcome.errno is not None:
        name = errno.errorcode.get(outcome.errno, str(outcome.errno))
        return f"{tried}: the kernel said no ({name})"
    seen = outcome.seen or "nothing"
    if isinstance(outcome.step, LoadModule):
        return f"{tried}: {seen}"
    return f"{tried}: the kernel said yes, but found afterwards: {seen}"


def _tried(outcome: StepOutcome) -> str:
    step = outcome.step
    match step:
        case LoadModule():
            return f"loading the module {step.module}"
        case SetOverride():
            to = f"to {step.override}" if step.override is not None else "to nothing"
            return f"{step.address}: setting driver_override {to}"
        case UnbindDriver():
            return f"{step.address}: taking it from {step.driver}"
        case BindDriver():
            return f"{step.address}: giving it to {step.driver}"
        case ProbeDrivers():
            return f"{step.address}: letting the kernel find a driver"
        case OwnNode():
            return f"{step.path}: setting owner and mode ({step.value})"
        case _:
            assert_never(step)


def _of_any_write(outcome: StepOutcome) -> Iterator[str]:
    match outcome.errno:
        case errno.EACCES | errno.EPERM:
            yield "this user may not: not root, or root without the capability (a container, lockdown)"
        case errno.EROFS:
            yield "sysfs is mounted read-only, as containers have it"
        case errno.EIO:
            yield "the device or its driver failed; the kernel's log says more"
        case errno.ENOMEM:
            yield "the kernel is out of memory"
        case _:
            return


def _of_step(outcome: StepOutcome, device: PciDevice | None, host: Host) -> Iterator[str]:
    match outcome.step:
        case BindDriver():
            yield from _why_not_bound(outcome.step, outcome, device, host)
        case ProbeDrivers():
            yield from _why_not_probed(outcome, device)
        case UnbindDriver():
            yield from _why_not_unbound(outcome.step, outcome)
        case SetOverride():
            yield from _why_not_overridden(outcome)
        case LoadModule():
            yield "the module is not installed for this kernel, is blacklisted, or does not fit it"
        case OwnNode():
            if outcome.errno == errno.ENOENT:
                yield "the node has not appeared: no device of the group is on a vfio driver, or udev is slow"
        case _:
            assert_never(outcome.step)


def _why_not_unbound(step: UnbindDriver, outcome: StepOutcome) -> Iterator[str]:
    if outcome.errno == errno.ENODEV:
        yield f"it was not on {step.driver} any more: something else has moved it"
    elif outcome.errno == errno.ENOENT:
        yield f"the driver {step.driver} is gone: its module was unloaded"
    elif outcome.errno is None:
        yield "something gave it to a driver again at once: a udev rule, driverctl or libvirt"


def _why_not_overridden(outcome: StepOutcome) -> Iterator[str]:
    if outcome.errno in {errno.ENOENT, errno.ENODEV}:
        yield "the device is gone: unplugged, or its virtual function was removed"
    elif outcome.errno == errno.EINVAL:
        yield "the name is too long for the kernel"
    elif outcome.errno is None:
        yield "something else writes it too: a udev rule, driverctl or libvirt"


def _why_not_bound(
    step: BindDriver, outcome: StepOutcome, device: PciDevice | None, host: Host
) -> Iterator[str]:
    vfio = is_vfio_driver(step.driver)
    match outcome.errno:
        case errno.ENODEV:
            yield f"{step.driver} does not take it: the device is gone, or the driver is not made for it"
            yield "the driver's own probe found no device that answers"
        case errno.ENOENT:
            yield f"there is no driver {step.driver}: its module is not loaded, or it is called otherwise"
        case errno.EINVAL if vfio:
            against = reasons_against(host, device) if device is not None else ()
            yield from (reason.text for reason in against)
            yield "it is a bridge, has no IOMMU group, or vfio-pci denies it; the kernel's log says which"
        case errno.EBUSY if vfio:
            yield "it is on a driver already, or has virtual functions enabled"
        case errno.EBUSY:
            yield "a device of the same IOMMU group is in use by a virtual machine"
            yield "it is on a driver already"
        case errno.EAGAIN:
            yield "the driver waits for something else before it takes the device, and did not get it in time"
        case None:
            yield "the driver let go of it again, or something else took it: a udev rule, driverctl, libvirt"
        case _:
            yield f"this is what {step.driver} said when it looked at the device; the kernel's log says more"


def _why_not_probed(outcome: StepOutcome, device: PciDevice | None) -> Iterator[str]:
    if outcome.errno == errno.EINVAL:
        yield "a device of the same IOMMU group is in use by a virtual machine"
    elif outcome.errno == errno.ENODEV:
        yield "the device is gone"
    elif outcome.errno is None and is_vfio_driver(outcome.seen) and device is not None:
        # Ids that were given to vfio-pci cannot be listed; they outlive the binding (K11).
        yield (
            "vfio-pci was told to take every device with these ids: by new_id, or by its option ids= "
            "(modprobe.d, kernel command line)"
        )


def _why_stuck(device: PciDevice | None) -> Iterator[str]:
    held = [usage.detail for usage in device.usage if usage.kind in _HOLDING] if device is not None else []
    yield from held
    if not held:
        yield "a program has the device open, and the driver waits for it (K33, K35)"


def _after_stuck(device: PciDevice | None) -> str:
    at = f" vfioctl show {device.address}" if device is not None else " vfioctl scan"
    return f"find and end the program that has it open:{at}\nthen: vfioctl recover"


def _hint(outcome: StepOutcome, device: PciDevice | None) -> str:
    match outcome.errno:
        case errno.EACCES | errno.EPERM:
            return "run it as root: sudo vfioctl ..."
        case errno.EROFS:
            return "run it on the host, or in a container with /sys mounted writable"
        case errno.EAGAIN:
            return "try again, with a longer --timeout"
        case _:
            return _hint_for_step(outcome, device)


def _hint_for_step(outcome: StepOutcome, device: PciDevice | None) -> str:
    step = outcome.step
    if isinstance(step, LoadModule):
        return f"see what modprobe says: modprobe -v {step.module}"
    if isinstance(step, OwnNode):
        return f"see what stands there: ls -l /dev/vfio; vfioctl show {step.address}"
    if device is not None and isinstance(step, ProbeDrivers) and is_vfio_driver(outcome.seen):
        ids = f"{device.vendor_id:04x} {device.device_id:04x}"
        return (
            f"take the ids back, then try again: echo {ids} > /sys/bus/pci/drivers/{outcome.seen}/remove_id"
        )
    if device is not None and isinstance(step, BindDriver | ProbeDrivers) and outcome.errno == errno.EBUSY:
        return f"see who uses the group: vfioctl groups group:{device.iommu_group}"
    return f"see what the kernel says: dmesg | tail; vfioctl show {step.address}"
