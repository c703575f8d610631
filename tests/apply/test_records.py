from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfioctl.apply.records import Arrival, read_records, updated, write_records
from vfioctl.apply.state import prepare
from vfioctl.errors import RefusedError
from vfioctl.model.address import PciAddress
from vfioctl.model.binding import Binding, Move, Record

NIC: Final = PciAddress(0, 1, 0, 0)
HOST: Final = Binding("e1000e", None)
VFIO: Final = Binding("vfio-pci", "vfio-pci")
VARIANT: Final = Binding("mlx5_vfio_pci", "mlx5_vfio_pci")
FREE: Final = Binding(None, None)
PARKED: Final = Binding(None, "vfio-pci")
OTHER: Final = Binding("igb", "igb")
RECORD: Final = Record(NIC, 0x8086, 0x10D3, HOST)
FOREIGN: Final = Record(PciAddress(0, 2, 0, 0), 0x10DE, 0x2204, Binding("nouveau", None))


def arrive(
    command: str,
    before: Binding,
    goal: Binding,
    now: Binding,
    known: Record | None,
    kernel_decides: bool = False,
) -> Record | None:
    """Return the record of a device after a change, which leaves others' alone."""
    arrival = Arrival(Move(NIC, before, goal, kernel_decides), 0x8086, 0x10D3, now)
    known_records = (FOREIGN,) if known is None else (known, FOREIGN)
    records = updated(known_records, command, [arrival])
    assert records == updated(records, command, [arrival]), "said twice, as after a crash"
    assert records[-1] == FOREIGN
    return records[0] if len(records) > 1 else None


@pytest.mark.parametrize(
    ("command", "before", "goal", "now", "known", "expected"),
    [
        ("bind", HOST, VFIO, VFIO, None, RECORD),
        ("bind", HOST, VFIO, HOST, None, None),
        ("bind", HOST, VFIO, PARKED, None, RECORD),  # stays driverless: where it came from is still known
        ("bind", OTHER, VFIO, VFIO, RECORD, RECORD._replace(origin=OTHER)),  # returned by other means since
        ("bind", VFIO, VARIANT, VARIANT, RECORD, RECORD),
        ("bind", VFIO, VARIANT, VFIO, RECORD, RECORD),
        ("bind", VFIO, VARIANT, VARIANT, None, None),  # nobody knows where it came from
        ("bind", PARKED, VFIO, VFIO, RECORD, RECORD),
        ("bind", PARKED, VFIO, PARKED, RECORD, RECORD),
        ("bind", FREE, VFIO, VFIO, None, RECORD._replace(origin=FREE)),
        ("bind", VFIO, OTHER, OTHER, RECORD, None),  # given to a host driver
        ("bind", HOST, OTHER, OTHER, None, None),
        ("bind", Binding("shpchp", None), FREE, FREE, None, RECORD._replace(origin=Binding("shpchp", None))),
        ("unbind", VFIO, HOST, HOST, RECORD, None),
        ("unbind", VFIO, HOST, VFIO, RECORD, RECORD),
        ("unbind", VFIO, HOST, FREE, RECORD, RECORD),  # half way
        ("unbind", VFIO, FREE, FREE, RECORD, None),  # it was driverless before its bind
        ("unbind", VFIO, HOST, HOST, None, None),
        ("unbind", FREE, HOST, HOST, RECORD, None),
    ],
)
def test_a_record_lives_from_bind_to_unbind(
    command: str, before: Binding, goal: Binding, now: Binding, known: Record | None, expected: Record | None
) -> None:
    """It says where the device was before VFIO had it, for as long as that is not where it is."""
    assert arrive(command, before, goal, now, known) == expected


def test_what_the_kernel_decided_ends_the_record() -> None:
    """Also where the kernel has found no driver."""
    for now in (HOST, FREE):
        assert arrive("unbind", VFIO, FREE, now, RECORD, kernel_decides=True) is None


def test_another_card_in_the_slot_has_no_record() -> None:
    """The address is the same, the ids are not."""
    stale = RECORD._replace(device_id=0x1234)

    assert arrive("bind", VFIO, VARIANT, VARIANT, stale) is None
    assert arrive("bind", FREE, VFIO, VFIO, stale) == RECORD._replace(origin=FREE)


records = st.lists(
    st.builds(
        Record,
        st.builds(
            PciAddress, st.integers(0, 0x10001), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7)
        ),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.builds(Binding, st.none() | st.text(max_size=9), st.none() | st.text(max_size=9)),
    ),
    unique_by=lambda record: record.address,
    max_size=5,
).map(lambda some: tuple(sorted(some, key=lambda record: record.address)))


@given(records=records)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, records: tuple[Record, ...]
) -> None:
    """Sorted by address."""
    state = str(tmp_path_factory.mktemp("state"))

    write_records(state, "this boot", reversed(records))

    assert read_records(state, "this boot") == records


def test_records_of_another_boot_are_none(state: str) -> None:
    """Nor are those of a boot that nobody can name."""
    prepare(state)
    write_records(state, "the last boot", [RECORD])

    assert read_records(state, "the last boot") == (RECORD,)
    assert read_records(state, "this boot") == ()
    assert read_records(state, None) == ()


def test_without_a_file_there_are_no_records(state: str) -> None:
    """Nor without the folder."""
    assert read_records(state, "this boot") == ()


def test_damaged_records_are_no_missing_ones(state: str) -> None:
    """To take them for none would give a device to whichever driver comes first."""
    prepare(state)
    write_records(state, "this boot", [RECORD])
    path = Path(state, "drivers.json")
    whole = path.read_bytes()

    for end in range(len(whole.rstrip())):
        path.write_bytes(whole[:end])
        with pytest.raises(RefusedError, match="damaged"):
            read_records(state, "this boot")
