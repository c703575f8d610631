"""A host in a few lines: folders, files and links that look like a machine."""

from __future__ import annotations

import os
import re
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from tests.support.config_space import DOWNSTREAM, ENDPOINT, ROOT_PORT, Bar, Ids, Space
from tests.support.proc_net import proc_net
from vfioctl.sysfs.entries import MANIFEST, Denied, Directory, Entry, File, Link, complete

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["DOWNSTREAM", "ENDPOINT", "ROOT_PORT", "Bar", "HostTree", "read_entries"]

BRIDGE_CLASS = 0x060400
_BUS = "/sys/bus/pci"
_GROUPS = "/sys/kernel/iommu_groups"
_ADDRESS = re.compile(
    r"(?P<domain>[0-9a-f]{4,8}):(?P<bus>[0-9a-f]{2}):(?P<slot>[0-9a-f]{2})\.(?P<function>[0-7])"
)


class HostTree:
    """A machine under construction; with a folder, every call is on disk at once.

    Calls return the tree, so that a machine is one expression. Facts given twice replace each other.
    """

    def __init__(self, base: Path | str | None = None, kernel: str = "6.12.48-amd64") -> None:
        """Start with a running kernel and no device."""
        self._base = None if base is None else os.fspath(base)
        self._entries: dict[str, Entry] = {}
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
    ) -> HostTree:
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
    ) -> HostTree:
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

    def virtual_functions(self, physical: str, total: int, addresses: Sequence[str] = ()) -> HostTree:
        """Say that a device can have this many VFs, and link those devices that are its VFs now."""
        self.attributes(physical, sriov_totalvfs=str(total), sriov_numvfs=str(len(addresses)))
        for index, address in enumerate(addresses):
            self.link(f"{self.path(physical)}/virtfn{index}", self.path(address))
            self.link(f"{self.path(address)}/physfn", self.path(physical))
        return self

    def driver(self, address: str, name: str) -> HostTree:
        """Bind a device."""
        self.folder(f"{_BUS}/drivers/{name}")
        return self.link(f"{self.path(address)}/driver", f"{_BUS}/drivers/{name}")

    def group(self, member: str, number: int, kind: str = "DMA-FQ", reserved: str | None = None) -> HostTree:
        """Put a PCI device, or any device given by its path, into an IOMMU group."""
        path = member if member.startswith("/") else self.path(member)
        folder = f"{_GROUPS}/{number}"
        if f"{folder}/type" not in self._entries:
            self.file(f"{folder}/type", f"{kind}\n")
            self.file(f"{folder}/reserved_regions", reserved or "0x00000000fee00000 0x00000000feefffff msi\n")
        self.link(f"{path}/iommu_group", folder)
        return self.link(f"{folder}/devices/{path.rpartition('/')[2]}", path)

    def attributes(self, address: str, **values: str) -> HostTree:
        """Set attributes of a device; each ends in a newline, as the kernel's do."""
        for name, value in values.items():
            self.file(f"{self.path(address)}/{name}", f"{value}\n")
        return self

    def dead(self, address: str) -> HostTree:
        """Let a device fall off the bus: its configuration space reads as ones (K46)."""
        return self.file(f"{self.path(address)}/config", b"\xff" * 64)

    def path(self, address: str) -> str:
        """Return where a device lives below /sys/devices."""
        return self._paths[address]

    # What the host makes of them

    def net(self, name: str, address: str | None = None, *, up: bool = True, **files: str) -> HostTree:
        """Add a network interface of a device, or a virtual one."""
        path = f"/sys/devices/virtual/net/{name}" if address is None else f"{self.path(address)}/net/{name}"
        self.link(f"/sys/class/net/{name}", path)
        facts = {"flags": "0x1003" if up else "0x1002", "operstate": "up" if up else "down", **files}
        for file, value in facts.items():
            self.file(f"{path}/{file}", f"{value}\n")
        return self

    def enslave(self, lower: str, upper: str) -> HostTree:
        """Make one interface the port of another: a bond, a bridge."""
        paths = [self._target(f"/sys/class/net/{name}") for name in (lower, upper)]
        self.link(f"{paths[0]}/master", paths[1])
        self.link(f"{paths[0]}/upper_{upper}", paths[1])
        return self.link(f"{paths[1]}/lower_{lower}", paths[0])

    def upper(self, lower: str, upper: str) -> HostTree:
        """Put an interface on top of another, as a VLAN is."""
        return self.link(
            f"{self._target(f'/sys/class/net/{lower}')}/upper_{upper}",
            self._target(f"/sys/class/net/{upper}"),
        )

    def block(self, name: str, number: str, below: str) -> HostTree:
        """Add a block device in a folder: below a device, a disk (then it is a partition), or virtual."""
        path = f"{below}/{name}"
        self.link(f"/sys/class/block/{name}", path)
        self.file(f"{path}/dev", f"{number}\n").folder(f"{path}/holders")
        if below.rpartition("/")[2] in self._names("/sys/class/block"):
            self.file(f"{path}/partition", f"{re.findall(r'[0-9]+$', name)[0]}\n")
        return self

    def mapper(self, name: str, number: str, label: str) -> HostTree:
        """Add a device-mapper device: LVM, dm-crypt."""
        self.block(name, number, "/sys/devices/virtual/block")
        return self.file(f"/sys/devices/virtual/block/{name}/dm/name", f"{label}\n")

    def raid(self, name: str, number: str) -> HostTree:
        """Add an md device."""
        self.block(name, number, "/sys/devices/virtual/block")
        return self.file(f"/sys/devices/virtual/block/{name}/md/level", "raid1\n")

    def holder(self, lower: str, upper: str) -> HostTree:
        """Stack one block device on another."""
        paths = [self._target(f"/sys/class/block/{name}") for name in (lower, upper)]
        return self.link(f"{paths[0]}/holders/{upper}", paths[1])

    def vfio(self, address: str, index: int | None = None, *, cdev: str | None = None) -> HostTree:
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

    def slot(self, name: str, address: str) -> HostTree:
        """Give a physical slot its label; the address is without the function."""
        return self.file(f"{_BUS}/slots/{name}/address", f"{address}\n")

    def process(self, pid: int, command: Sequence[str], opens: Mapping[int, str] | None = None) -> HostTree:
        """Add a running process with the device files it has open."""
        self.file(f"/proc/{pid}/cmdline", "".join(f"{word}\0" for word in command))
        self.file(f"/proc/{pid}/comm", f"{os.path.basename(command[0])[:15]}\n")
        for descriptor, path in (opens or {}).items():
            self.link(f"/proc/{pid}/fd/{descriptor}", path)
        return self

    def mounts(self, *rows: tuple[str, str, str, str]) -> HostTree:
        """Say what is mounted: device number, mount point, source, file system."""
        lines = (
            f"{26 + index} 1 {number} / {point} rw,relatime shared:{index + 1} - {kind} {source} rw\n"
            for index, (number, point, source, kind) in enumerate(rows)
        )
        return self.file("/proc/self/mountinfo", "".join(lines))

    def swaps(self, *sources: str) -> HostTree:
        """Say what the host swaps to."""
        head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        return self.file(
            "/proc/swaps", head + "".join(f"{name}\tpartition\t8388604\t0\t-2\n" for name in sources)
        )

    def network(self, addresses: Mapping[str, Sequence[str]], default: str | None = None) -> HostTree:
        """Give interfaces addresses (``192.0.2.7/24``), and one the default routes of their families."""
        own = [(name, ip_interface(text)) for name, texts in addresses.items() for text in texts]
        for path, content in proc_net(own, default).items():
            self.file(path, content)
        return self

    # Anything else

    def folder(self, path: str) -> HostTree:
        """Add a folder."""
        return self._put(Directory(path))

    def file(self, path: str, content: str | bytes) -> HostTree:
        """Add a file."""
        return self._put(File(path, content.encode() if isinstance(content, str) else content))

    def link(self, path: str, target: str) -> HostTree:
        """Add a link to an absolute path, which it spells relatively."""
        return self._put(Link(path, os.path.relpath(target, os.path.dirname(path))))

    def deny(self, path: str, errno: str = "EACCES") -> HostTree:
        """Make a path unreadable for the user who looks; what is below it is gone."""
        for known in [known for known in self._entries if known == path or known.startswith(f"{path}/")]:
            self.remove(known)
        return self._put(Denied(path, errno))

    def remove(self, path: str) -> HostTree:
        """Take a file or link away."""
        if self._entries.pop(path, None) and self._base is not None and not os.path.isdir(self._base + path):
            os.unlink(self._base + path)
        return self

    def entries(self) -> tuple[Entry, ...]:
        """Return the machine as entries, in order."""
        return complete(self._entries.values())

    def content(self, path: str) -> bytes:
        """Return what a file says."""
        entry = self._entries[path]
        if not isinstance(entry, File):
            raise TypeError(path)
        return entry.content

    def denied(self) -> dict[str, str]:
        """Return what the user who looks cannot read."""
        return {entry.path: entry.errno for entry in self._entries.values() if isinstance(entry, Denied)}

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

    def _target(self, link: str) -> str:
        entry = self._entries[link]
        if not isinstance(entry, Link):
            raise TypeError(link)
        return os.path.normpath(os.path.join(os.path.dirname(link), entry.target))

    def _names(self, folder: str) -> set[str]:
        return {path.rpartition("/")[2] for path in self._entries if path.rpartition("/")[0] == folder}

    def _put(self, entry: Entry) -> HostTree:
        self._entries[entry.path] = entry
        if self._base is not None:
            _write(self._base + entry.path, entry)
        return self


def _bus(address: str) -> int:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(address)
    return int(match["bus"], 16)


def _write(path: str, entry: Entry) -> None:
    if isinstance(entry, Directory):
        os.makedirs(path, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    match entry:
        case File(content=content):
            with open(path, "wb") as file:
                file.write(content)
        case Link(target=target):
            os.symlink(target, path)
        case Denied():
            open(path, "wb").close()  # its name is seen; what reading it gives is in HostTree.denied


def read_entries(base: str, denied: Mapping[str, str] | None = None) -> tuple[Entry, ...]:
    """Return everything below a folder, the manifest left out, with what is known to be unreadable."""
    denied = denied or {}
    found = [entry for entry in _walk(base, "") if entry.path not in denied]
    return complete([*found, *(Denied(path, errno) for path, errno in denied.items())])


def _walk(base: str, folder: str) -> Iterable[Entry]:
    with os.scandir(base + (folder or "/")) as found:
        for item in found:
            path = f"{folder}/{item.name}"
            if item.is_symlink():
                yield Link(path, os.readlink(item.path))
            elif item.is_dir():
                yield Directory(path)
                yield from _walk(base, path)
            elif path != f"/{MANIFEST}":
                with open(item.path, "rb") as file:
                    yield File(path, file.read())
