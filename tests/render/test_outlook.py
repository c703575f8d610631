"""A group's prospects in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.render.machines import MSI, bridge, device, foreign_member, group, host, workstation
from vfioctl.model.device import Header
from vfioctl.model.group import ReservedRegion
from vfioctl.model.kernel import KernelRelease
from vfioctl.render.outlook import Outlook, outlook

if TYPE_CHECKING:
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host


def of_group(machine: Host, number: int = 0) -> Outlook:
    """Return the outlook of a group."""
    return outlook(machine, machine.by_group[number])


def alone(member: PciDevice, **given: object) -> Outlook:
    """Return the outlook of a group with one member."""
    return of_group(host((member,), **given))


def test_a_used_device_is_viable_after_bind() -> None:
    """With the command to type."""
    told = alone(device("01:00.0", driver="nvidia"))

    assert (told.word, told.command) == ("viable after bind", "vfioctl bind 0000:01:00.0")
    assert told.why == ("nvidia uses it for the host",)


def test_several_members_are_named() -> None:
    """Who of them stands in the way."""
    told = of_group(workstation())

    assert told.why == (
        "0000:01:00.0: nvidia uses it for the host",
        "0000:01:00.1: snd_hda_intel uses it for the host",
    )
    assert list(map(str, told.binds)) == ["0000:01:00.0", "0000:01:00.1"]


def test_the_command_names_the_device_that_was_asked_about() -> None:
    """If it can be bound; one address stands for the whole group."""
    machine = workstation()
    sound = machine.by_group[0].members[2]
    port = machine.by_group[0].members[0]

    assert outlook(machine, machine.by_group[0], sound).command == "vfioctl bind 0000:01:00.1"
    assert outlook(machine, machine.by_group[0], port).command == "vfioctl bind 0000:01:00.0"


def test_a_device_on_vfio_makes_its_group_viable() -> None:
    """Nothing to do."""
    told = alone(device("01:00.0", driver="vfio-pci"))

    assert (told.word, told.command, told.why) == ("viable", None, ())


def test_a_device_without_driver_is_viable_and_still_to_be_bound() -> None:
    """A driverless member never stands in the way."""
    told = alone(device("01:00.0"))

    assert (told.word, told.command) == ("viable", "vfioctl bind 0000:01:00.0")


def test_shpchp_is_released_on_request() -> None:
    """The one bridge driver that may go."""
    told = of_group(workstation(), 8)

    assert (told.word, told.command) == ("viable after bind", "vfioctl bind --release-shpchp 0000:07:01.0")


def test_shpchp_alone_in_the_way_of_a_bound_device() -> None:
    """All endpoints are on vfio already: the command names one of them."""
    port = device("06:00.0", class_code=0x060400, header=Header.BRIDGE, driver="shpchp", express=False)
    told = of_group(host((port, device("07:01.0", driver="vfio-pci", parent=port.address))))

    assert (told.word, told.command) == ("viable after bind", "vfioctl bind --release-shpchp 0000:07:01.0")


def test_another_bridge_driver_cannot_be_helped() -> None:
    """Bridges stay with the host."""
    port = bridge("06:00.0", driver="other")
    told = of_group(host((port, device("07:00.0", driver="e1000"))))

    assert (told.word, told.style, told.command) == ("not viable", "bad", None)
    assert told.why[0].startswith("0000:06:00.0: ")
    assert len(told.why) == 1


def test_a_member_that_is_not_pci_is_named() -> None:
    """It cannot be bound, so the group cannot be viable."""
    told = of_group(foreign_member(), 4)

    assert told.word == "not viable"
    assert told.why[0].startswith("arm-smmu-3.auto: some-driver uses it for the host")


def test_the_boards_own_functions_are_no_loss() -> None:
    """No reason, no alarm."""
    told = of_group(workstation(), 2)

    assert (told.word, told.style, told.why, told.command) == ("stays with the host", "faint", (), None)


def test_a_device_that_cannot_be_had_says_why() -> None:
    """It does not answer, has virtual functions, or the firmware holds it."""
    region = ReservedRegion(0x8D800000, 0x8FFFFFFF, "direct")
    member = device("01:00.0", driver="e1000e")
    machine = host((member,))
    fixed = machine._replace(groups=(group(0, member, reserved_regions=(MSI, region)),))

    assert of_group(workstation(), 7).word == "not for a VM"
    assert of_group(workstation(), 1).why[0].startswith("it has 2 virtual functions enabled")
    assert of_group(fixed).word == "not for a VM"
    assert "fixed memory mapping" in of_group(fixed).why[0]


def test_what_could_not_be_read_is_unknown() -> None:
    """Never viable by ignorance."""
    member, hidden = device("01:00.0"), device("01:00.1")
    machine = host((member, hidden))
    part = machine._replace(devices=machine.devices[:1])

    assert of_group(part).word == "unknown"
    assert of_group(part).command is None
    assert of_group(part).why == ("0000:01:00.1: this member could not be read",)


def test_before_5_19_a_bridge_driver_did_not_matter() -> None:
    """The rule goes by the kernel's release."""
    port = bridge("06:00.0", driver="other")
    old = host((port, device("07:00.0", driver="vfio-pci")), kernel=KernelRelease(5, 15, "5.15.0"))

    assert of_group(old).word == "viable"
