"""How a plugin that runs stands at one moment: the one value behind metrics, probes, status and STATUS=."""

from __future__ import annotations

import asyncio
from time import monotonic

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.reading import PATIENCE
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.plugin.registration import State
    from vfioctl.plugin.supervisor import Supervisor
    from vfioctl.plugin.troubles import Trouble
    from vfioctl.plugin.values import Offer


class Served(NamedTuple):
    """How one resource stands."""

    offer: Offer
    state: State
    listening: bool
    """Whether a kubelet has its list open."""


class Standing(NamedTuple):
    """How everything stands."""

    served: tuple[Served, ...]
    kubelet: bool
    """Whether there is somebody to register with."""
    looked: bool
    """Whether the host was seen at all."""
    since_look: float
    """Seconds since a look succeeded, or since the start."""
    since_try: float
    """Seconds since a look ended, well or not, or since the start."""
    late: float
    """Seconds after which a look is overdue."""
    look_error: str | None
    reload_error: str | None
    tasks: int
    """Of the loop."""
    troubles: tuple[Trouble, ...] = ()
    """What is not known of who owns what."""
    failures: tuple[tuple[str, int], ...] = ()
    """How many questions for that failed since the start, by what was asked."""

    @property
    def dead(self) -> str | None:
        """Say why a restart would help, or return None: no look has ended for longer than one can take."""
        if self.since_try > self.late:
            return f"no look at the host has ended for {self.since_try:.0f} s"
        return None

    @property
    def stale(self) -> str | None:
        """Say why what is published may be out of date, or return None."""
        if self.since_look > self.late:
            why = f": {self.look_error}" if self.look_error else ""
            return f"the host was not seen for {self.since_look:.0f} s{why}"
        return self.dead

    @property
    def unready(self) -> str | None:
        """Say why a kubelet does not have everything that is offered, or return None."""
        if not self.looked:
            return "the host was not seen yet" + (f": {self.look_error}" if self.look_error else "")
        down = [one for one in self.served if not (one.listening and one.state.phase == "up")]
        if not down:
            return None
        if not self.kubelet:
            return f"there is no kubelet: {len(down)} resources wait for it"
        first = down[0]
        why = first.state.error or first.state.phase
        more = f" (and {len(down) - 1} more)" if len(down) > 1 else ""
        return f"{first.offer.resource} is not registered: {why}{more}"

    @property
    def settled(self) -> bool:
        """Whether everything was done once that can be done: registered, refused, or a kubelet waited for."""
        return self.looked and all(
            one.state.phase in {"up", "failed"} or not self.kubelet for one in self.served
        )

    def summary(self) -> str:
        """Return all this in one line."""
        items = [item for one in self.served for item in one.offer.items]
        fit = sum(item.reason is None for item in items)
        up = sum(one.listening for one in self.served)
        told = f"{up} of {len(self.served)} resources registered, {len(items)} items, {fit} healthy"
        trouble = [text for text in (self.unready, self.stale) if text]
        if self.reload_error:
            trouble.append(f"the configuration was not taken over: {self.reload_error}")
        trouble += [str(one) for one in self.troubles if one.lasting]
        return "; ".join([told, *trouble])


def standing(plugin: Supervisor) -> Standing:
    """Return how a plugin stands now."""
    now = monotonic()
    served = (
        Served(kept.service.offer, kept.registration.state, kept.service.listening)
        for kept in plugin.kept.values()
    )
    # A look is made after a pause as long as the one before took, and may itself take as long as it may.
    late = plugin.look.period + plugin.times.retry + 2 * PATIENCE
    return Standing(
        tuple(served),
        kubelet=plugin.kubelet_there,
        looked=plugin.look.last is not None,
        since_look=now - (plugin.began if plugin.look.last is None else plugin.look.last),
        since_try=now - plugin.look.last_try,
        late=late,
        look_error=plugin.look.error,
        reload_error=plugin.reload_error,
        troubles=plugin.troubles.now(),
        failures=tuple(sorted(plugin.troubles.failures.items())),
        tasks=len(asyncio.all_tasks()),
    )
