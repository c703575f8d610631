"""``vfioctl libvirt-xml``: host devices as libvirt's XML, always validated."""

from __future__ import annotations

import click

from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.libvirt_params import DriverType, GuestSlotType, RomFile, VersionType, Word
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, FilePath, SelectorType
from vfioctl.cli.tree import COMMANDS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from vfioctl.cli.session import Session
    from vfioctl.model.selector import Selector


@click.command(
    "libvirt-xml",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["libvirt-xml"][1],
    help="""Print host devices as libvirt's XML: what goes between <devices> and </devices> of a domain.
Nothing is printed that libvirt would refuse: the rules of its release are kept, and its schema, where it is
installed.

With --domain the devices are put into a domain's file, which stays as it is otherwise; with --check a file is
held against this host.""",
    epilog="""\b
Examples:
  vfioctl libvirt-xml 65:00.0                         one function
  vfioctl libvirt-xml 65:00 --guest-slot 05:00        all functions of a card, one card in the guest
  vfioctl libvirt-xml 65:00.0 --group                 and what libvirt must take along
  vfioctl libvirt-xml 17:01.1 --interface --vlan 42   a virtual function whose VLAN libvirt sets
  vfioctl libvirt-xml 65:00 --domain vm.xml           into a file: virsh dumpxml --inactive VM > vm.xml
  vfioctl libvirt-xml --check vm.xml                  would it start?
""",
)
@click.argument(
    "selectors",
    nargs=-1,
    type=SelectorType(),
    metavar="[SELECTOR]...",
    cls=Argument,
    help="Which devices: 65:00.0, 65:00, vfs-of:enp1s0#0-3, mdev:UUID, usb:046d:c52b, usb:1-2.5 ...",
)
@click.option(
    "--managed", type=click.Choice(["yes", "no"]), help="Whether libvirt detaches and reattaches them (yes)."
)
@click.option("--driver-model", type=DriverType(), metavar="NAME", help="The vfio driver to use on the host.")
@click.option("--iommufd", is_flag=True, default=None, help="Use iommufd for these devices.")
@click.option("--domain-iommufd", is_flag=True, help="Use iommufd for all host devices of the domain.")
@click.option(
    "--rom",
    type=RomFile(),
    metavar="FILE|off|none",
    help="Another ROM; off: the guest sees none; none: nor QEMU.",
)
@click.option("--boot", type=click.IntRange(1), metavar="N", help="Place in the boot order.")
@click.option("--alias", type=Word("ua-"), metavar="ua-NAME", help="A name for the device inside libvirt.")
@click.option(
    "--guest-slot", type=GuestSlotType(), metavar="BUS:SLOT", help="Where the card sits in the guest."
)
@click.option(
    "--acpi-index", type=click.IntRange(1), metavar="N", help="Gives the interface a stable name (eno1)."
)
@click.option(
    "--acpi-nodeset", type=Word("0", "1"), metavar="NODES", help="Guest NUMA nodes of the device (MIG)."
)
@click.option(
    "--display", type=click.Choice(["on", "off"]), help="Show its picture in the VM's window (vGPU)."
)
@click.option(
    "--ramfb", type=click.Choice(["on", "off"]), help="A framebuffer for booting, with --display on."
)
@click.option("--group", is_flag=True, help="Also list the rest of the IOMMU group, unseen by the guest.")
@click.option("--interface", is_flag=True, help="A virtual function as an interface, set up by libvirt.")
@click.option(
    "--mac", type=Word("52:54:00:"), metavar="MAC", help="Its MAC (libvirt makes one, if not given)."
)
@click.option("--vlan", type=click.IntRange(1, 4094), metavar="ID", help="Its VLAN.")
@click.option("--trust", is_flag=True, default=None, help="Let the guest change its MAC and receive filters.")
@click.option(
    "--teaming-persistent",
    "teaming",
    type=Word("ua-"),
    metavar="ALIAS",
    help="The virtio interface that stands in during a migration.",
)
@click.option(
    "--usb-by",
    type=click.Choice(["id", "address", "port"]),
    help="How to name USB devices (what suits, if not given).",
)
@click.option(
    "--startup-policy",
    type=click.Choice(["mandatory", "requisite", "optional"]),
    help="What if the USB device is missing.",
)
@click.option(
    "--guest-reset",
    type=click.Choice(["off", "uninitialized", "on"]),
    help="Which resets reach the USB device.",
)
@click.option(
    "--nvme", type=click.IntRange(1), metavar="NAMESPACE", help="An NVMe namespace as a disk of QEMU's."
)
@click.option(
    "--target", type=Word("vda", "vdb", "sda"), metavar="DISK", help="The disk's name in the guest."
)
@click.option(
    "--libvirt-version",
    type=VersionType(),
    metavar="X.Y",
    help="Release to write for (the installed one, else 9.0).",
)
@click.option("--wrap", is_flag=True, help="Put all into one parent element.")
@click.option("--nodedev", is_flag=True, help="Print libvirt's names of the devices instead.")
@click.option(
    "--virsh", type=Word(), metavar="VM", help="Print the commands that attach the devices to this VM."
)
@click.option("--domain", type=FilePath(), metavar="FILE", help="Put the devices into a domain's file.")
@click.option("--remove", is_flag=True, help="With --domain: take them out of it.")
@click.option("--all", "every", is_flag=True, help="With --domain: all that a broad selector matches.")
@click.option(
    "--check",
    type=FilePath(),
    metavar="FILE",
    multiple=True,
    help="Hold a domain's file against this host; repeatable.",
)
@pass_session
def command(session: Session, /, selectors: tuple[Selector, ...], **options: Any) -> int:  # noqa: ANN401 - Click's
    """Print, insert or check host devices."""
    from vfioctl.cli.libvirt_modes import answer

    return answer(session, selectors, options)
