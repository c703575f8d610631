"""What the plugin does to devices: by functions that it is given, each in an interpreter of its own.

A change of drivers can block where no signal reaches, forks, and handles signals itself: none of that goes
together with an event loop and gRPC's threads. Whatever is begun is finished, also when the plugin ends
meanwhile: a transaction that is killed half way would have to be recovered by hand.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from vfioctl.errors import VfioctlError
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.reading import BlockedError, Reading
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from typing import ClassVar, TypeAlias, TypeVar

    from vfioctl.model.address import PciAddress

    Answer = TypeVar("Answer")
    Addresses: TypeAlias = tuple[PciAddress, ...]

log = logging.getLogger("vfioctl.plugin")

PATIENCE = 300.0
"""Seconds after which nobody waits for a change any more: each write has 20 s, and may be rolled back."""


class Outcome(NamedTuple):
    """What came of it."""

    done: bool
    text: str = ""
    """Why not, as a pod's status will say it."""
    moved: Addresses = ()
    """The functions whose driver was changed."""


class Wish(NamedTuple):
    """What is to be bound."""

    addresses: Addresses
    release_shpchp: bool = False
    """With the bridges of its groups taken from shpchp."""


class Hands(NamedTuple):
    """Functions of modules, for they are called elsewhere."""

    survey: Callable[[tuple[Wish, ...]], tuple[str | None, ...]]
    """Say of each whether the host can spare it: why not, or None."""
    bind: Callable[[Wish], Outcome]
    """Give them to VFIO, with the rest of their groups, or change nothing."""
    give_back: Callable[[Addresses], Outcome]
    """Give them, bridges too, and nothing else, back to where they came from."""
    reset: Callable[[Addresses], Outcome]


class _Lasting(Reading):
    """A process that is not killed when nobody waits for it any more."""

    _ended: ClassVar[list[subprocess.Popen[bytes]]] = []

    def _leave(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            # Kept until it has ended: nobody else would take leave of it.
            self._ended.append(self._process)
            self._process = None
        self._ended[:] = [process for process in self._ended if process.poll() is None]


async def apart(work: Callable[[], Answer], patience: float = PATIENCE) -> Answer:
    """Call a function of a module, or a `functools.partial` of one, in an interpreter of its own.

    Raises:
        VfioctlError: what it raised, or that it takes too long.

    """
    process = _Lasting(work, patience)
    try:
        return cast("Answer", await process.read())
    except BlockedError as error:
        raise VfioctlError(
            f"a process that changes drivers did not answer for {patience:g} s, or was killed",
            hint="see what was left: vfioctl recover",
        ) from error
    finally:
        process.close()


async def outcome_of(work: Callable[[], Outcome]) -> Outcome:
    """Call a function that changes something; that it raised is an outcome too."""
    try:
        return await apart(work)
    except VfioctlError as error:
        return Outcome(done=False, text=error.message)
    except asyncio.CancelledError:
        log.warning("the plugin ends while drivers are changed; that is finished without it")
        raise
