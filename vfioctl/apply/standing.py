"""Where devices stand, read anew."""

from __future__ import annotations

from errno import ENOENT

from vfioctl.apply.effects import UNSET, driver_link, override_text
from vfioctl.apply.lanes import OverdueError, Within, run_scripts
from vfioctl.model.binding import Binding
from vfioctl.plan.outcome import DeviceState
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from vfioctl.apply.lanes import Script
    from vfioctl.apply.port import Port
    from vfioctl.model.address import PciAddress

PATIENCE = 2.0
"""Seconds that a read may take, which on some kernels waits for a blocked unbind (K55)."""


def read_states(
    port: Port, devices: Iterable[PciAddress], blocked: Collection[PciAddress] = ()
) -> tuple[DeviceState, ...]:
    """Read the bindings of devices, in their order; those known to be blocked are not touched."""
    return tuple(run_scripts(port, [_read_state(one, blocked=one in blocked) for one in devices]))


def _read_state(address: PciAddress, *, blocked: bool) -> Script[DeviceState]:
    if blocked:
        return DeviceState(address, None, stuck=True)
    yield Within(PATIENCE)
    try:
        driver = yield driver_link(address)
        override = yield override_text(address)
    except OverdueError:
        return DeviceState(address, None, stuck=True)
    # Without a driver only its link is missing; without the device both are.
    if override.errno is not None or driver.errno not in {None, ENOENT}:
        return DeviceState(address, None)
    name = None if driver.errno == ENOENT else driver.text
    return DeviceState(address, Binding(name, None if override.text == UNSET else override.text))
