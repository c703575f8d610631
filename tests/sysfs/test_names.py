from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.pci_ids import COPY
from vfioctl.sysfs.names import Names, load_names

if TYPE_CHECKING:
    from pathlib import Path

DATABASE = b"""#\tVersion: 2023.04.10
# A comment
0001  First, Inc.
10de  NVIDIA Corporation
# A comment among devices
\t2204  GA102 [GeForce RTX 3090]
\t\t1043 87d9  ROG STRIX
\t\t10de 1467  Founders Edition
\t2206  GA102 [GeForce RTX 3080]
\t\t1043 87d9  Another
8086  Intel Corporation
\t1533  I210
ffff  Illegal

# List of known device classes
C 00  Unclassified device
\t00  Non-VGA
C 02  Network controller
\t00  Ethernet controller
\t80  Network controller, other
\t\t01  Programming interface
C 03  Display controller
C ff  Unassigned class"""


@pytest.fixture
def names() -> Names:
    """Return a small database."""
    return Names(DATABASE)


def test_vendors_and_devices_are_found_by_number(names: Names) -> None:
    """The first and the last of the file as well."""
    assert names.vendor(0x0001) == "First, Inc."
    assert names.vendor(0xFFFF) == "Illegal"
    assert names.vendor(0x10DE) == "NVIDIA Corporation"
    assert names.device(0x10DE, 0x2204) == "GA102 [GeForce RTX 3090]"
    assert names.device(0x10DE, 0x2206) == "GA102 [GeForce RTX 3080]"
    assert names.device(0x8086, 0x1533) == "I210"


@given(st.lists(st.integers(0, 0xFFFF), unique=True, max_size=12), st.booleans())
def test_vendors_are_found_in_whatever_order_they_stand(numbers: list[int], ordered: bool) -> None:
    """In a copy that was edited by hand the last line is the one that was added."""
    lines = [f"{number:04x}  Vendor {number}\n" for number in (sorted(numbers) if ordered else numbers)]
    names = Names("".join(lines).encode())

    assert [names.vendor(number) for number in numbers] == [f"Vendor {number}" for number in numbers]


def test_an_unknown_number_is_an_answer(names: Names) -> None:
    """A device of one vendor is not looked for among those of another, nor among classes."""
    assert names.vendor(0x1234) is None
    assert names.device(0x1234, 0x2204) is None
    assert names.device(0x8086, 0x2204) is None
    assert names.device(0x10DE, 0x1533) is None
    assert names.device(0xFFFF, 0x0000) is None
    assert names.device(0x0001, 0x2204) is None


def test_cards_are_found_below_their_device(names: Names) -> None:
    """The same card numbers may stand below several devices."""
    assert names.subsystem(0x10DE, 0x2204, 0x1043, 0x87D9) == "ROG STRIX"
    assert names.subsystem(0x10DE, 0x2204, 0x10DE, 0x1467) == "Founders Edition"
    assert names.subsystem(0x10DE, 0x2206, 0x1043, 0x87D9) == "Another"
    assert names.subsystem(0x10DE, 0x2206, 0x10DE, 0x1467) is None
    assert names.subsystem(0x10DE, 0x9999, 0x1043, 0x87D9) is None
    assert names.subsystem(0x1234, 0x2204, 0x1043, 0x87D9) is None
    assert names.subsystem(0x8086, 0x1533, 0x8086, 0x0001) is None


def test_a_class_has_the_name_of_its_subclass_or_else_of_its_base(names: Names) -> None:
    """The last base class of the file has no line after it."""
    assert names.class_name(0x020000) == "Ethernet controller"
    assert names.class_name(0x028000) == "Network controller, other"
    assert names.class_name(0x020700) == "Network controller"
    assert names.class_name(0x030200) == "Display controller"
    assert names.class_name(0xFF0000) == "Unassigned class"
    assert names.class_name(0x120000) is None


def test_a_file_with_the_line_ends_of_another_system_is_read(names: Names) -> None:
    """Copied by hand, it happens."""
    copied = Names(DATABASE.replace(b"\n", b"\r\n"))
    assert copied.device(0x10DE, 0x2206) == names.device(0x10DE, 0x2206)
    assert copied.subsystem(0x10DE, 0x2204, 0x10DE, 0x1467) == "Founders Edition"
    assert copied.class_name(0xFF0000) == "Unassigned class"


def test_a_name_in_another_encoding_does_not_fail() -> None:
    """Names are for people; the numbers are the truth."""
    assert Names(b"0001  Caf\xe9\n").vendor(1) == "Caf\ufffd"
    assert Names(b"0001    \n").vendor(1) is None


@given(st.binary(max_size=300), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_no_content_of_a_database_is_an_error(content: bytes, first: int, second: int) -> None:
    """A damaged one has fewer names."""
    names = Names(content)
    names.vendor(first)
    names.device(first, second)
    names.subsystem(first, second, first, second)
    names.class_name(first << 8)


@pytest.mark.slow
def test_names_of_the_packaged_database_are_those_of_a_full_parse() -> None:
    """Every vendor and class, and a sample of devices and cards, against the slow way."""
    content = gzip.decompress(COPY.read_bytes())
    names = Names(content)
    vendor = device = base = -1
    for at, line in enumerate(content.decode().split("\n")):
        key, _, name = line.strip("\t").partition("  ")
        numbers = [int(word, 16) for word in key.split() if word != "C"] if line[:1] not in {"", "#"} else []
        match line.count("\t", 0, 2), numbers:
            case 0, [number] if line.startswith("C "):
                vendor, base = -1, number
                assert names.class_name(base << 16 | 0x7700) == name
            case 0, [vendor]:
                base = -1
                assert names.vendor(vendor) == name.strip()
            case 1, [number] if base >= 0:
                assert names.class_name(base << 16 | number << 8) == name
            case 1, [device]:
                assert at % 10 or names.device(vendor, device) == name.strip()
            case 2, [first, second] if at % 100 == 0:
                assert names.subsystem(vendor, device, first, second) == name.strip()
            case _:
                pass
    assert base == 0xFF


def test_the_systems_database_comes_first(tmp_path: Path) -> None:
    """Plain before compressed, in the order of the places; an empty or damaged one is passed over."""
    places = [str(tmp_path / name) for name in ("empty", "broken", "packed", "plain")]
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8bwhat")
    (tmp_path / "plain").write_bytes(b"0001  Plain\n")
    assert load_names(places).vendor(1) == "Plain"
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"0001  Packed\n"))
    assert load_names(places).vendor(1) == "Packed"
    (tmp_path / "packed").write_bytes(b"0001  Beside the packed one\n")
    assert load_names(places).vendor(1) == "Beside the packed one"


def test_a_system_without_a_database_has_the_packaged_one(tmp_path: Path) -> None:
    """As on a minimal installation."""
    names = load_names([str(tmp_path / "absent"), str(tmp_path)])
    assert names.vendor(0x8086) == "Intel Corporation"
    assert names.class_name(0x020000) == "Ethernet controller"
