"""Hypothesis strategies: whole machines, random but as consistent as hardware is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

from tests.support.config_space import ENDPOINT, LEGACY_ENDPOINT, PCIE_TO_PCI, Bar
from tests.support.tree import HostTree

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

OPTIONAL = (
    "subsystem_vendor",
    "subsystem_device",
    "modalias",
    "numa_node",
    "power_state",
    "reset_method",
    "driver_override",
    "current_link_speed",
    "resource",
    "revision",
    "irq",
)
"""Attributes that some kernels or recordings do not have."""

_DOMAINS = st.lists(
    st.sampled_from([0, 1, 2, 0xC, 0xFFFF, 0x10000, 0x10001, 0xFFFFF]), min_size=1, max_size=3, unique=True
)
_CLASSES = st.sampled_from(
    (
        0x000200,
        0x010601,
        0x010802,
        0x020000,
        0x028000,
        0x030000,
        0x030200,
        0x040300,
        0x060000,
        0x060100,
        0x070002,
        0x078000,
        0x088000,
        0x0C0330,
        0x0C0500,
        0x120000,
        0xFF0000,
    )
)
_VENDORS = st.one_of(
    st.sampled_from([0x8086, 0x10DE, 0x1002, 0x15B3, 0x1AF4, 0x144D]),
    st.integers(min_value=1, max_value=0xFFFE),
)
_NUMBERS = st.integers(min_value=0, max_value=0xFFFE)
_DRIVERS = st.sampled_from(
    [None, "vfio-pci", "nvme", "e1000e", "xhci_hcd", "snd_hda_intel", "pci-stub", "odd driver-1.0"]
)
_BRIDGE_DRIVERS = st.sampled_from(["pcieport", "pcieport", "shpchp", None])
_SIZES = st.sampled_from([4 << 10, 1 << 20, 256 << 20])
_KERNELS = st.sampled_from(
    ["5.4.0-150-generic", "5.18.19", "5.19.0", "6.1.0-39-amd64", "6.12.48", "7.2.13-odd+name"]
)
_DEPTH = 3
_SLOTS = st.lists(st.integers(0, 31), max_size=4, unique=True)


class _Bus(NamedTuple):
    domain: int
    number: int
    parent: str | None
    depth: int


@st.composite
def machines(draw: DrawFn) -> HostTree:
    """Return machines with bridges, several domains, groups, VFs, and attributes missing here and there."""
    return _Maker(draw).machine()


class _Maker:
    """Builds one machine from what is drawn."""

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw
        self._tree = HostTree(kernel=draw(_KERNELS))
        self._iommu = draw(st.booleans())
        self._groups = 0
        self._last_bus: dict[int, int] = {}

    def machine(self) -> HostTree:
        for domain in self._draw(_DOMAINS):
            first = self._draw(st.integers(0, 0x7F))
            self._last_bus[domain] = first
            self._fill(_Bus(domain, first, None, 0))
        return self._tree

    def _fill(self, bus: _Bus) -> None:
        for slot in sorted(self._draw(_SLOTS)):
            if bus.depth < _DEPTH and self._draw(st.integers(0, 3)) == 0:
                self._bridge(bus, slot)
            else:
                self._card(bus, slot)

    def _bridge(self, bus: _Bus, slot: int) -> None:
        address = _address(bus, slot, 0)
        self._last_bus[bus.domain] += 1
        secondary = self._last_bus[bus.domain]
        conventional = self._draw(st.booleans())
        self._tree.bridge(
            address,
            secondary,
            ids=self._ids()[:9],
            parent=bus.parent,
            driver=self._draw(_BRIDGE_DRIVERS),
            group=self._group(),
            pcie=PCIE_TO_PCI if conventional else 4,
            acs=not conventional and self._draw(st.booleans()),
        )
        self._fill(_Bus(bus.domain, secondary, address, bus.depth + 1))

    def _card(self, bus: _Bus, slot: int) -> None:
        functions = self._draw(st.lists(st.integers(1, 7), max_size=2, unique=True))
        group = self._group()
        for function in (0, *sorted(functions)):
            self._function(bus, _address(bus, slot, function), group)
        if not functions and slot < 31 and self._draw(st.integers(0, 5)) == 0:
            self._split(bus, slot)

    def _split(self, bus: _Bus, slot: int) -> None:
        """Make virtual functions of a card, in its own slot."""
        count = self._draw(st.integers(0, 3))
        addresses = [_address(bus, slot, function) for function in range(1, count + 1)]
        for address in addresses:
            self._function(bus, address, self._group(), virtual=True)
        self._tree.virtual_functions(_address(bus, slot, 0), self._draw(st.integers(count, 64)), addresses)

    def _function(self, bus: _Bus, address: str, group: int | None, *, virtual: bool = False) -> None:
        draw = self._draw
        class_code = draw(_CLASSES)
        bars = [
            Bar(0x80000000 + index * (256 << 20), draw(_SIZES)) for index in range(draw(st.integers(0, 3)))
        ]
        self._tree.device(
            address,
            self._ids(),
            class_code,
            parent=bus.parent,
            driver=draw(_DRIVERS),
            group=group,
            numa=draw(st.integers(-1, 3)),
            revision=draw(st.integers(0, 0xFF)),
            bars=() if virtual else bars,
            boot_vga=draw(st.booleans()) if class_code == 0x030000 else None,
            override=draw(st.sampled_from([None, "vfio-pci", "none"])),
            pcie=draw(st.sampled_from([ENDPOINT, LEGACY_ENDPOINT, None])),
            virtual_function=virtual,
        )
        for name in draw(st.sets(st.sampled_from(OPTIONAL), max_size=3)):
            self._tree.remove(f"{self._tree.path(address)}/{name}")

    def _ids(self) -> str:
        draw = self._draw
        return f"{draw(_VENDORS):04x}:{draw(_NUMBERS):04x}:{draw(_NUMBERS):04x}:{draw(_NUMBERS):04x}"

    def _group(self) -> int | None:
        """Return a group: none without an IOMMU, at times that of the device before."""
        if not self._iommu:
            return None
        self._groups += self._draw(st.integers(0, 3)) > 0
        return self._groups


def _address(bus: _Bus, slot: int, function: int) -> str:
    return f"{bus.domain:04x}:{bus.number:02x}:{slot:02x}.{function}"
