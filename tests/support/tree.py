"""A host in a few lines: folders, files and links that look like a machine."""

from __future__ import annotations

import os
import re
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Self

from tests.support.config_space import DOWNSTREAM, ENDPOINT, ROOT_PORT, Bar, Ids, Space
from tests.support.entry_tree import Tree
from tests.support.proc_net import proc_net

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["DOWNSTREAM", "ENDPOINT", "ROOT_PORT", "Bar", "HostTree"]

BRIDGE_CLASS = 0x060400
KEYBOARD = "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe"
"""What a keyboard says of its keys."""

_BUS = "/sys/bus/pci"
_GROUPS = "/sys/kernel/iommu_groups"
_ADDRESS = re.compile(
    r"(?P<domain>[0-9a-f]{4,8}):(?P<bus>[0-9a-f]{2}):(?P<slot>[0-9a-f]{2})\.(?P<function>[0-7])"
)


class HostTree(Tree):
    """A machine under construction."""

    def __init__(self, base: Path | str | None = None, kernel: str = "6.12.48-amd64") -> None:
        """Start with a running kernel and no device."""
        super().__init__(base)
        self._paths: dict[str, str] = {}
        self._spaces: dict[str, Space] = {}
        self.folder(f"{_BUS}/devices").folder(f"{_BUS}/drivers").folder(f"{_BUS}/slots").folder(_GROUPS)
        self.file("/proc/sys/kernel/osrelease", f"{kernel}\n")

    # Devices

    def device(
        self,
        address: str,
        ids: str = "8086:10d3",
        class_code: int = 0x020000,
        *,
        parent: str | None = None,
        driver: str | None = None,
        group: int | None = None,
        numa: int = -1,
        revision: int = 0,
        bars: Sequence[Bar] = (),
        reset: str | None = "flr bus",
        power: str = "D0",
        boot_vga: bool | None = None,
        override: str | None = None,
        pcie: int | None = ENDPOINT,
        acs: bool = False,
        buses: tuple[int, int, int] | None = None,
        virtual_function: bool = False,
    ) -> Self:
        """Add a function; `parent` is the bridge above it, `boot_vga` None means no such attribute."""
        known = Ids.parse(ids)
        function = int(address[-1])
        first = f"{address[:-1]}0"
        space = Space(
            known,
            class_code,
            revision,
            bars,
            pcie,
            acs,
            buses,
            bool(function) and not virtual_function,
            virtual_function,
        )
        self._place(address, parent)
        if function and not virtual_function and first in self._spaces:
            self._write_space(first, self._spaces[first]._replace(multifunction=True))
        self._write_space(address, space)
        self.attributes(
            address,
            vendor=f"0x{known.vendor:04x}",
            device=f"0x{known.device:04x}",
            subsystem_vendor=f"0x{known.subsystem_vendor:04x}",
            subsystem_device=f"0x{known.subsystem_device:04x}",
            **{"class": f"0x{class_code:06x}"},
            revision=f"0x{revision:02x}",
            modalias=space.modalias(),
            numa_node=str(numa),
            irq="16",
            power_state=power,
            driver_override=override or "(null)",
        )
        if reset is not None:
            self.attributes(address, reset_method=reset)
        if boot_vga is not None:
            self.attributes(address, boot_vga=str(int(boot_vga)))
        if pcie is not None and not virtual_function:
            self.attributes(address, current_link_speed="16.0 GT/s PCIe")
        if driver is not None:
            self.driver(address, driver)
        return self if group is None else self.group(address, group)

    def bridge(
        self,
        address: str,
        secondary: int,
        subordinate: int | None = None,
        ids: str = "8086:7ab8",
        *,
        parent: str | None = None,
        driver: str | None = "pcieport",
        group: int | None = None,
        pcie: int | None = ROOT_PORT,
        acs: bool = True,
        numa: int = -1,
        revision: int = 0,
    ) -> Self:
        """Add a bridge or port with the buses behind it."""
        self.device(
            address,
            ids,
            BRIDGE_CLASS,
            parent=parent,
            driver=driver,
            group=group,
            numa=numa,
            revision=revision,
            reset=None,
            pcie=pcie,
            acs=acs,
            buses=(_bus(address), secondary, secondary if subordinate is None else subordinate),
        )
        self.attributes(address, secondary_bus_number=str(secondary))
        # A port has its link's speed as an attribute, a conventional bridge has no link.
        return self if pcie is not None else self.remove(f"{self.path(address)}/current_link_speed")

    def virtual_functions(self, physical: str, total: int, addresses: Sequence[str] = ()) -> Self:
        """Say that a device can have this many VFs, and link those devices that are its VFs now."""
        self.attributes(physical, sriov_totalvfs=str(total), sriov_numvfs=str(len(addresses)))
        for index, address in enumerate(addresses):
            self.link(f"{self.path(physical)}/virtfn{index}", self.path(address))
            self.link(f"{self.path(address)}/physfn", self.path(physical))
        return self

    def driver(self, address: str, name: str) -> Self:
        """Bind a device."""
        self.folder(f"{_BUS}/drivers/{name}")
        return self.link(f"{self.path(address)}/driver", f"{_BUS}/drivers/{name}")

    def module(self, name: str, driver: str | None = None, users: int = 0) -> Self:
        """Load a module, which may bring a driver; `users` counts what is open of it and what needs it."""
        self.file(f"/sys/module/{name}/refcnt", f"{users}\n")
        if driver is None:
            return self
        self.link(f"/sys/module/{name}/drivers/pci:{driver}", f"{_BUS}/drivers/{driver}")
        return self.link(f"{_BUS}/drivers/{driver}/module", f"/sys/module/{name}")

    def group(self, member: str, number: int, kind: str = "DMA-FQ", reserved: str | None = None) -> Self:
        """Put a PCI device, or any device given by its path, into an IOMMU group."""
        path = member if member.startswith("/") else self.path(member)
        folder = f"{_GROUPS}/{number}"
        if f"{folder}/type" not in self._entries:
            self.file(f"{folder}/type", f"{kind}\n")
            self.file(f"{folder}/reserved_regions", reserved or "0x00000000fee00000 0x00000000feefffff msi\n")
        self.link(f"{path}/iommu_group", folder)
        return self.link(f"{folder}/devices/{path.rpartition('/')[2]}", path)

    def attributes(self, address: str, **values: str) -> Self:
        """Set attributes of a device; each ends in a newline, as the kernel's do."""
        for name, value in values.items():
            self.file(f"{self.path(address)}/{name}", f"{value}\n")
        return self

    def dead(self, address: str) -> Self:
        """Let a device fall off the bus: its configuration space reads as ones (K46)."""
        return self.file(f"{self.path(address)}/config", b"\xff" * 64)

    def path(self, address: str) -> str:
        """Return where a device lives below /sys/devices."""
        return self._paths[address]

    # What the host makes of them

    def net(self, name: str, address: str | None = None, *, up: bool = True, **files: str) -> Self:
        """Add a network interface of a device, or a virtual one."""
        path = f"/sys/devices/virtual/net/{name}" if address is None else f"{self.path(address)}/net/{name}"
        self.link(f"/sys/class/net/{name}", path)
        facts = {"flags": "0x1003" if up else "0x1002", "operstate": "up" if up else "down", **files}
        for file, value in facts.items():
            self.file(f"{path}/{file}", f"{value}\n")
        return self

    def enslave(self, lower: str, upper: str) -> Self:
        """Make one interface the port of another: a bond, a bridge."""
        paths = [self._target(f"/sys/class/net/{name}") for name in (lower, upper)]
        self.link(f"{paths[0]}/master", paths[1])
        self.link(f"{paths[0]}/upper_{upper}", paths[1])
        return self.link(f"{paths[1]}/lower_{lower}", paths[0])

    def upper(self, lower: str, upper: str) -> Self:
        """Put an interface on top of another, as a VLAN is."""
        return self.link(
            f"{self._target(f'/sys/class/net/{lower}')}/upper_{upper}",
            self._target(f"/sys/class/net/{upper}"),
        )

    def block(self, name: str, number: str, below: str) -> Self:
        """Add a block device in a folder: below a device, a disk (then it is a partition), or virtual."""
        path = f"{below}/{name}"
        self.link(f"/sys/class/block/{name}", path)
        self.file(f"{path}/dev", f"{number}\n").folder(f"{path}/holders")
        if below.rpartition("/")[2] in self._names("/sys/class/block"):
            self.file(f"{path}/partition", f"{re.findall(r'[0-9]+$', name)[0]}\n")
        return self

    def mapper(self, name: str, number: str, label: str) -> Self:
        """Add a device-mapper device: LVM, dm-crypt."""
        self.block(name, number, "/sys/devices/virtual/block")
        return self.file(f"/sys/devices/virtual/block/{name}/dm/name", f"{label}\n")

    def raid(self, name: str, number: str) -> Self:
        """Add an md device."""
        self.block(name, number, "/sys/devices/virtual/block")
        return self.file(f"/sys/devices/virtual/block/{name}/md/level", "raid1\n")

    def holder(self, lower: str, upper: str) -> Self:
        """Stack one block device on another."""
        paths = [self._target(f"/sys/class/block/{name}") for name in (lower, upper)]
        return self.link(f"{paths[0]}/holders/{upper}", paths[1])

    def vfio(self, address: str, index: int | None = None, *, cdev: str | None = None) -> Self:
        """Bind a device to vfio-pci, with the node of its group and its own where the kernel has one."""
        group = self._target(f"{self.path(address)}/iommu_group").rpartition("/")[2]
        self.driver(address, "vfio-pci").attributes(address, driver_override="vfio-pci")
        self.folder(f"/sys/devices/virtual/vfio/{group}")
        self.link(f"/sys/class/vfio/{group}", f"/sys/devices/virtual/vfio/{group}")
        if index is not None:
            path = f"{self.path(address)}/vfio-dev/vfio{index}"
            self.folder(path).link(f"/sys/class/vfio-dev/vfio{index}", path)
            if cdev is not None:
                self.file(f"{path}/dev", f"{cdev}\n")
        return self

    def drm(self, address: str, card: int, render: int | None = None, **screens: str) -> Self:
        """Give a GPU its nodes; connectors are written with underscores: `eDP_1="connected"`."""
        names = [f"card{card}"] if render is None else [f"card{card}", f"renderD{render}"]
        for name in names:
            path = f"{self.path(address)}/drm/{name}"
            self.folder(path).link(f"/sys/class/drm/{name}", path)
        for connector, status in screens.items():
            name = f"card{card}-{connector.replace('_', '-')}"
            path = f"{self.path(address)}/drm/card{card}/{name}"
            self.file(f"{path}/status", f"{status}\n").link(f"/sys/class/drm/{name}", path)
        return self

    def input(self, number: int, below: str, name: str, keys: str = "0", *, mouse: int | None = None) -> Self:
        """Add an input device in a folder; KEYBOARD is the `keys` of a keyboard."""
        path = f"{below}/input/input{number}"
        self.file(f"{path}/name", f"{name}\n").file(f"{path}/capabilities/key", f"{keys}\n")
        self.link(f"/sys/class/input/input{number}", path)
        if mouse is not None:
            self.folder(f"{path}/mouse{mouse}").link(f"/sys/class/input/mouse{mouse}", f"{path}/mouse{mouse}")
        return self

    def slot(self, name: str, address: str) -> Self:
        """Give a physical slot its label; the address is without the function."""
        return self.file(f"{_BUS}/slots/{name}/address", f"{address}\n")

    def process(self, pid: int, command: Sequence[str], opens: Mapping[int, str] | None = None) -> Self:
        """Add a running process with the device files it has open."""
        self.file(f"/proc/{pid}/cmdline", "".join(f"{word}\0" for word in command))
        self.file(f"/proc/{pid}/comm", f"{os.path.basename(command[0])[:15]}\n")
        for descriptor, path in (opens or {}).items():
            self.link(f"/proc/{pid}/fd/{descriptor}", path)
        return self

    def mounts(self, *rows: tuple[str, str, str, str]) -> Self:
        """Say what is mounted: device number, mount point, source, file system."""
        lines = (
            f"{26 + index} 1 {number} / {point} rw,relatime shared:{index + 1} - {kind} {source} rw\n"
            for index, (number, point, source, kind) in enumerate(rows)
        )
        return self.file("/proc/self/mountinfo", "".join(lines))

    def swaps(self, *sources: str) -> Self:
        """Say what the host swaps to."""
        head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        return self.file(
            "/proc/swaps", head + "".join(f"{name}\tpartition\t8388604\t0\t-2\n" for name in sources)
        )

    def network(self, addresses: Mapping[str, Sequence[str]], default: str | None = None) -> Self:
        """Give interfaces addresses (``192.0.2.7/24``), and one the default routes of their families."""
        own = [(name, ip_interface(text)) for name, texts in addresses.items() for text in texts]
        for path, content in proc_net(own, default).items():
            self.file(path, content)
        return self

    # How it is put together

    def _place(self, address: str, parent: str | None) -> None:
        match = _ADDRESS.fullmatch(address)
        if match is None:
            raise ValueError(address)
        above = "/sys/devices" if parent is None else self.path(parent)
        # A root bus has a folder of its own; so has the one that Intel VMD makes in a domain of its own.
        if parent is None or not parent.startswith(f"{match['domain']}:"):
            above += f"/pci{match['domain']}:{match['bus']}"
        self._paths[address] = f"{above}/{address}"
        self.folder(self._paths[address]).link(f"{_BUS}/devices/{address}", self._paths[address])

    def _write_space(self, address: str, space: Space) -> None:
        self._spaces[address] = space
        # Of an endpoint nothing but the header is ever read, so there is no more of it here.
        config = space.encode()
        self.file(f"{self.path(address)}/config", config if space.buses else config[:64])
        self.file(f"{self.path(address)}/resource", space.resource())


def _bus(address: str) -> int:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(address)
    return int(match["bus"], 16)
