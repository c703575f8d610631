"""What goes into the lab: which packages, which modules. A change makes the cache prepare itself anew."""

from __future__ import annotations

from typing import Final

RELEASE: Final = "bookworm"
BACKPORTS: Final = f"{RELEASE}-backports"
KERNEL_SUITES: Final = {"6.1": RELEASE, "6.12": BACKPORTS}
"""The kernels of the lab, and the suite of Debian that each is the stock kernel of."""
DEFAULT_KERNEL: Final = "6.12"
"""The one for what needs only one."""
NOT_RUN: Final = (
    "a kernel with iommufd and /dev/vfio/devices: the distribution ships none",
    "mediated devices: no kernel of the distribution has a driver that offers any (mtty, mdpy)",
)
"""What the matrix has no row for, and why."""

QEMU_PACKAGES: Final = ("qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios")
GUEST_PACKAGES: Final = (
    "base-files", "base-passwd", "bash", "coreutils", "dash", "driverctl", "e2fsprogs", "grep", "iproute2",
    "kmod", "libc-bin", "libstdc++6", "lvm2", "mdadm", "mount", "openssh-client", "openssh-server",
    "pciutils", "procps", "python3", "sed", "udev", "util-linux",
)  # fmt: skip
GUEST_TOOLS: Final = ("devbind==0.4.0",)
"""Python packages that the guest has beside vfioctl's own: what vfioctl is measured against."""
VIRTUAL_MACHINE: Final = "usr/bin/qemu-system-x86_64"
"""The program that opens devices inside a guest as a virtual machine does, unpacked for the outside."""
FIRMWARE: Final = ("bios-256k.bin",)
"""What that program does not start without."""
LIBVIRT_PACKAGES: Final = ("libvirt-clients", "libvirt-daemon", "libvirt-daemon-driver-qemu")
LIBVIRT_PROGRAMS: Final = (
    "usr/bin/virsh", "usr/sbin/libvirtd",
    "usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
)  # fmt: skip
"""The daemon, its driver for QEMU, and the program that talks to it; none of its other drivers."""
LIBVIRT_DATA: Final = ("usr/share/libvirt/cpu_map", "usr/share/libvirt/schemas")
CONTAINER_PACKAGES: Final = (
    "podman", "crun", "conmon", "libassuan0", "libglib2.0-0", "libgpgme11", "libseccomp2", "libsubid4",
    "libyajl2",
)  # fmt: skip
"""A container runtime, for the inside of a guest: all of it that the guest lacks and a container without a
network needs."""
SERVICE_PACKAGES: Final = ("systemd",)
"""What a guest has besides, in which vfioctl runs as a service."""
PACKAGE_PACKAGES: Final = ("diffutils", "dpkg", "findutils", "tar")
"""What the package is installed and removed with, where there is a systemd to tell of it."""
SERVICE_STRIPPED: Final = (
    "usr/lib/udev", "usr/lib/modules-load.d", "usr/lib/modprobe.d", "usr/lib/systemd/catalog",
    "usr/lib/tmpfiles.d", "usr/share/doc", "usr/share/man", "usr/share/locale",
    "usr/share/bash-completion", "usr/share/zsh",
)  # fmt: skip
"""Of these packages: what nobody reads, and what would act beside the guest's own udev."""
NOT_NEEDED: Final = frozenset({
    "adduser", "debconf", "dmeventd", "dpkg", "gcc-12-base", "init-system-helpers", "libdb5.3",
    "libfile-find-rule-perl", "libgdbm-compat4", "libgdbm6", "libnumber-compare-perl", "libpam-runtime",
    "libperl5.36", "libtext-glob-perl", "login", "lsb-base", "openssh-sftp-server", "passwd", "perl",
    "perl-base", "perl-modules-5.36", "runit-helper", "sensible-utils", "sysvinit-utils", "tar", "ucf",
})  # fmt: skip
"""Packages that only maintainer scripts would call: none runs here."""
STRIPPED: Final = (
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian",
    "usr/share/perl5", "usr/share/zoneinfo", "usr/share/bash-completion",
    "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/udev/hwdb.d", "usr/lib/python3.11/test",
    "usr/lib/python3.11/idlelib", "usr/lib/python3.11/lib2to3",
    "usr/lib/udev/rules.d/05-driverctl.rules", "usr/lib/udev/rules.d/89-vfio-uio.rules",
    "usr/lib/udev/rules.d/64-md-raid-assembly.rules",
)  # fmt: skip
"""Of the guest: folders that nothing in the lab reads, and rules that would act behind a scenario's back."""
MODULES: Final = (
    "8021q", "ahci", "ata_piix", "bochs", "bonding", "bridge", "crc32c_generic", "dm_mod", "e1000", "e1000e",
    "edac_core", "ehci_pci", "evdev", "ext4", "fb_sys_fops", "hid_generic", "i2c_i801", "igb", "igbvf",
    "iommufd", "lpc_ich", "loop", "nvme", "pci_stub", "psmouse", "raid1", "sd_mod", "serio_raw", "shpchp",
    "snd_hda_codec_generic", "snd_hda_intel", "sr_mod", "uhci_hcd", "usb_storage", "usbhid",
    "vfio_iommu_type1", "vfio_pci", "virtio_blk", "virtio_console", "virtio_net", "virtio_pci",
    "xhci_pci",
)  # fmt: skip
"""What the guest may load, besides what these depend on; a kernel that has one built in lacks the file."""
