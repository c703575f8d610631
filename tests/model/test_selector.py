from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.model.factory import at, make_device, make_host, make_port
from vfioctl.errors import UsageError
from vfioctl.model.device import PhysicalFunction, VirtualFunction
from vfioctl.model.grammar import parse_terms
from vfioctl.model.host import MdevInstance, Unread
from vfioctl.model.ids import CLASS_WORDS
from vfioctl.model.selector import Selector, select
from vfioctl.model.terms import (
    TERM_KEYS,
    AddressTerm,
    BlockTerm,
    ClassTerm,
    DriverTerm,
    GroupTerm,
    IdsTerm,
    MdevTerm,
    NetTerm,
    NumaTerm,
    SlotTerm,
    Term,
    UnderTerm,
    UsbTerm,
    VfsOfTerm,
)

UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
VFS = tuple(at(f"65:10.{function}") for function in range(6))

HOST = make_host(
    make_port("00:01.0", iommu_group=1),
    make_device(
        "01:00.0",
        vendor_id=0x10DE,
        device_id=0x2204,
        subsystem_vendor_id=0x1043,
        subsystem_device_id=0x87D9,
        class_code=0x030000,
        driver="nouveau",
        iommu_group=17,
        numa_node=0,
        parent="00:01.0",
        physical_slot="3",
    ),
    make_device(
        "01:00.1",
        vendor_id=0x10DE,
        device_id=0x1AEF,
        class_code=0x040300,
        driver="vfio-pci",
        iommu_group=17,
        numa_node=0,
        parent="00:01.0",
        physical_slot="3",
    ),
    make_device(
        "02:00.0",
        class_code=0x010802,
        driver="nvme",
        iommu_group=18,
        numa_node=1,
        block_devices=("nvme0n1",),
    ),
    make_device(
        "65:00.0",
        driver="igb",
        iommu_group=20,
        numa_node=0,
        net_interfaces=("enp1s0",),
        sriov=PhysicalFunction(8, VFS),
    ),
    *(
        make_device(str(address), iommu_group=30 + index, sriov=VirtualFunction(at("65:00.0"), index))
        for index, address in enumerate(VFS)
    ),
    make_device("10000:65:00.0", iommu_group=None, class_code=0x088000),
    mdevs=(MdevInstance(UUID, at("01:00.0"), "nvidia-63", 40),),
)


def found(*texts: str) -> list[str]:
    """Return the addresses that the selectors find, domain 0 without its zeros."""
    return [str(device.address).removeprefix("0000:") for device in select(HOST, map(Selector.parse, texts))]


GPU, AUDIO, DISK, NIC, VMD_CHILD = "01:00.0", "01:00.1", "02:00.0", "65:00.0", "10000:65:00.0"
ALL_VFS = [f"65:10.{function}" for function in range(6)]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        # Every example of the contract's table, and its neighbours.
        ("0000:65:00.0", [NIC]),
        ("65:00.0", [NIC]),
        ("10000:65:00.0", [VMD_CHILD]),
        ("01:00", [GPU, AUDIO]),
        ("0000:01:00", [GPU, AUDIO]),
        ("01:00.*", [GPU, AUDIO]),
        ("0000:65:*", [NIC, *ALL_VFS]),
        ("65:*", [NIC, *ALL_VFS]),
        ("65:*.0", [NIC, ALL_VFS[0]]),
        ("*:00.0", [GPU, DISK, NIC]),
        ("*:65:00.0", [NIC, VMD_CHILD]),
        ("10000:*:*", [VMD_CHILD]),
        ("10de:2204", [GPU]),
        ("10DE:*", [GPU, AUDIO]),
        ("10de:2204:1043:87d9", [GPU]),
        ("10de:2204:1043:*", [GPU]),
        ("10de:*:*:87D9", [GPU]),
        ("10de:2204:1043:87da", []),
        ("10de:1aef:1043:87d9", []),
        ("class:0300", [GPU]),
        ("class:03", [GPU]),
        ("class:010802", [DISK]),
        ("class:0C03", []),
        ("class:gpu", [GPU]),
        ("class:GPU", [GPU]),
        ("class:nic", [NIC, *ALL_VFS]),
        ("class:storage", [DISK]),
        ("class:nvme", [DISK]),
        ("class:audio", [AUDIO]),
        ("class:bridge", ["00:01.0"]),
        ("class:usb", []),
        ("class:accelerator", []),
        ("driver:vfio-pci", [AUDIO]),
        ("driver:vfio_pci", [AUDIO]),
        ("driver:none", [*ALL_VFS, VMD_CHILD]),
        ("driver:vfio", []),
        ("group:17", [GPU, AUDIO]),
        ("numa:0", [GPU, AUDIO, NIC]),
        ("slot:3", [GPU, AUDIO]),
        ("slot:03", []),
        ("under:00:01.0", [GPU, AUDIO]),
        ("under:0000:00:01.0", [GPU, AUDIO]),
        ("under:09:00.0", []),
        ("net:enp1s0", [NIC]),
        ("net:enp1s1", []),
        ("block:nvme0n1", [DISK]),
        ("block:/dev/nvme0n1", [DISK]),
        ("vfs-of:65:00.0", ALL_VFS),
        ("vfs-of:enp1s0", ALL_VFS),
        ("vfs-of:enp1s0#0-3,5", [*ALL_VFS[:4], ALL_VFS[5]]),
        ("vfs-of:0000:65:00.0#0-3,5", [*ALL_VFS[:4], ALL_VFS[5]]),
        ("vfs-of:65:00.0#0, 2", [ALL_VFS[0], ALL_VFS[2]]),
        ("vfs-of:65:00.0#7", []),
        ("vfs-of:01:00.0", []),
        ("vfs-of:enp9s9", []),
        (f"mdev:{UUID}", [GPU]),
        (f"mdev:{UUID.upper()}", [GPU]),
        (f"mdev:{UUID[:-1]}2", []),
        ("usb:046d:c52b", []),
        ("usb:1-2.5", []),
        # Terms joined by a comma must all hold.
        ("10de:*,numa:0", [GPU, AUDIO]),
        ("10de:*,class:gpu", [GPU]),
        (" 10de:* , class:gpu ", [GPU]),
        ("vfs-of:enp1s0#0-3,5,driver:none", [*ALL_VFS[:4], ALL_VFS[5]]),
        ("driver:none,vfs-of:enp1s0#0-1,65:10.1", [ALL_VFS[1]]),
        ("numa:0,numa:1", []),
    ],
)
def test_a_selector_finds_what_the_grammar_says(text: str, addresses: list[str]) -> None:
    """One grammar for every command and for the plugin's configuration."""
    assert found(text) == addresses


def test_several_selectors_are_alternatives_in_address_order() -> None:
    """OR: a device found twice is listed once, and the order is the host's."""
    assert found("65:00.0", "class:gpu", "group:17") == [GPU, AUDIO, NIC]
    assert found("usb:1-2", "class:nvme") == [DISK]


def test_no_selector_means_every_device() -> None:
    """Scan without arguments shows the whole host."""
    assert select(HOST, ()) == HOST.devices


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("65:00", (AddressTerm(0, 0x65, 0, None),)),
        ("0000:65:*", (AddressTerm(0, 0x65, None, None),)),
        ("*:*", (AddressTerm(0, None, None, None),)),
        ("*:*:*", (AddressTerm(None, None, None, None),)),
        ("10000:e1:00.0", (AddressTerm(0x10000, 0xE1, 0, 0),)),
        ("10000:e1:00", (AddressTerm(0x10000, 0xE1, 0, None),)),
        ("1000:10:10", (AddressTerm(0x1000, 0x10, 0x10, None),)),
        ("10de:*:*", (AddressTerm(0x10DE, None, None, None),)),
        ("1000:1000", (IdsTerm(0x1000, 0x1000, None, None),)),
        ("0000:0065", (IdsTerm(0, 0x65, None, None),)),
        ("10de:*", (IdsTerm(0x10DE, None, None, None),)),
        ("10de:*:*:*", (IdsTerm(0x10DE, None, None, None),)),
        ("class:0302", (ClassTerm(("0302",)),)),
        ("class:nvme", (ClassTerm(CLASS_WORDS["nvme"]),)),
        ("driver:none", (DriverTerm(None),)),
        ("group:017", (GroupTerm(17),)),
        ("numa:1", (NumaTerm(1),)),
        ("slot:Slot 4", (SlotTerm("Slot 4"),)),
        ("under:10000:e0:06.0", (UnderTerm(at("10000:e0:06.0")),)),
        ("net:eth0", (NetTerm("eth0"),)),
        ("block:/dev/sda", (BlockTerm("sda"),)),
        ("vfs-of:65:00.0#2-4,1", (VfsOfTerm(at("65:00.0"), frozenset({1, 2, 3, 4})),)),
        ("vfs-of:e1:00.0", (VfsOfTerm(at("e1:00.0"), None),)),
        ("vfs-of:eth0#00065535", (VfsOfTerm("eth0", frozenset({65535})),)),
        (f"mdev:{UUID.upper()}", (MdevTerm(UUID),)),
        ("usb:046D:C52B", (UsbTerm("046d:c52b"),)),
        ("usb:1-2.5,numa:0", (UsbTerm("1-2.5"), NumaTerm(0))),
    ],
)
def test_a_text_is_read_as_one_kind_of_term(text: str, terms: tuple[Term, ...]) -> None:
    """Slots and vendor:device pairs look alike: two digits before the colon are a bus, four are a vendor."""
    parsed = parse_terms(text)
    assert parsed == terms
    assert [type(term) for term in parsed] == [type(term) for term in terms]


@pytest.mark.parametrize(
    ("text", "named", "hint"),
    [
        ("", "empty", "write an address (65:00.0)"),
        ("65:00.0,", "empty", "write an address"),
        (",", "empty", "write an address"),
        ("65:0", "'65:0'", "write an address"),
        ("65:00.8", "'65:00.8'", "ids (10de:2204)"),
        ("65:20", "'65:20'", "write an address"),
        ("0x10de:0x2204", "'0x10de:0x2204'", "ids (10de:2204)"),
        ("10de:2204:1043", "'10de:2204:1043'", "write an address"),
        ("*", "'*'", "write an address"),
        ("*:2204", "'*:2204'", "write an address"),
        ("0000:65", "'0000:65'", "write an address"),
        ("enp1s0", "'enp1s0'", "net:"),
        ("all", "'all'", "write an address"),
        ("gpu", "'gpu'", "did you mean class:gpu?"),
        ("NVMe", "'NVMe'", "did you mean class:nvme?"),
        ("bridge", "'bridge'", "did you mean class:bridge?"),
        ("usb", "'usb'", "did you mean class:usb?"),
        ("17", "'17'", "did you mean group:17?"),
        ("drivers:vfio-pci", "'drivers:vfio-pci'", "did you mean driver:...?"),
        ("GROUP:17", "'GROUP:17'", "did you mean group:...?"),
        ("vf-of:65:00.0", "'vf-of:65:00.0'", "did you mean vfs-of:...?"),
        ("driver", "'driver'", "did you mean driver:...?"),
        ("driver:", "'driver:'", "a value after driver:"),
        ("slot:", "'slot:'", "a value after slot:"),
        ("group:x", "'group:x'", "group:17"),
        ("group:-1", "'group:-1'", "group:17"),
        ("group:1234567890", "'group:1234567890'", "group:17"),
        ("group:²", "'group:²'", "group:17"),
        ("numa:-1", "'numa:-1'", "numa:0"),
        ("class:3", "'class:3'", "2, 4 or 6 hex digits"),
        ("class:03000000", "'class:03000000'", "2, 4 or 6 hex digits"),
        ("class:graphics", "'class:graphics'", "gpu"),
        ("under:00:01", "'under:00:01'", "under:00:01.0"),
        ("under:eth0", "'under:eth0'", "under:00:01.0"),
        ("net:65:00.0", "'net:65:00.0'", "net:enp1s0"),
        ("net:a b", "'net:a b'", "net:enp1s0"),
        ("block:/dev/", "'block:/dev/'", "block:nvme0n1"),
        ("vfs-of:#0", "'vfs-of:#0'", "vfs-of:65:00.0#0-3"),
        ("vfs-of:65:00", "'vfs-of:65:00'", "vfs-of:65:00.0#0-3"),
        ("vfs-of:eth0#", "'vfs-of:eth0#'", "#0-3,5"),
        ("vfs-of:eth0#a", "'vfs-of:eth0#a'", "#0-3,5"),
        ("vfs-of:eth0#-3", "'vfs-of:eth0#-3'", "#0-3,5"),
        ("vfs-of:eth0#1#2", "'vfs-of:eth0#1#2'", "#0-3,5"),
        ("vfs-of:eth0#٣", "'vfs-of:eth0#٣'", "#0-3,5"),
        ("vfs-of:eth0#3-1", "'vfs-of:eth0#3-1'", "rising"),
        ("vfs-of:eth0#65536", "'vfs-of:eth0#65536'", "65535"),
        ("vfs-of:eth0#0-65536", "'vfs-of:eth0#0-65536'", "65535"),
        ("mdev:1", "'mdev:1'", "a UUID"),
        ("usb:046d", "'usb:046d'", "usb:1-2.5"),
        ("usb:1-2.", "'usb:1-2.'", "usb:1-2.5"),
        ("65:00.0,5", "'5'", "did you mean group:5?"),
        ("65:00.0\n65:00.1", r"'65:00.0\n65:00.1'", "write an address"),
        ("\x1b[31m", r"'\x1b[31m'", "write an address"),
    ],
)
def test_a_bad_term_is_named_with_what_was_expected(text: str, named: str, hint: str) -> None:
    """A usage error shows the term, with control characters escaped, and how to write it."""
    with pytest.raises(UsageError) as caught:
        Selector.parse(text)
    assert named in caught.value.message
    assert hint in caught.value.hint


def read(text: str) -> Selector | UsageError:
    """Return the selector, or the error that it is none."""
    try:
        return Selector.parse(text)
    except UsageError as error:
        return error


NEAR_GRAMMAR = st.lists(
    st.one_of(
        st.sampled_from(
            [*(f"{key}:" for key in TERM_KEYS), *CLASS_WORDS, "none", "65", "00", "10de", "0000"]
        ),
        st.sampled_from([":", ".", ",", "*", "#", "-", " ", "/", "/dev/"]),
        st.integers().map(str),
        st.text(max_size=3),
    ),
    max_size=8,
).map("".join)


@given(st.one_of(st.text(), NEAR_GRAMMAR))
@example("vfs-of:eth0#" + "9" * 5000)
@example("vfs-of:eth0#0-" + "0" * 5000 + "1")
@example("group:" + "9" * 5000)
def test_no_text_raises_anything_but_a_usage_error(text: str) -> None:
    """Selectors come from command lines and files: every text is a selector or a usage error with a hint."""
    selector = read(text)
    if isinstance(selector, UsageError):
        assert selector.message
        assert selector.hint
        return
    assert selector.text == text
    assert selector.terms
    assert set(select(HOST, [selector])) <= set(HOST.devices)
    assert isinstance(selector.is_exact, bool)


@pytest.mark.parametrize(
    "text",
    [
        "0000:65:00.0",
        "65:00",
        "65:00.*",
        "10000:e1:00",
        "group:17",
        "slot:3",
        "vfs-of:65:00.0#0-3",
        "vfs-of:enp1s0#0",
        "65:00,driver:vfio-pci",
        "class:gpu,group:17",
    ],
)
def test_address_slot_group_and_indexed_functions_are_exact(text: str) -> None:
    """Who writes these has named every device, so several may be changed at once."""
    assert Selector.parse(text).is_exact


@pytest.mark.parametrize(
    "text",
    [
        "65:*",
        "*:65:00.0",
        "*:00.0",
        "10de:2204",
        "10de:2204:1043:87d9",
        "class:gpu",
        "driver:none",
        "numa:0",
        "under:00:01.0",
        "vfs-of:enp1s0",
        "net:enp1s0",
        "block:nvme0n1",
        "class:gpu,numa:0",
        "usb:1-2",
    ],
)
def test_everything_else_needs_all_to_change_several(text: str) -> None:
    """One disk can sit behind two controllers, and one id on many cards: such a name is not exact."""
    assert not Selector.parse(text).is_exact


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        (f"mdev:{UUID}", "mediated devices"),
        ("usb:1-2", "USB devices"),
        (f"numa:0,mdev:{UUID}", "mediated devices"),
        ("65:00.0,numa:0", None),
    ],
)
def test_a_selector_says_what_else_than_a_function_it_names(text: str, foreign: str | None) -> None:
    """Commands that take only PCI functions refuse by this word."""
    assert Selector.parse(text).foreign == foreign


def test_no_driver_is_not_claimed_while_it_is_unknown() -> None:
    """A blocked unbind takes the link away first, and an unreadable link says nothing (K55)."""
    free, stuck, hidden = (
        make_device("01:00.0"),
        make_device("02:00.0", unbinding=True),
        make_device("03:00.0"),
    )
    unread = (
        Unread("/sys/bus/pci/devices/0000:03:00.0/driver", "permission denied", hidden.address, "driver"),
    )
    host = make_host(free, stuck, hidden, unread=unread)
    assert select(host, [Selector.parse("driver:none")]) == (free,)


def test_a_function_without_an_index_takes_its_place_in_the_list_of_its_owner() -> None:
    """The owner's list is in index order; where it lacks the function the index stays unknown."""
    owner = make_device("65:00.0", sriov=PhysicalFunction(8, VFS[:2]))
    functions = [make_device(str(vf), sriov=VirtualFunction(owner.address, None)) for vf in VFS[:3]]
    host = make_host(owner, *functions)
    assert select(host, [Selector.parse("vfs-of:65:00.0#1")]) == (functions[1],)
    assert select(host, [Selector.parse("vfs-of:65:00.0#0-7")]) == tuple(functions[:2])
    assert select(host, [Selector.parse("vfs-of:65:00.0")]) == tuple(functions)


def test_functions_of_an_owner_that_could_not_be_read_are_found_by_its_address() -> None:
    """They know their owner's address, but not what its interface is called."""
    function = make_device("65:10.0", sriov=VirtualFunction(at("65:00.0"), 0))
    nameless = make_device("65:10.1", sriov=VirtualFunction(at("65:00.0"), None))
    host = make_host(function, nameless)
    assert select(host, [Selector.parse("vfs-of:65:00.0")]) == (function, nameless)
    assert select(host, [Selector.parse("vfs-of:65:00.0#0")]) == (function,)
    assert select(host, [Selector.parse("vfs-of:enp1s0")]) == ()


def test_selectors_of_different_kinds_are_never_equal() -> None:
    """Terms are tuples and may be equal across kinds; a selector includes its text."""
    assert Selector.parse("group:0") != Selector.parse("numa:0")
    assert Selector.parse("group:0") == Selector.parse("group:0")
    assert len({Selector.parse("group:0"), Selector.parse("numa:0"), Selector.parse("group:0")}) == 2


def test_every_key_of_the_grammar_can_be_parsed() -> None:
    """Completion offers these keys, so none may be unknown to the parser."""
    for key in TERM_KEYS:
        with pytest.raises(UsageError) as caught:
            Selector.parse(f"{key}:")
        assert f"a value after {key}:" in caught.value.hint
