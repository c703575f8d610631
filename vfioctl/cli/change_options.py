"""The options that the commands which change bindings share."""

from __future__ import annotations

import click

from vfioctl.cli.change_params import CheckType, DriverType, Seconds
from vfioctl.cli.changing import LOCK_TIMEOUT, TIMEOUT
from vfioctl.cli.params import Argument, SelectorType
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Function = TypeVar("Function", bound=Callable[..., Any])

selectors_argument = click.argument(
    "selectors",
    nargs=-1,
    required=True,
    type=SelectorType(),
    metavar="SELECTOR...",
    cls=Argument,
    help="Which devices: 65:00.0, 65:00 (a slot), group:17, vfs-of:enp1s0#0-3 ...",
)
every_option = click.option(
    "--all", "every", is_flag=True, help="Mean every device that a selector such as class:gpu matches."
)
device_only_option = click.option(
    "--device-only", is_flag=True, help="Change what is named and leave the rest of its group alone."
)
force_option = click.option(
    "--force",
    type=CheckType(),
    multiple=True,
    metavar="CHECK",
    help="Lift one check that refuses: storage, storage-root, net, ssh, console, gpu-busy, input or mdev.",
)
timeout_option = click.option(
    "--timeout",
    type=Seconds(min=0.1),
    default=TIMEOUT,
    metavar="SECONDS",
    help="How long one write may take before it counts as stuck (20, if not given).",
)
lock_timeout_option = click.option(
    "--lock-timeout",
    type=Seconds(min=0.0),
    default=LOCK_TIMEOUT,
    metavar="SECONDS",
    help="How long to wait for another vfioctl to finish (10, if not given).",
)
dry_run_option = click.option(
    "-n", "--dry-run", is_flag=True, help="Print what would be written and found, and change nothing."
)


def driver_option(help_text: str) -> Callable[[Function], Function]:
    """Return the option that names a driver, which means something else to each command."""
    return click.option("--driver", type=DriverType(), metavar="NAME", help=help_text)
