"""A group's prospects in words: what state it is in, why, and what to type next."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.model.verdict import reasons_against
from vfioctl.model.viability import RELEASABLE, Viability, assess
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup
    from vfioctl.model.host import Host
    from vfioctl.model.viability import Blocker


class Outlook(NamedTuple):
    """What can be said about a group."""

    word: str
    """``viable``, ``viable after bind``, ``not viable``, ``unknown``, or ``stays with the host``."""
    style: str
    why: tuple[str, ...]
    command: str | None
    """What to type to get further, if anything helps."""
    binds: tuple[PciAddress, ...]
    judged: Viability


def outlook(host: Host, group: IommuGroup, asked: PciAddress | None = None) -> Outlook:
    """Judge a group and put it into words; the command names the member that was asked about, if it can."""
    judged = assess(host, group)
    members = host.members(group)
    complete = len(members) == len(group.members)
    if complete and not any(_can_be_given(host, member) for member in members):
        return _kept(host, members, judged)
    if judged.viable:
        return _viable(members, judged, asked)
    if judged.viable_after_bind is None:
        return _unknown(members, judged)
    return _blocked(members, judged, asked)


def _can_be_given(host: Host, member: PciDevice) -> bool:
    return member.on_vfio or not reasons_against(host, member)


def _kept(host: Host, members: tuple[PciDevice, ...], judged: Viability) -> Outlook:
    """Tell the board's own functions, which nobody misses, from devices that cannot be had."""
    reasons = [(member, reason) for member in members for reason in reasons_against(host, member)]
    own = all(reason.check in {"bridge", "board"} for _, reason in reasons)
    if own:
        return Outlook("stays with the host", "faint", (), None, (), judged)
    why = tuple(
        _said(members, str(member.address), reason.text)
        for member, reason in reasons
        if reason.check not in {"bridge", "board"}
    )
    return Outlook("not for a VM", "bad", why, None, (), judged)


def _viable(members: tuple[PciDevice, ...], judged: Viability, asked: PciAddress | None) -> Outlook:
    if any(member.on_vfio for member in members):
        return Outlook("viable", "good", (), None, (), judged)
    why = ("nobody uses it, and no device of it is on a vfio driver yet",)
    command = _bind_command(members, judged, asked, release=False)
    return Outlook("viable", "good", why, command, judged.bind, judged)


def _blocked(members: tuple[PciDevice, ...], judged: Viability, asked: PciAddress | None) -> Outlook:
    lasting = [blocker for blocker in judged.blockers_after_bind if blocker.driver != RELEASABLE]
    why = _reasons(members, lasting or judged.blockers)
    if lasting:
        return Outlook("not viable", "bad", why, None, (), judged)
    release = bool(judged.blockers_after_bind)
    command = _bind_command(members, judged, asked, release=release)
    return Outlook("viable after bind", "warn", why, command, judged.bind, judged)


def _unknown(members: tuple[PciDevice, ...], judged: Viability) -> Outlook:
    why = _reasons(members, judged.blockers) or ("its members could not be read",)
    return Outlook("unknown", "unknown", why, None, (), judged)


def _reasons(members: tuple[PciDevice, ...], blockers: Sequence[Blocker]) -> tuple[str, ...]:
    return tuple(_said(members, blocker.name, blocker.reason) for blocker in blockers)


def _said(members: tuple[PciDevice, ...], name: str, text: str) -> str:
    """Say about whom, where there is a choice."""
    alone = len(members) == 1 and name == str(members[0].address)
    return text if alone else f"{name}: {text}"


def _bind_command(
    members: tuple[PciDevice, ...], judged: Viability, asked: PciAddress | None, *, release: bool
) -> str:
    # One address stands for its whole group.
    possible = [*judged.bind, *(member.address for member in members if member.on_vfio)]
    address = asked if asked in possible else possible[0]
    return f"vfioctl bind {'--release-shpchp ' if release else ''}{address}"
