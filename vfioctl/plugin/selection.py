"""Selecting for many resources at once: each term is asked once about each device that it may be about.

256 resources on a host with a thousand devices are a quarter of a million questions otherwise: half a second
at every change.
"""

from __future__ import annotations

from vfioctl.model.selector import AddressTerm, IdsTerm, Selector
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.terms import Term


class Selection:
    """A host, and what was asked of it already."""

    def __init__(self, host: Host) -> None:
        """Know nothing but the host."""
        self.host = host
        self._models: dict[tuple[int, int], list[PciDevice]] | None = None
        # Terms of different kinds can compare equal, so the kind is part of the key.
        self._known: dict[tuple[type, Term], frozenset[PciAddress]] = {}

    def after(self, host: Host, changed: frozenset[PciAddress]) -> Selection:
        """Return the same for a host in which these functions changed, and with them no other's answers."""
        later = Selection(host)
        there = [device for address in changed if (device := host.by_address.get(address)) is not None]
        later._known = {
            key: self._again(key[1], found, there, changed, host) for key, found in self._known.items()
        }
        return later

    @staticmethod
    def _again(
        term: Term,
        found: frozenset[PciAddress],
        there: Iterable[PciDevice],
        changed: frozenset[PciAddress],
        host: Host,
    ) -> frozenset[PciAddress]:
        now = {device.address for device in there if Selector("", (term,)).matches(device, host)}
        return found if now == found & changed else (found - changed) | now

    def select(self, selectors: Iterable[Selector]) -> frozenset[PciAddress]:
        """Return the functions that any of the selectors matches; without selectors, none."""
        return frozenset().union(*(self._selected(selector) for selector in selectors))

    def _selected(self, selector: Selector) -> frozenset[PciAddress]:
        first, *others = (self._matching(term) for term in selector.terms)
        return first.intersection(*others)

    def _matching(self, term: Term) -> frozenset[PciAddress]:
        key = (type(term), term)
        found = self._known.get(key)
        if found is None:
            alone = Selector("", (term,))
            found = self._known[key] = frozenset(
                device.address for device in self._near(term) if alone.matches(device, self.host)
            )
        return found

    def _near(self, term: Term) -> Iterable[PciDevice]:
        """Return the devices that a term can be about."""
        match term:
            case IdsTerm(int() as vendor, int() as device):
                if self._models is None:
                    self._models = {}
                    for one in self.host.devices:
                        self._models.setdefault((one.vendor_id, one.device_id), []).append(one)
                return self._models.get((vendor, device), ())
            case AddressTerm(int() as domain, int() as bus, int() as slot):
                return self.host.by_slot.get((domain, bus, slot), ())
            case _:
                return self.host.devices
