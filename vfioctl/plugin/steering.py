"""What can be asked of a plugin that runs, carried out."""

from __future__ import annotations

import asyncio
import logging

from vfioctl.errors import NotFoundError, VfioctlError
from vfioctl.plugin.cordons import save_cordons
from vfioctl.plugin.standing import standing
from vfioctl.plugin.status import facts, status
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.plugin.protocol import Request, Result
    from vfioctl.plugin.status import Part
    from vfioctl.plugin.supervisor import Supervisor

log = logging.getLogger("vfioctl.plugin")


class Steering:
    """Answers requests about one plugin."""

    def __init__(self, plugin: Supervisor, cordons: str, parts: Sequence[Part] = ()) -> None:
        """Keep what is cordoned in a file; ``parts`` are what else status tells of items."""
        self._plugin = plugin
        self._cordons = cordons
        self._parts = parts
        self._one_at_a_time = asyncio.Lock()

    async def answer(self, request: Request) -> Result:
        """Do what is asked, and return what came of it.

        Raises:
            VfioctlError: why not.

        """
        match request.command:
            case "status":
                return await asyncio.to_thread(status, facts(self._plugin, self._parts))
            case "explain":
                return await self._explain(request.subject)
            case "cordon" | "uncordon":
                return await self._cordon(request.subject, wanted=request.command == "cordon")
            case _:
                return await self._resync()

    async def _explain(self, subject: str) -> Result:
        rules = self._plugin.rules
        # A large host takes a while, and calls are answered meanwhile.
        answers = await asyncio.to_thread(rules.explain, subject)
        return {"config": rules.file, "answers": [answer._asdict() for answer in answers]}

    async def _cordon(self, subject: str, *, wanted: bool) -> Result:
        async with self._one_at_a_time:
            before = self._plugin.rules.cordoned
            name = subject if subject in before else self._plugin.rules.known(subject)
            if name is None:
                raise NotFoundError(
                    f"there is no {subject} on this host, as the plugin sees it",
                    hint="see: vfioctl plugin status, vfioctl scan",
                )
            after = before | {name} if wanted else before - {name}
            if after != before:
                await asyncio.to_thread(save_cordons, self._cordons, after)
                self._plugin.rules.cordoned = after
                log.info("%s was %s", name, "cordoned" if wanted else "uncordoned")
                await self._look()
        return {
            "subject": name,
            "cordoned": wanted,
            "changed": after != before,
            "items": [{"resource": resource, "id": one} for resource, one in self._items_of(name)],
        }

    def _items_of(self, name: str) -> Iterator[tuple[str, str]]:
        for kept in self._plugin.kept.values():
            for item in kept.service.offer.items:
                if item.id == name or name in map(str, item.members):
                    yield item.resource, item.id

    async def _resync(self) -> Result:
        await self._look()
        if self._plugin.look.error is not None:
            raise VfioctlError(
                f"the host could not be looked at: {self._plugin.look.error}",
                hint="what was published stands; see the plugin's log and the kernel's",
            )
        return {"summary": standing(self._plugin).summary()}

    async def _look(self) -> None:
        """Have the host looked at, and wait for the end of a look that began after this."""
        plugin = self._plugin
        awaited = plugin.look.tries + (2 if plugin.look.under_way else 1)
        plugin.poke()
        await plugin.changed.until(lambda: plugin.look.tries >= awaited)
