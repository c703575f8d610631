"""What is logged of something that happened: a sentence for people, and the same facts for machines."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vfioctl.plugin.values import Denied, Grant, Offer


class Event(NamedTuple):
    """A message for a log: as text it is its sentence."""

    sentence: str
    facts: Mapping[str, object]

    def __str__(self) -> str:
        return self.sentence


def granted(offer: Offer, ids: Sequence[str], grant: Grant) -> Event:
    """Tell of an allocation: the one line that it leaves."""
    found = {offer.items[offer.places[one]].group for one in ids if one in offer.places}
    groups = sorted(group for group in found if group is not None)
    facts: dict[str, Sequence[object]] = {
        "ids": ids,
        "group": groups,
        "nodes": [node.container_path for node in grant.nodes] or grant.cdi,
        "env": [name for name, _ in grant.envs],
    }
    told = " ".join(f"{key}={','.join(map(str, value)) or '-'}" for key, value in facts.items())
    return Event(f"allocated resource={offer.resource} {told}", {"resource": offer.resource, **facts})


def denied(offer: Offer, ids: Sequence[str], denial: Denied) -> Event:
    """Tell of an allocation that was refused."""
    facts = {"resource": offer.resource, "ids": ids, "code": denial.code}
    return Event(f"{offer.resource}: denied: {denial.message}", facts)


def offered(before: Offer | None, offer: Offer) -> Event:
    """Tell what is offered from now on: which items turned bad, and why, and which are good again."""
    was = {item.id: item.reason for item in before.items} if before else {}
    unfit = {item.id: item.reason for item in offer.items if item.reason is not None}
    worse = {one: reason for one, reason in unfit.items() if was.get(one) != reason}
    better = [item.id for item in offer.items if item.reason is None and was.get(item.id) is not None]
    told = f"{offer.resource}: {len(offer.items)} items, {len(unfit)} unhealthy"
    changes = [f"{one} {reason}" for one, reason in worse.items()] + [
        f"{one} healthy again" for one in better
    ]
    facts = {
        "resource": offer.resource,
        "items": len(offer.items),
        "unhealthy": len(unfit),
        "reasons": worse,
        "recovered": better,
    }
    return Event(f"{told}: {', '.join(changes)}" if changes else told, facts)
