"""libvirt's own RELAX NG schema, as it is installed; never a copy of it."""

from __future__ import annotations

import os
from functools import lru_cache

from vfioctl.libvirt.etree import etree
from vfioctl.libvirt.text import append, element
from vfioctl.sysfs.root import LIBVIRT_SCHEMAS
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_OUTSIDE_DEVICES = frozenset({"iommufd"})
_SHOWN = 3


class Schema:
    """A schema of libvirt that is ready to judge."""

    def __init__(self, relaxng: etree.RelaxNG) -> None:
        """Keep what was loaded."""
        self._relaxng = relaxng

    def errors(self, domain: etree._Element) -> list[str]:
        """Return why a whole domain is not valid; nothing, if it is."""
        if self._relaxng.validate(domain):
            return []
        found = [f"line {entry.line}: {entry.message}" for entry in self._relaxng.error_log]
        return list(dict.fromkeys(found))[:_SHOWN] or ["it gives no reason"]

    def fragment_errors(self, fragments: Iterable[etree._Element]) -> list[str]:
        """Return why elements would not be valid in a domain; nothing, if they are."""
        return self.errors(stand_in(fragments))


def stand_in(fragments: Iterable[etree._Element]) -> etree._Element:
    """Return the smallest domain that has these elements; they are moved into it."""
    domain = element("domain", type="kvm")
    append(domain, "name").text = "stand-in"
    append(domain, "memory").text = "1"
    append(append(domain, "os"), "type").text = "hvm"
    devices = append(domain, "devices")
    for fragment in fragments:
        (domain if fragment.tag in _OUTSIDE_DEVICES else devices).append(fragment)
    return domain


@lru_cache(maxsize=8)
def load_schema(folder: str = LIBVIRT_SCHEMAS) -> Schema | None:
    """Load the schema of domains from a folder; None where there is none, or none that can be used."""
    path = f"{folder}/domain.rng"
    if not os.path.isfile(path):  # noqa: PTH113 - pathlib costs as much as loading the schema
        return None
    try:
        parser = etree.XMLParser(no_network=True, resolve_entities=False)
        return Schema(etree.RelaxNG(etree.parse(path, parser)))
    except (OSError, etree.LxmlError):
        return None
