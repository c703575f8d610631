from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfioctl.errors import UsageError
from vfioctl.model.address import PciAddress

ADDRESSES = st.builds(
    PciAddress,
    st.one_of(st.integers(0, 0xFFFF), st.integers(0x10000, 0xFFFFFFFF)),
    st.integers(0, 0xFF),
    st.integers(0, 0x1F),
    st.integers(0, 7),
)


@given(ADDRESSES)
def test_an_address_survives_being_spelled_and_read(address: PciAddress) -> None:
    """Text and value are two forms of one thing."""
    assert PciAddress.parse(str(address)) == address
    assert PciAddress.from_name(str(address).upper()) == address


@given(st.text())
def test_what_is_read_from_any_text_is_spelled_one_way(text: str) -> None:
    """No text is both refused and readable, and nothing but None is answered to nonsense."""
    address = PciAddress.from_name(text)
    assert address is None or PciAddress.from_name(str(address)) == address


@given(ADDRESSES, ADDRESSES)
def test_addresses_sort_by_number_not_by_text(one: PciAddress, other: PciAddress) -> None:
    """The order is domain, bus, device, function; domain 10000 comes after ffff."""

    def number(address: PciAddress) -> int:
        return address.domain << 16 | address.bus << 8 | address.device << 3 | address.function

    assert (one < other) == (number(one) < number(other))
    assert (one == other) == (number(one) == number(other))


def test_a_five_digit_domain_sorts_after_all_of_the_firmware() -> None:
    """As text, 10000:e1:00.0 would come before 2000:00:00.0."""
    firmware, vmd = PciAddress.parse("2000:00:00.0"), PciAddress.parse("10000:e1:00.0")
    assert sorted([vmd, firmware]) == [firmware, vmd]
    assert vmd.in_software_domain
    assert not firmware.in_software_domain
    assert not PciAddress.parse("ffff:00:00.0").in_software_domain


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("0000:65:00.0", "0000:65:00.0"),
        ("65:00.0", "0000:65:00.0"),
        ("00:1F.7", "0000:00:1f.7"),
        ("ABCD:EF:1F.7", "abcd:ef:1f.7"),
        ("10000:e1:00.0", "10000:e1:00.0"),
        ("00010000:e1:00.0", "10000:e1:00.0"),
        ("ffffffff:00:00.0", "ffffffff:00:00.0"),
    ],
)
def test_every_accepted_spelling_becomes_the_kernels(text: str, spelled: str) -> None:
    """The kernel takes only the full lower-case form with at least four digits of domain (K1)."""
    assert str(PciAddress.parse(text)) == spelled
    assert f"{PciAddress.parse(text)}" == spelled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "65:00",
        "65:00.8",
        "65:20.0",
        "065:00.0",
        "5:00.0",
        "000:65:00.0",
        "123456789:65:00.0",
        "0000:65:00.0 ",
        " 0000:65:00.0",
        "0000:65:00.0\n",
        "0000:65:00.00",
        "0000:6g:00.0",
        "0000-65-00.0",
        "0000:65:00:0",
        "0x0000:65:00.0",
        "pci_0000_65_00_0",
        "65:00.*",
        "\u0666\u0665:\u0660\u0660.\u0660",
    ],
)
def test_anything_else_is_a_usage_error_that_shows_how_to_write_it(text: str) -> None:
    """A wrong address names itself and shows a right one."""
    assert PciAddress.from_name(text) is None
    with pytest.raises(UsageError) as caught:
        PciAddress.parse(text)
    assert repr(text) in caught.value.message
    assert "65:00.0" in caught.value.hint


def test_the_slot_is_what_the_functions_of_a_card_share() -> None:
    """Functions of one card differ in nothing but the function."""
    slots = {PciAddress.parse(f"0000:65:00.{function}").slot for function in range(8)}
    assert slots == {(0, 0x65, 0)}
    assert PciAddress.parse("65:01.0").slot not in slots
