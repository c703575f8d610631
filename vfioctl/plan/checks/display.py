"""Screens, graphics programs and keyboards that the host would lose."""

from __future__ import annotations

from vfioctl.model.usage import UsageKind
from vfioctl.plan.findings import refuse, warn
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.usage import Usage
    from vfioctl.plan.findings import Case
    from vfioctl.plan.plan import Finding

_CONSOLE = frozenset({UsageKind.CONSOLE, UsageKind.FRAMEBUFFER})
_DESKTOPS = frozenset({"Xorg", "Xwayland", "gnome-shell", "kwin_wayland", "kwin_x11", "sway", "gdm", "sddm"})


def console(case: Case) -> Iterator[Finding]:
    """Refuse the display that the host's console is drawn on (K47)."""
    # Without a driver too it can be what the firmware's framebuffer is drawn on.
    idle = (device for device in case.for_vfio if device.driver is None)
    for device in (*case.losing, *idle):
        for usage in device.usage:
            if usage.kind in _CONSOLE and _is_second(usage):
                hint = "its screen goes dark; the console is on the first framebuffer"
                yield warn("console", device, usage.detail, hint)
            elif usage.kind in _CONSOLE:
                hint = "the screen stays dark until the next boot: use another display for the host"
                yield refuse("console", device, usage.detail, hint)


def _is_second(usage: Usage) -> bool:
    """Tell a framebuffer that DRM made for one more card from the one that the text console starts on."""
    number = usage.subject.removeprefix("fb")
    return usage.kind is UsageKind.FRAMEBUFFER and number.isdecimal() and number != "0"


def gpu_busy(case: Case) -> Iterator[Finding]:
    """Refuse while programs draw or compute with it: the driver may wait for them without end (K35)."""
    for device in case.losing:
        for usage in device.usage:
            if usage.kind is UsageKind.GPU:
                yield refuse("gpu-busy", device, usage.detail, _how_to_end(usage))


def _how_to_end(usage: Usage) -> str:
    # "Xorg (pid 812) has /dev/dri/card0 open", subject "pid 812"
    program = usage.detail.partition(f" ({usage.subject})")[0]
    if program == "nvidia-persiste":  # the kernel keeps fifteen letters of a name
        return "stop it: systemctl stop nvidia-persistenced"
    if program in _DESKTOPS:
        return "stop the desktop: systemctl isolate multi-user.target"
    return f"end it: kill {usage.subject.removeprefix('pid ')}"


def input_devices(case: Case) -> Iterator[Finding]:
    """Warn of keyboards and mice behind a controller."""
    for device in case.losing:
        for usage in device.usage:
            if usage.kind is UsageKind.INPUT:
                yield warn("input", device, usage.detail, "plug it in elsewhere if the host needs it")
