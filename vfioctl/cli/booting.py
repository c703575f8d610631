"""What a service waits for that starts together with the host: that devices have got their drivers."""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.plugin.manager import ServiceManager

PATIENCE = 30.0
"""Seconds for udev to end what the boot has begun; systemd allows ninety for a start."""


def await_udev(manager: ServiceManager, warn: Callable[[str], None]) -> None:
    """Let udev finish, where a service manager has started this program.

    Stored devices get their drivers by udev's rules, and a unit can only be ordered after that they were
    asked for. What comes after this service, a kubelet or a container runtime, takes what it is told first
    for the state of the host, and refuses for good what is not there.
    """
    if not manager.listens:
        return
    from vfioctl.apply.kernel import settle

    manager.say("STATUS=waiting for udev to give devices their drivers")
    if not settle(PATIENCE):
        warn(f"udev is still busy after {PATIENCE:g} s: devices may get their drivers later")
