from __future__ import annotations

import errno
import os
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from lxml import etree

from tests.libvirt.domains import FULL, MINIMAL, domain
from tests.libvirt.shapes import devices
from tests.model.factory import at, make_device, make_host
from vfioctl.errors import NotPermittedError, RefusedError, UsageError, VfioctlError
from vfioctl.libvirt.compose import Entry, Shape, pci_entries, sibling_entries, usb_entry
from vfioctl.libvirt.devices import features, read
from vfioctl.libvirt.insertion import inserted, removed
from vfioctl.libvirt.judge import Judge
from vfioctl.libvirt.replace import replace_file
from vfioctl.libvirt.schema import load_schema
from vfioctl.libvirt.settings import NO_SETTINGS, Settings
from vfioctl.libvirt.source import parse_source
from vfioctl.libvirt.values import PciHostdev, UsbHostdev
from vfioctl.libvirt.version import Version, needed
from vfioctl.model.device import VirtualFunction
from vfioctl.model.usb import UsbDevice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vfioctl.libvirt.insertion import Change
    from vfioctl.libvirt.values import Device

JUDGE = Judge(Version(9, 0), None, None)
NEWEST = Judge(Version(12, 8), None, None)
GPU, AUDIO, NIC = "0000:01:00.0", "0000:01:00.1", "0000:02:00.0"
HOST = make_host(
    make_device(GPU, class_code=0x030000, iommu_group=1, driver="vfio-pci"),
    make_device(AUDIO, class_code=0x040300, iommu_group=1, driver="vfio-pci"),
    make_device(NIC, iommu_group=2, driver="vfio-pci"),
    make_device("0000:03:00.0", iommu_group=3, class_code=0x010802, driver="vfio-pci"),
    make_device("0000:04:10.0", iommu_group=4, sriov=VirtualFunction(at(NIC), 0), driver="vfio-pci"),
    make_device("0000:04:10.2", iommu_group=5, sriov=VirtualFunction(at(NIC), 1), driver="vfio-pci"),
)
STICK = UsbDevice(1, "2.5", 7, 0x046D, 0xC52B, 0, None)


def entries(*addresses: str, settings: Settings = NO_SETTINGS, shape: Shape | None = None) -> list[Entry]:
    """Return entries of functions, with a label that has all that is awkward in one."""
    labels = [(at(address), f"{address} [10de:2204] A--B <&> 'x' -") for address in addresses]
    return pci_entries(labels, settings, shape or Shape())


def put(text: str | bytes, new: Sequence[Entry], *, judge: Judge = JUDGE, iommufd: bool = False) -> Change:
    """Put entries into a text."""
    content = text if isinstance(text, bytes) else text.encode()
    return inserted(parse_source("vm.xml", content), new, HOST, judge, domain_iommufd=iommufd)


def taken(content: bytes, old: Sequence[Entry]) -> Change:
    """Take entries out of a content."""
    return removed(parse_source("vm.xml", content), old)


def hostdevs(content: bytes) -> list[Device]:
    """Return the devices of the host that a domain has."""
    found = [read(node) for node in etree.fromstring(content).iterfind("devices/*")]
    return [device for device in found if device is not None]


DOMAINS = {
    "minimal": MINIMAL.encode(),
    "full": FULL.encode(),
    "crlf": MINIMAL.replace("\n", "\r\n").encode(),
    "bom": b"\xef\xbb\xbf" + MINIMAL.encode(),
    "ascii": b"<?xml version='1.0' encoding='us-ascii'?>\n" + MINIMAL.encode(),
    "one line": b"".join(line.strip() for line in MINIMAL.encode().splitlines()),
    "empty devices": MINIMAL.encode().split(b"    <emu")[0] + b"</devices></domain>",
    "two of them": MINIMAL.replace("</domain>", "<devices><a/></devices></domain>").encode(),
    "cdata": MINIMAL.replace("web1", "<![CDATA[</devices>]]>").encode(),
}


@pytest.mark.parametrize("content", DOMAINS.values(), ids=DOMAINS)
def test_the_rest_of_the_file_stays_as_it_is_byte_for_byte(content: bytes) -> None:
    """What is put in is one piece, and taking it out gives the file back."""
    new = entries(GPU, AUDIO)

    change = put(content, new)

    assert change.changed == (GPU, AUDIO)
    before = next(
        n for n, pair in enumerate(zip(content, change.content, strict=False)) if pair[0] != pair[1]
    )
    after = len(content) - before
    assert change.content[-after:] == content[before:] or content in taken(change.content, new).content
    assert taken(change.content, new).content == content
    assert etree.fromstring(change.content) is not None


@pytest.mark.parametrize("content", DOMAINS.values(), ids=DOMAINS)
def test_a_second_time_changes_nothing(content: bytes) -> None:
    """Idempotent: the same bytes, and it is said that they were there."""
    new = entries(GPU, AUDIO)
    once = put(content, new)

    twice = put(once.content, new)

    assert twice.content == once.content
    assert twice.changed == ()
    assert twice.unchanged == (GPU, AUDIO)
    assert taken(content, new).unchanged == (GPU, AUDIO)
    assert taken(content, new).content == content


@given(st.sampled_from(list(DOMAINS.values())), st.lists(devices(), min_size=1, max_size=3))
def test_any_device_goes_into_any_domain_and_out_again(content: bytes, new: list[Device]) -> None:
    """Or it is refused; what was put in reads back, what is taken out leaves nothing."""
    listed = [Entry(device, device, f"{number} label") for number, device in enumerate(new)]
    judge = Judge(max(needed(name for device in new for name in features(device)), Version(9, 0)), None, None)
    change = None
    with suppress(VfioctlError):
        change = put(content, listed, judge=judge)
    assume(change is not None)
    assert change is not None

    assert len(hostdevs(change.content)) == len(hostdevs(content)) + len(change.changed)
    assert put(change.content, listed, judge=judge).content == change.content
    if len(change.changed) == len(new):
        assert taken(change.content, listed).content == content


def test_new_devices_stand_like_their_neighbours() -> None:
    """The same indentation, each element with its comment before it."""
    change = put(MINIMAL, entries(NIC))

    assert change.content.decode() == MINIMAL.replace(
        "    <memballoon model='none'/>\n",
        """\
    <memballoon model='none'/>
    <!-- 0000:02:00.0 [10de:2204] A- -B <&> 'x' -  -->
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <source>
        <address domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
      </source>
    </hostdev>
""",
    )


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL.split("  <devices>")[0] + "</domain>\n",
        MINIMAL.split("  <devices>")[0] + "  <devices/>\n</domain>\n",
        MINIMAL.split("  <devices>")[0] + "  <devices></devices>\n</domain>\n",
        "<domain/>",
        "<domain><devices/></domain>",
    ],
)
def test_a_domain_without_devices_gets_them(text: str) -> None:
    """Whatever of it is missing is opened."""
    change = put(text, entries(NIC))

    (device,) = hostdevs(change.content)
    assert isinstance(device, PciHostdev)
    assert device.source == at(NIC)


def test_cards_get_a_slot_of_the_guest_that_is_free() -> None:
    """H53: both functions in one slot, behind all that there is; a single function is left to libvirt."""
    change = put(FULL, [*entries(GPU, AUDIO), *entries(NIC)])

    guests = [device.info.guest for device in hostdevs(change.content) if isinstance(device, PciHostdev)]
    assert list(map(str, guests)) == ["07:00.0", "07:00.1", "None"]
    assert b"slot='0x00' function='0x0' multifunction='on'" in change.content
    assert not [finding for finding in change.findings if finding.check == "H53"]


def test_virtual_functions_are_no_card() -> None:
    """They are independent of each other, and of the slot they count in."""
    change = put(MINIMAL, entries("0000:04:10.0", "0000:04:10.2"))

    assert b"multifunction" not in change.content
    assert not [finding for finding in change.findings if finding.check == "H53"]


def test_siblings_go_in_unseen() -> None:
    """And are not put in again where somebody gave them to the guest."""
    sibling = sibling_entries([(at(AUDIO), f"{AUDIO} audio")], NO_SETTINGS)

    once = put(MINIMAL, [*entries(GPU), *sibling])

    assert b"<address type='unassigned'/>" in once.content
    assert b"audio; the guest does not see it -->" in once.content
    whole = put(MINIMAL, entries(GPU, AUDIO))
    assert put(whole.content, [*entries(GPU), *sibling]).content == whole.content


def test_other_settings_than_those_that_are_there_are_refused() -> None:
    """Nothing that somebody wrote is lost; what was not asked for does not count."""
    once = put(MINIMAL, entries(GPU, settings=Settings(managed=False, rom="off"))).content

    assert put(once, entries(GPU)).content == once
    assert put(once, entries(GPU, settings=Settings(rom="off"))).content == once
    with pytest.raises(RefusedError, match="there already with another rom"):
        put(once, entries(GPU, settings=Settings(rom="/a.rom")))
    with pytest.raises(RefusedError, match="managed"):
        put(once, entries(GPU, settings=Settings(managed=True)))
    with pytest.raises(RefusedError, match="kind"):
        put(once, entries(GPU, shape=Shape(namespace=1)))


def test_a_usb_device_is_known_however_it_is_named() -> None:
    """By id in decimal in the file, by port in the call: one device."""
    change = put(FULL, [usb_entry(STICK, "port", NO_SETTINGS)], judge=NEWEST)

    assert change.changed == ()
    other = STICK._replace(product_id=0xC52C, port="3")
    again = put(FULL, [usb_entry(other, "port", NO_SETTINGS)], judge=NEWEST)
    assert again.changed == ("usb:1-3",)
    assert UsbHostdev(bus=1, port="3") in hostdevs(again.content)


@pytest.mark.parametrize(
    ("devices_before", "before", "settings", "check"),
    [
        ("<disk><boot order='1'/></disk>", "", Settings(boot=1), "boot order 1 is taken"),
        ("<disk><alias name='ua-a'/></disk>", "", Settings(alias="ua-a"), "alias ua-a is taken"),
        ("", "<os><boot dev='hd'/></os>", Settings(boot=1), "exclude each other"),
    ],
)
def test_what_another_device_has_is_refused(
    devices_before: str, before: str, settings: Settings, check: str
) -> None:
    """X8 and X13, against any device of the domain."""
    text = domain(devices_before, before=before)

    with pytest.raises(UsageError, match=check):
        put(text, entries(NIC, settings=settings))


def test_a_disk_gets_the_first_free_name() -> None:
    """Unless it was asked for one, which then must be free."""
    nvme = "0000:03:00.0"
    text = domain("<disk type='file'><target dev='vda'/></disk>")

    assert b"<target dev='vdb' bus='virtio'/>" in put(text, entries(nvme, shape=Shape(namespace=1))).content
    with pytest.raises(UsageError, match="target vda is taken"):
        put(text, entries(nvme, shape=Shape(namespace=1), settings=Settings(target="vda")))
    again = put(text, entries(nvme, shape=Shape(namespace=1)))
    assert put(again.content, entries(nvme, shape=Shape(namespace=2))).changed == (nvme,)


def test_iommufd_stands_once_beside_the_devices() -> None:
    """For the whole domain, idempotent, and alone where nothing else is asked for."""
    once = put(MINIMAL, [], judge=NEWEST, iommufd=True)

    assert b"  </devices>\n  <iommufd enabled='yes'/>\n</domain>" in once.content
    assert put(once.content, [], judge=NEWEST, iommufd=True).changed == ()


def test_what_is_put_in_is_valid_where_the_file_was() -> None:
    """And a file that was not valid before is told apart from one that we spoiled."""
    schema = load_schema()
    if schema is None:
        pytest.skip("no schema of libvirt is installed (package libvirt0)")
    judge = Judge(Version(9, 0), schema, Version(9, 0))

    assert schema.errors(etree.fromstring(put(FULL, entries(GPU, AUDIO), judge=judge).content)) == []
    newer = judge._replace(target=Version(12, 8))
    unknown = put(MINIMAL, entries(NIC), judge=newer, iommufd=True)
    assert b"<iommufd enabled='yes'/>" in unknown.content
    assert "which lacks what was asked for" in " ".join(map(str, unknown.findings))
    broken = put(MINIMAL.replace("<memory unit='GiB'>", "<memory unit='XXL'>"), entries(NIC), judge=judge)
    assert "not valid before" in " ".join(map(str, broken.findings))


def test_the_file_is_replaced_as_a_whole_with_mode_and_owner(tmp_path: Path) -> None:
    """A link stays a link; nothing is left beside it."""
    target, link = tmp_path / "vm.xml", tmp_path / "link.xml"
    target.write_bytes(b"before")
    target.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(target, 4711, 4712)
    link.symlink_to("vm.xml")
    inode = target.stat()

    target.write_bytes(MINIMAL.encode())
    replace_file(str(link), MINIMAL.encode(), b"after")

    now = target.stat()
    assert target.read_bytes() == b"after"
    assert (now.st_mode, now.st_uid, now.st_gid) == (inode.st_mode, inode.st_uid, inode.st_gid)
    assert now.st_ino != inode.st_ino
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["link.xml", "vm.xml"]


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """Somebody else's change is not lost, and nothing is left beside it."""
    path = tmp_path / "vm.xml"
    path.write_bytes(FULL.encode())

    with pytest.raises(VfioctlError, match="changed while"):
        replace_file(str(path), MINIMAL.encode(), b"after")

    assert path.read_bytes() == FULL.encode()
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["vm.xml"]


@pytest.mark.parametrize(
    ("call", "number", "kind", "words"),
    [
        ("fsync", errno.ENOSPC, VfioctlError, "No space left"),
        ("fchown", errno.EPERM, NotPermittedError, "may not be replaced"),
        ("replace", errno.EACCES, NotPermittedError, "may not be replaced"),
    ],
)
def test_what_fails_leaves_the_file_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    kind: type[VfioctlError],
    words: str,
) -> None:
    """Never truncated, never another owner's: the new one is written beside it first, and is gone again."""
    path = tmp_path / "vm.xml"
    path.write_bytes(MINIMAL.encode())
    path.chmod(0o604)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    # Whoever runs this test, the file seems to be somebody else's.
    monkeypatch.setattr(os, "stat", other_owner)
    with pytest.raises(kind, match=words):
        replace_file(str(path), MINIMAL.encode(), b"after")

    monkeypatch.undo()
    assert path.read_bytes() == MINIMAL.encode()
    assert path.stat().st_mode & 0o777 == 0o604
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["vm.xml"]


def other_owner(path: str) -> SimpleNamespace:
    """Return a file's status with another owner where it cannot be kept, else the same."""
    there = os.lstat(path)
    other = there.st_uid + (1 if os.fchown.__name__ == "fail" else 0)
    return SimpleNamespace(st_uid=other, st_gid=there.st_gid, st_mode=there.st_mode)
