"""What the host's network loses with an interface, and the session that gives the command."""

from __future__ import annotations

from vfioctl.model.usage import UsageKind
from vfioctl.plan.findings import refuse, warn
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.plan.findings import Case
    from vfioctl.plan.plan import Finding

_MINOR = {UsageKind.ADDRESS, UsageKind.UPPER}


def network(case: Case) -> Iterator[Finding]:
    """Refuse an interface with a default route or a master; warn of one with an address."""
    for device in case.losing:
        for usage in device.usage:
            if usage.kind is UsageKind.ROUTE:
                hint = f"give the route to another interface first; see: ip route show dev {usage.subject}"
                yield refuse("net", device, usage.detail, hint)
            elif usage.kind is UsageKind.MASTER:
                hint = f"take it out first: ip link set {usage.subject} nomaster"
                yield refuse("net", device, usage.detail, hint)
            elif usage.kind in _MINOR:
                hint = f"the host loses it; see: ip addr show {usage.subject}"
                yield warn("net", device, usage.detail, hint)


def ssh(case: Case) -> Iterator[Finding]:
    """Refuse to cut the ssh session that the command came through."""
    for session in case.situation.sessions:
        for device in case.losing:
            if device.address in session.carriers:
                text = f"your ssh session from {session.peer} comes in through {session.interface} on it"
                hint = "come in through another interface, or from the console"
                yield refuse("ssh", device, text, hint)
