"""Where devices stand, read anew."""

from __future__ import annotations

from errno import ENOENT

from vfioctl.apply.asking import ask_each
from vfioctl.apply.effects import UNSET, driver_link, override_text
from vfioctl.model.binding import Binding
from vfioctl.plan.outcome import DeviceState
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from vfioctl.apply.port import Answer, Port
    from vfioctl.model.address import PciAddress


def read_states(
    port: Port, devices: Iterable[PciAddress], blocked: Collection[PciAddress] = ()
) -> tuple[DeviceState, ...]:
    """Read the bindings of devices, in their order; those known to be blocked are not touched."""
    addresses = tuple(devices)
    free = [address for address in addresses if address not in blocked]
    answers = ask_each(port, [(driver_link(address), override_text(address)) for address in free])
    found = {address: _state(address, answer) for address, answer in zip(free, answers, strict=True)}
    return tuple(found.get(address) or DeviceState(address, None, stuck=True) for address in addresses)


def _state(address: PciAddress, answer: tuple[Answer, ...] | None) -> DeviceState:
    if answer is None:
        return DeviceState(address, None, stuck=True)
    driver, override = answer
    # Without a driver only its link is missing; without the device both are.
    if override.errno is not None or driver.errno not in {None, ENOENT}:
        return DeviceState(address, None)
    name = None if driver.errno == ENOENT else driver.text
    return DeviceState(address, Binding(name, None if override.text == UNSET else override.text))
