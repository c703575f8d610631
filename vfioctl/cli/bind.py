"""``vfioctl bind``: give devices to vfio-pci or a variant driver."""

from __future__ import annotations

import click

from vfioctl.cli import change_options, changing
from vfioctl.cli.change_params import ModeType, OwnerType
from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.options import pass_session
from vfioctl.cli.tree import COMMANDS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.change_params import Owner
    from vfioctl.cli.session import Session
    from vfioctl.model.selector import Selector


@click.command(
    "bind",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["bind"][1],
    help="""Give devices to vfio-pci, or to the variant driver that is made for them, so that a VM can have
them. A device brings the other endpoints of its IOMMU group, since a group goes to a VM as a whole;
--device-only leaves them.

First it looks at what the host would lose: mounted disks, routes, this ssh session, the console. Then it
either does all of it, or nothing: what fails is rolled back. --dry-run shows both and changes nothing.""",
    epilog="""\b
Examples:
  vfioctl bind -n 65:00.0                   what would be written, and what speaks against it
  vfioctl bind 65:00.0                      with the rest of its group
  vfioctl bind --owner qemu:kvm group:17    whoever runs the VM may open the node
  vfioctl bind vfs-of:enp1s0#0-3            four virtual functions
  vfioctl bind --persist 65:00.0            after every boot, too
  vfioctl bind --force console 01:00.0      the only display, and you mean it
""",
)
@change_options.selectors_argument
@change_options.every_option
@change_options.driver_option(
    "vfio-pci, a variant, any other driver, or auto: the best of the vfio drivers (auto)."
)
@click.option(
    "--owner",
    type=OwnerType(),
    metavar="USER[:GROUP]",
    help="Give the VFIO nodes this owner, by name or number; :GROUP alone works too.",
)
@click.option("--mode", type=ModeType(), metavar="OCTAL", help="Give the VFIO nodes this mode, such as 0660.")
@change_options.force_option
@change_options.device_only_option
@click.option(
    "--release-shpchp",
    is_flag=True,
    help="Take a bridge of the group from the hotplug driver shpchp, which would keep the group from VFIO.",
)
@click.option(
    "--persist",
    is_flag=True,
    help="Store it in /etc, so that it is so after every boot: for this card at this address only.",
)
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
    owner: Owner | None,
    mode: int | None,
    force: tuple[str, ...],
    device_only: bool,
    release_shpchp: bool,
    persist: bool,
    timeout: float,
    lock_timeout: float,
    dry_run: bool,
) -> int:
    """Bind devices."""
    asked = changing.Asked(
        "bind", selectors, every, driver, device_only, force, timeout, lock_timeout, dry_run
    )
    asked = asked._replace(owner=owner, mode=mode, release_shpchp=release_shpchp, persist=persist)
    return changing.change(session, asked, changing.decision("bind"))
