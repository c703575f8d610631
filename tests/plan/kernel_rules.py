"""The kernel's rules about bindings, as far as they decide whether a step can work (K2, K3, K7-K9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vfioctl.model.binding import Binding
from vfioctl.model.ids import is_vfio_driver
from vfioctl.plan.steps import BindDriver, ProbeDrivers, SetOverride, UnbindDriver

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.model.address import PciAddress
    from vfioctl.plan.steps import Step


class RefusedByKernelError(Exception):
    """What the kernel would answer with an errno."""


def play(bindings: dict[PciAddress, Binding], steps: Iterable[Step]) -> dict[PciAddress, Binding]:
    """Return the bindings after the steps.

    Raises:
        RefusedByKernelError: one of them would fail.

    """
    bindings = dict(bindings)
    for step in steps:
        if isinstance(step, SetOverride | UnbindDriver | BindDriver | ProbeDrivers):
            bindings[step.address] = _after(bindings[step.address], step)
    return bindings


def _after(now: Binding, step: Step) -> Binding:
    match step:
        case SetOverride(override=override):
            return Binding(now.driver, override)
        case UnbindDriver(driver=driver):
            if now.driver != driver:
                raise RefusedByKernelError("ENODEV", step, now)
            return Binding(None, now.override)
        case BindDriver(driver=driver):
            if now.driver is not None:
                raise RefusedByKernelError("EBUSY", step, now)
            # VFIO's own table has no ids: without an override it takes nothing (K11).
            if now.override != driver and (now.override is not None or is_vfio_driver(driver)):
                raise RefusedByKernelError("ENODEV", step, now)
            return Binding(driver, now.override)
        case ProbeDrivers():
            # Succeeds whatever happens (K4); which driver comes is not for a plan to know.
            return now
        case _:
            raise AssertionError(step)
