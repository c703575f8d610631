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
    "doctor": ("vfioctl.cli.doctor", "Check whether this host is ready, and say what to do where it is not."),
    "bind": (
        "vfioctl.cli.bind",
        "Give devices to vfio-pci or a variant driver, with their group; all of it or nothing.",
    ),
    "unbind": ("vfioctl.cli.unbind", "Give devices back to the driver they came from."),
    "sriov": ("vfioctl.cli.sriov", "Make virtual functions of a device, and remove them."),
    "mdev": ("vfioctl.cli.mdev", "Make mediated devices, and remove them."),
    "persist": ("vfioctl.cli.persist", "List, verify, make and remove what survives a reboot."),
    "recover": ("vfioctl.cli.recover", "Undo or finish what a crash left half done."),
    "libvirt-xml": (
        "vfioctl.cli.libvirt_xml",
        "Print devices as libvirt's XML, put them into a domain's file, or check one.",
    ),
    "cdi": ("vfioctl.cli.cdi", "Name devices for Podman, Docker and others (CDI)."),
    "serve-plugin": (
        "vfioctl.cli.serve_plugin",
        "Show what the kubelet would be offered: resources, their items, what is left out and why.",
    ),
    "plugin": ("vfioctl.cli.plugin", "Look into the kubelet plugin, and steer the one that runs."),
    "container-args": (
        "vfioctl.cli.container_args",
        "Print the flags that hand devices to docker run or podman run.",
    ),
    "kubevirt": (
        "vfioctl.cli.kubevirt",
        "Tell KubeVirt of the plugin's resources, and check what it was told.",
    ),
    "pod-spec": ("vfioctl.cli.pod_spec", "Print a Pod that asks the kubelet for what a VM needs."),
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
