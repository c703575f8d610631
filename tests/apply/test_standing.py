from __future__ import annotations

from tests.support.fake_kernel import Device, machine
from vfioctl.apply.asking import PATIENCE
from vfioctl.apply.standing import read_states
from vfioctl.model.address import PciAddress
from vfioctl.model.binding import Binding
from vfioctl.plan.outcome import DeviceState

NAMES = ("0000:01:00.0", "0000:02:00.0", "0000:03:00.0", "0000:04:00.0")
ADDRESSES = tuple(PciAddress.parse(name) for name in NAMES)


def test_a_device_is_where_it_is_or_unknown() -> None:
    """A read that blocks means an unbind that waits (K55), one without an answer a device that is gone."""
    driven, free, waiting, gone = (Device(name, override="x") for name in NAMES)
    driven.driver, driven.override = "e1000e", None
    waiting.blocked, gone.present = True, False
    kernel = machine([driven, free, waiting, gone])
    kernel.old = True
    began = kernel.now()

    states = read_states(kernel, ADDRESSES)

    assert states == (
        DeviceState(ADDRESSES[0], Binding("e1000e", None)),
        DeviceState(ADDRESSES[1], Binding(None, "x")),
        DeviceState(ADDRESSES[2], None, stuck=True),
        DeviceState(ADDRESSES[3], None),
    )
    assert kernel.now() - began <= PATIENCE


def test_what_is_known_to_block_is_not_touched() -> None:
    """Its driver link says that it has none, which is half a lie."""
    kernel = machine([Device(name) for name in NAMES])

    states = read_states(kernel, ADDRESSES[:1], {ADDRESSES[0]})

    assert states == (DeviceState(ADDRESSES[0], None, stuck=True),)
    assert kernel.commands == []
