"""What a domain's XML says, as far as rules about host devices ask."""

from __future__ import annotations

from vfioctl.errors import UsageError
from vfioctl.libvirt import devices
from vfioctl.libvirt.address import number, read_guest
from vfioctl.libvirt.etree import etree
from vfioctl.libvirt.guest_slot import GuestBuses
from vfioctl.libvirt.memlock import Memory, read_memory
from vfioctl.libvirt.places import Place
from vfioctl.libvirt.values import GuestAddress
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.libvirt.source import Source
    from vfioctl.libvirt.values import Device


class Domain(NamedTuple):
    """A domain, as far as it matters here."""

    path: str
    name: str
    devices: tuple[Device, ...]
    """Those of the host, in the order of the file."""
    places: tuple[Place, ...]
    os_boot: bool
    """Whether ``<os>`` has a boot order, which excludes one per device (X8)."""
    graphics: bool
    iommufd: bool
    buses: GuestBuses
    memory: Memory


def parse_tree(source: Source) -> etree._Element:
    """Parse a domain whose bytes were looked at already.

    Raises:
        UsageError: it is something else than a domain, or nothing that can be parsed.

    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(source.content, parser)
    except (etree.XMLSyntaxError, ValueError) as problem:
        raise UsageError(
            f"{source.path} cannot be parsed: {problem}", hint="give the file that virsh dumpxml wrote"
        ) from None
    if root.tag != "domain":
        raise UsageError(
            f"{source.path} holds a <{etree.QName(root).localname}>, not a <domain>",
            hint="give the file that virsh dumpxml --inactive VM wrote",
        )
    return root


def read_domain(path: str, root: etree._Element) -> Domain:
    """Read what a domain says."""
    elements = [node for node in root.iterfind("devices/*") if isinstance(node.tag, str)]
    return Domain(
        path=path,
        name=(root.findtext("name") or "").strip(),
        devices=tuple(device for node in elements if (device := devices.read(node)) is not None),
        places=tuple(place for index, node in enumerate(elements) for place in _places(node, index)),
        os_boot=root.find("os/boot") is not None,
        graphics=root.find("devices/graphics") is not None,
        iommufd=(root.find("iommufd[@enabled='yes']")) is not None,
        buses=_buses(root, elements),
        memory=read_memory(root),
    )


def _places(node: etree._Element, index: int) -> Iterator[Place]:
    # All of a domain may stand in one line.
    where = f"<{node.tag!s}> in line {node.sourceline} (device {index + 1})"
    boot, alias, target = node.find("boot"), node.find("alias"), node.find("target")
    guest = read_guest(node.find("address"))
    if boot is not None:
        yield Place("boot order", boot.get("order", ""), where)
    if alias is not None:
        yield Place("alias", alias.get("name", ""), where)
    if isinstance(guest, GuestAddress):
        yield Place("guest address", str(guest), where)
    if target is not None and node.tag == "disk":
        yield Place("target", target.get("dev", ""), where)


def _buses(root: etree._Element, elements: list[etree._Element]) -> GuestBuses:
    kind = root.find("os/type")
    controllers = [node for node in elements if node.tag == "controller" and node.get("type") == "pci"]
    indexes = {index for node in controllers if (index := number(node.get("index"))) is not None}
    roots = [node.get("model") for node in controllers if node.get("model") in {"pcie-root", "pci-root"}]
    guests = [read_guest(node.find("address")) for node in elements]
    return GuestBuses(
        machine=None if kind is None else kind.get("machine"),
        root=roots[0] if roots else None,
        controllers=frozenset(indexes),
        taken=frozenset((guest.bus, guest.slot) for guest in guests if isinstance(guest, GuestAddress)),
    )
