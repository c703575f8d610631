"""A domain's XML: checked against a host, a device put into it and taken out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.stage import sample
from tests.libvirt.domains import FULL, MINIMAL, domain
from vfioctl.libvirt.check import check_domain
from vfioctl.libvirt.compose import Shape, pci_entries
from vfioctl.libvirt.insertion import inserted, removed
from vfioctl.libvirt.judge import judge_for
from vfioctl.libvirt.settings import NO_SETTINGS
from vfioctl.libvirt.source import parse_source

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.target import Run

SEEDS = (
    MINIMAL,
    FULL,
    domain(
        "<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='0x65' slot='0'"
        " function='1'/></source><boot order='1'/><alias name='ua-x'/></hostdev>"
    ),
    domain(
        "<hostdev mode='subsystem' type='mdev' model='vfio-pci' display='on'><source><address "
        "uuid='83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'/></source></hostdev>"
    ),
    domain(
        "<interface type='hostdev'><mac address='52:54:00:00:00:01'/><source><address type='pci' domain='0'"
        " bus='0x06' slot='0x10' function='0x0'/></source><vlan><tag id='42'/></vlan></interface>"
    ),
    domain(
        "<disk type='nvme'><source type='pci' namespace='1'><address domain='0x0000' bus='0x02' slot='0x00'"
        " function='0x0'/></source><target dev='vda'/></disk>",
        before="<iommufd enabled='yes'/>",
    ),
)
WORDS = (
    *(
        "<hostdev mode='subsystem' type='pci'>",
        "<!DOCTYPE",
        "<!ENTITY",
        "&#0;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
    ),
    *(
        "<?x?>",
        "</devices>",
        "<devices/>",
        "xmlns:q='u'",
        "q:",
        "0x10000",
        "<source>",
        "<address ",
        "multifunction",
    ),
    *("<memory unit='", "encoding='", "\xff\xfe", "<devices>", "<domain>", "index='", "99999999999999999999"),
)


def prepare(place: Path) -> Run:
    """Hold domains against a host."""
    del place
    host, judge = sample(), judge_for(None)
    address = next(device.address for device in host.devices if device.driver == "vfio-pci")
    entries = pci_entries([(address, f"{address} a device")], NO_SETTINGS, Shape())

    def run(data: bytes) -> None:
        source = parse_source("vm.xml", data)
        check_domain(source, host, (), judge)
        changed = inserted(source, entries, host, judge).content
        removed(parse_source("vm.xml", changed), entries)

    return run
