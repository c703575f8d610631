"""What is made at every boot: the files, and what of it does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vfioctl.errors import NotFoundError
from vfioctl.model.address import PciAddress
from vfioctl.model.device import PhysicalFunction
from vfioctl.model.host import MdevInstance
from vfioctl.model.persisted import MEDIATED, SPLITS, UNIT, WANTED, Persisted, Split
from vfioctl.plan.forgetting import forget
from vfioctl.plan.restore import (
    made_changes,
    mediated_with,
    program_in,
    splits_with,
    unit_text,
    wanted_text,
)
from vfioctl.plan.unmade import find_unmade

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host

NIC, VF = PciAddress.parse("05:00.0"), PciAddress.parse("05:02.0")
UUID = "4b20d080-1b54-4048-85b3-a6a62d165c01"
PROGRAM = "/usr/bin/vfioctl"


@pytest.fixture
def host(sample_host: Callable[[str], Host]) -> Host:
    """Return the sample host, whose NIC has four virtual functions."""
    return sample_host("sample")


def stored(host: Host, number: int = 4, *, bind: bool = False) -> Persisted:
    """Return what is stored of the NIC."""
    splits = splits_with(host, Persisted(), [NIC], number, bind=bind)
    return Persisted(splits=splits, unit=unit_text(PROGRAM), wanted=wanted_text())


def mediated(host: Host, *uuids: str) -> Persisted:
    """Return what is stored of mediated devices of the NIC; any device can be a parent here."""
    found = mediated_with(host, Persisted(), NIC, "type-1", uuids)
    return Persisted(mediated=found, unit=unit_text(PROGRAM), wanted=wanted_text())


def without(host: Host, address: PciAddress) -> Host:
    """Return the host without a device."""
    return host._replace(devices=tuple(one for one in host.devices if one.address != address))


def changed(host: Host, address: PciAddress, **values: object) -> Host:
    """Return the host with a device that differs."""

    def this(one: PciDevice) -> PciDevice:
        return one._replace(**values) if one.address == address else one  # type: ignore[arg-type]

    return host._replace(devices=tuple(map(this, host.devices)))


def told(host: Host, persisted: Persisted) -> list[tuple[str, str]]:
    """Return the kinds and hints of what does not fit."""
    return [(drift.kind, drift.hint) for drift in find_unmade(host, persisted)]


def test_what_is_there_is_no_drift(host: Host) -> None:
    """As many functions as stored, and the unit as it was written."""
    assert find_unmade(host, stored(host)) == ()
    there = host._replace(mdevs=(MdevInstance(UUID, NIC, "type-1", 70),))
    assert find_unmade(there, mediated(host, UUID)) == ()


def test_each_way_in_which_virtual_functions_do_not_fit(host: Host) -> None:
    """With what to type for this boot, or to forget it."""
    bare = changed(host, NIC, sriov=None)
    loose = stored(host, bind=True)
    device = host.by_address[NIC]
    assert isinstance(device.sriov, PhysicalFunction)
    driver = {host.by_address[one].driver for one in device.sriov.virtual_functions}

    assert told(without(host, NIC), stored(host)) == [
        ("gone", f"if it is gone for good: vfioctl persist remove {NIC}")
    ]
    ((kind, hint),) = told(host, stored(host, 2))
    assert (kind, hint.endswith(f"for this boot: vfioctl sriov set {NIC} 2")) == ("number", True)
    assert [kind for kind, _ in told(bare, stored(host))] == ["number"]
    assert [kind for kind, _ in told(changed(host, NIC, device_id=0x9999), stored(host))] == ["ids"]
    assert driver != {"vfio-pci"}
    ((kind, hint),) = told(host, loose)
    assert (kind, hint) == ("driver", f"for this boot: vfioctl sriov set --bind {NIC} 4")


def test_each_way_in_which_a_mediated_device_does_not_fit(host: Host) -> None:
    """Not there, another one of that UUID, and a parent that is gone or another card."""
    other = host._replace(mdevs=(MdevInstance(UUID, NIC, "type-2", 70),))
    persisted = mediated(host, UUID)

    ((kind, hint),) = told(host, persisted)
    assert (kind, f"vfioctl mdev create --uuid {UUID} {NIC} type-1" in hint) == ("absent", True)
    ((kind, hint),) = told(other, persisted)
    assert (kind, hint.startswith(f"vfioctl mdev remove {UUID} && ")) == ("absent", True)
    assert told(without(host, NIC), persisted) == [
        ("gone", f"if it is gone for good: vfioctl persist remove {UUID}")
    ]


def test_a_unit_without_a_purpose_and_one_that_was_edited(host: Host) -> None:
    """What could not be read is not called missing."""
    left = Persisted(unit=unit_text(PROGRAM))
    edited = mediated(host, UUID)._replace(wanted="edited")
    there = host._replace(mdevs=(MdevInstance(UUID, NIC, "type-1", 70),))

    assert told(host, left) == [("files", f"remove it: rm {UNIT}")]
    assert told(there, edited) == [
        ("files", f"write it anew: vfioctl mdev create --persist --uuid {UUID} {NIC} type-1")
    ]
    assert told(host, stored(host)._replace(unit=None, unread=(UNIT,))) == []


@pytest.mark.parametrize("program", ["/usr/bin/vfioctl", '"/opt/a b/vfioctl"', "/x%y/$z/python -m vfioctl"])
def test_how_the_program_is_called_is_read_back_from_the_unit(program: str) -> None:
    """Whoever looks may be installed elsewhere than who wrote it."""
    text = unit_text(program)

    assert program_in(text) == program
    assert "x%y" not in text
    assert program_in(text.replace("persist apply", "scan")) is None
    assert program_in(None) is None


def test_with_the_last_one_goes_the_unit(host: Host) -> None:
    """What else is stored keeps it."""
    both = stored(host)._replace(mediated=mediated(host, UUID).mediated)

    some = forget(both, [NIC])
    every = forget(both, None)

    assert [(one.path, one.text) for one in some] == [(f"{SPLITS}/{NIC}.toml", None)]
    assert {one.path for one in every} == {
        f"{SPLITS}/{NIC}.toml",
        f"{MEDIATED}/{UUID}.toml",
        UNIT,
        WANTED,
    }
    assert all(one.text is None for one in every)
    with pytest.raises(NotFoundError):
        forget(both, [VF])


def test_the_program_that_moved_is_written_anew(host: Host) -> None:
    """Storing something once more is enough."""
    persisted = stored(host)

    (change,) = made_changes(persisted, persisted.splits, (), "/opt/vfioctl")

    assert change.path == UNIT
    assert "\nExecStart=/opt/vfioctl persist apply\n" in (change.text or "")
    assert isinstance(persisted.made[0], Split)
