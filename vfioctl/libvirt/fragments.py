"""Entries as lines of XML, each with the comment that says what it is."""

from __future__ import annotations

from vfioctl.libvirt.devices import build
from vfioctl.libvirt.text import comment, element, lines
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml import etree

    from vfioctl.libvirt.compose import Entry


def fragment_lines(entry: Entry) -> list[str]:
    """Return an entry's element with its comment, line by line."""
    label = f"{entry.label}; the guest does not see it" if entry.sibling else entry.label
    return [comment(label), *lines(build(entry.device))]


def iommufd_element() -> etree._Element:
    """Make the element that gives all host devices of a domain iommufd; it stands beside ``<devices>``."""
    return element("iommufd", enabled="yes")
