"""The address of a PCI function: four integers, a total order, one spelling."""

from __future__ import annotations

from vfioctl.errors import UsageError
from vfioctl.lean import lru_cache
from vfioctl.model.pattern import pattern
from vfioctl.model.value import NamedTuple

# The kernel prints the domain with at least four hex digits; Intel VMD domains start at 0x10000 and
# have five (K1).
_SPELLING = pattern(r"(?i)(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")
_FIRST_SOFTWARE_DOMAIN = 0x10000
_USUAL = len("0000:65:00.0")
_SHORT = len("65:00.0")
_LAST_DEVICE, _LAST_FUNCTION = 0x1F, 7


class PciAddress(NamedTuple):
    """One PCI function, as ``domain:bus:device.function``; sorts by number, not by text."""

    domain: int
    bus: int
    device: int
    function: int

    @staticmethod
    def parse(text: str) -> PciAddress:
        """Read an address in any accepted spelling; without a domain, domain 0.

        Raises:
            UsageError: the text is not an address.

        """
        address = _address(text)
        if address is None:
            raise UsageError(
                f"not a PCI address: {text!r}",
                hint="write it as in 0000:65:00.0 or 65:00.0 (hexadecimal)",
            )
        return address

    @staticmethod
    def from_name(text: str) -> PciAddress | None:
        """Read an address in any accepted spelling, or return None when it is not one."""
        return _address(text)

    @property
    def slot(self) -> tuple[int, int, int]:
        """The slot all functions of one card share: domain, bus, device."""
        return self[:3]

    @property
    def in_software_domain(self) -> bool:
        """Whether the domain was made by a driver such as Intel VMD, not by the firmware (K1, K51)."""
        return self.domain >= _FIRST_SOFTWARE_DOMAIN

    def __str__(self) -> str:
        """Spell it as the kernel does: lower case, at least four digits of domain."""
        return "%04x:%02x:%02x.%x" % self  # noqa: UP031 - twice as fast as an f-string on the scan path


# A scan meets every address several times: as a device, a parent, a group's member.
@lru_cache(maxsize=65536)
def _address(text: str) -> PciAddress | None:
    # Most without re, whose import costs a run more than a hundred addresses. All end as in ":00.0".
    if text[-2:-1] != "." or text[-5:-4] != ":":
        return None
    if (plain := _plain(f"0000:{text}" if len(text) == _SHORT else text)) is not None:
        return plain
    found = _SPELLING.fullmatch(text)
    if found is None:
        return None
    domain, bus, device, function = found.groups()
    return PciAddress(int(domain or "0", 16), int(bus, 16), int(device, 16), int(function, 16))


def _plain(text: str) -> PciAddress | None:
    if len(text) != _USUAL or text[4:11:3] != "::.":
        return None
    try:
        # Blanks count for nothing there, and so are too few.
        high, low, bus, device, function = bytes.fromhex(text.replace(":", "").replace(".", "0"))
    except ValueError:
        return None
    if device > _LAST_DEVICE or function > _LAST_FUNCTION:
        return None
    return PciAddress(high << 8 | low, bus, device, function)
