from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.libvirt.shapes import ADDRESSES
from vfioctl.errors import UsageError
from vfioctl.libvirt.guest_slot import GuestBuses, GuestSlot, cards, free_slot, parse_guest_slot, place
from vfioctl.model.address import PciAddress

NOWHERE = GuestBuses(None, None, frozenset(), frozenset())


@given(st.sets(st.integers(0, 7), min_size=1))
def test_functions_of_a_card_stay_functions_of_one_card(functions: set[int]) -> None:
    """H53: one slot, each function once, function 0 there, multifunction on it alone and only if needed."""
    addresses = [PciAddress(0, 1, 0, function) for function in functions]

    places = place(addresses, GuestSlot(5, 0))

    assert {(guest.bus, guest.slot) for guest in places.values()} == {(5, 0)}
    taken = sorted(guest.function for guest in places.values())
    assert taken == (sorted(functions) if 0 in functions else list(range(len(functions))))
    marked = [guest.function for guest in places.values() if guest.multifunction]
    assert marked == ([0] if len(functions) > 1 else [])


@given(st.sets(ADDRESSES))
def test_cards_divide_functions_by_slot(addresses: set[PciAddress]) -> None:
    """Every function is of one card."""
    found = cards(addresses)

    assert sorted(one for card in found.values() for one in card) == sorted(addresses)
    assert all(address.slot == slot for slot, card in found.items() for address in card)


@pytest.mark.parametrize(("text", "slot"), [("05:00", (5, 0)), ("0000:0a:1f", (10, 31)), ("FF:00", (255, 0))])
def test_a_slot_is_read(text: str, slot: tuple[int, int]) -> None:
    """Hexadecimal, as lspci has it."""
    assert parse_guest_slot(text) == slot


@pytest.mark.parametrize("text", ["", "5:0", "05:20", "05:00.0", "0001:05:00", "xx:00", "05:00\n"])
def test_what_is_no_slot_is_refused(text: str) -> None:
    """A function is not asked for: a card has all of its own."""
    with pytest.raises(UsageError, match="not a slot"):
        parse_guest_slot(text)


def test_on_pci_express_a_card_gets_a_bus_of_its_own() -> None:
    """Behind every bus that there is, or that a device says it is on."""
    known = GuestBuses("pc-q35-7.2", None, frozenset({0, 3}), frozenset({(6, 0), (0, 1)}))

    assert free_slot(known) == (7, 0)
    assert free_slot(NOWHERE._replace(machine="q35")) == (1, 0)
    assert free_slot(NOWHERE._replace(root="pcie-root")) == (1, 0)
    assert free_slot(known._replace(controllers=frozenset({255}))) is None


def test_on_a_pci_bus_a_card_gets_a_free_slot() -> None:
    """A high one: libvirt gives out the low ones."""
    known = GuestBuses("pc-i440fx-7.2", None, frozenset({0}), frozenset({(0, 0x10), (0, 0x11)}))

    assert free_slot(known) == (0, 0x12)
    assert free_slot(NOWHERE._replace(machine="pc")) == (0, 0x10)
    assert free_slot(NOWHERE._replace(root="pci-root")) == (0, 0x10)
    full = frozenset((0, slot) for slot in range(32))
    assert free_slot(known._replace(taken=full)) is None


def test_on_an_unknown_machine_nothing_is_guessed() -> None:
    """A wrong address keeps the domain from being defined."""
    assert free_slot(NOWHERE) is None
    assert free_slot(NOWHERE._replace(machine="s390-ccw-virtio")) is None
