"""What is stored of a binding, the files that come of it, and whether it still fits the hardware."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from vfioctl.model.address import PciAddress
from vfioctl.model.persisted import FOLDER, MODULES, RULES, Card, Foreign, Persisted, Stored
from vfioctl.plan.drift import find_conflicts, find_drift
from vfioctl.plan.initramfs import after_removal, instructions
from vfioctl.plan.persist import (
    device_path,
    device_text,
    file_changes,
    modules_text,
    place_of,
    rules_text,
    stored_with,
    stored_without,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from vfioctl.model.host import Host

GPU, SOUND, DISK = (PciAddress.parse(text) for text in ("01:00.0", "01:00.1", "03:00.0"))
USB = PciAddress.parse("00:14.0")
PORT_0, PORT_1 = PciAddress.parse("05:00.0"), PciAddress.parse("05:00.1")


@pytest.fixture
def host(sample_host: Callable[[str], Host]) -> Host:
    """Return the sample host, with GPU, sound and one port of the NIC on vfio-pci."""
    return changed(sample_host("sample"), {one: {"driver": "vfio-pci"} for one in (GPU, SOUND, PORT_1)})


def changed(host: Host, changes: Mapping[PciAddress, dict[str, Any]]) -> Host:
    """Return a host with devices that differ."""
    devices = (one._replace(**changes.get(one.address, {})) for one in host.devices)
    return host._replace(devices=tuple(sorted(devices, key=lambda one: one.address)))


def stored(host: Host, *addresses: PciAddress, driver: str = "vfio-pci") -> Persisted:
    """Return files that keep these devices on a driver."""
    wanted = stored_with(host, Persisted(), dict.fromkeys(addresses, driver))
    return Persisted(wanted, rules_text(wanted), modules_text(wanted))


def kinds(host: Host, persisted: Persisted) -> list[str]:
    """Return what drift there is, by kind."""
    return [drift.kind for drift in find_drift(host, persisted)]


def test_a_rule_names_the_address_and_every_id(host: Host) -> None:
    """Another card at this address, or this card elsewhere, is not meant.

    It is carried out by whichever function appears first, since that one's driver may take them all; and only
    while the device has no driver and no unbind of it is blocked (K55).
    """
    rules = rules_text(stored(host, GPU).stored)

    assert rules is not None
    assert rules.splitlines()[1:] == [
        (
            'ACTION=="add", SUBSYSTEM=="pci",'
            ' TEST!="[pci/0000:01:00.0]driver", TEST!="[pci/0000:01:00.0]vfio-dev",'
            ' ATTR{[pci/0000:01:00.0]vendor}=="0x10de", ATTR{[pci/0000:01:00.0]device}=="0x2204",'
            ' ATTR{[pci/0000:01:00.0]subsystem_vendor}=="0x1043",'
            ' ATTR{[pci/0000:01:00.0]subsystem_device}=="0x87d9",'
            ' ATTR{[pci/0000:01:00.0]driver_override}="vfio-pci",'
            ' ATTR{[subsystem/pci]drivers_probe}="0000:01:00.0"'
        )
    ]


def test_what_udev_would_replace_is_doubled(host: Host) -> None:
    """A driver's name is not a format string."""
    rules = rules_text(stored(host, GPU, driver="a%k$b").stored)

    assert rules is not None
    assert ']driver_override}="a%%k$$b", ' in rules


def test_a_device_file_has_no_group_number(host: Host) -> None:
    """Group numbers change from boot to boot (K22, H8)."""
    (one,) = stored(host, GPU).stored

    assert tomllib.loads(device_text(one)) == {
        "address": "0000:01:00.0",
        "driver": "vfio-pci",
        "vendor": "10de",
        "device": "2204",
        "subsystem_vendor": "1043",
        "subsystem_device": "87d9",
        "class": "030000",
        "place": "0000:00/01.0/00.0",
    }


def test_only_what_differs_is_written_and_the_last_one_leaves_nothing(host: Host) -> None:
    """Storing twice changes nothing; with the last device go the generated files."""
    first = file_changes(Persisted(), stored(host, GPU, SOUND).stored)
    persisted = stored(host, GPU, SOUND)

    assert [change.path for change in first] == [device_path(GPU), device_path(SOUND), RULES, MODULES]
    assert file_changes(persisted, persisted.stored) == ()
    one_left = file_changes(persisted, stored_without(persisted, [GPU]))
    assert [(change.path, change.text is None) for change in one_left] == [
        (f"{FOLDER}/0000:01:00.0.toml", True),
        (RULES, False),
    ]
    assert all(change.text is None for change in file_changes(persisted, ()))
    assert len(file_changes(persisted, ())) == 4


def test_the_modules_are_those_that_no_device_id_loads(host: Host) -> None:
    """VFIO's, and what vfio-pci itself does not load (K25); a host driver's come by themselves."""
    wanted = stored_with(host, stored(host, GPU), {SOUND: "mlx5_vfio_pci", DISK: "nvme"})

    assert (modules_text(wanted) or "").splitlines()[1:] == ["mlx5_vfio_pci", "vfio_pci", "vfio_iommu_type1"]
    assert modules_text(stored(host, DISK, driver="nvme").stored) is None


def test_what_is_as_stored_is_no_drift(host: Host) -> None:
    """Nothing is said where everything fits."""
    assert find_drift(host, stored(host, GPU, SOUND, PORT_1)) == ()


def test_each_kind_of_drift_is_told_apart(host: Host) -> None:
    """Gone, renumbered, another card, cards that changed places, another slot, another driver (H9, H57)."""
    gpu = host.by_address[GPU]
    gone = host._replace(devices=tuple(one for one in host.devices if one.address != GPU))
    moved_on = changed(host, {GPU: {"address": PciAddress.parse("02:1f.0")}})
    other = {"vendor_id": 0x1002, "device_id": 0x73BF}
    swapped = {
        GPU: {
            "vendor_id": 0x8086,
            "device_id": 0x1572,
            "subsystem_vendor_id": 0x8086,
            "subsystem_device_id": 1,
        },
        PORT_1: dict(zip(Card._fields, (0x10DE, 0x2204, 0x1043, 0x87D9), strict=True)),
    }
    elsewhere = changed(host, {GPU: {"parent": gpu.parent and PciAddress.parse("00:1b.0")}})

    found = {
        "gone": kinds(gone, stored(host, GPU)),
        "renumbered": kinds(moved_on, stored(host, GPU)),
        "ids": kinds(changed(host, {GPU: other}), stored(host, GPU)),
        "swapped": kinds(changed(host, swapped), stored(host, GPU, PORT_1)),
        "moved": kinds(elsewhere, stored(host, GPU)),
        "driver": kinds(changed(host, {GPU: {"driver": "nvidia"}}), stored(host, GPU)),
    }

    assert found.pop("swapped") == ["swapped", "swapped"]
    assert found == {kind: [kind] for kind in found}


def test_a_renumbered_card_is_found_by_its_way_through_the_bridges(host: Host) -> None:
    """Of two cards of one model, the one behind the same ports is meant: bus numbers shift, ports do not."""
    far = PciAddress.parse("05:01.0")
    one = stored(host, PORT_1).stored[0]._replace(address=PciAddress.parse("09:00.1"))
    there = place_of(host, host.by_address[PORT_1])
    persisted = Persisted((one,), rules_text([one]), modules_text([one]))

    (drift,) = find_drift(host, persisted)
    lost = one._replace(place="0000:00/02.0/00.0")
    (unsure,) = find_drift(host, Persisted((lost,), rules_text([lost]), modules_text([lost])))

    assert one.place == there
    assert drift.message == "0000:09:00.1: its card is now at 0000:05:00.1"
    assert "vfioctl bind --persist 0000:05:00.1" in drift.hint
    assert "may now be one of 0000:05:00.0, 0000:05:00.1" in unsure.message
    assert far not in host.by_address


def test_a_twin_that_was_always_there_is_not_taken_for_the_card_that_was_swapped(host: Host) -> None:
    """Of a model that the host has twice, one card is replaced: the other one has not moved (H15)."""
    other = changed(host, {PORT_1: {"vendor_id": 0x1002, "device_id": 0x73BF}})

    (drift,) = find_drift(other, stored(host, PORT_1))

    assert drift.kind == "ids"
    assert "one like the stored one is at 0000:05:00.0" in drift.message
    assert "bind" not in drift.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [({"rules": None}, "is missing"), ({"modules": "edited\n"}, "says something else")],
    ids=["missing", "edited"],
)
def test_generated_files_are_looked_at(host: Host, change: dict[str, Any], said: str) -> None:
    """A rule that somebody deleted binds nothing; what could not be read is not called missing."""
    persisted = stored(host, GPU)._replace(**change)

    (drift,) = find_drift(host, persisted)

    assert (drift.kind, drift.address) == ("files", None)
    assert said in drift.message
    assert find_drift(host, persisted._replace(unread=(RULES, MODULES))) == ()


def test_left_over_rules_are_drift(host: Host) -> None:
    """They would bind what nobody stored."""
    assert kinds(host, stored(host, GPU)._replace(stored=())) == ["files", "files"]


def test_conflicts_name_who_else_decides(host: Host) -> None:
    """Another driver for a stored device, ids that take more than it (H15), a module that may not load."""
    ids = Foreign("cmdline", "/proc/cmdline", "x", "vfio-pci", cards=(Card(0x8086, 0x1572, None, None),))
    driverctl = Foreign("driverctl", "/etc/driverctl.d/x", "i40e", "i40e", PORT_1)
    stub = ids._replace(mechanism="modprobe.d", driver="pci-stub")
    blacklist = Foreign("modprobe.d", "/etc/modprobe.d/x", "blacklist vfio_pci", blocks="vfio_pci")
    about_others = Foreign("udev", "/etc/udev/rules.d/x", "x", "none", DISK)

    def told(*foreign: Foreign) -> list[tuple[PciAddress | None, str]]:
        persisted = stored(host, PORT_1)._replace(foreign=foreign)
        return [(one.address, one.foreign.mechanism) for one in find_conflicts(host, persisted)]

    assert told(ids) == [(PORT_0, "cmdline")]
    assert told(driverctl) == [(PORT_1, "driverctl")]
    assert told(driverctl._replace(driver="vfio-pci")) == []
    assert told(stub) == [(PORT_1, "modprobe.d"), (PORT_0, "modprobe.d")]
    assert told(blacklist) == [(None, "modprobe.d")]
    assert told(about_others) == []


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ("initramfs-tools", ["force_load vfio_pci\n", f"cp {RULES} ", "update-initramfs -u -k all"]),
        ("dracut", ['force_drivers+=" vfio_pci vfio_iommu_type1 "', RULES, MODULES, "dracut --force"]),
        ("mkinitcpio", ["MODULES+=(vfio_pci vfio_iommu_type1)", f"FILES+=({RULES})", "mkinitcpio -P"]),
    ],
)
def test_what_a_driver_in_the_initramfs_could_take_is_said(host: Host, tool: str, says: list[str]) -> None:
    """The exact file and command for each program; nothing for a sound card; all where none is known."""
    persisted = stored(host, GPU, PORT_1)

    (one,) = instructions(persisted.stored, [tool])

    assert all(text in one.text + "\n".join(one.commands) for text in says)
    assert instructions(stored(host, SOUND).stored, [tool]) == ()
    assert all(instructions(stored(host, one).stored, [tool]) for one in (DISK, PORT_1, USB))
    assert len(instructions(persisted.stored, ())) == 3
    assert after_removal(stored(host, GPU).stored, [tool]) == one.commands[-1:]
    assert after_removal((), [tool]) == (f"rm -f {one.file} && {one.commands[-1]}",)


def test_models_with_an_unknown_part_could_be_the_same() -> None:
    """What is unknown excludes nothing."""
    whole, half = Card(1, 2, 3, 4), Card(1, 2, None, None)

    assert whole.is_like(half)
    assert half.is_like(whole)
    assert not whole.is_like(Card(1, 2, 3, 5))
    assert str(Stored(GPU, "x", half, 0, None).card) == "0001:0002"
