"""``vfioctl cdi generate --watch``: the specification follows the devices, whoever binds them."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from contextlib import suppress

from vfioctl.errors import UsageError, VfioctlError
from vfioctl.export.cdi import cdi_device
from vfioctl.export.cdi_files import FILE_NAME, store
from vfioctl.export.nodes import Backend
from vfioctl.export.readiness import is_endpoint, with_groups
from vfioctl.model.selector import select
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vfioctl.cli.export_targets import Wish
    from vfioctl.cli.session import Session
    from vfioctl.export.cdi import CdiDevice
    from vfioctl.model.host import Host

_SETTLE = 0.05
"""Seconds from the first report to the look: a device that is bound is a dozen of them."""
_AGAIN = 30.0
"""Seconds after which it is looked at the host although nothing was reported: reports can be lost."""


def watch_host(session: Session, folder: str, wish: Wish) -> None:
    """Keep a folder's specification as the host is, until SIGTERM or Ctrl-C; then it stays as it is.

    Raises:
        UsageError: the session does not look at this host, or JSON was asked for.

    """
    if session.root != "/":
        raise UsageError(
            f"{session.root} does not change: there is nothing to watch", hint="leave --watch away"
        )
    if session.form == "json":
        raise UsageError("--watch has no JSON form", hint="vfioctl cdi list --json says what is stored")
    from vfioctl.cli.booting import await_udev
    from vfioctl.plugin.manager import ServiceManager

    # This run is not a short one.
    gc.enable()
    manager = ServiceManager(os.environ)
    await_udev(manager, session.warn)

    def note(text: str) -> None:
        session.note(text)
        # What was written is what is said: the first time, containers may come.
        manager.say("READY=1", f"STATUS={text}")

    follower = Follower(session.host, folder, wish, note, session.warn)
    asyncio.run(_until_terminated(follower))


def described(host: Host, wish: Wish) -> tuple[CdiDevice, ...]:
    """Return the devices to describe: those of the selected that a vfio driver has now."""
    chosen = select(host, wish.selectors) if wish.selectors else host.devices
    endpoints = tuple(device for device in chosen if is_endpoint(device))
    wanted = endpoints if wish.device_only or not wish.selectors else with_groups(host, endpoints)
    made = (cdi_device(device, Backend(wish.backend), wish.access) for device in wanted if device.on_vfio)
    return tuple(device for device in made if device.nodes)


class Follower:
    """Looks at the host whenever something was reported, and stores what changed."""

    def __init__(
        self,
        look: Callable[[], Host],
        folder: str,
        wish: Wish,
        note: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        """Store what is wished for in a folder, and say so."""
        self._look = look
        self._folder = folder
        self._wish = wish
        self._note = note
        self._warn = warn
        self._failure = ""
        self._rung = asyncio.Event()

    async def run(self, changes: AsyncIterator[object]) -> None:
        """Follow for ever; what fails later is said once, and tried again.

        Raises:
            VfioctlError: it cannot even begin.

        """
        listening = asyncio.create_task(self._listen(changes))
        try:
            _, devices = await self._keep()
            self._say(devices)
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._rung.wait(), _AGAIN)
                await asyncio.sleep(_SETTLE)
                await self._try()
        finally:
            listening.cancel()

    async def _listen(self, changes: AsyncIterator[object]) -> None:
        try:
            async for _ in changes:
                self._rung.set()
        except (OSError, ImportError) as problem:
            self._warn(f"the kernel's reports cannot be had ({problem}): looking every {_AGAIN:g} s")

    async def _try(self) -> None:
        try:
            changed, devices = await self._keep()
        except VfioctlError as error:
            if error.message != self._failure:
                self._warn(f"{error.message} ({error.hint})")
            self._failure = error.message
            return
        self._failure = ""
        if changed:
            self._say(devices)

    async def _keep(self) -> tuple[bool, tuple[CdiDevice, ...]]:
        self._rung.clear()
        host = await asyncio.to_thread(self._look)
        devices = described(host, self._wish)
        return store(self._folder, devices), devices

    def _say(self, devices: tuple[CdiDevice, ...]) -> None:
        names = " ".join(str(device.address) for device in devices)
        self._note(f"{self._folder}/{FILE_NAME}: {names or 'no device is on a vfio driver'}")


async def _until_terminated(follower: Follower) -> None:
    from vfioctl.udev.changes import changes

    following = asyncio.create_task(follower.run(changes()))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, following.cancel)
    await asyncio.wait([following])
    if not following.cancelled():
        following.result()
