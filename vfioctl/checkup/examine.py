"""Run the checks: pure functions, one after the other, in the order in which to mend things."""

from __future__ import annotations

from importlib import import_module

from vfioctl.checkup.check import Status
from vfioctl.checkup.modprobe import read_ids
from vfioctl.checkup.topics import TOPICS
from vfioctl.model.ids import is_vfio_driver
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.checkup.check import Check, Examine, Patient
    from vfioctl.checkup.topics import Topic
    from vfioctl.model.device import PciDevice
    from vfioctl.model.facts import Facts
    from vfioctl.model.host import Host


def examine(patient: Patient, topics: Iterable[Topic] = TOPICS) -> tuple[Check, ...]:
    """Return what the checks find. An ok that has nothing to show for itself is none."""
    found: list[Check] = []
    for topic in topics:
        function: Examine = getattr(import_module(f"vfioctl.checkup.{topic.module}"), topic.function)
        found += (_earned(check) for check in function(patient))
    return tuple(found)


def _earned(check: Check) -> Check:
    shown = any(one.value for one in check.evidence)
    status = check.status if shown or check.status is not Status.OK else Status.UNKNOWN
    return check._replace(status=status, see=check.see or f"vfioctl doctor --explain {check.id}")


def concerned(host: Host, facts: Facts) -> tuple[PciDevice, ...]:
    """Return the devices that are on a VFIO driver or meant for one: by an override, or by an id at boot."""
    asked = read_ids(facts).asked
    return tuple(
        device
        for device in host.devices
        if device.on_vfio
        or device.unbinding
        or (not device.is_bridge and is_vfio_driver(device.driver_override))
        or (not device.is_bridge and any(one.matches(device) for one in asked))
    )


def failed(checks: Iterable[Check], *, strict: bool = False) -> bool:
    """Tell whether anything failed; strictly, a warning counts as well."""
    grave = {Status.FAIL, Status.WARN} if strict else {Status.FAIL}
    return any(check.status in grave for check in checks)
