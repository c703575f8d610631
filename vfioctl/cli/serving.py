"""Serving this host: the plugin is given its eyes, its ears and its voice."""

from __future__ import annotations

import gc
import os

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.cli.session import Session
    from vfioctl.plugin.settings import Config

LOCK_VARIABLE = "VFIOCTL_PLUGIN_LOCK"
"""The environment variable that names another lock than that of this host: for tests."""


def serve_host(session: Session, load: Callable[[], Config], *, log_format: str, drain: bool) -> None:
    """Serve until told to end; raises as `vfioctl.plugin.serving.serve` does."""
    from logging import getLogger

    from vfioctl.cli.booting import await_udev
    from vfioctl.cli.logs import speak
    from vfioctl.cli.naming import Specification
    from vfioctl.cli.plugin_hands import hands
    from vfioctl.plugin import protocol
    from vfioctl.plugin.eyes import HostEyes
    from vfioctl.plugin.lock import PATH
    from vfioctl.plugin.manager import ServiceManager
    from vfioctl.plugin.serving import serve
    from vfioctl.udev.changes import changes

    # gRPC makes its sockets by the umask, and only root is to connect to them.
    os.umask(0o077)
    # This run is not a short one.
    gc.enable()
    speak(log_format, session.verbosity)
    # Before another process is started, which must not inherit what is for this one.
    manager = ServiceManager(os.environ)
    await_udev(manager, getLogger("vfioctl.plugin").warning)
    serve(
        HostEyes(),
        load,
        changes,
        manager=manager,
        lock=os.environ.get(LOCK_VARIABLE, PATH),
        drain=drain,
        admin=os.environ.get(protocol.PATH_VARIABLE, protocol.PATH),
        names=Specification(),
        hands=hands(),
    )
