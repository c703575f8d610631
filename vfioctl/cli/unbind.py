"""``vfioctl unbind``: give devices back to the driver they came from."""

from __future__ import annotations

import click

from vfioctl.cli import change_options, changing
from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.options import pass_session
from vfioctl.cli.tree import COMMANDS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.session import Session
    from vfioctl.model.selector import Selector


@click.command(
    "unbind",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["unbind"][1],
    help="""Give devices back to the driver that bind took them from during this boot; where that is not
known, to the one that --driver names, or to whichever the kernel chooses. The driver_override is cleared, and
the other devices of the group that are on a vfio driver come along; --device-only leaves them.

A device that a VM has is never touched, nor are its siblings. What fails is rolled back.""",
    epilog="""\b
Examples:
  vfioctl unbind -n 65:00.0                 what would be written, and what speaks against it
  vfioctl unbind 65:00.0                    with the rest of its group
  vfioctl unbind --driver nvme 03:00.0      to this driver, wherever it came from
  vfioctl unbind --all driver:vfio-pci      everything that is on vfio-pci
""",
)
@change_options.selectors_argument
@change_options.every_option
@change_options.driver_option(
    "Where a device goes whose driver is not recorded (whichever the kernel chooses)."
)
@change_options.force_option
@change_options.device_only_option
@change_options.timeout_option
@change_options.lock_timeout_option
@change_options.dry_run_option
@pass_session
def command(
    session: Session,
    *,
    selectors: tuple[Selector, ...],
    every: bool,
    driver: str | None,
    force: tuple[str, ...],
    device_only: bool,
    timeout: float,
    lock_timeout: float,
    dry_run: bool,
) -> int:
    """Give devices back."""
    asked = changing.Asked(
        "unbind", selectors, every, driver, device_only, force, timeout, lock_timeout, dry_run
    )
    return changing.change(session, asked, changing.decision("unbind"))
