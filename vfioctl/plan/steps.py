"""The closed union of steps, each exact: what is written where, and what must be so afterwards.

The paths that vfioctl writes to are spelled here; those it reads are spelled in ``vfioctl.sysfs.root``.
"""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    from vfioctl.model.address import PciAddress
    from vfioctl.model.situation import NodeMode

_DEVICES = "/sys/bus/pci/devices"
_DRIVERS = "/sys/bus/pci/drivers"
_MDEVS = "/sys/bus/mdev/devices"
_PROBE = "/sys/bus/pci/drivers_probe"

CLEARED = "\n"
"""What clears an override: a write of nothing at all never reaches the kernel (K8)."""


class LoadModule(NamedTuple):
    """Load a module and what it needs; harmless when it is there, never undone."""

    module: str
    step: Literal["modprobe"] = "modprobe"

    @property
    def address(self) -> None:
        """None: it is about no device."""

    @property
    def path(self) -> str:
        """The program that does it."""
        return "modprobe"

    @property
    def value(self) -> str:
        """The module."""
        return self.module


class SetOverride(NamedTuple):
    """Say which driver alone may have a device; None takes the override away. Binds nothing (K9)."""

    address: PciAddress
    override: str | None
    step: Literal["driver_override"] = "driver_override"

    @property
    def path(self) -> str:
        """The attribute it is written to."""
        return f"{_DEVICES}/{self.address}/driver_override"

    @property
    def value(self) -> str:
        """What is written."""
        return CLEARED if self.override is None else self.override


class UnbindDriver(NamedTuple):
    """Take a device from its driver; blocks for as long as the driver's ``remove`` does (K3, K33)."""

    address: PciAddress
    driver: str
    step: Literal["unbind"] = "unbind"

    @property
    def path(self) -> str:
        """The attribute it is written to."""
        return f"{_DRIVERS}/{self.driver}/unbind"

    @property
    def value(self) -> str:
        """What is written: only the full name is understood (K1)."""
        return str(self.address)


class BindDriver(NamedTuple):
    """Give a driverless device to a driver; the probe's own errno comes back (K2)."""

    address: PciAddress
    driver: str
    step: Literal["bind"] = "bind"

    @property
    def path(self) -> str:
        """The attribute it is written to."""
        return f"{_DRIVERS}/{self.driver}/bind"

    @property
    def value(self) -> str:
        """What is written: only the full name is understood (K1)."""
        return str(self.address)


class ProbeDrivers(NamedTuple):
    """Let the kernel look for a driver; succeeds even when none takes the device (K4)."""

    address: PciAddress
    step: Literal["drivers_probe"] = "drivers_probe"

    @property
    def path(self) -> str:
        """The attribute it is written to."""
        return _PROBE

    @property
    def value(self) -> str:
        """What is written."""
        return str(self.address)


class OwnNode(NamedTuple):
    """Give the nodes of a group and of its functions an owner and a mode; None leaves as it is."""

    group: int
    members: tuple[PciAddress, ...]
    """Functions whose own nodes (``/dev/vfio/devices/vfioN``), where there are any, get the same."""
    uid: int | None
    gid: int | None
    mode: int | None
    before: tuple[NodeMode, ...] = ()
    """The nodes that stand already, as they are: what recover gives them back."""
    step: Literal["node"] = "node"

    @property
    def address(self) -> PciAddress:
        """The first of the functions it is about."""
        return self.members[0]

    @property
    def path(self) -> str:
        """The group's node."""
        return f"/dev/vfio/{self.group}"

    @property
    def value(self) -> str:
        """Owner, group and mode as ``chown`` and ``chmod`` would be given them."""
        owner = "" if self.uid is None else str(self.uid)
        group = "" if self.gid is None else f":{self.gid}"
        mode = "" if self.mode is None else f"{self.mode:04o}"
        return " ".join(part for part in (owner + group, mode) if part)


class SetAutoprobe(NamedTuple):
    """Say whether drivers take the virtual functions of a device as they are made (K41)."""

    address: PciAddress
    on: bool
    before: bool
    step: Literal["sriov_drivers_autoprobe"] = "sriov_drivers_autoprobe"

    @property
    def path(self) -> str:
        """The attribute it is written to."""
        return f"{_DEVICES}/{self.address}/sriov_drivers_autoprobe"

    @property
    def value(self) -> str:
        """What is written."""
        return "1" if self.on else "0"


class SetVfs(NamedTuple):
    """Make so many virtual functions, or with 0 remove all of them.

    A driver may make fewer and still say yes (K38). While somebody has one of them open, their removal blocks
    and holds a lock that every later one on the machine waits for (K56).
    """

    address: PciAddress
    number: int
    before: int
    step: Literal["sriov_numvfs"] = "sriov_numvfs"

    @property
    def path(self) -> str:
        """The attribute it is written to."""
        return f"{_DEVICES}/{self.address}/sriov_numvfs"

    @property
    def value(self) -> str:
        """What is written."""
        return str(self.number)


class AwaitVfs(NamedTuple):
    """Wait until the last of the virtual functions is there and udev is done with them; writes nothing (K59).

    A driver that comes as a module is loaded by udev when it hears of the first one. It must be there before
    probing is switched on again: as it comes, it takes every function that no driver has.
    """

    address: PciAddress
    number: int
    step: Literal["virtual_functions"] = "virtual_functions"

    @property
    def path(self) -> str:
        """The link to the last one."""
        return f"{_DEVICES}/{self.address}/virtfn{self.number - 1}"

    @property
    def value(self) -> str:
        """How many there are to be."""
        return str(self.number)


SriovStep = SetAutoprobe | SetVfs | AwaitVfs
"""What is done to make and unmake virtual functions."""


class CreateMdev(NamedTuple):
    """Make a mediated device of a type (K53)."""

    address: PciAddress
    """Its parent."""
    type_id: str
    uuid: str
    step: Literal["mdev_create"] = "mdev_create"

    @property
    def path(self) -> str:
        """The attribute it is written to."""
        return f"{_DEVICES}/{self.address}/mdev_supported_types/{self.type_id}/create"

    @property
    def value(self) -> str:
        """What is written."""
        return self.uuid

    @property
    def folder(self) -> str:
        """What is there once it is made."""
        return f"{_MDEVS}/{self.uuid}"


class RemoveMdev(NamedTuple):
    """Remove a mediated device."""

    address: PciAddress
    """Its parent."""
    type_id: str
    uuid: str
    step: Literal["mdev_remove"] = "mdev_remove"

    @property
    def path(self) -> str:
        """The attribute it is written to."""
        return f"{self.folder}/remove"

    @property
    def value(self) -> str:
        """What is written."""
        return "1"

    @property
    def folder(self) -> str:
        """What is gone once it is removed."""
        return f"{_MDEVS}/{self.uuid}"


MdevStep = CreateMdev | RemoveMdev
"""What is done to make and unmake mediated devices."""

BindingStep = LoadModule | SetOverride | UnbindDriver | BindDriver | ProbeDrivers | OwnNode
"""What is done to a device's binding."""

Step = BindingStep | SriovStep | MdevStep
"""Everything that vfioctl ever does to a device."""
