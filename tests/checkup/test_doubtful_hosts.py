"""Hosts that are neither ready nor plainly broken: each check's other answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.factory import at, make_device, make_host
from vfioctl.checkup.check import Check, Patient, Status, Wanted
from vfioctl.checkup.examine import concerned, examine
from vfioctl.checkup.topics import BY_ID
from vfioctl.model import paths
from vfioctl.model.device import PhysicalFunction
from vfioctl.model.drivers import DriverCatalog
from vfioctl.model.facts import Fact, Facts
from vfioctl.model.host import Unread
from vfioctl.model.usage import Usage, UsageKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host

NOTHING = DriverCatalog(frozenset(), (), frozenset(), frozenset())
ON_VFIO = make_device(
    "0000:65:00.0", driver="vfio-pci", vfio_group_node="/dev/vfio/1", reset_methods=("flr",)
)
IDS = {"/etc/modprobe.d/v.conf": "options vfio-pci ids=8086:10e8"}


def found(
    check: str, host: Host, texts: Mapping[str, str | None] | None = None, *, catalog: DriverCatalog = NOTHING
) -> list[Check]:
    """Return what one check says; a text that is None is in doubt, what is not named is not there."""
    known = {path: Fact(path, None) for path in (*paths.FILES, *paths.FOLDERS, paths.BOOT)}
    for path, text in (texts or {}).items():
        known[path] = Fact(path, text, None if text is not None else "permission denied")
        folder, _, name = path.rpartition("/")
        if folder in known:
            known[folder] = Fact(folder, "\n".join([*known[folder].lines, name]))
    facts = Facts(known, {}, {}, {})
    patient = Patient(host, catalog, facts, Wanted(concerned(host, facts) or host.devices))
    return list(examine(patient, [BY_ID[check]]))


def one(check: str, host: Host, texts: Mapping[str, str | None] | None = None) -> tuple[Status, str]:
    """Return the only answer: its status, its title and its remedy."""
    (answer,) = found(check, host, texts)
    return answer.status, f"{answer.title}; {answer.remedy}"


def without_iommu(*devices: PciDevice) -> Host:
    """Return a host whose groups folder is empty."""
    return make_host(*devices)._replace(iommu=False, groups=())


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({f"{paths.FIRMWARE_TABLES}": "DMAR", paths.COMMAND_LINE: "quiet"}, "add intel_iommu=on"),
        ({f"{paths.FIRMWARE_TABLES}": "DMAR", paths.COMMAND_LINE: "intel_iommu=on"}, "dmesg | grep -i DMAR"),
        ({f"{paths.FIRMWARE_TABLES}": "IVRS", paths.COMMAND_LINE: "quiet"}, "AMD-Vi"),
        ({f"{paths.FIRMWARE_TABLES}": "IVRS", paths.COMMAND_LINE: "amd_iommu=off"}, "take amd_iommu=off off"),
        ({}, "firmware setup"),
    ],
)
def test_where_the_iommu_was_lost(texts: dict[str, str | None], says: str) -> None:
    """What to do follows from what the firmware announces and the command line says."""
    status, text = one("iommu-groups", without_iommu(make_device()), texts)

    assert status is Status.FAIL
    assert says in text


def test_groups_that_could_not_be_read() -> None:
    """Unknown, with the kernel's reason."""
    host = make_host()._replace(iommu=None, groups=(), unread=(Unread(paths.IOMMU_GROUPS, "denied"),))

    (answer,) = found("iommu-groups", host)

    assert (answer.status, answer.evidence[0].value) == (Status.UNKNOWN, "denied")


def test_groups_of_the_unsafe_mode() -> None:
    """They isolate nothing (K29)."""
    host = make_host(make_device())

    assert one("iommu-groups", host, {paths.NO_IOMMU: "Y"})[0] is Status.WARN
    assert one("iommu-groups", host, {paths.NO_IOMMU: "N"})[0] is Status.OK


@pytest.mark.parametrize(
    ("words", "tables", "iommu", "status"),
    [
        ("iommu=off", "DMAR", False, Status.FAIL),
        ("intel_iommu=on", "DMAR", False, Status.OK),
        ("quiet", "IVRS", False, Status.OK),
        ("quiet", None, False, Status.UNKNOWN),
        ("quiet", None, True, Status.OK),
        (None, "DMAR", True, Status.UNKNOWN),
    ],
)
def test_what_the_command_line_does(
    words: str | None, tables: str | None, iommu: bool, status: Status
) -> None:
    """On Intel it must ask; elsewhere it must only not refuse."""
    host = make_host(make_device()) if iommu else without_iommu(make_device())

    texts = {paths.COMMAND_LINE: words, paths.FIRMWARE_TABLES: tables}

    assert one("iommu-cmdline", host, texts)[0] is status


def test_a_container_hides_the_tables_of_its_host() -> None:
    """Then there is not a single one, and nothing can be said; with others there, that one is missing."""
    host = without_iommu(make_device())

    assert one("iommu-firmware", host, {paths.FIRMWARE_TABLES: ""})[0] is Status.UNKNOWN
    assert one("iommu-firmware", host, {paths.FIRMWARE_TABLES: "APIC\nFACP"})[0] is Status.FAIL
    assert one("iommu-firmware", host, {paths.FIRMWARE_TABLES: "APIC\nVIOT"})[0] is Status.OK


def test_groups_without_a_table() -> None:
    """A device tree, or a hypervisor, may announce it otherwise: not ok, and no failure."""
    with_others = {paths.FIRMWARE_TABLES: "APIC\nFACP"}
    assert one("iommu-firmware", make_host(make_device()), with_others)[0] is Status.UNKNOWN
    assert one("iommu-firmware", make_host(make_device()), {paths.FIRMWARE_TABLES: ""})[0] is Status.UNKNOWN


@pytest.mark.parametrize(
    ("units", "interrupts", "ecap", "status", "says"),
    [
        (("dmar0",), " 1: 5 PCI-MSI x", "f020d7", Status.FAIL, "cannot remap"),
        (("dmar0",), " 1: 5 PCI-MSI x", "f020df", Status.FAIL, "x2APIC"),
        (("dmar0",), " 1: 5 PCI-MSI x", "odd", Status.FAIL, "x2APIC"),
        (("dmar0",), " 1: 5 DMAR-MSI x\n 2: 1 IR-IO-APIC y", "f020df", Status.OK, ""),
        (("dmar0",), None, "f020df", Status.UNKNOWN, "dmesg"),
        (("dmar0",), "", "f020df", Status.UNKNOWN, "dmesg"),
        (("smmu3.0",), " 1: 5 ITS-PCI-MSI x", "", Status.UNKNOWN, "dmesg"),
    ],
)
def test_interrupts(
    units: tuple[str, ...], interrupts: str | None, ecap: str, status: Status, says: str
) -> None:
    """By the chips' names, on x86 only; why not, by the capability."""
    host = make_host(make_device())._replace(iommu_units=units)
    texts = {paths.INTERRUPTS: interrupts, f"{paths.IOMMU_UNITS}/{units[0]}/intel-iommu/ecap": ecap}

    answer = one("intremap", host, texts)

    assert answer[0] is status
    assert says in answer[1]


@pytest.mark.parametrize(
    ("device", "texts", "status", "says"),
    [
        (make_device(driver=None), IDS, Status.WARN, "has no driver; vfioctl bind"),
        (make_device(driver="igb"), IDS, Status.FAIL, "softdep igb pre: vfio-pci"),
        (
            make_device(driver="igb"),
            {**IDS, "/etc/modprobe.d/s.conf": "softdep igb pre: vfio-pci", paths.MKINITCPIO: "MODULES=()"},
            Status.FAIL,
            "the order is asked for, so make the initramfs anew: mkinitcpio -P",
        ),
        (ON_VFIO, IDS, Status.OK, ""),
        (make_device(device_id=1), IDS, Status.WARN, "no device has an id"),
        (make_device(), {paths.MODPROBE[0]: None}, Status.UNKNOWN, "unknown"),
    ],
)
def test_who_was_first(device: PciDevice, texts: dict[str, str | None], status: Status, says: str) -> None:
    """What was asked for, and who has it."""
    answer = one("boot-ids", make_host(device), {paths.COMMAND_LINE: "quiet", **texts})

    assert answer[0] is status
    assert says in answer[1]


def test_an_id_that_nothing_has() -> None:
    """A leftover of another card."""
    answer = one("ids", make_host(make_device(device_id=1)), {paths.COMMAND_LINE: "", **IDS})

    assert answer[0] is Status.WARN
    assert "take it out" in answer[1]


@pytest.mark.parametrize(
    ("file", "text", "status"),
    [
        (paths.MKINITCPIO, 'MODULES=(vfio_pci "vfio_virqfd")', Status.FAIL),
        ("/etc/dracut.conf.d/v.conf", 'force_drivers+=" vfio_virqfd "', Status.FAIL),
        (paths.COMMAND_LINE, "rd.driver.pre=vfio-pci,vfio_virqfd", Status.FAIL),
        ("/etc/modules-load.d/a.conf", "no_such_module", Status.WARN),
        (paths.INITRAMFS_TOOLS, "no_such_module options=1", Status.FAIL),
        ("/etc/modules-load.d/a.conf", "# no_such_module\nvfio-pci", Status.OK),
    ],
)
def test_modules_that_no_longer_exist(file: str, text: str, status: Status) -> None:
    """In every list that is read early; a comment is no module."""
    catalog = DriverCatalog(frozenset(), (), frozenset(), frozenset({"vfio_pci"}))

    answers = found("boot-modules", make_host(), {paths.COMMAND_LINE: "quiet", file: text}, catalog=catalog)

    assert [answer.status for answer in answers] == [status]


def test_a_list_of_modules_that_may_not_be_read() -> None:
    """Nothing missing was found, and not all was seen."""
    assert (
        one("boot-modules", make_host(), {paths.COMMAND_LINE: "", paths.MODULES: None})[0] is Status.UNKNOWN
    )


def test_autoprobe_that_somebody_switched_off() -> None:
    """K5."""
    answer = one("autoprobe", make_host(), {paths.AUTOPROBE: "0"})

    assert answer[0] is Status.WARN
    assert "echo 1 > /sys/bus/pci/drivers_autoprobe" in answer[1]


@pytest.mark.parametrize("text", ['{"command": 1}', "not json", "[]"])
def test_a_damaged_journal_is_one(text: str) -> None:
    """Something did not end by itself, whatever it was."""
    assert one("journal", make_host(), {paths.JOURNAL: text})[0] is Status.FAIL


def test_a_journal_that_may_not_be_read() -> None:
    """Only root sees it."""
    assert one("journal", make_host(), {paths.JOURNAL: None}) == (
        Status.UNKNOWN,
        "whether a bind was left half done is unknown; run it as root",
    )


def test_an_unbind_that_waits() -> None:
    """Its holder is named (K33, K55)."""
    use = Usage(UsageKind.VM, "pid 7", "VM db1 (qemu, pid 7) has /dev/vfio/1 open")
    device = make_device(driver=None, unbinding=True, usage=(use,))

    answer = one("orphan", make_host(device))

    assert answer[0] is Status.FAIL
    assert "VM db1 (qemu, pid 7)" in answer[1]


def test_a_device_whose_driver_could_not_be_read() -> None:
    """No driver is not the same as none that was seen."""
    device = make_device(driver=None)
    host = make_host(device)._replace(unread=(Unread("/x", "blocked", device.address, "driver"),))

    assert one("orphan", host)[0] is Status.UNKNOWN


@pytest.mark.parametrize(
    ("device", "status"),
    [
        (make_device(power_state="D0"), Status.OK),
        (make_device(power_state="D3hot", driver="vfio-pci"), Status.OK),
        (make_device(power_state="D3cold"), Status.WARN),
        (make_device(power_state="error"), Status.FAIL),
        (make_device(power_state="D3cold", alive=False), Status.FAIL),
        (make_device(power_state="unknown"), Status.UNKNOWN),
        (make_device(power_state="unknown", alive=False), Status.UNKNOWN),
        (make_device(power_state=None), Status.UNKNOWN),
    ],
)
def test_power(device: PciDevice, status: Status) -> None:
    """Idle is fine, off may not be, and what does not say is unknown."""
    assert one("power", make_host(device))[0] is status


def test_a_reset_that_takes_others_along() -> None:
    """Of the whole bus, while the host uses a sibling."""
    own = make_device("65:00.0", driver="vfio-pci", reset_methods=("bus",))
    other = make_device("65:00.1", driver="igb")

    assert one("reset", make_host(own, other))[0] is Status.WARN
    assert (
        one("reset", make_host(own, other._replace(driver="vfio-pci"))._replace(devices=(own,)))[0]
        is Status.OK
    )


def test_what_is_part_of_the_board_stays_there() -> None:
    """Another slot would not help."""
    smbus = make_device("00:1f.4", class_code=0x0C0500, driver="i801_smbus")

    assert "part of the board" in one("viable", make_host(smbus))[1]


def test_virtual_functions_go_first() -> None:
    """A function that is split has a group of its own; one that shares it with its VF needs another slot."""
    vf = make_device("65:10.0", iommu_group=2)
    split = make_device("65:00.0", driver="igb", sriov=PhysicalFunction(7, (vf.address,)))

    (answer, *_) = found("viable", make_host(split, vf))
    (shared,) = found("viable", make_host(split, vf._replace(iommu_group=1)))

    assert answer.remedy == "remove the virtual functions first: vfioctl sriov off 0000:65:00.0"
    assert "another slot" in (shared.remedy or "")


def test_what_the_host_would_lose() -> None:
    """Bind would refuse; doctor says it beforehand."""
    root = Usage(UsageKind.MOUNT, "nvme0n1", "nvme0n1 is mounted on /", critical=True)

    answer = one("viable", make_host(make_device(driver="nvme", usage=(root,))))

    assert "vfioctl bind 0000:65:00.0; the host would lose: nvme0n1 is mounted on /" in answer[1]


def test_a_device_without_a_group() -> None:
    """Nothing to judge: why, and where that is mended."""
    answer = one("viable", without_iommu(make_device(iommu_group=None)))

    assert answer[0] is Status.FAIL
    assert "vfioctl doctor --only iommu" in answer[1]


def test_a_group_with_a_member_that_could_not_be_read() -> None:
    """Neither viable nor not."""
    host = make_host(ON_VFIO)
    group = host.groups[0]._replace(members=(ON_VFIO.address, at("66:00.0")))

    assert one("viable", host._replace(groups=(group,)))[0] is Status.UNKNOWN


def test_a_node_of_which_nothing_is_known() -> None:
    """Neither owner nor mode."""
    states = {answer.address: answer.status for answer in found("perm", make_host(ON_VFIO))}

    assert states == {None: Status.UNKNOWN, ON_VFIO.address: Status.UNKNOWN}
    lost = make_host(ON_VFIO._replace(vfio_group_node=None))
    assert {answer.status for answer in found("perm", lost)} == {Status.UNKNOWN}
