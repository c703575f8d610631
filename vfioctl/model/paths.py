"""The files that a checkup asks about, as the host knows them: read in one room, judged in another."""

from __future__ import annotations

COMMAND_LINE = "/proc/cmdline"
INTERRUPTS = "/proc/interrupts"
MEMORY = "/proc/meminfo"
LOADED_MODULES = "/proc/modules"

AUTOPROBE = "/sys/bus/pci/drivers_autoprobe"
PCI_DEVICES = "/sys/bus/pci/devices"
IOMMU_GROUPS = "/sys/kernel/iommu_groups"
IOMMU_UNITS = "/sys/class/iommu"
FIRMWARE_TABLES = "/sys/firmware/acpi/tables"
UNSAFE_INTERRUPTS = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
MAPPING_LIMIT = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
IDLE_D3 = "/sys/module/vfio_pci/parameters/disable_idle_d3"
NO_IOMMU = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"

JOURNAL = "/run/vfioctl/journal"
STORED = "/etc/vfioctl/devices.d"

MODPROBE = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d")
MODULES_LOAD = ("/etc/modules-load.d", "/run/modules-load.d", "/usr/lib/modules-load.d")
MODULES = "/etc/modules"
INITRAMFS_TOOLS = "/etc/initramfs-tools/modules"
DRACUT = ("/etc/dracut.conf.d", "/usr/lib/dracut/dracut.conf.d")
DRACUT_FILE = "/etc/dracut.conf"
MKINITCPIO = "/etc/mkinitcpio.conf"
BOOT = "/boot"

GRUB_DEFAULT = "/etc/default/grub"
GRUB_DEFAULTS = "/etc/default/grub.d"
GRUB_GENERATED = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")
KERNEL_COMMAND_LINE = "/etc/kernel/cmdline"
BOOT_ENTRIES = "/boot/loader/entries"

LIMITS = "/etc/security/limits.conf"
LIMITS_FOLDER = "/etc/security/limits.d"
SERVICES = ("libvirtd.service", "virtqemud.service")
"""The services that start virtual machines; their limits are handed down."""
UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")

VFIO_NODES = "/dev/vfio"
VFIO_NODE = "/dev/vfio/vfio"
VFIO_DEVICE_NODES = "/dev/vfio/devices"
CONTAINERS = ("/run/.containerenv", "/.dockerenv")
"""Files that a container has."""

DEVICE_FILES = (
    "aer_dev_correctable",
    "aer_dev_nonfatal",
    "aer_dev_fatal",
    "d3cold_allowed",
)
"""Attributes of a device that no scan reads; none of them is read under its lock (K55)."""
RESET = "reset"
"""It can only be written to, so that it is there is all it says."""

FOLDERS = {
    IOMMU_UNITS: "",
    FIRMWARE_TABLES: "",
    STORED: "",
    **dict.fromkeys(MODPROBE, ".conf"),
    **dict.fromkeys(MODULES_LOAD, ".conf"),
    **dict.fromkeys(DRACUT, ".conf"),
    GRUB_DEFAULTS: ".cfg",
    BOOT_ENTRIES: ".conf",
    LIMITS_FOLDER: ".conf",
    **{f"{folder}/{service}.d": ".conf" for folder in UNITS for service in SERVICES},
}
"""Folders whose names are read, with the ending of those that matter."""

LISTED_ONLY = frozenset({IOMMU_UNITS, FIRMWARE_TABLES})
"""Folders whose files are left alone."""

TABLES = frozenset({"DMAR", "IVRS", "IORT", "VIOT"})
"""The firmware's tables that announce an IOMMU: of Intel, AMD, Arm, and of virtual machines."""

FILES = (
    COMMAND_LINE,
    INTERRUPTS,
    MEMORY,
    LOADED_MODULES,
    AUTOPROBE,
    UNSAFE_INTERRUPTS,
    MAPPING_LIMIT,
    IDLE_D3,
    NO_IOMMU,
    JOURNAL,
    MODULES,
    INITRAMFS_TOOLS,
    DRACUT_FILE,
    MKINITCPIO,
    GRUB_DEFAULT,
    *GRUB_GENERATED,
    KERNEL_COMMAND_LINE,
    LIMITS,
    *(f"{folder}/{service}" for folder in UNITS for service in SERVICES),
    *CONTAINERS,
)
"""Files that are read whole; of a snapshot they keep the lines that a check uses."""
