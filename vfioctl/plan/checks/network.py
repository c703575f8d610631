"""What the host's network loses with an interface, and the session that gives the command."""

from __future__ import annotations

from vfioctl.model.usage import UsageKind
from vfioctl.plan.findings import refuse, warn
from vfioctl.plan.plan import Finding, Severity
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.plan.findings import Case


def network(case: Case) -> Iterator[Finding]:
    """Refuse an interface with a default route or a master; warn of what else is built on it."""
    for device in case.losing:
        for usage in device.usage:
            name = usage.subject
            match usage.kind:
                case UsageKind.ROUTE:
                    hint = f"give the route to another interface first; see: ip route show dev {name}"
                    yield refuse("net", device, usage.detail, hint)
                case UsageKind.MASTER:
                    hint = f"take it out first: ip link set {name} nomaster"
                    yield refuse("net", device, usage.detail, hint)
                case UsageKind.ADDRESS | UsageKind.UPPER:
                    hint = f"the host loses it; see: ip addr show {name}"
                    yield warn("net", device, usage.detail, hint)
                case UsageKind.INTERFACE:
                    hint = f"the host loses it; see: ip link show {name}"
                    yield Finding("net", Severity.NOTE, device.address, usage.detail, hint)
                case _:
                    pass


def ssh(case: Case) -> Iterator[Finding]:
    """Refuse to cut the ssh session that the command came through."""
    for session in case.situation.sessions:
        for device in case.losing:
            if device.address in session.carriers:
                text = f"your ssh session from {session.peer} comes in through {session.interface} on it"
                hint = "come in through another interface, or from the console"
                yield refuse("ssh", device, text, hint)
