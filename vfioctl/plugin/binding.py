"""Binding when a pod needs a device (``bind = "on-demand"``), or once it is seen (``"at-start"``)."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from vfioctl.model.viability import assess
from vfioctl.plugin.condition import bridges_on_shpchp
from vfioctl.plugin.hands import Outcome, Wish, outcome_of
from vfioctl.plugin.settings import BindMode, Kind
from vfioctl.plugin.values import Denied
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vfioctl.model.host import Host
    from vfioctl.plugin.hands import Hands
    from vfioctl.plugin.keeper import Keeper
    from vfioctl.plugin.settings import Config
    from vfioctl.plugin.values import Item, Offer

log = logging.getLogger("vfioctl.plugin")

WAIT = 25.0
"""Seconds to wait in a PreStartContainer, which the kubelet gives up after 30 and calls again."""


class Binding:
    """Binds for containers that are about to start; who calls again waits for the same change."""

    def __init__(self, keeper: Keeper, hands: Hands | None, wait: float = WAIT) -> None:
        """Bind by these hands."""
        self._keeper = keeper
        self._hands = hands
        self._wait = wait
        self._under_way: dict[Wish, asyncio.Task[Outcome]] = {}

    async def prepare(
        self, host: Host, items: Sequence[Item], *, release_shpchp: bool = False
    ) -> Denied | None:
        """Have the functions of these items on a vfio driver, or say in a pod's status why not."""
        wish = Wish(tuple(sorted({address for item in items for address in item.members})), release_shpchp)
        if all((device := host.by_address.get(one)) and device.on_vfio for one in wish.addresses) and not (
            release_shpchp and _is_kept(host, items)
        ):
            return None
        if self._hands is None:
            return Denied("FAILED_PRECONDITION", "this plugin changes no drivers")
        task = self._under_way.get(wish)
        if task is None:
            task = asyncio.create_task(self._bind(self._hands, wish, items))
            self._under_way[wish] = task
            task.add_done_callback(lambda _: self._under_way.pop(wish))
        done, _ = await asyncio.wait({task}, timeout=self._wait)
        what = " ".join(item.id for item in items)
        if not done:
            return Denied("UNAVAILABLE", f"{what}: drivers are still being changed")
        outcome = task.result()
        return None if outcome.done else Denied("FAILED_PRECONDITION", f"{what}: {outcome.text}")

    async def _bind(self, hands: Hands, wish: Wish, items: Iterable[Item]) -> Outcome:
        keys = {(item.resource, item.id) for item in items}
        outcome = await outcome_of(partial(hands.bind, wish))
        shown = " ".join(map(str, outcome.moved or wish.addresses))
        if not outcome.done:
            log.error("%s: not bound: %s", shown, outcome.text)
            return outcome
        log.info("%s: bound for a container", shown)
        # Whoever is released last gives it all back, so that one of them is to know of it.
        claim = next((one for one in self._keeper.ledger.claims if one.key in keys), None)
        if claim is not None:
            self._keeper.change(claim, bound=tuple(sorted({*claim.bound, *outcome.moved})))
        return outcome


def _is_kept(host: Host, items: Iterable[Item]) -> bool:
    """Tell whether a bridge keeps their groups from VFIO, though they are bound already."""
    groups = (host.by_group.get(number) for item in items for number in item.groups)
    judged = (assess(host, group) for group in groups if group is not None)
    return any(bridges_on_shpchp(host, one.blockers) for one in judged)


def awaiting(host: Host, config: Config, offers: Iterable[Offer]) -> dict[str, Wish]:
    """Return the items of on-demand resources that are with the host, with what is to be bound for them."""
    wanted = {one.name: one for one in config.resources if one.bind is BindMode.ON_DEMAND}
    return {
        item.id: Wish(item.members, wanted[offer.resource].release_shpchp)
        for offer in offers
        if offer.resource in wanted
        for item in offer.items
        if any(not (device := host.by_address.get(one)) or not device.on_vfio for one in item.members)
    }


class AtStart:
    """Binds what is selected and on another driver, once each time that it is seen so."""

    def __init__(self, hands: Hands | None, then: Callable[[], None]) -> None:
        """Bind by these hands; ``then`` has the host looked at."""
        self._hands = hands
        self._then = then
        self._tried: set[str] = set()

    def again(self) -> None:
        """Try everything again, after a reload."""
        self._tried.clear()

    async def consider(self, config: Config, offers: Sequence[Offer]) -> None:
        """Bind what these offers show to be on another driver."""
        wanted = {
            one.name: one.release_shpchp
            for one in config.resources
            if one.bind is BindMode.AT_START and one.kind is Kind.PCI
        }
        waiting = {
            item.id: Wish(item.members, wanted[offer.resource])
            for offer in offers
            if offer.resource in wanted
            for item in offer.items
            if item.reason == "driver-changed"
            or (item.reason == "group-not-viable" and wanted[offer.resource])
        }
        self._tried &= waiting.keys()
        for name, wish in waiting.items():
            if name not in self._tried and self._hands is not None:
                self._tried.add(name)
                outcome = await outcome_of(partial(self._hands.bind, wish))
                if outcome.done:
                    log.info("%s: bound", name)
                else:
                    log.error("%s: not bound: %s", name, outcome.text)
                self._then()
