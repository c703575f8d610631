"""What should not be and is: two pods with devices of one group, and nodes that outlive their pod."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.claims import LEAK, SETTLE, Claim, Ledger
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.sysfs.openers import Opener


class Conflict(NamedTuple):
    """Two pods with devices of one group: only one of them can open it."""

    group: int
    first: Claim
    later: Claim

    def __str__(self) -> str:
        """Say who is too late."""
        return (
            f"IOMMU group {self.group} is {self.first.owner}'s, which has {self.first.id}:"
            f" {self.later.owner} was given {self.later.id} within the same {SETTLE:g} s and cannot open it"
        )


def conflicts(ledger: Ledger) -> tuple[Conflict, ...]:
    """Return the groups that two pods got parts of, inside the window: the earlier one can open it."""
    found = []
    for group, claims in ledger.claims.shared_groups():
        known = [claim for claim in claims if claim.owner is not None and claim.absent is None]
        known.sort(key=lambda claim: (claim.since, claim.key))
        reported: set[tuple[str, str]] = set()
        for claim in known[1:]:
            pod = claim.owner and claim.owner.of_pod
            first = known[0].owner and known[0].owner.of_pod
            if pod is not None and pod != first and pod not in reported:
                reported.add(pod)
                found.append(Conflict(group, known[0], claim))
    return tuple(found)


def leaks(ledger: Ledger, now: float) -> tuple[tuple[Claim, Opener], ...]:
    """Return what is still open long after its pod went, and by whom."""
    if not ledger.openers:
        return ()
    return tuple(
        (claim, openers[0])
        for claim in ledger.claims
        if claim.absent is not None
        and now >= claim.absent + LEAK
        and (openers := ledger.openers_of(claim.groups))
    )
