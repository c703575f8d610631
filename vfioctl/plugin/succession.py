"""Who must have ended for something to be allocated anew: the kubelet itself says so by asking."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.claims import Claim, in_order
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def ended(claims: Iterable[Claim]) -> Ended:
    """Return who must have ended for these claims to be made anew."""
    found = tuple(claims)
    return Ended(
        found,
        frozenset(one.owner.of_pod for one in found if one.owner is not None),
        frozenset((one.resource, one.since) for one in found),
    )


def ended_by(ledger: Ledger, items: Iterable[Item]) -> Ended:
    """Return who must have ended for these items to be given anew: the kubelet itself says so."""
    keys = {(item.resource, item.id) for item in items}
    # In the way of an answer to the kubelet: what a claim begins with is its key.
    return ended([one for one in ledger.claims if one[:2] in keys])


def reserve(ledger: Ledger, items: Iterable[Item], now: float) -> Ledger:
    """Note an Allocate that is granted; what else those had who must have ended for it is theirs no more."""
    taken = {(item.resource, item.id): item for item in items}
    over = ended_by(ledger, taken.values())
    before = {claim.key: claim for claim in over.claims}
    kept = ledger.claims
    if before:
        others = [claim for claim in kept if claim[:2] not in before]
        kept = tuple(
            claim._replace(absent=now) if claim.absent is None and over.has(claim) else claim
            for claim in others
        )
    reserved = (_reserved(item, before.get(key), now) for key, item in taken.items())
    return ledger._replace(claims=in_order((*kept, *reserved)))


def _reserved(item: Item, before: Claim | None, now: float) -> Claim:
    claim = Claim(item.resource, item.id, item.groups, item.members, now)
    if before is not None:
        claim = claim._replace(former=before.owner or before.former, bound=before.bound)
    return claim
