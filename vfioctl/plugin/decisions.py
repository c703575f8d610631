"""Everything that is decided about one host under one configuration: who judges, allocates and prefers."""

from __future__ import annotations

import logging

from vfioctl.errors import NotFoundError
from vfioctl.model.address import PciAddress
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.allocation import Allocations
from vfioctl.plugin.explain import as_published, explain
from vfioctl.plugin.health import History, judge
from vfioctl.plugin.naming import named
from vfioctl.plugin.preferred import prefer
from vfioctl.plugin.settings import Registration
from vfioctl.plugin.values import Denied, Offer
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.model.host import Host
    from vfioctl.plugin.explain import Answer
    from vfioctl.plugin.health import Judged
    from vfioctl.plugin.naming import Names
    from vfioctl.plugin.settings import Config
    from vfioctl.plugin.sight import Sight
    from vfioctl.plugin.values import Grant

log = logging.getLogger("vfioctl.plugin")


class View(NamedTuple):
    """What one look at the host saw."""

    host: Host
    sight: Sight


class Decisions:
    """One configuration, and what was seen last."""

    def __init__(
        self, config: Config, before: Decisions | None = None, *, names: Names | None = None
    ) -> None:
        """Decide by this configuration, with the history of the one before it.

        ``names`` makes known what is handed out by name; without it somebody else does.
        """
        self.config = config
        self.names: Names | None = before.names if before else names
        self._unnamed: str | None = None
        self.cordoned: frozenset[str] = before.cordoned if before else frozenset()
        self.judged: Judged | None = None
        self._history: History = before._history if before else History()  # noqa: SLF001 - its successor
        self._view: View | None = None
        self._allocations: Allocations | None = None
        if before and before._view:  # noqa: SLF001 - the same
            self._see(before._view)  # noqa: SLF001 - the same

    @property
    def kubelet_dir(self) -> str:
        """The kubelet's folder."""
        return self.config.plugin.kubelet_dir

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
        judged = judge(self._history, view.host, self.config, self.cordoned, view.sight)
        if judged.sorted_out.ties != (self.judged.sorted_out.ties if self.judged else ()):
            for tie in judged.sorted_out.ties:
                log.warning(
                    "%s is selected by %s with the same priority: none of them offers it",
                    tie.id,
                    " and ".join(tie.resources),
                )
        self._history, self.judged = judged.history, judged
        self._see(view)
        before, self._unnamed = self._unnamed, self._make_known(view.host, judged.offers)
        if self._unnamed not in {None, before}:
            log.error("no pod can be given a device by name: %s", self._unnamed)
        return judged.offers, judged.unsettled

    def known(self, subject: str) -> str | None:
        """Return the full name of a PCI function, mediated or USB device, or item that is here; else None."""
        host, sight = self._seen()
        address = PciAddress.from_name(subject)
        if address is not None:
            return str(address) if address in host.by_address else None
        name = subject.removeprefix("mdev:").removeprefix("usb:")
        here = {mdev.uuid for mdev in host.mdevs} | {one.name for one in sight.usb or ()}
        here |= {item.id for offer in (self.judged.offers if self.judged else ()) for item in offer.items}
        return name if name in here else None

    def explain(self, subject: str) -> tuple[Answer, ...]:
        """Say of each resource whether it offers a thing, as it is published."""
        host, sight = self._seen()
        answers = explain(host, self.config, subject, self.cordoned, sight)
        return tuple(as_published(answers, self.judged.offers if self.judged else ()))

    def allocate(self, offer: Offer, ids: tuple[str, ...]) -> Grant | Denied:
        """Return what a container gets, from what was seen last: sysfs is not touched."""
        if self._allocations is None:
            raise LookupError("nothing was offered yet")
        grant = self._allocations.allocate(offer, ids)
        if not isinstance(grant, Denied) and grant.cdi:
            # Somebody may have removed or replaced the specification since the last look.
            chosen = Offer(offer.resource, tuple(item for item in offer.items if item.id in ids))
            if why := self._make_known(self._seen().host, [chosen]):
                return Denied("FAILED_PRECONDITION", f"{' '.join(grant.cdi)}: {why}")
        return grant

    def prefer(
        self, offer: Offer, available: tuple[str, ...], must_include: tuple[str, ...], size: int
    ) -> tuple[str, ...] | Denied:
        """Return the items that go together best."""
        return prefer(self._seen().host, offer, available, must_include, size)

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
