"""Why a step may have failed, by errno and by what is known of the host; the most likely cause first.

The meanings of the errnos are those that were measured (K1-K9, K31, K33-K35, K55).
"""

from __future__ import annotations

import errno

from vfioctl.model.ids import is_vfio_driver
from vfioctl.plan.mdev_causes import of_mdev
from vfioctl.plan.outcome import Status
from vfioctl.plan.reluctance import DEVICES, GONE, LOG, MEDDLER, Cause, holders, of_bind, of_probe
from vfioctl.plan.splitting_causes import of_sriov
from vfioctl.plan.steps import (
    AwaitVfs,
    BindDriver,
    CreateMdev,
    LoadModule,
    OwnNode,
    ProbeDrivers,
    RemoveMdev,
    SetAutoprobe,
    SetOverride,
    SetVfs,
    UnbindDriver,
)
from vfioctl.typed import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.plan.outcome import StepOutcome


def causes(outcome: StepOutcome, host: Host) -> Iterator[Cause]:
    """Yield the possible causes of a failure, at least one."""
    address = outcome.step.address
    device = None if address is None else host.by_address.get(address)
    if outcome.status is Status.STUCK:
        yield from _of_stuck(outcome, device, host)
        return
    yield from _of_any_write(outcome)
    match outcome.step:
        case BindDriver():
            yield from of_bind(outcome.step, outcome, device, host)
        case ProbeDrivers():
            yield from of_probe(outcome, device, host)
        case UnbindDriver():
            yield from _of_unbind(outcome.step, outcome)
        case SetOverride():
            yield from _of_override(outcome.step, outcome)
        case LoadModule():
            yield from _of_load(outcome.step, outcome)
        case OwnNode():
            yield from _of_node(outcome.step, outcome)
        case CreateMdev() | RemoveMdev():
            yield from of_mdev(outcome.step, outcome)
        case SetAutoprobe() | SetVfs() | AwaitVfs():
            yield from of_sriov(outcome.step, outcome, device)
        case _:
            assert_never(outcome.step)
    look = f"; vfioctl show {address}" if address is not None else ""
    yield Cause("the kernel's log may say more", LOG + look)


def _of_any_write(outcome: StepOutcome) -> Iterator[Cause]:
    match outcome.errno:
        case errno.EACCES | errno.EPERM:
            text = "this user may not: not root, or root in a container without the capability"
            yield Cause(text, "run it as root on the host itself: sudo vfioctl ...")
        case errno.EROFS:
            hint = "run it on the host; or give the container a writable /sys: mount -o remount,rw /sys"
            yield Cause("sysfs is mounted read-only, as containers have it", hint)
        case errno.EIO:
            hint = "see whether it answers: vfioctl show; power the machine off and on if it does not"
            yield Cause("the device or its driver failed", hint)
        case errno.ENOMEM:
            yield Cause("the kernel is out of memory", "see: free -m; dmesg | tail")
        case _:
            return


def _of_unbind(step: UnbindDriver, outcome: StepOutcome) -> Iterator[Cause]:
    where = f"{DEVICES}/{step.address}/driver"
    match outcome.errno:
        case errno.ENODEV:
            text = f"it was not on {step.driver} any more: something else has moved it"
            yield Cause(text, f"see where it is: readlink {where}")
        case errno.ENOENT:
            text = f"the driver {step.driver} is gone: its module was unloaded"
            yield Cause(text, f"see where it is: readlink {where}")
        case None:
            hint = f"see where it is: readlink {where}; driverctl list-overrides"
            yield Cause(
                "something gave it to a driver again at once: a udev rule, driverctl or libvirt", hint
            )
        case _:
            return


def _of_override(step: SetOverride, outcome: StepOutcome) -> Iterator[Cause]:
    match outcome.errno:
        case errno.ENOENT | errno.ENODEV:
            yield Cause(GONE, "see which there are: vfioctl scan")
        case errno.EINVAL:
            yield Cause("the kernel takes no name as long as this", "name another driver: --driver NAME")
        case None:
            yield Cause(MEDDLER, f"see who writes it: cat {step.path}; driverctl list-overrides")
        case _:
            return


def _of_load(step: LoadModule, outcome: StepOutcome) -> Iterator[Cause]:
    said, try_it = outcome.seen or "", f"see what it says: modprobe -v {step.module}"
    if "not found" in said:
        hint = f"install the kernel's package of modules: modinfo {step.module}; uname -r"
        yield Cause("it is not installed for the kernel that is running", hint)
    elif "Key was rejected" in said or "not permitted" in said:
        text = "the kernel takes signed modules only (Secure Boot), or this user may load none"
        yield Cause(text, f"see: cat /sys/kernel/security/lockdown; {try_it}")
    elif "said yes" in said:
        hint = f"see: grep -rw {step.module} /etc/modprobe.d /usr/lib/modprobe.d"
        yield Cause("modprobe.d has an install line or a blacklist for it", hint)
    yield Cause("it is not installed for this kernel, is blacklisted, or does not fit it", try_it)


def _of_node(step: OwnNode, outcome: StepOutcome) -> Iterator[Cause]:
    look = f"ls -l /dev/vfio /dev/vfio/devices; vfioctl show {step.address}"
    match outcome.errno:
        case errno.ENOENT | errno.ENODEV | errno.ETIMEDOUT | errno.ETIME:
            text = "the node has not appeared: udev is slow or not at work, or the device has left VFIO again"
            yield Cause(text, f"see: {look}")
        case None:
            text = "something else sets its owner and mode too: a udev rule, or libvirt"
            yield Cause(text, f"see: grep -r vfio /etc/udev/rules.d /usr/lib/udev/rules.d; {look}")
        case _:
            yield Cause("the file system of /dev takes no such owner or mode", f"see: {look}")


def _of_stuck(outcome: StepOutcome, device: PciDevice | None, host: Host) -> Iterator[Cause]:
    then = "then: vfioctl recover"
    if isinstance(outcome.step, LoadModule):
        text = "a driver that it brings waits for a device, or modprobe for another modprobe"
        yield Cause(text, f"see: ps -o pid,stat,wchan:30,args -C modprobe; {then}")
        return
    held = tuple(holders(device, host))
    for holder in held:
        yield Cause(holder, f"end that program; {then}")
    address = outcome.step.address
    if not held and isinstance(outcome.step, UnbindDriver) and not is_vfio_driver(outcome.step.driver):
        text = f"{outcome.step.driver} waits until nothing uses the device any more; it may do so for ever"
        yield Cause(text, f"see who has it open: fuser -v /dev/dri/* /dev/nvidia* /dev/snd/*; {then}")
    if isinstance(outcome.step, SetVfs):
        yield Cause("a program has one of its virtual functions open", f"end that program; {then}")
    elif not held and not isinstance(outcome.step, OwnNode | AwaitVfs):
        text = "a program has the device open, or an unbind of it is still blocked"
        yield Cause(text, f"see who has it open, and end it: vfioctl show {address}; {then}")
    if isinstance(outcome.step, OwnNode | AwaitVfs):
        yield Cause("udev or the file system of /dev does not answer", f"see: udevadm settle; {then}")
