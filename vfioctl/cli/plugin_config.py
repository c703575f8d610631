"""Which configuration holds, and what the plugin would see: what the commands about the plugin begin with."""

from __future__ import annotations

import os

import click

from vfioctl.cli.params import FilePath
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.plugin.config import Config
    from vfioctl.plugin.sight import Sight


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--config``."""
    return click.option(
        "--config",
        type=FilePath(),
        metavar="FILE",
        envvar="VFIOCTL_CONFIG",
        show_envvar=True,
        help="The configuration (/etc/vfioctl/plugin.toml, if it is there).",
    )(function)


def configuration(session: Session, path: str | None, domain: str | None = None) -> Config:
    """Return the configuration that was named, else the host's own, else what holds without a file.

    Raises:
        UsageError: there is something wrong in it, or a domain was given for resources that have names.
        NotPermittedError: it may not be read.

    """
    from vfioctl.errors import UsageError
    from vfioctl.plugin.config import default_config, load
    from vfioctl.plugin.names import DEFAULT_DOMAIN
    from vfioctl.plugin.settings import DEFAULT_PATH

    with session.opened() as root:
        own = root.local(DEFAULT_PATH)
        found = path or (own if os.path.lexists(own) else None)
        if found is None:
            return default_config(DEFAULT_DOMAIN if domain is None else domain)
        if domain is not None:
            raise UsageError(
                f"--domain is for serving without a configuration, and {found} names its resources",
                hint="write the domain before the names in the file",
            )
        return load(found)


def listening(config: Config, listen: str | None) -> Config:
    """Return a configuration that listens where an option says, if it says so.

    Raises:
        UsageError: that is no address with a port.

    """
    from vfioctl.plugin.keys import Place
    from vfioctl.plugin.keys import listen as read

    if listen is None:
        return config
    return config._replace(
        plugin=config.plugin._replace(listen=read(Place("command line", "--listen"), listen))
    )


def surveyed(session: Session) -> tuple[Host, Sight]:
    """Read the host and what is beside its PCI functions."""
    from vfioctl.plugin.sight import look
    from vfioctl.sysfs.reader import read_host

    with session.opened() as root:
        return read_host(root), look(root)
