"""What the host's own files say beside its devices: each as it was read, not there, or unknown and why.

A check never opens a file: it asks here, by the path as the host knows it, and shows what it was told.
"""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vfioctl.model.address import PciAddress

NOT_READ = "it was not read"
"""Why something is unknown that nobody asked for."""


class Fact(NamedTuple):
    """A file's text or a folder's names, one per line; without a text it is not there, or in doubt."""

    file: str
    text: str | None
    doubt: str | None = None
    """Why it is unknown; None: it is known, or known not to be there."""

    @property
    def absent(self) -> bool:
        """Whether it is certain that there is no such file."""
        return self.text is None and self.doubt is None

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines, or a folder's names; none where there is no text."""
        return tuple(self.text.split("\n")) if self.text else ()


class Stamp(NamedTuple):
    """Who owns a file or a node, who may open it, and when it was changed."""

    uid: int
    gid: int
    mode: int
    """The permission bits, such as 0o600."""
    changed: int
    """In seconds since 1970."""
    acl: bool = False
    """Whether an access control list says more than the mode."""


class Facts(NamedTuple):
    """Everything that was read for a checkup."""

    known: Mapping[str, Fact]
    """Files and folders, by path."""
    stamps: Mapping[str, Stamp]
    """Owners, modes and dates of the few files where they matter."""
    places: Mapping[PciAddress, str]
    """Where the devices that were looked at are in the device tree."""
    again: Mapping[str, Fact]
    """Error counters, read a second time after a while."""

    def fact(self, path: str) -> Fact:
        """Return what is known of a file or a folder."""
        return self.known.get(path) or Fact(path, None, NOT_READ)

    def of(self, address: PciAddress, name: str) -> Fact:
        """Return what is known of an attribute of a device, under the short path that everybody types."""
        place, path = self.places.get(address), f"/sys/bus/pci/devices/{address}/{name}"
        return self.fact(path if place is None else f"{place}/{name}")._replace(file=path)

    def later(self, address: PciAddress, name: str) -> Fact | None:
        """Return what an attribute of a device said after a while; None where it was read once only."""
        return self.again.get(f"{self.places.get(address)}/{name}")

    def inside(self, folder: str) -> Iterator[Fact]:
        """Yield the files that were read in a folder, in the order of their names."""
        for name in self.fact(folder).lines:
            path = f"{folder}/{name}"
            if path in self.known:
                yield self.known[path]


NO_FACTS = Facts({}, {}, {}, {})
"""Nothing was read: everything is in doubt."""
