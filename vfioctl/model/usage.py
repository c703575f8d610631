"""What the host uses a device for, and what it therefore loses when the device is given away."""

from __future__ import annotations

from vfioctl.lean import StrEnum
from vfioctl.model.value import NamedTuple


class UsageKind(StrEnum):
    """The kinds of use that can be seen from procfs and sysfs."""

    MOUNT = "mount"
    SWAP = "swap"
    HOLDER = "holder"
    MEMBER = "member"
    INTERFACE = "interface"
    ADDRESS = "address"
    MASTER = "master"
    UPPER = "upper"
    ROUTE = "route"
    CONSOLE = "console"
    FRAMEBUFFER = "framebuffer"
    MDEV = "mdev"
    VM = "vm"
    PROCESS = "process"
    GPU = "gpu"
    """A program draws or computes with it (K35)."""
    INPUT = "input"
    """A keyboard or mouse is plugged in behind it."""


class Usage(NamedTuple):
    """One use of a device: by what, and in a sentence."""

    kind: UsageKind
    subject: str
    """The disk, interface, node or ``pid N`` it was seen on."""
    detail: str
    """What an administrator reads: ``nvme0n1p2 is mounted on /``."""
    critical: bool = False
    """The host itself would stop: its root, its boot files or its swap is on it."""

    def __str__(self) -> str:
        """Say it as it is shown."""
        return f"{self.kind}: {self.detail}"
