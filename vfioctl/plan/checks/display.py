"""Screens, graphics programs and keyboards that the host would lose."""

from __future__ import annotations

from vfioctl.model.usage import UsageKind
from vfioctl.plan.findings import refuse, warn
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.plan.findings import Case
    from vfioctl.plan.plan import Finding

_CONSOLE = frozenset({UsageKind.CONSOLE, UsageKind.FRAMEBUFFER})


def console(case: Case) -> Iterator[Finding]:
    """Refuse the display that the host's console is drawn on (K47)."""
    for device in case.moving if case.for_vfio else case.losing:
        for usage in device.usage:
            # A display without a driver can still be what the firmware's framebuffer is drawn on.
            if usage.kind in _CONSOLE and not device.on_vfio:
                yield refuse(
                    "console",
                    device,
                    usage.detail,
                    "the screen goes dark until the next boot; if you have another way in: --force console",
                )


def gpu_busy(case: Case) -> Iterator[Finding]:
    """Refuse while programs draw or compute with it: the driver would wait for them without end (K35)."""
    for device in case.losing:
        for usage in device.usage:
            if usage.kind is UsageKind.GPU:
                yield refuse("gpu-busy", device, usage.detail, f"end {usage.subject} first")


def input_devices(case: Case) -> Iterator[Finding]:
    """Warn of keyboards and mice behind a controller."""
    for device in case.losing:
        for usage in device.usage:
            if usage.kind is UsageKind.INPUT:
                yield warn("input", device, usage.detail, "plug it in elsewhere if you need it")
