"""A whole host as one frozen, comparable value."""

from __future__ import annotations

from vfioctl.lean import cached_property
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.group import IommuGroup
    from vfioctl.model.kernel import KernelRelease


class Unread(NamedTuple):
    """Something that exists but could not be read, and why: unknown is not absent."""

    path: str
    reason: str
    address: PciAddress | None = None
    field: str | None = None
    """The field of the device that is unknown because of it."""


class MdevInstance(NamedTuple):
    """A mediated device that exists now."""

    uuid: str
    parent: PciAddress
    type_id: str | None
    iommu_group: int | None


class _Facts(NamedTuple):
    kernel: KernelRelease | None
    iommu: bool | None
    """Whether an IOMMU is at work; None when that could not be read."""
    devices: tuple[PciDevice, ...]
    groups: tuple[IommuGroup, ...]
    mdevs: tuple[MdevInstance, ...] = ()
    iommu_units: tuple[str, ...] = ()
    iommufd: bool | None = None
    lockdown: str | None = None
    denylist_disabled: bool = False
    """vfio-pci was loaded with ``disable_denylist`` (K16)."""
    unread: tuple[Unread, ...] = ()


class Host(_Facts):
    """A host: sorted tuples are the truth, indexes are derived, queries walk memory only.

    Equal hosts hash alike, so ``old != new`` tells that something changed.
    """

    def __getstate__(self) -> None:
        """Leave the indexes behind when it is pickled: whoever gets it derives its own."""

    @cached_property
    def by_address(self) -> dict[PciAddress, PciDevice]:
        """Every device by its address."""
        return {device.address: device for device in self.devices}

    @cached_property
    def by_group(self) -> dict[int, IommuGroup]:
        """Every IOMMU group by its number."""
        return {group.id: group for group in self.groups}

    @cached_property
    def children(self) -> dict[PciAddress | None, tuple[PciDevice, ...]]:
        """The devices directly below each bridge; below None: those on a root bus."""
        below: dict[PciAddress | None, list[PciDevice]] = {}
        for device in self.devices:
            below.setdefault(device.parent, []).append(device)
        return {parent: tuple(devices) for parent, devices in below.items()}

    @cached_property
    def by_slot(self) -> dict[tuple[int, int, int], tuple[PciDevice, ...]]:
        """The functions of each slot, in address order."""
        slots: dict[tuple[int, int, int], list[PciDevice]] = {}
        for device in self.devices:
            slots.setdefault(device.address.slot, []).append(device)
        return {slot: tuple(functions) for slot, functions in slots.items()}

    @cached_property
    def unknown_fields(self) -> frozenset[tuple[PciAddress, str]]:
        """The fields of devices that could not be read, by address and field name."""
        return frozenset(
            (unread.address, unread.field)
            for unread in self.unread
            if unread.address is not None and unread.field is not None
        )

    def group_of(self, device: PciDevice) -> IommuGroup | None:
        """Return the group of a device, or None when it has none."""
        return None if device.iommu_group is None else self.by_group.get(device.iommu_group)

    def members(self, group: IommuGroup) -> tuple[PciDevice, ...]:
        """Return the PCI members of a group that could be read."""
        return tuple(self.by_address[address] for address in group.members if address in self.by_address)

    def ancestors(self, device: PciDevice) -> Iterator[PciDevice]:
        """Yield the bridges above a device, nearest first."""
        seen = {device.address}
        parent = device.parent
        while parent is not None and parent not in seen:
            seen.add(parent)
            bridge = self.by_address.get(parent)
            if bridge is None:
                return
            yield bridge
            parent = bridge.parent

    def is_under(self, device: PciDevice, bridge: PciAddress) -> bool:
        """Tell whether a device sits behind a bridge, at any depth."""
        # The nearest bridge may itself be unreadable, so its children are known by their parent's address.
        if device.address == bridge:
            return False
        return device.parent == bridge or any(above.parent == bridge for above in self.ancestors(device))

    def same_slot(self, device: PciDevice) -> tuple[PciDevice, ...]:
        """Return all functions of the device's slot, itself included."""
        return self.by_slot.get(device.address.slot, ())
