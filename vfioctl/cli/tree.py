"""The command tree: which module holds which command."""

from __future__ import annotations

import click

from vfioctl.cli.command import HELP_NAMES, LazyGroup

COMMANDS = {
    "scan": (
        "vfioctl.cli.scan",
        "List every PCI device: what it is, who drives it, what the host uses it for.",
    ),
    "show": ("vfioctl.cli.show", "Show one device, and whether it can be passed through."),
    "groups": (
        "vfioctl.cli.groups",
        "Explain the IOMMU groups: viable or not, because of whom, and what to type.",
    ),
    "bind": (
        "vfioctl.cli.bind",
        "Give devices to vfio-pci or a variant driver, with their group; all of it or nothing.",
    ),
    "unbind": ("vfioctl.cli.unbind", "Give devices back to the driver they came from."),
    "recover": ("vfioctl.cli.recover", "Undo or finish what a crash left half done."),
    "libvirt-xml": (
        "vfioctl.cli.libvirt_xml",
        "Print devices as libvirt's XML, put them into a domain's file, or check one.",
    ),
    "snapshot": ("vfioctl.cli.snapshot", "Save a host in one archive; compare two hosts."),
    "completion": ("vfioctl.cli.completion", "Print the completion script of a shell."),
}
"""Command name to its module and short help, so that neither help nor completion imports a command."""


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings=HELP_NAMES,
    help="Take a PCI device from the host's driver to a virtual machine and back, and never strand it.",
    epilog="""\b
Examples:
  vfioctl scan                     every PCI device of this host
  vfioctl show 65:00.0             can this one be passed through?
  vfioctl groups class:gpu         what goes together with the GPUs
  vfioctl --root sample groups     the same, on a sample host
""",
)
def root() -> None:
    """Take a PCI device from the host's driver to a virtual machine and back."""
