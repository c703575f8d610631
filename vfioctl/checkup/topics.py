"""Every check by its id, in the order in which to mend things, with what is behind it."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Topic(NamedTuple):
    """One check: what it is called, which function makes it, and what an administrator should know."""

    id: str
    module: str
    function: str
    about: str
    """In a few words, for a list."""
    background: str
    of_devices: bool = False
    """Whether it looks at devices, which selectors limit."""


TOPICS = (
    Topic(
        "iommu-firmware",
        "iommu",
        "firmware",
        "does the firmware announce an IOMMU",
        """An IOMMU is hardware that translates the addresses a device reads and writes. Without it a device
that a VM has could overwrite the whole host, so VFIO refuses. The firmware announces it in an
ACPI table: DMAR (Intel), IVRS (AMD), IORT (Arm), VIOT (in a virtual machine). No table means that
it is switched off in the firmware setup (VT-d, AMD-Vi, IOMMU, SMMU), or that there is none.""",
    ),
    Topic(
        "iommu-cmdline",
        "iommu",
        "command_line",
        "does the command line switch it on or off",
        """Whether the kernel uses an Intel IOMMU without being asked depends on how it was built, so
intel_iommu=on is safe advice there. AMD's and Arm's are used unless switched off. iommu=pt only
spares the host's own devices the translation: it is neither needed for passthrough nor in its
way.""",
    ),
    Topic(
        "iommu-units",
        "iommu",
        "units",
        "does the kernel drive IOMMU hardware",
        """/sys/class/iommu lists the units that the kernel drives: dmar0 (Intel), ivhd0 (AMD), smmu3 (Arm).
The folder exists without an IOMMU too, and is empty then.""",
    ),
    Topic(
        "iommu-groups",
        "iommu",
        "groups",
        "are there IOMMU groups",
        """The kernel puts devices that it cannot tell apart into one group. Without groups binding to
vfio-pci fails with EINVAL, while drivers_probe claims success (K14). Group numbers are given at
boot and change: never write one down.""",
    ),
    Topic(
        "intremap",
        "iommu",
        "interrupts",
        "are interrupts remapped",
        """A device interrupts by writing to an address, and so could a guest, to any processor, unless the
IOMMU checks interrupts as well. Where it does, the chips in /proc/interrupts are called IR-... .
Without, VFIO refuses with EPERM ("No interrupt remapping", K25), unless allow_unsafe_interrupts
says that every guest is trusted.""",
    ),
    Topic(
        "cmdline",
        "cmdline",
        "lint",
        "does the command line say what it means",
        """The kernel ignores words that it does not know, without a word. amd_iommu=on and iommu=on are no
values. pcie_acs_override= belongs to a patch that is not in the kernel: elsewhere it does
nothing, and where it works it only claims an isolation that the hardware does not have (K26).""",
    ),
    Topic(
        "bootloader",
        "cmdline",
        "bootloader",
        "did the configuration reach the kernel",
        """What is written in /etc/default/grub or /etc/kernel/cmdline counts only after the bootloader's own
file was made of it, the right one, and after a reboot. This compares the words about IOMMU and
VFIO with those the kernel was started with.""",
    ),
    Topic(
        "modules",
        "boot",
        "drivers",
        "does this kernel have VFIO",
        """Passthrough needs vfio-pci, and vfio_iommu_type1 or iommufd to map memory. vfio-pci does not load
vfio_iommu_type1 by itself: without it, starting a VM fails with ENODEV (K25).""",
    ),
    Topic(
        "boot-syntax",
        "boot",
        "syntax",
        "are lists of ids understood",
        """A list is ids=10de:2204,10de:1aef. Behind a blank the rest is another word: all ids but those
before it are dropped, and nothing is said.""",
    ),
    Topic(
        "ids",
        "boot",
        "ids",
        "does an id mean one device",
        """vfio-pci.ids= takes every card of a model: with two alike, also the one that the host draws with
(K54). Binding by address (vfioctl bind --persist) takes the one that is meant.""",
    ),
    Topic(
        "boot-ids",
        "boot",
        "winner",
        "did what was asked for at boot come true",
        """ids= only works where vfio-pci is loaded before the host's driver: both in the initramfs, or a
line such as "softdep nvidia pre: vfio-pci". Drivers that are built in are always first (K54).""",
    ),
    Topic(
        "boot-modules",
        "early",
        "modules",
        "do the modules exist that are loaded early",
        """vfio_virqfd became part of vfio in Linux 6.2. Lists that still name it make some initramfs tools
fail, and some systems not boot.""",
    ),
    Topic(
        "boot-initramfs",
        "boot",
        "initramfs",
        "does the initramfs have the current modprobe.d",
        """What is in modprobe.d counts in the initramfs only after that was made anew. This compares dates;
it does not unpack the image.""",
    ),
    Topic(
        "autoprobe",
        "state",
        "autoprobe",
        "do drivers bind by themselves",
        """/sys/bus/pci/drivers_autoprobe = 0 stops all automatic binding of PCI drivers (K5). Some scripts
set it and never set it back.""",
    ),
    Topic(
        "journal",
        "state",
        "journal",
        "was a bind left half done",
        """vfioctl writes down what it is about to do. A journal that still stands is from a run that was
killed, or whose write is stuck in the kernel: vfioctl recover undoes or finishes it.""",
    ),
    Topic(
        "orphan",
        "state",
        "orphans",
        "was a device left without a driver",
        """driver_override names the only driver that may have a device. Set on a device without a driver, it
is what a failure half way leaves (K9); the name none parks a device on purpose. An unbind of a
device that a program holds waits in the kernel, and cannot be killed (K33, K55).""",
    ),
    Topic(
        "drift",
        "state",
        "drift",
        "does what is stored fit the hardware",
        """A new card or another firmware can renumber every address. What bind --persist stores has the ids
and the way through the bridges beside the address, so a card that is not the one that was meant
is never bound.""",
    ),
    Topic(
        "viable",
        "group",
        "viable",
        "can VFIO have the group",
        """A group goes to VMs as a whole: each member must be on a VFIO driver, on pcieport or pci-stub, or
have no driver. Else QEMU says "group N is not viable". pcieport is no obstacle; shpchp on a
bridge is one since Linux 5.19 (K18, K19).""",
        of_devices=True,
    ),
    Topic(
        "rmrr",
        "group",
        "reserved",
        "does the firmware demand a fixed mapping",
        """Firmware can demand that a device always finds some memory at the same address (RMRR, IVMD). VFIO
cannot promise that, and refuses to attach it. It can be seen before: a line of type direct in
reserved_regions (K24).""",
        of_devices=True,
    ),
    Topic(
        "vmd",
        "group",
        "vmd",
        "do drives hide behind Intel VMD",
        """Devices behind VMD have a domain of 10000 or above and share the controller's requester id: only
the controller can be given away, with all of them (K51). The firmware can switch VMD off.""",
    ),
    Topic(
        "variant",
        "device",
        "variant",
        "is the best driver there",
        """Some models have a VFIO driver of their own, which adds live migration or makes them work at all.
modules.alias says which (K52). A hardened libvirtd may not load it: load it at boot.""",
        of_devices=True,
    ),
    Topic(
        "reset",
        "device",
        "reset",
        "can it be reset between two VMs",
        """Between two users a device must come back to its first state. How is in reset_method: flr and pm
reset one function, bus resets all on the bus. Without a method, or with one that does not work
(several AMD GPUs), a second VM finds it dead; then its configuration space reads all ones (K43,
K44, K46).""",
        of_devices=True,
    ),
    Topic(
        "power",
        "device",
        "power",
        "does it sleep too deep",
        """An idle device on vfio-pci goes to D3hot, which is fine. Some cards do not come back from it, or
from D3cold: "not ready ... after bus reset". disable_idle_d3=1 keeps all awake, d3cold_allowed=0
one of them (K45).""",
        of_devices=True,
    ),
    Topic(
        "aer",
        "device",
        "errors",
        "does its link report errors",
        """PCI Express counts errors of each device. Correctable ones that keep coming slow the machine down;
others end a VM. The counters start with the boot: --watch-errors 10 tells whether they still grow
(K49).""",
        of_devices=True,
    ),
    Topic(
        "perm",
        "access",
        "nodes",
        "may the VM's user open the nodes",
        """/dev/vfio/N belongs to root. libvirt hands it to the user of the VM it starts; others need
--owner. EPERM in spite of a good mode is the device cgroup: in a container the node must be
allowed, not only there (H38).""",
        of_devices=True,
    ),
    Topic(
        "memlock",
        "memlock",
        "memory",
        "may the VM lock its memory",
        """A device writes to any memory of its VM at any time, so all of it must stay where it is: memory
and 1 GiB, as libvirt counts; iommufd counts BARs as well. Asked with --memory 16G, and --user for
whom.""",
        of_devices=True,
    ),
)
"""What comes first keeps the rest from working."""

BY_ID = {topic.id: topic for topic in TOPICS}


def families() -> tuple[str, ...]:
    """Return the first words of ids with a dash, which mean all of them: ``iommu``, ``boot``."""
    return tuple(dict.fromkeys(topic.id.partition("-")[0] for topic in TOPICS if "-" in topic.id))


def known_as(name: str) -> str:
    """Return how an id is spelled here: ``D-iommu`` and ``IOMMU`` are ``iommu``."""
    return name.lower().removeprefix("d-")


def chosen(only: Iterable[str], skip: Iterable[str]) -> tuple[Topic, ...]:
    """Return the topics that are asked for: those of ``only``, or all, without those of ``skip``."""
    wanted, left = set(only), set(skip)
    return tuple(
        topic for topic in TOPICS if (not wanted or _named(topic, wanted)) and not _named(topic, left)
    )


def _named(topic: Topic, names: set[str]) -> bool:
    return topic.id in names or ("-" in topic.id and topic.id.partition("-")[0] in names)
