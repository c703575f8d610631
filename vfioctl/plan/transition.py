"""From moves to steps: the one function that bind, unbind, rollback and recover share.

Overrides first: they bind nothing by themselves (K9), and while an unbind is blocked, writing one may hang
(K55). Then every device leaves its driver before the first is bound: an EHCI controller that is still on its
driver while its UHCI companions are on vfio-pci makes kernel 6.1 panic later (K60).
"""

from __future__ import annotations

from vfioctl.model.ids import is_vfio_driver
from vfioctl.plan.steps import BindDriver, ProbeDrivers, SetOverride, UnbindDriver
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.model.binding import Move
    from vfioctl.plan.steps import Step


def transition(moves: Iterable[Move]) -> tuple[Step, ...]:
    """Return the steps that take the devices of one unit from where they are to their goals."""
    ordered = sorted(moves, key=lambda move: move.address)
    return (*_overrides(ordered), *_unbinds(ordered), *_binds(ordered), *_late_overrides(ordered))


def _overrides(moves: list[Move]) -> Iterator[Step]:
    for move in moves:
        if _passing(move) != move.before.override:
            yield SetOverride(move.address, _passing(move))


def _late_overrides(moves: list[Move]) -> Iterator[Step]:
    for move in moves:
        if _passing(move) != move.goal.override:
            yield SetOverride(move.address, move.goal.override)


def _passing(move: Move) -> str | None:
    """Return the override with which the goal's driver takes the device.

    It is the goal's own, but for a way back: a device may have stood on its host driver with an override for
    another (set by udev after the driver was there, K54), or on vfio-pci without one (K11).
    """
    driver, override = move.goal
    if move.kernel_decides or driver is None or not _leaves(move) or override == driver:
        return override
    return driver if override is not None or is_vfio_driver(driver) else None


def _unbinds(moves: list[Move]) -> Iterator[Step]:
    # Consumers leave before what they depend on: a GPU's sound function before the GPU (K50).
    for move in reversed(moves):
        if move.before.driver is not None and _leaves(move):
            yield UnbindDriver(move.address, move.before.driver)


def _binds(moves: list[Move]) -> Iterator[Step]:
    for move in moves:
        if move.kernel_decides:
            yield ProbeDrivers(move.address)
        elif move.goal.driver is not None and _leaves(move):
            yield BindDriver(move.address, move.goal.driver)


def _leaves(move: Move) -> bool:
    return move.kernel_decides or move.goal.driver != move.before.driver
