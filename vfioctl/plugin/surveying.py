"""Looks at the host that ask more than what is there: what it can spare, and who has nodes open."""

from __future__ import annotations

import logging
from functools import partial
from typing import cast

from vfioctl.errors import VfioctlError
from vfioctl.plugin.binding import awaiting
from vfioctl.plugin.decisions import View
from vfioctl.plugin.hands import apart
from vfioctl.plugin.reading import Reading
from vfioctl.plugin.resources import sort_out
from vfioctl.plugin.settings import BindMode
from vfioctl.sysfs.openers import look_for_openers
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from vfioctl.model.host import Host
    from vfioctl.plugin.decisions import Decisions
    from vfioctl.plugin.hands import Hands, Wish
    from vfioctl.plugin.news import Places
    from vfioctl.sysfs.openers import Opener

    class Eyes(Protocol):
        """Who looks at the host."""

        async def read(self, places: Places | None = None) -> object:
            """Return what is seen; with places it is enough to look there."""


_PATIENCE = 20.0
UNKNOWN = "whether the host can spare it is not known"

log = logging.getLogger("vfioctl.plugin")


class Survey:
    """Looks, and asks of what is to be bound on demand whether the host can spare it."""

    def __init__(self, eyes: Eyes, rules: Callable[[], Decisions], hands: Hands | None) -> None:
        """Look by these eyes, for what the rules of the moment want."""
        self._eyes = eyes
        self._rules = rules
        self._hands = hands
        self._seen: tuple[object, object] = (None, None)
        self._about: object = None
        self._known: tuple[tuple[str, str], ...] = ()

    async def read(self, places: Places | None = None) -> object:
        """Return what is seen; asked again only where that is not what was seen before."""
        view = await self._eyes.read(places)
        config = self._rules().config
        on_demand = any(resource.bind is BindMode.ON_DEMAND for resource in config.resources)
        if not on_demand or not isinstance(view, View) or view.more:
            return view
        # The very objects: a look that sees nothing new returns what it returned before.
        if self._seen[0] is not view or self._seen[1] is not config:
            found = sort_out(view.host, config, sight=view.sight)
            waiting = awaiting(view.host, config, found.offers)
            about = tuple(_whose_groups(view.host, waiting))
            if about != self._about:
                answer = await self._refused(waiting)
                if answer is None:
                    # What is not known is not offered, and asked again at the next look.
                    return view._replace(refused=tuple((item, UNKNOWN) for item in waiting))
                self._known = answer
            self._seen, self._about = (view, config), about
        return view._replace(refused=self._known)

    async def _refused(self, waiting: dict[str, Wish]) -> tuple[tuple[str, str], ...] | None:
        if not waiting:
            return ()
        if self._hands is None:
            return tuple((item, "this plugin changes no drivers") for item in waiting)
        try:
            answers = await apart(partial(self._hands.survey, tuple(waiting.values())), _PATIENCE)
        except VfioctlError as error:
            log.warning("what the host can spare is not known: %s", error.message)
            return None
        return tuple((item, why) for item, why in zip(waiting, answers, strict=True) if why is not None)


def _whose_groups(host: Host, waiting: dict[str, Wish]) -> Iterator[object]:
    """Yield what an answer depends on: the items, and every function that would be bound with them."""
    for item, wish in waiting.items():
        yield item, wish
        for address in wish.addresses:
            device = host.by_address.get(address)
            group = host.group_of(device) if device is not None else None
            yield device if group is None else host.members(group)


class OpenNodes:
    """Looks for open nodes in a process that begins when it is first needed."""

    def __init__(self, scan: Callable[[], tuple[Opener, ...]] = look_for_openers) -> None:
        """Look by this function of a module."""
        self._scan = scan
        self._reading: Reading | None = None

    async def look(self) -> tuple[Opener, ...]:
        """Return who has which group open.

        Raises:
            VfioctlError: it takes too long.

        """
        if self._reading is None:
            self._reading = Reading(self._scan, _PATIENCE)
        return cast("tuple[Opener, ...]", await self._reading.read())

    def close(self) -> None:
        """End the process."""
        if self._reading is not None:
            self._reading.close()
