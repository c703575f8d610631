"""Who must have ended for something to be allocated anew: the kubelet itself says so by asking."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.claims import Claim
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.plugin.claimed import Claims
    from vfioctl.plugin.claims import Ledger
    from vfioctl.plugin.values import Item


class Ended(NamedTuple):
    """The containers that must have ended for their items to be given anew."""

    claims: tuple[Claim, ...] = ()
    pods: frozenset[tuple[str, str]] = frozenset()
    calls: frozenset[tuple[str, float]] = frozenset()
    """Of a pod that was never listed, as one that was rejected, only what came in one call is known."""

    def has(self, claim: Claim) -> bool:
        """Tell whether a claim was one of their pods', or is nobody's any more for the kubelet either."""
        if not self.claims:
            return False
        if claim.absent is not None or (claim.resource, claim.since) in self.calls:
            return True
        return claim.owner is not None and claim.owner.of_pod in self.pods

    def company(self, claims: Claims) -> Iterator[Claim]:
        """Yield what else they had, of all claims."""
        for call in self.calls:
            yield from claims.of_call(call)
        for pod in self.pods:
            yield from claims.of_pod(pod)


def ended(claims: Iterable[Claim]) -> Ended:
    """Return who must have ended for these claims to be made anew."""
    found = tuple(claims)
    return Ended(
        found,
        frozenset(one.owner.of_pod for one in found if one.owner is not None),
        # What was there before this plugin's time has no time of its own, and came in no known call.
        frozenset((one.resource, one.since) for one in found if one.since),
    )


def ended_by(ledger: Ledger, items: Iterable[Item]) -> Ended:
    """Return who must have ended for these items to be given anew: the kubelet itself says so."""
    found = (ledger.claim((item.resource, item.id)) for item in items)
    return ended(claim for claim in found if claim is not None)


def reserve(ledger: Ledger, items: Iterable[Item], now: float) -> Ledger:
    """Note an Allocate that is granted; what else those had who must have ended for it is theirs no more."""
    taken = {(item.resource, item.id): item for item in items}
    over = ended_by(ledger, taken.values())
    changes = {
        claim.key: claim._replace(absent=now) for claim in over.company(ledger.claims) if claim.absent is None
    }
    before = {claim.key: claim for claim in over.claims}
    changes |= {key: _reserved(item, before.get(key), now) for key, item in taken.items()}
    return ledger._replace(claims=ledger.claims.replaced(changes))


def _reserved(item: Item, before: Claim | None, now: float) -> Claim:
    claim = Claim(item.resource, item.id, item.groups, item.members, now)
    if before is not None:
        claim = claim._replace(former=before.owner or before.former, bound=before.bound)
    return claim
