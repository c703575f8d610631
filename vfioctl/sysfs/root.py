"""Every path of the program, spelled once, below one root.

Paths are those of the host (``/sys/bus/pci/devices``); the root says where they are found: on the
running system, or in a snapshot's folder.
"""

from __future__ import annotations

from vfioctl.lean import MappingProxyType
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NOTHING: Mapping[str, str] = MappingProxyType({})

PCI_BUS = "/sys/bus/pci"
PCI_DEVICES = "/sys/bus/pci/devices"
PCI_DRIVERS = "/sys/bus/pci/drivers"
PCI_SLOTS = "/sys/bus/pci/slots"
USB_DEVICES = "/sys/bus/usb/devices"
MDEV_DEVICES = "/sys/bus/mdev/devices"
IOMMU_GROUPS = "/sys/kernel/iommu_groups"
IOMMU_UNITS = "/sys/class/iommu"
IOMMUFD = "/sys/class/misc/iommu"
NET = "/sys/class/net"
BLOCK = "/sys/class/block"
BTRFS = "/sys/fs/btrfs"
VFIO_GROUPS = "/sys/class/vfio"
VFIO_DEVICES = "/sys/class/vfio-dev"
FRAMEBUFFERS = "/sys/class/graphics"
DRM = "/sys/class/drm"
ACCELERATORS = "/sys/class/accel"
INPUTS = "/sys/class/input"
DEVICE_LINKS = "/sys/class/devlink"
LOCKDOWN = "/sys/kernel/security/lockdown"
MODULES = "/sys/module"
DENYLIST_DISABLED = "/sys/module/vfio_pci/parameters/disable_denylist"

KERNEL_RELEASE = "/proc/sys/kernel/osrelease"
HOST_NAME = "/proc/sys/kernel/hostname"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
COMMAND_LINE = "/proc/cmdline"
LOADED_MODULES = "/proc/modules"
NVIDIA_GPUS = "/proc/driver/nvidia/gpus"
TCP_V4 = "/proc/net/tcp"
TCP_V6 = "/proc/net/tcp6"
PROCESSES = "/proc"
MOUNTS = "/proc/self/mountinfo"
SWAPS = "/proc/swaps"
ROUTES_V4 = "/proc/net/route"
ROUTES_V6 = "/proc/net/ipv6_route"
ADDRESSES_V4 = "/proc/net/fib_trie"
ADDRESSES_V6 = "/proc/net/if_inet6"
IO_MEMORY = "/proc/iomem"
UDEV_DATA = "/run/udev/data"

MODULE_LISTS = ("/lib/modules", "/usr/lib/modules")
"""Where the lists of a kernel's modules are, by its release."""

NODES = "/dev"
VFIO_GROUP_NODES = "/dev/vfio"
VFIO_DEVICE_NODES = "/dev/vfio/devices"
VFIO_CONTAINER_NODE = "/dev/vfio/vfio"
IOMMU_NODE = "/dev/iommu"
KVM_NODE = "/dev/kvm"
HUGEPAGES = "/dev/hugepages"
SELINUX = "/sys/fs/selinux/enforce"

CDI_STATIC = "/etc/cdi"
CDI_RUNTIME = "/var/run/cdi"
"""Where container runtimes look for CDI specifications: what lasts, and what is written anew in each boot."""

LIBVIRT_SCHEMAS = "/usr/share/libvirt/schemas"
LIBRARY_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64")
"""Where the release of an installed libvirt can be told by the name of its library."""

PCI_IDS = (
    "/usr/share/hwdata/pci.ids",
    "/usr/share/misc/pci.ids",
    "/usr/share/pci.ids",
    "/var/lib/pciutils/pci.ids",
)
"""Where distributions keep the name database; each may be there as ``.gz`` instead."""


class HostRoot(NamedTuple):
    """Where a host is found: ``/`` for this one, a folder for a snapshot."""

    base: str = "/"
    denied: Mapping[str, str] = NOTHING
    """Host paths that the recording user could not read, with the errno's name."""

    @property
    def live(self) -> bool:
        """Whether it is the running system; only there can a read block, and a write have effect."""
        return self.base == "/"

    @property
    def prefix(self) -> str:
        """What stands before a host path."""
        return self.base.rstrip("/")

    def local(self, path: str) -> str:
        """Return where a host path is found on this machine."""
        return self.prefix + path
