"""Why something is in a resource, or in none: which term of which selector did not hold."""

from __future__ import annotations

from enum import StrEnum

from vfioctl.model.address import PciAddress
from vfioctl.model.grammar import split_terms
from vfioctl.model.selector import Selector
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.condition import REASONS, in_words
from vfioctl.plugin.lots import lot_named, selects_mdev, selects_usb, unit_of
from vfioctl.plugin.resources import EVERYTHING, sort_out
from vfioctl.plugin.settings import Kind
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from vfioctl.model.host import Host
    from vfioctl.plugin.resources import Sorted
    from vfioctl.plugin.settings import Config, Resource
    from vfioctl.plugin.sight import Sight
    from vfioctl.plugin.values import Item, Offer

    Matches: TypeAlias = Callable[[Selector], bool]

_OFFERS = {
    Kind.PCI: "it offers PCI functions",
    Kind.MDEV: "it offers mediated devices",
    Kind.USB: "it offers USB devices",
    Kind.NODE: "it offers device nodes",
}


class Verdict(StrEnum):
    """What a resource makes of something."""

    OFFERED = "offered"
    UNHEALTHY = "unhealthy"
    LEFT_OUT = "left-out"
    EXCLUDED = "excluded"
    NOT_SELECTED = "not-selected"
    OTHER_KIND = "other-kind"


class Answer(NamedTuple):
    """What one resource makes of it, and why."""

    resource: str
    verdict: Verdict
    item: str | None
    """The item that it is, or is part of."""
    why: tuple[str, ...]


def explain(
    host: Host,
    config: Config,
    subject: str,
    cordoned: frozenset[str] = frozenset(),
    sight: Sight = EVERYTHING,
) -> tuple[Answer, ...]:
    """Say of each resource whether it offers a thing: an address, a UUID, or a USB port as in ``1-2.5``."""
    found = sort_out(host, config, cordoned, sight)
    kind, matches = _matcher(host, subject, sight)
    return tuple(
        _answer(host, resource, found, subject, sight, kind, matches) for resource in found.resources
    )


def _matcher(host: Host, subject: str, sight: Sight) -> tuple[Kind, Matches]:
    """Return what kind of thing it is, and how a selector is asked about it."""
    address = PciAddress.from_name(subject)
    if address is not None and (device := host.by_address.get(address)) is not None:
        return Kind.PCI, lambda selector: selector.matches(device, host)
    mdev = next((one for one in host.mdevs if one.uuid == subject), None)
    if mdev is not None and (parent := host.by_address.get(mdev.parent)) is not None:
        return Kind.MDEV, lambda selector: selects_mdev(selector, mdev, parent, host)
    usb = next((one for one in sight.usb or () if one.name == subject), None)
    if usb is not None:
        return Kind.USB, lambda selector: selects_usb(selector, usb, host)
    return Kind.NODE, lambda _selector: False


def _answer(
    host: Host, resource: Resource, found: Sorted, subject: str, sight: Sight, kind: Kind, matches: Matches
) -> Answer:
    if resource.kind is not kind:
        return Answer(resource.name, Verdict.OTHER_KIND, None, (_OFFERS[resource.kind],))
    if item := _item(found, resource.name, subject):
        return _as_item(host, resource, item, subject, sight)
    if not any(map(matches, resource.select)):
        why = tuple(_not_matched(selector, matches) for selector in resource.select)
        return Answer(resource.name, Verdict.NOT_SELECTED, None, why)
    for selector in resource.exclude:
        if matches(selector):
            return Answer(resource.name, Verdict.EXCLUDED, None, (f'exclude "{selector.text}" matches it',))
    return Answer(resource.name, Verdict.LEFT_OUT, None, (_why_left_out(host, resource, found, subject),))


def _as_item(host: Host, resource: Resource, item: Item, subject: str, sight: Sight) -> Answer:
    why = [] if item.reason is None else [why_unfit(host, resource, item, sight)]
    together = [str(address) for address in item.members if str(address) != subject]
    if together and resource.kind is Kind.PCI:
        why.append(f"together with {' '.join(together)}")
    verdict = Verdict.OFFERED if item.reason is None else Verdict.UNHEALTHY
    return Answer(resource.name, verdict, item.id, tuple(why))


def as_published(answers: Iterable[Answer], offers: Iterable[Offer]) -> Iterator[Answer]:
    """Yield answers with the health that was published, which also knows of the past and of other pods."""
    published = {(item.resource, item.id): item.reason for offer in offers for item in offer.items}
    for answer in answers:
        reason = published.get((answer.resource, answer.item or ""))
        if reason is None or any(why.startswith(f"{reason}:") for why in answer.why):
            yield answer
        else:
            why = f"{reason}: {REASONS.get(reason, reason)}"
            yield answer._replace(verdict=Verdict.UNHEALTHY, why=(why, *answer.why))


def why_unfit(host: Host, resource: Resource, item: Item, sight: Sight) -> str:
    """Say why an item that is offered is not healthy: the word, and what it means here."""
    if item.reason is None:
        return "healthy"
    lot = lot_named(host, resource, item.id, sight)
    meaning = in_words(host, lot, sight, item.reason) if lot is not None else REASONS[item.reason]
    return f"{item.reason}: {meaning}"


def _item(found: Sorted, name: str, subject: str) -> Item | None:
    offer = next(offer for offer in found.offers if offer.resource == name)
    for item in offer.items:
        if item.id == subject or subject in map(str, item.members):
            return item
    return None


def _not_matched(selector: Selector, matches: Matches) -> str:
    """Name the terms of a selector that do not hold."""
    pairs = zip(split_terms(selector.text), selector.terms, strict=True)
    failed = [text for text, term in pairs if not matches(Selector(text, (term,)))]
    if len(selector.terms) == 1:
        return f'select "{selector.text}" does not match it'
    return f'select "{selector.text}" does not match it because of: {" ".join(failed)}'


def _why_left_out(host: Host, resource: Resource, found: Sorted, subject: str) -> str:
    """Say why something that is selected is not offered: for its own sake, or for what goes with it."""
    left = {one.id: one.why for one in found.left_out if one.resource == resource.name}
    if subject in left:
        return left[subject]
    if resource.kind is Kind.MDEV:
        return f"its type is none of {' '.join(resource.types)}"
    address = PciAddress.from_name(subject)
    device = host.by_address.get(address) if address is not None else None
    for other in unit_of(host, resource, device) if device is not None else ():
        if str(other.address) in left:
            return f"it goes with {other.address}, which is left out: {left[str(other.address)]}"
    return "it stays with the host: it is a bridge, or part of the board"
