"""One PCI function, as the kernel describes it."""

from __future__ import annotations

from vfioctl.lean import StrEnum
from vfioctl.model.ids import class_word, is_vfio_driver
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress
    from vfioctl.model.usage import Usage


class Header(StrEnum):
    """The layout of the configuration header; only endpoints can be given away (K13)."""

    ENDPOINT = "endpoint"
    BRIDGE = "bridge"
    CARDBUS = "cardbus"


class PortType(StrEnum):
    """What a PCI Express function is, from its express capability."""

    ENDPOINT = "endpoint"
    LEGACY_ENDPOINT = "legacy endpoint"
    ROOT_PORT = "root port"
    UPSTREAM = "upstream port"
    DOWNSTREAM = "downstream port"
    TO_PCI = "PCIe-to-PCI bridge"
    FROM_PCI = "PCI-to-PCIe bridge"
    INTEGRATED = "root complex integrated endpoint"
    COLLECTOR = "root complex event collector"


class Acs(StrEnum):
    """Access Control Services of a function: what decides groups at enumeration (K26)."""

    ISOLATES = "isolates"
    INCOMPLETE = "incomplete"
    ABSENT = "absent"


class Bar(NamedTuple):
    """One base address register that has an address."""

    index: int  # type: ignore[assignment] # shadows tuple.index, which nothing calls on a BAR
    start: int
    end: int
    """Last byte, inclusive, as the kernel prints it."""
    flags: int
    """The kernel's resource flags; 0x100 is I/O space, 0x200 memory."""

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.end - self.start + 1

    @property
    def space(self) -> str:
        """``io`` or ``memory``."""
        return "io" if self.flags & 0x100 else "memory"


class PhysicalFunction(NamedTuple):
    """The SR-IOV role of a function that can be split."""

    total_vfs: int | None
    """How many virtual functions the hardware allows; None if it could not be read."""
    virtual_functions: tuple[PciAddress, ...]
    """Those that exist now, in index order."""


class VirtualFunction(NamedTuple):
    """The SR-IOV role of a function that was split off."""

    physical_function: PciAddress
    index: int | None  # type: ignore[assignment] # shadows tuple.index, which nothing calls here
    """Its place among its siblings, from 0, as in ``virtfn0``; None if it could not be read."""


class MdevType(NamedTuple):
    """A kind of mediated device that the parent can make (K53)."""

    id: str
    name: str | None
    device_api: str | None
    available_instances: int | None


class PciDevice(NamedTuple):
    """One PCI function; None means unknown or not applicable, never "no"."""

    address: PciAddress
    vendor_id: int
    device_id: int
    subsystem_vendor_id: int | None
    subsystem_device_id: int | None
    class_code: int
    revision: int | None
    driver: str | None
    driver_override: str | None
    iommu_group: int | None
    numa_node: int | None
    header: Header
    parent: PciAddress | None
    sriov: PhysicalFunction | VirtualFunction | None
    reset_methods: tuple[str, ...]
    power_state: str | None
    boot_vga: bool | None
    physical_slot: str | None
    mdev_types: tuple[MdevType, ...]
    net_interfaces: tuple[str, ...]
    block_devices: tuple[str, ...]
    vfio_group_node: str | None
    vfio_cdev: str | None
    alive: bool | None
    bars: tuple[Bar, ...]
    express: bool
    """Whether it is a PCI Express function; conventional ones cannot be told apart by an IOMMU."""
    port_type: PortType | None
    acs: Acs | None
    unbinding: bool
    """Its driver is gone but its vfio node still stands: an unbind waits for a holder (K55)."""
    companions: tuple[PciAddress, ...]
    """Functions tied to it by a power-management link, such as a GPU's audio function (K50)."""
    usage: tuple[Usage, ...]

    @property
    def on_vfio(self) -> bool:
        """Whether vfio-pci or one of its variants drives it."""
        return is_vfio_driver(self.driver)

    @property
    def is_bridge(self) -> bool:
        """Whether its header is not that of an endpoint."""
        return self.header is not Header.ENDPOINT

    @property
    def word(self) -> str:
        """The class in a word: ``gpu``, ``nic``, ``nvme`` ..."""
        return class_word(self.class_code)
