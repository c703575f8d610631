from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.config_space import DOWNSTREAM, PCIE_TO_PCI, ROOT_PORT, UPSTREAM, Ids, Space
from vfioctl.sysfs.config import CONFIG_HEADER, Config, read_config

BRIDGE = 0x06
NETWORK = 0x02
PCIE_CAPABILITY = 0x40


def interpreted(space: bytes | bytearray, base_class: int = BRIDGE) -> Config:
    """Interpret a configuration space as its file would give it."""
    content = bytes(space)
    return read_config(
        content[:CONFIG_HEADER], lambda size, offset: content[offset : offset + size], base_class
    )


def port(kind: int | None = ROOT_PORT, *, acs: bool = False) -> bytearray:
    """Return the space of a port."""
    return bytearray(
        Space(Ids(0x8086, 0x7AB8), 0x060400, 3, pcie_type=kind, acs=acs, buses=(0, 1, 1)).encode()
    )


@pytest.mark.parametrize("kind", [ROOT_PORT, UPSTREAM, DOWNSTREAM, PCIE_TO_PCI])
def test_a_port_says_its_type(kind: int) -> None:
    """The PCI Express capability has it, wherever in the list it is."""
    space = port(kind)
    assert interpreted(space).port_type == kind
    # Power management first, at 0x80; the express capability behind it.
    space[0x34] = 0x80
    space[0x80:0x82] = bytes([0x01, PCIE_CAPABILITY])
    assert interpreted(space) == Config(1, alive=True, port_type=kind, acs="absent", revision=3)


def test_a_conventional_bridge_has_no_port_type() -> None:
    """No capability list, or one without the express capability."""
    space = port(None)
    assert interpreted(space) == Config(1, alive=True, revision=3)
    space[0x06] = 0x10
    space[0x34] = 0x80
    space[0x80:0x82] = b"\x01\x00"
    assert interpreted(space) == Config(1, alive=True, revision=3)


@pytest.mark.parametrize(
    ("capable", "enabled", "state"),
    [
        (0x1F, 0x1D, "isolates"),
        (0x1F, 0x1F, "isolates"),
        (0x1F, 0x00, "incomplete"),
        (0x1F, 0x19, "incomplete"),
        (0x00, 0x00, "isolates"),
        (0x0C, 0x0C, "isolates"),
        (0x7F, 0x01, "incomplete"),
    ],
)
def test_acs_isolates_when_all_it_is_capable_of_is_on(capable: int, enabled: int, state: str) -> None:
    """What a port cannot do it cannot let through: the kernel judges alike (K26)."""
    space = port(acs=True)
    struct.pack_into("<HH", space, 0x104, capable, enabled)
    assert interpreted(space).acs == state


def test_acs_is_found_behind_other_capabilities() -> None:
    """AER first, ACS at 0x148."""
    space = port(acs=True)
    struct.pack_into("<I", space, 0x100, 0x148 << 20 | 0x20001)
    struct.pack_into("<IHH", space, 0x148, 0x1000D, 0x1F, 0x1D)
    assert interpreted(space).acs == "isolates"


def test_a_port_without_acs_is_known_to_have_none() -> None:
    """The list was read to its end; that is knowledge."""
    space = port()
    assert interpreted(space).acs == "absent"
    struct.pack_into("<I", space, 0x100, 0x20001)
    assert interpreted(space).acs == "absent"


def test_a_list_of_capabilities_that_loops_ends() -> None:
    """Broken hardware exists; a scan of it must end."""
    space = port()
    space[0x34] = 0x80
    space[0x80:0x82] = bytes([0x01, 0x80])
    assert interpreted(space).port_type is None
    space = port()
    struct.pack_into("<I", space, 0x100, 0x100 << 20 | 0x20001)
    assert interpreted(space).acs is None


def test_other_users_than_root_get_the_header_only() -> None:
    """64 bytes (K31): header type and revision, but neither port type nor ACS."""
    assert interpreted(port(acs=True)[:64]) == Config(1, alive=True, revision=3)


@pytest.mark.parametrize(("length", "acs"), [(0x100, None), (0x102, None), (0x104, None), (0x106, None)])
def test_what_is_cut_short_is_unknown(length: int, acs: str | None) -> None:
    """Without access to the extended space nothing is known of ACS."""
    found = interpreted(port(acs=True)[:length])
    assert (found.port_type, found.acs) == (ROOT_PORT, acs)


@pytest.mark.parametrize("length", [0, 1, 63])
def test_less_than_a_header_says_nothing(length: int) -> None:
    """Not even that the device is alive."""
    assert interpreted(port()[:length]) == Config()


def test_a_dead_device_reads_all_ones() -> None:
    """It fell off the bus (K46); there is no header type to be had."""
    assert interpreted(b"\xff" * 64) == Config(alive=False)
    assert interpreted(b"\xff" * 256) == Config(alive=False)


def test_a_virtual_function_has_ones_for_ids_and_is_alive() -> None:
    """Only its id registers read as ones; what else is there counts."""
    space = Space(Ids(0x8086, 0x10ED), 0x020000, 1, virtual_function=True).encode()
    assert space[:4] == b"\xff\xff\xff\xff"
    found = interpreted(space, NETWORK)
    assert (found.header_type, found.alive, found.revision) == (0, True, None)


def test_the_multifunction_bit_is_no_part_of_the_header_type() -> None:
    """Bit 7 says that the slot has more functions."""
    space = bytearray(Space(Ids(0x8086, 0x1521), 0x020000, multifunction=True).encode())
    assert space[0x0E] == 0x80
    assert interpreted(space, NETWORK).header_type == 0


def test_an_endpoint_is_not_asked_for_more_than_its_header() -> None:
    """Thousands of endpoints are read; their capability lists say nothing that is used."""

    def refuse(size: int, offset: int) -> bytes:
        raise AssertionError((size, offset))

    space = Space(Ids(0x8086, 0x1521), 0x020000).encode()
    assert read_config(space[:64], refuse, NETWORK).alive is True


@given(st.binary(max_size=512), st.integers(0, 255))
def test_any_bytes_are_interpreted(space: bytes, base_class: int) -> None:
    """No configuration space is an error."""
    found = interpreted(space, base_class)
    assert found.alive in {None, True, False}
    assert found.acs in {None, "absent", "incomplete", "isolates"}
