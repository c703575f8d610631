"""Everything that is decided about one host under one configuration: who judges, allocates and prefers."""

from __future__ import annotations

import logging

from vfioctl.errors import NotFoundError
from vfioctl.model.address import PciAddress
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.allocation import Allocations
from vfioctl.plugin.arbiter import IN_USE
from vfioctl.plugin.condition import REASONS
from vfioctl.plugin.explain import as_published, explain
from vfioctl.plugin.health import judge, published_before
from vfioctl.plugin.keeper import Keeper
from vfioctl.plugin.memory import Memory
from vfioctl.plugin.naming import named
from vfioctl.plugin.ownership import Book, table
from vfioctl.plugin.preferred import prefer
from vfioctl.plugin.settings import REGISTRY, BindMode, Registration
from vfioctl.plugin.values import Denied, Offer
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from vfioctl.model.host import Host
    from vfioctl.plugin.binding import Binding
    from vfioctl.plugin.claims import Claim, Ledger
    from vfioctl.plugin.explain import Answer
    from vfioctl.plugin.health import History, Judged
    from vfioctl.plugin.naming import Names
    from vfioctl.plugin.ownership import Row
    from vfioctl.plugin.settings import Config
    from vfioctl.plugin.sight import Sight
    from vfioctl.plugin.values import Grant, Item
    from vfioctl.sysfs.openers import Opener

NEEDED = "host-needs-it"

log = logging.getLogger("vfioctl.plugin")


class View(NamedTuple):
    """What one look at the host saw."""

    host: Host
    sight: Sight
    openers: tuple[Opener, ...] = ()
    """Who had VFIO nodes open; while something is claimed it is known better elsewhere."""
    refused: tuple[tuple[str, str], ...] = ()
    """Items that the host cannot spare, and why."""
    touched: frozenset[PciAddress] | None = None
    """The functions that were looked at again, all others being as before; None: everything was."""
    more: bool = False
    """Whether this is what was known before, and a look at everything has only come a part further."""

    def parts(self) -> tuple[tuple[object, ...], ...]:
        """Return what most looks have in common, as rows of the very same objects."""
        return self.host.devices, self.host.groups


class Decisions:
    """One configuration, and what was seen last."""

    def __init__(
        self,
        config: Config,
        before: Decisions | None = None,
        *,
        names: Names | None = None,
        keeper: Keeper | None = None,
        binding: Binding | None = None,
    ) -> None:
        """Decide by this configuration, with the history and the ledger of the one before it.

        ``names`` makes known what is handed out by name; without it somebody else does.
        """
        self.config = config
        self.keeper: Keeper = before.keeper if before else keeper or Keeper()
        self.again: float | None = None
        """When owners alone change what is to be published, on the keeper's clock."""
        self._binding: Binding | None = before._binding if before else binding  # noqa: SLF001 - its successor
        self._published: tuple[Offer, ...] = ()
        self._modes = {resource.name: resource.shared_group for resource in config.resources}
        self._offers: tuple[Offer, ...] = before._offers if before else ()  # noqa: SLF001 - its successor
        self.names: Names | None = before.names if before else names
        self._unnamed: str | None = None
        self.cordoned: frozenset[str] = before.cordoned if before else frozenset()
        self.judged: Judged | None = None
        self._history: History = (
            before._history if before else published_before(self.keeper.ledger.claims)  # noqa: SLF001 - its successor
        )
        self._memory = Memory()
        self._view: View | None = None
        self._allocations: Allocations | None = None
        self._told: View | None = None
        self._book: tuple[Ledger, float, Book] | None = None
        if before and before._view:  # noqa: SLF001 - the same
            self._see(before._view)  # noqa: SLF001 - the same

    @property
    def kubelet_dir(self) -> str:
        """The kubelet's root directory."""
        return self.config.plugin.kubelet_dir

    @property
    def sockets_dir(self) -> str:
        """Where the plugin's sockets have to be."""
        plugin = self.config.plugin
        return f"{plugin.kubelet_dir.rstrip('/')}/{REGISTRY}" if self.watcher else plugin.device_plugins_dir

    @property
    def watcher(self) -> bool:
        """Whether registration is left to the kubelet's plugin watcher."""
        return self.config.plugin.registration is Registration.WATCHER

    @property
    def file(self) -> str | None:
        """The configuration's file, which may change."""
        return self.config.file

    @property
    def listen(self) -> str:
        """Where metrics and health are served; empty: nowhere."""
        return self.config.plugin.listen

    def judge(self, view: View) -> tuple[tuple[Offer, ...], bool]:
        """Return what to publish after a look, and whether to look again soon to settle a doubt."""
        ledger = self.keeper.ledger
        known = ledger.answered or ledger.claims
        allocated = frozenset(claim.id for claim in ledger.claims) if known else None
        found = self._memory.sort_out(view.host, self.config, self.cordoned, view.sight, view.touched)
        judged = judge(
            self._history, view.host, self.config, self.cordoned, view.sight, allocated, found=found
        )
        if judged.sorted_out.ties != (self.judged.sorted_out.ties if self.judged else ()):
            for tie in judged.sorted_out.ties:
                log.warning(
                    "%s is selected by %s with the same priority: none of them offers it",
                    tie.id,
                    " and ".join(tie.resources),
                )
        self._history, self.judged, self._published = judged.history, judged, ()
        self._see(view)
        before, self._unnamed = self._unnamed, self._make_known(view.host, judged.offers)
        if self._unnamed not in {None, before}:
            log.error("no pod can be given a device by name: %s", self._unnamed)
        return without_refused(judged.offers, view, ledger.claims), judged.unsettled

    def arbitrate(self, offers: Sequence[Offer]) -> tuple[Offer, ...]:
        """Return what to publish of what was judged, with what follows from who owns which group."""
        self._offers = tuple(offers)
        if self._view is not None and self._view is not self._told:
            # Once for each look: who minds the ledger knows better soon after.
            self._told = self._view
            self.keeper.strangers(self._view.openers)
        found = self.keeper.arbitrate(self._offers, self._modes)
        self.again, self._published = found.again, found.offers
        return found.offers

    def book(self) -> Book:
        """Return who owns what, to be asked of each item."""
        ledger, now = self.keeper.ledger, self.keeper.clock()
        if self._book is None or self._book[0] is not ledger or now - self._book[1] > 1.0:
            self._book = ledger, now, Book(ledger, self._modes, now)
        return self._book[2]

    def table(self) -> tuple[Row, ...]:
        """Return every item with its state and owner."""
        return table(self.keeper.ledger, self._offers, self._modes, self.keeper.clock())

    def known(self, subject: str) -> str | None:
        """Return the full name of a PCI function, mediated or USB device, or item that is here; else None."""
        host, sight, *_ = self._seen()
        address = PciAddress.from_name(subject)
        if address is not None:
            return str(address) if address in host.by_address else None
        name = subject.removeprefix("mdev:").removeprefix("usb:")
        here = {mdev.uuid for mdev in host.mdevs} | {one.name for one in sight.usb or ()}
        here |= {item.id for offer in (self.judged.offers if self.judged else ()) for item in offer.items}
        return name if name in here else None

    def explain(self, subject: str) -> tuple[Answer, ...]:
        """Say of each resource whether it offers a thing, as it is published."""
        host, sight, *_ = self._seen()
        answers = explain(host, self.config, subject, self.cordoned, sight)
        offers = self._published or (self.judged.offers if self.judged else ())
        return tuple(as_published(answers, offers))

    def allocate(self, offer: Offer, ids: tuple[str, ...]) -> Grant | Denied:
        """Return what a container gets, from what was seen last: sysfs is not touched.

        From the look at the owners to the reservation nothing else runs, whichever resources are asked.
        """
        if self._allocations is None:
            raise LookupError("nothing was offered yet")
        items = [offer.items[offer.places[one]] for one in ids if one in offer.places]
        if refused := self._needed(items) or self.keeper.refuse(items, self._modes):
            return refused
        grant = self._allocations.allocate(_unowned(offer, items), ids)
        if not isinstance(grant, Denied) and grant.cdi:
            # Somebody may have removed or replaced the specification since the last look.
            chosen = Offer(offer.resource, tuple(item for item in offer.items if item.id in ids))
            if why := self._make_known(self._seen().host, [chosen]):
                return Denied("FAILED_PRECONDITION", f"{' '.join(grant.cdi)}: {why}")
        if not isinstance(grant, Denied):
            self.keeper.reserve(items)
        return grant

    def _needed(self, items: Sequence[Item]) -> Denied | None:
        """Refuse what the host cannot spare, and say why."""
        for item in items:
            if item.reason == NEEDED:
                why = dict(self._seen().refused).get(item.id, REASONS[NEEDED])
                return Denied("FAILED_PRECONDITION", f"{item.id} of {item.resource}: {why} ({NEEDED})")
        return None

    def starts(self, resource: str) -> bool:
        """Tell whether devices of it are bound when a container starts."""
        found = self.config.resource(resource)
        return found is not None and found.bind is BindMode.ON_DEMAND

    async def prepare(self, offer: Offer, ids: tuple[str, ...]) -> Denied | None:
        """Have the devices of a container on a vfio driver."""
        items = [item for item in offer.items if item.id in ids]
        if len(items) < len(ids) or self._binding is None:
            return Denied("FAILED_PRECONDITION", f"{' '.join(ids)} of {offer.resource}: {REASONS['missing']}")
        resource = self.config.resource(offer.resource)
        release = resource is not None and resource.release_shpchp
        return await self._binding.prepare(self._seen().host, items, release_shpchp=release)

    def prefer(
        self, offer: Offer, available: tuple[str, ...], must_include: tuple[str, ...], size: int
    ) -> tuple[str, ...] | Denied:
        """Return the items that go together best."""
        beside = self.keeper.beside(offer.resource)
        return prefer(self._seen().host, offer, available, must_include, size, beside)

    def _see(self, view: View) -> None:
        self._view = view
        self._allocations = Allocations(view.host, self.config, view.sight)

    def _make_known(self, host: Host, offers: Iterable[Offer]) -> str | None:
        wanted = named(self.config, offers) if self.names else ()
        return self.names(host, wanted) if self.names and wanted else None

    def _seen(self) -> View:
        if self._view is None:
            raise NotFoundError("the host was not seen yet", hint="wait a moment")
        return self._view


def without_refused(offers: tuple[Offer, ...], view: View, claims: Iterable[Claim]) -> tuple[Offer, ...]:
    """Make unhealthy what the host cannot spare, but not what somebody has by now."""
    refused = dict(view.refused)
    if not refused:
        return offers
    for claim in claims:
        refused.pop(claim.id, None)
    return tuple(_without(offer, refused) for offer in offers)


def _without(offer: Offer, refused: Container[str]) -> Offer:
    items = (
        item._replace(reason=NEEDED) if item.reason is None and item.id in refused else item
        for item in offer.items
    )
    return Offer(offer.resource, tuple(items))


def _unowned(offer: Offer, asked: Iterable[Item]) -> Offer:
    """Return an offer as the hardware is: that the owners agree was asked already."""
    if not any(item.reason == IN_USE for item in asked):
        return offer
    items = (item._replace(reason=None) if item.reason == IN_USE else item for item in offer.items)
    return Offer(offer.resource, tuple(items))
