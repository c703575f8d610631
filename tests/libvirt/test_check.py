from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.libvirt.domains import domain
from tests.libvirt.shapes import GPU as ADDRESS
from tests.model.factory import at, make_device, make_host
from vfioctl.libvirt.check import Checked, check_domain, exit_code, shared_groups
from vfioctl.libvirt.compose import pci_entries
from vfioctl.libvirt.facts import parse_tree, read_domain
from vfioctl.libvirt.insertion import inserted
from vfioctl.libvirt.judge import Judge
from vfioctl.libvirt.memlock import Memory, memlock, scaled
from vfioctl.libvirt.nodedev import mdev_name, pci_name, usb_name
from vfioctl.libvirt.settings import NO_SETTINGS
from vfioctl.libvirt.source import parse_source
from vfioctl.libvirt.values import PciHostdev
from vfioctl.libvirt.version import Version
from vfioctl.model.device import PhysicalFunction, VirtualFunction
from vfioctl.model.host import MdevInstance
from vfioctl.model.usb import UsbDevice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfioctl.model.host import Host

JUDGE = Judge(Version(9, 0), None, None)
GPU, AUDIO, NIC = "0000:01:00.0", "0000:01:00.1", "0000:02:00.0"
UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
HOST = make_host(
    make_device(GPU, vendor_id=0x10DE, device_id=0x2204, iommu_group=1, driver="nvidia"),
    make_device(AUDIO, iommu_group=1, driver="snd_hda_intel"),
    make_device(NIC, iommu_group=2, driver="igb"),
    mdevs=(MdevInstance(UUID, at(NIC), "t1", 9),),
)
STICK = UsbDevice(1, "2.5", 7, 0x046D, 0xC52B, 0, None)
HOSTDEV = (
    "<hostdev mode='subsystem' type='pci' managed='{managed}'{more}>"
    "<source><address domain='0' bus='{bus}' slot='0' function='{function}'/></source>{inside}</hostdev>"
)
USB = "<hostdev mode='subsystem' type='usb'><source{policy}>{by}</source></hostdev>"
BY_ID = "<vendor id='0x046d'/><product id='0xc52b'/>"


def hostdev(bus: int, function: int = 0, *, managed: str = "yes", more: str = "", inside: str = "") -> str:
    """Return the element of a function."""
    return HOSTDEV.format(bus=bus, function=function, managed=managed, more=more, inside=inside)


def checked(
    text: str, host: Host = HOST, usb: Sequence[UsbDevice] | None = (STICK,), path: str = "vm.xml"
) -> Checked:
    """Check a domain's text."""
    return check_domain(parse_source(path, text.encode()), host, usb, JUDGE)


def found(text: str, host: Host = HOST, usb: Sequence[UsbDevice] | None = (STICK,)) -> dict[str, str]:
    """Return the findings of a domain's text: check to severity."""
    return {finding.check: finding.severity for finding in checked(text, host, usb).findings}


def test_a_domain_whose_devices_are_all_there_is_fine() -> None:
    """Nothing found, 0."""
    result = checked(domain(hostdev(2) + USB.format(policy="", by=BY_ID)))

    assert result.findings == ()
    assert result.name == "web1"
    assert exit_code(result.findings) == 0


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (hostdev(5), {"missing": "refuse"}),
        (
            "<hostdev type='mdev' model='vfio-pci'><source><address uuid='x'/></source></hostdev>",
            {"missing": "refuse"},
        ),
        (USB.format(policy="", by="<vendor id='1'/><product id='2'/>"), {"missing": "refuse"}),
        (
            USB.format(policy=" startupPolicy='optional'", by="<vendor id='1'/><product id='2'/>"),
            {"missing": "warn"},
        ),
    ],
)
def test_a_missing_device_is_drift(devices: str, expected: dict[str, str]) -> None:
    """10: the hardware is not that of the file."""
    result = checked(domain(devices))

    assert {one.check: one.severity for one in result.findings} == expected
    assert exit_code(result.findings) == (10 if "refuse" in expected.values() else 0)


def test_a_mediated_device_that_is_there_is_fine() -> None:
    """By its UUID, however it is spelt."""
    text = (
        f"<hostdev type='mdev' model='vfio-pci'><source><address uuid='{UUID.upper()}'/></source></hostdev>"
    )

    assert found(domain(text)) == {}


def test_a_kind_of_mediated_device_that_libvirt_does_not_know_is_said() -> None:
    """In words, whichever release it is for."""
    text = "<hostdev type='mdev' model='vfio-new'><source><address uuid='U'/></source></hostdev>"

    assert "X4" in found(domain(text))


def test_another_device_at_the_address_is_drift() -> None:
    """The comment that was put beside it says which one it was made for."""
    entries = pci_entries([(at(NIC), f"{NIC} [8086:10e8] card")], NO_SETTINGS)
    made = inserted(parse_source("vm.xml", domain().encode()), entries, HOST, JUDGE).content.decode()
    assert found(made) == {}

    other = make_host(make_device(NIC, vendor_id=0x15B3, device_id=0x1017, iommu_group=2))
    result = checked(made, other)

    assert [one.check for one in result.findings] == ["changed"]
    assert "15b3:1017" in result.findings[0].message
    assert "8086:10e8" in result.findings[0].message
    assert exit_code(result.findings) == 10


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (hostdev(1), {"X2": "refuse"}),
        (hostdev(1) + hostdev(1, 1), {"H53": "warn"}),
        (hostdev(1) + hostdev(1, 1, inside="<address type='unassigned'/>"), {}),
        (hostdev(2, managed="no"), {"X1": "refuse"}),
        (hostdev(2, more=" model='vfio-pci'"), {"X4": "refuse"}),
        (hostdev(2, inside="<rom enabled='no' bar='on'/>"), {"X7": "refuse"}),
        (hostdev(2, inside="<alias name='card0'/>"), {"X13": "refuse"}),
        (hostdev(2, inside="<driver model='igb'/>"), {"version": "refuse"}),
        (hostdev(2) + hostdev(2), {"twice": "refuse"}),
        (hostdev(2, inside="<boot order='1'/>") + "<disk><boot order='1'/></disk>", {"X8": "refuse"}),
        (hostdev(2, inside="<teaming type='transient' persistent='ua-x'/>"), {"teaming": "warn"}),
        (hostdev(2).replace("<source>", "<source startupPolicy='optional'>"), {"schema": "refuse"}),
        (hostdev(2).replace("<source>", "<source writeFiltering='no'>"), {"schema": "refuse"}),
        (USB.format(policy="", by="<address bus='1' device='7'/>"), {"X10": "warn"}),
        ("<interface type='hostdev'><source><address type='pci' bus='2'/></source><bandwidth/></interface>",
         {"X1": "refuse", "X5": "refuse"}),
    ],
)  # fmt: skip
def test_what_would_keep_a_domain_from_starting_is_found(devices: str, expected: dict[str, str]) -> None:
    """4 where libvirt or the kernel would refuse."""
    result = checked(domain(devices))

    assert {one.check: one.severity for one in result.findings} == expected
    assert exit_code(result.findings) == (4 if "refuse" in expected.values() else 0)
    assert all(one.hint for one in result.findings if one.severity == "refuse")


def test_a_virtual_function_whose_owner_is_down_keeps_a_domain_from_starting() -> None:
    """What is only worth a word when the XML is made."""
    virtual = "0000:03:10.0"
    host = make_host(
        make_device(
            "0000:03:00.0", iommu_group=3, driver="igb", net_interfaces=("eth0",),
            sriov=PhysicalFunction(7, (at(virtual),)),
        ),
        make_device(virtual, iommu_group=4, driver="igbvf", sriov=VirtualFunction(at("0000:03:00.0"), 0)),
    )  # fmt: skip
    source = "<source><address type='pci' bus='3' slot='16'/></source>"
    result = checked(domain(f"<interface type='hostdev' managed='yes'>{source}</interface>"), host)

    assert [(one.check, one.severity) for one in result.findings] == [("offline", "refuse")]
    assert exit_code(result.findings) == 4


def test_several_usb_devices_of_one_id_are_told() -> None:
    """X10: libvirt would ask for an address."""
    twin = STICK._replace(port="3", device=8)

    assert found(domain(USB.format(policy="", by=BY_ID)), usb=(STICK, twin)) == {"X10": "refuse"}


def test_unknown_usb_devices_are_unknown() -> None:
    """A snapshot without them: neither missing nor there."""
    assert found(domain(USB.format(policy="", by=BY_ID)), usb=None) == {"missing": "warn"}


def test_two_domains_that_share_a_group_are_told() -> None:
    """X6: libvirt refuses the second one to start."""
    first = checked(domain(hostdev(1)), path="a.xml")
    second = checked(domain(hostdev(1, 1), name="web2"), path="b.xml")
    third = checked(domain(hostdev(2)), path="c.xml")

    (finding,) = shared_groups(HOST, [first, second, third])

    assert finding.message == f"group 1 is shared by a.xml ({GPU}), b.xml ({AUDIO}): only one of them can run"
    assert list(shared_groups(HOST, [first, third])) == []


GIB = 1 << 30


@pytest.mark.parametrize(
    ("devices", "before", "expected"),
    [
        (hostdev(2), "", 5 * GIB),
        (hostdev(2) + hostdev(1), "", 5 * GIB),
        (hostdev(2) + hostdev(1) + "<iommu model='intel'/>", "", 9 * GIB),
        (hostdev(2), "<memtune><hard_limit unit='G'>7</hard_limit></memtune>", 7 * GIB),
        (
            hostdev(2) + "<memory model='dimm'><target><size unit='MiB'>512</size></target></memory>",
            "",
            5.5 * GIB,
        ),
        (USB.format(policy="", by=BY_ID), "", None),
        ("", "", None),
    ],
)
def test_the_memory_that_is_locked_is_told(devices: str, before: str, expected: float | None) -> None:
    """X12: RAM and a GiB; with an IOMMU in the guest the RAM once per device."""
    assert checked(domain(devices, before=before)).memlock == expected


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("4", None, 4096), ("4", "KiB", 4096), ("4", "k", 4096), ("4", "KB", 4000), ("4", "bytes", 4),
        ("4", "b", 4), ("2", "M", 2 << 20), ("2", "MB", 2_000_000), ("1", "GiB", GIB), ("1", "t", 1 << 40),
        (" 1 ", "E", 1 << 60), ("-1", "KiB", None), ("1.5", "GiB", None), ("", "KiB", None),
        (None, None, None), ("1", "furlong", None), ("1", "kb b", None), ("9" * 30, "b", None),
    ],
)  # fmt: skip
def test_sizes_are_read_as_libvirt_reads_them(
    text: str | None, unit: str | None, expected: int | None
) -> None:
    """KB is 1000, K and KiB are 1024; KiB where nothing is said."""
    assert scaled(text, unit) == expected


def test_unknown_memory_is_unknown() -> None:
    """Not zero."""
    assert memlock(Memory(None, None, locked=False, viommu=False), [PciHostdev(ADDRESS)]) is None
    tree = parse_tree(parse_source("vm.xml", b"<domain><memory unit='XXL'>1</memory></domain>"))
    assert read_domain("vm.xml", tree).memory.size is None


def test_names_are_those_of_virsh_nodedev_list() -> None:
    """pci_0000_65_00_0 and the like."""
    assert pci_name(at("0000:65:00.0")) == "pci_0000_65_00_0"
    assert usb_name("1-2.5") == "usb_1_2_5"
    assert mdev_name(UUID, at(NIC)) == f"mdev_{UUID.replace('-', '_')}_0000_02_00_0"
