from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.libvirt.shapes import CASES, devices
from vfioctl.libvirt.devices import build, read, text_of
from vfioctl.libvirt.text import comment
from vfioctl.libvirt.value_rules import value_findings

if TYPE_CHECKING:
    from vfioctl.libvirt.schema import Schema
    from vfioctl.libvirt.values import Device

WIDTHS = re.compile(r" domain='0x[0-9a-f]{4,8}' bus='0x[0-9a-f]{2}' slot='0x[0-9a-f]{2}' function='0x[0-7]'")


@given(devices())
def test_what_is_written_reads_back_as_the_same_values(device: Device) -> None:
    """Any device with any settings, through text and a parser."""
    text = text_of(device)

    assert read(etree.fromstring(text)) == device
    assert text_of(device) == text


@given(devices())
def test_addresses_have_the_widths_that_libvirt_prints(device: Device) -> None:
    """0x0000, 0x65, 0x00, 0x0: a diff against virsh dumpxml stays quiet."""
    text = text_of(device)

    assert len(re.findall(r" function=", text)) == len(WIDTHS.findall(text))
    assert '"' not in text
    for identity in re.findall(r"<(?:vendor|product) id='(.*?)'", text):
        assert re.fullmatch("0x[0-9a-f]{4}", identity)


@given(device=devices())
def test_any_device_that_the_rules_accept_is_valid_by_the_schema(device: Device, newest: Schema) -> None:
    """The rules are no weaker than the schema: where none is installed they have to do."""
    assert list(value_findings(device)) == []

    assert newest.fragment_errors([build(device)]) == []


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_option_reads_back(case: object) -> None:
    """The table's own devices as well."""
    device = case.device  # type: ignore[attr-defined]

    assert read(etree.fromstring(text_of(device))) == device


ODD = [
    "--",
    "-->",
    "<!--",
    "a--",
    "-",
    "---",
    "<hostdev/>",
    "&amp;",
    "&",
    "'",
    '"',
    "\n",
    "\r\n",
    "\0",
    "\x1b[31m",
]


@given(st.lists(st.sampled_from(ODD) | st.text(max_size=5)).map("".join))
def test_no_name_breaks_a_comment(text: str) -> None:
    """A name is whatever a vendor wrote into a database: it never ends the comment, nor opens anything."""
    document = f"<devices>{comment(text)}<hostdev/></devices>"

    root = etree.fromstring(document.encode("utf-8", "strict"))

    assert [node.tag for node in root if isinstance(node.tag, str)] == ["hostdev"]
    assert len(root) == 2
    assert root.text is None


def test_an_ordinary_name_stays_as_it_is_in_a_comment() -> None:
    """Nothing is escaped that needs no escape."""
    assert comment("65:00.0 AT&T <GA102> 'x'") == "<!-- 65:00.0 AT&T <GA102> 'x' -->"
    assert comment("a--b-") == "<!-- a- -b-  -->"


@pytest.mark.parametrize(
    "text",
    [
        "<hostdev mode='subsystem' type='scsi'><source/></hostdev>",
        "<hostdev mode='subsystem' type='pci'><source/></hostdev>",
        "<hostdev mode='subsystem' type='pci'><source><address bus='x'/></source></hostdev>",
        "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/></source></hostdev>",
        "<hostdev mode='subsystem' type='mdev'><source><address/></source></hostdev>",
        "<hostdev mode='capabilities' type='storage'><source><block>/dev/sda</block></source></hostdev>",
        "<interface type='network'><source network='default'/></interface>",
        "<interface type='hostdev'><source><address type='usb' bus='1' device='2'/></source></interface>",
        "<disk type='file'><source file='/a'/></disk>",
        "<disk type='nvme'><source type='pci' namespace='x'><address/></source><target dev='vda'/></disk>",
    ],
)
def test_what_is_no_device_of_the_host_reads_as_none(text: str) -> None:
    """Everything else in a domain is left alone."""
    assert read(etree.fromstring(text)) is None


@pytest.mark.parametrize(
    "address",
    [
        "domain='0' bus='101' slot='0' function='0'",
        "bus='0x65'",
        "bus='0145' slot='00'",
        "domain='0x0' bus='0x065'",
    ],
)
def test_numbers_are_read_in_every_base_that_libvirt_reads(address: str) -> None:
    """Decimal, hexadecimal, octal; what is left out is 0."""
    device = read(etree.fromstring(f"<hostdev type='pci'><source><address {address}/></source></hostdev>"))

    assert device is not None
    assert str(device.source) == "0000:65:00.0"  # type: ignore[union-attr]
