"""What is done when something is released, and with what success."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from vfioctl.plugin import programs
from vfioctl.plugin.hands import Outcome, outcome_of
from vfioctl.plugin.settings import BindMode, Kind, OnRelease
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.model.address import PciAddress
    from vfioctl.plugin.claims import Claim
    from vfioctl.plugin.hands import Hands
    from vfioctl.plugin.keeper import Keeper
    from vfioctl.plugin.settings import Config

log = logging.getLogger("vfioctl.plugin")

AGAIN = 60.0
"""Seconds to the next attempt of a program that failed: until it succeeds, nobody gets the device."""


class Release:
    """Does what a resource's configuration says is to be done on release."""

    def __init__(
        self, keeper: Keeper, config: Callable[[], Config], hands: Hands | None, again: float = AGAIN
    ) -> None:
        """Do it by these hands; without any, only programs are run."""
        self._keeper = keeper
        self._config = config
        self._hands = hands
        self._again = again

    async def __call__(self, claim: Claim) -> None:
        """Do all of it, in its order; what the configuration says is asked before each step."""
        done: set[str] = set()
        while action := next((one for one in self._actions(claim) if one not in done), None):
            done.add(action)
            await self._do(action, claim)

    def _actions(self, claim: Claim) -> tuple[str, ...]:
        resource = self._config().resource(claim.resource)
        if resource is None:
            return ()
        wanted = tuple(one for one in resource.on_release if one != OnRelease.GIVE_BACK)
        if resource.bind is BindMode.ON_DEMAND or OnRelease.GIVE_BACK in resource.on_release:
            # Last: from then on it is nobody's, and cannot inherit what others leave.
            wanted = (*wanted, OnRelease.GIVE_BACK)
        return wanted if resource.kind is Kind.PCI else tuple(one for one in wanted if one.startswith("/"))

    async def _do(self, action: str, claim: Claim) -> None:
        if action.startswith("/"):
            await self._run(action, claim)
            return
        outcome = await self._by_hand(action, claim)
        if outcome.done:
            log.info("%s of %s: %s done", claim.id, claim.resource, action)
        else:
            log.error("%s of %s: %s failed: %s", claim.id, claim.resource, action, outcome.text)

    async def _by_hand(self, action: str, claim: Claim) -> Outcome:
        if self._hands is None:
            return Outcome(done=False, text="this plugin changes no devices")
        if action == OnRelease.RESET:
            return await outcome_of(partial(self._hands.reset, claim.members))
        return await self._give_back(claim)

    async def _give_back(self, claim: Claim) -> Outcome:
        """Give back what was taken for it; whoever has part of its groups too does that later instead."""
        hands = self._hands
        now = self._keeper.ledger.claim(claim.key) or claim
        addresses = tuple(sorted({*claim.members, *now.bound}))
        if hands is None or not addresses:
            return Outcome(done=True)
        heir = self._heir(claim)
        if heir is not None:
            self._keeper.change(heir, bound=_merged(heir.bound, addresses))
            return Outcome(done=True)
        return await outcome_of(partial(hands.give_back, addresses))

    def _heir(self, claim: Claim) -> Claim | None:
        return next(
            (
                other
                for other in self._keeper.ledger.claims
                if other.key != claim.key and set(other.groups) & set(claim.groups)
            ),
            None,
        )

    async def _run(self, program: str, claim: Claim) -> None:
        """Run a program until it succeeds: whoever asks for it wants nobody to have the device before."""
        while True:
            resource = self._config().resource(claim.resource)
            if resource is None or program not in resource.on_release:
                return
            outcome = await programs.run(program, _variables(claim), resource.release_timeout)
            if outcome.done:
                return
            log.error("%s of %s stays back: %s", claim.id, claim.resource, outcome.text)
            await asyncio.sleep(self._again)


def _merged(one: tuple[PciAddress, ...], other: tuple[PciAddress, ...]) -> tuple[PciAddress, ...]:
    return tuple(sorted({*one, *other}))


def _variables(claim: Claim) -> dict[str, str]:
    """Return what a program is told: nothing that a user of the cluster can write, but the pod's name."""
    owner = claim.owner or claim.former
    return {
        "VFIOCTL_RESOURCE": claim.resource,
        "VFIOCTL_ID": claim.id,
        "VFIOCTL_ADDRESSES": ",".join(map(str, claim.members)),
        "VFIOCTL_GROUPS": ",".join(map(str, claim.groups)),
        "VFIOCTL_POD": f"{owner.namespace}/{owner.pod}" if owner else "",
    }
