"""Which disks sit on which function, and what the host keeps on them.

The kernel lets a driver go while its disk is mounted (K36, K58), so this is what stands between an
administrator and a dead root file system.
"""

from __future__ import annotations

from vfioctl.model.pattern import pattern
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs import root
from vfioctl.sysfs.classes import class_members, function_above, is_numbered
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.sysfs.attribute import Attributes

_OCTAL = pattern(r"\\([0-7]{3})")
_SUBSYSTEM = "/nvme-subsystem/"
_SHOWN_MOUNTS = 3
# Without these the host stops, or does not start again.
_CRITICAL_POINTS = frozenset({"/", "/boot", "/boot/efi", "/efi", "/usr"})


class Block(NamedTuple):
    """A disk, a partition, or a device made of others (dm, md)."""

    name: str
    functions: tuple[PciAddress, ...]
    """The PCI functions it is reached through; none for what is made of others."""
    disk: str
    """The disk a partition is on; itself otherwise."""
    number: str
    """``major:minor``."""
    holders: tuple[str, ...]
    label: str
    """The name administrators use: that of the mapping for a device mapper device."""


class Mount(NamedTuple):
    """One line of mountinfo."""

    number: str
    point: str
    source: str
    kind: str


def read_blocks(attributes: Attributes) -> dict[str, Block]:
    """Read every block device."""
    members = class_members(attributes, root.BLOCK, _is_shown)
    paths = {member.name: member.path for member in members}
    return {name: _read_block(attributes, name, path, paths) for name, path in paths.items()}


def _read_block(attributes: Attributes, name: str, path: str, paths: Mapping[str, str]) -> Block:
    above = path.rsplit("/", 2)[-2]
    label = attributes.text(f"{path}/dm/name") if name.startswith("dm-") else None
    return Block(
        name=name,
        functions=_functions(attributes, path),
        disk=above if above in paths else name,
        number=attributes.text(f"{path}/dev") or "",
        holders=tuple(attributes.names(f"{path}/holders")),
        label=label or name,
    )


def _functions(attributes: Attributes, path: str) -> tuple[PciAddress, ...]:
    if _SUBSYSTEM in path:
        subsystem = path.partition(_SUBSYSTEM)[2].partition("/")[0]
        folder = path.partition(_SUBSYSTEM)[0] + _SUBSYSTEM + subsystem
        names = attributes.names(folder, lambda name: is_numbered(name, "nvme"))
        targets = (attributes.target(f"{folder}/{name}") for name in names)
        found = {function_above(target) for target in targets if target is not None}
        return tuple(sorted(address for address in found if address is not None))
    address = function_above(path)
    return () if address is None else (address,)


def read_mounts(attributes: Attributes) -> tuple[Mount, ...]:
    """Read what is mounted in this program's mount namespace."""
    mounts = []
    for line in attributes.lines(root.MOUNTS):
        # such as: 36 35 98:0 /sub /mnt rw,noatime master:1 - ext4 /dev/sda1 rw
        before, dash, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if not dash or len(fields) < 5 or len(rest) < 2:  # noqa: PLR2004 - the columns used below
            continue
        mounts.append(Mount(fields[2], _unescape(fields[4]), _unescape(rest[1]), rest[0]))
    return tuple(mounts)


def _is_shown(disk: str) -> bool:
    # "nvme0c1n1" is a path of an NVMe multipath disk; the disk is the subsystem's (K58).
    controller, _, path = disk.partition("c")
    number, _, space = path.partition("n")
    return not (is_numbered(controller, "nvme") and number.isdecimal() and space.isdecimal())


def _unescape(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text) if "\\" in text else text


def read_swaps(attributes: Attributes) -> tuple[str, ...]:
    """Read what the host swaps to: files, and device files."""
    rows = (line.split() for line in attributes.lines(root.SWAPS)[1:])
    return tuple(_unescape(row[0]) for row in rows if row)


def _critical_points(mounts: Sequence[Mount], swaps: Sequence[str]) -> frozenset[str]:
    """Return the mount points without which the host stops, those with its swap files among them."""
    points = set(_CRITICAL_POINTS)
    for source in swaps:
        above = [mount.point for mount in mounts if source.startswith(f"{mount.point.rstrip('/')}/")]
        points.update([max(above, key=len)] if above and not source.startswith("/dev/") else ())
    return frozenset(points)


def _btrfs_members(attributes: Attributes) -> dict[str, list[str]]:
    """Return the members of mounted btrfs file systems, each with all of its own: the kernel has a list."""
    members: dict[str, list[str]] = {}
    for uuid in attributes.names(root.BTRFS):
        names = attributes.names(f"{root.BTRFS}/{uuid}/devices")
        members.update(dict.fromkeys(names, names))
    return members


def storage_uses(attributes: Attributes, blocks: Mapping[str, Block]) -> dict[PciAddress, list[Usage]]:
    """Return what the host keeps on the disks of each function."""
    finder = _Finder(attributes, blocks)
    uses: dict[PciAddress, list[Usage]] = {}
    for block in blocks.values():
        if not block.functions:
            continue
        for usage in finder.uses(block):
            for address in block.functions:
                uses.setdefault(address, []).append(usage)
    return uses


class _Finder:
    """Finds mounts, swap and memberships of a block device, up through what is made of it."""

    def __init__(self, attributes: Attributes, blocks: Mapping[str, Block]) -> None:
        self._attributes = attributes
        self._blocks = blocks
        self._labelled: dict[str, str] = {
            block.label: block.name for block in reversed(tuple(blocks.values()))
        }
        self._parts: dict[str, list[str]] = {}
        for block in blocks.values():
            if block.disk != block.name:
                self._parts.setdefault(block.disk, []).append(block.name)
        mounts, swaps = read_mounts(attributes), read_swaps(attributes)
        self._points = self._mount_points(mounts)
        self._swaps = frozenset(self._name_of(source) for source in swaps if source.startswith("/dev/"))
        self._udev: dict[str, dict[str, str]] = {}
        self._btrfs = _btrfs_members(attributes)
        self._critical_points = _critical_points(mounts, swaps)
        datasets = (mount for mount in mounts if mount.kind == "zfs" and mount.point in self._critical_points)
        self._critical_pools = frozenset(mount.source.partition("/")[0] for mount in datasets)

    def _name_of(self, source: str) -> str:
        """Return the block device a device file stands for: by its name, or by a mapping's name."""
        if source.startswith("/dev/mapper/"):
            label = source.removeprefix("/dev/mapper/")
            return self._labelled.get(label, label)
        # What is a folder in /dev is an exclamation mark in sysfs: /dev/cciss/c0d0 is cciss!c0d0.
        return source.removeprefix("/dev/").replace("/", "!")

    def _mount_points(self, mounts: Sequence[Mount]) -> dict[str, set[str]]:
        """Return by block device where it is mounted."""
        numbers = {block.number: block.name for block in self._blocks.values() if block.number}
        points: dict[str, set[str]] = {}
        for mount in mounts:
            names = {numbers[mount.number]} if mount.number in numbers else set()
            if mount.source.startswith("/dev/"):
                # btrfs shows a device number of its own, so the source must tell; bcachefs lists its disks.
                names.update(self._name_of(source) for source in (mount.source, *mount.source.split(":")))
            for name in names:
                points.setdefault(name, set()).add(mount.point)
        return points

    def uses(self, block: Block) -> Iterator[Usage]:
        """Yield the uses of one disk or partition."""
        yield from self._own_uses(block, block.name)
        for above in self._above(block):
            way = f"{block.name} (through {above.label})"
            found = list(self._own_uses(above, way))
            yield from found
            if not found and not above.holders and above.name not in self._parts:
                yield Usage(UsageKind.HOLDER, block.name, f"{block.name} is held by {above.label}")

    def _above(self, block: Block) -> Iterator[Block]:
        """Yield everything made of a block device, nearest first."""
        waiting, seen = list(block.holders), {block.name}
        while waiting:
            name = waiting.pop(0)
            if name in seen:
                continue
            seen.add(name)
            above = self._blocks.get(name) or Block(name, (), name, "", (), name)
            yield above
            # Partitions of an array are used like those of a disk.
            waiting += [*above.holders, *self._parts.get(name, ())]

    def _own_uses(self, block: Block, way: str) -> Iterator[Usage]:
        points = sorted(self._points.get(block.name, ()), key=lambda point: (len(point), point))
        if points:
            critical = self._is_critical(block.name)
            yield Usage(UsageKind.MOUNT, block.name, f"{way} is mounted on {_listed(points)}", critical)
        if block.name in self._swaps:
            yield Usage(UsageKind.SWAP, block.name, f"{way} is swap space", critical=True)
        if not points:
            yield from self._memberships(block, way)

    def _memberships(self, block: Block, way: str) -> Iterator[Usage]:
        udev = self._udev_of(block)
        kind = udev.get("ID_FS_TYPE")
        if kind == "zfs_member":
            pool = udev.get("ID_FS_LABEL", "unknown")
            critical = pool in self._critical_pools
            yield Usage(UsageKind.MEMBER, block.name, f"{way} is part of the ZFS pool {pool}", critical)
            return
        peers = self._btrfs.get(block.name) or (self._mounted(udev) if kind == "btrfs" else ())
        if peers:
            critical = any(map(self._is_critical, peers))
            detail = f"{way} is part of a mounted btrfs file system"
            yield Usage(UsageKind.MEMBER, block.name, detail, critical)

    def _is_critical(self, name: str) -> bool:
        return not self._critical_points.isdisjoint(self._points.get(name, ()))

    def _mounted(self, udev: Mapping[str, str]) -> list[str]:
        """Return the mounted block devices of a file system, by what udev says of one of its members."""
        uuid = udev.get("ID_FS_UUID")
        mounted = [self._blocks[name] for name in self._points if name in self._blocks]
        return [block.name for block in mounted if uuid and self._udev_of(block).get("ID_FS_UUID") == uuid]

    def _udev_of(self, block: Block) -> dict[str, str]:
        """Return udev's properties of a block device, from its database without its daemon."""
        if block.name not in self._udev:
            lines = self._attributes.lines(f"{root.UDEV_DATA}/b{block.number}") if block.number else []
            pairs = (line[2:].partition("=") for line in lines if line.startswith("E:"))
            self._udev[block.name] = {key: value for key, _, value in pairs}
        return self._udev[block.name]


def _listed(points: list[str]) -> str:
    shown = ", ".join(points[:_SHOWN_MOUNTS])
    more = len(points) - _SHOWN_MOUNTS
    return shown if more <= 0 else f"{shown} and {more} more"
