"""The checks as functions: from facts to findings, without a host in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.factory import at, make_device
from tests.support.fixtures import unpacked
from tests.support.ready import GPU, ready, settle, stamped
from vfioctl.checkup.check import Check, Drifted, Evidence, Kept, Patient, Status, User, Wanted
from vfioctl.checkup.examine import concerned, examine, failed
from vfioctl.checkup.memlock import memory
from vfioctl.checkup.modprobe import directives, read_ids
from vfioctl.checkup.topics import BY_ID
from vfioctl.model import paths
from vfioctl.model.drivers import DriverCatalog
from vfioctl.model.facts import NO_FACTS, Fact, Facts, Stamp
from vfioctl.model.host import Host
from vfioctl.model.kernel_words import kernel_words
from vfioctl.sysfs.drivers import read_drivers
from vfioctl.sysfs.dump import format_dump
from vfioctl.sysfs.facts import read_facts
from vfioctl.sysfs.reader import read_host

if TYPE_CHECKING:
    from collections.abc import Mapping

DOUBT = "nobody may know"
GIB = 1 << 30
QEMU = User("qemu", 107, frozenset({"kvm"}), frozenset({36}))


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    """Return the host that is ready."""
    tree = settle(ready(), stamped())
    root = unpacked(tmp_path_factory.mktemp("ready"), format_dump(tree.entries()))
    host = read_host(root)
    devices = concerned(host, NO_FACTS)
    facts = read_facts(root, host, devices)
    return Patient(host, read_drivers(root), facts, Wanted(devices, memory=16 * GIB, user=QEMU), Kept(0))


def made(texts: Mapping[str, str], stamps: Mapping[str, Stamp] | None = None) -> Facts:
    """Return facts of these files; no other file is there."""
    known = {path: Fact(path, None) for path in (*paths.FILES, *paths.FOLDERS, paths.BOOT)}
    known |= {path: Fact(path, text) for path, text in texts.items()}
    for path in texts:
        folder, _, name = path.rpartition("/")
        if folder in known:
            known[folder] = Fact(folder, "\n".join([*known[folder].lines, name]))
    return Facts(known, stamps or {}, {}, {})


def of(patient: Patient, texts: Mapping[str, str], check: str) -> list[Check]:
    """Return what one check finds on a host with these files."""
    return list(examine(patient._replace(facts=made(texts)), [BY_ID[check]]))


def test_the_host_is_ready(patient: Patient) -> None:
    """Everything is ok, and something is asked by every check; except that uid 107 may not open the node."""
    checks = examine(patient)

    assert {check.id for check in checks} == set(BY_ID)
    assert {check.id for check in checks if check.status is not Status.OK} == {"perm"}
    assert failed(checks)
    assert not failed(check for check in checks if check.id != "perm")


def test_what_is_in_doubt_is_never_ok(patient: Patient) -> None:
    """Each fact in turn: no ok rests on it, and something says that it is unknown, or never asked for it."""
    unasked = set()
    for path in patient.facts.known:
        facts = patient.facts._replace(known={**patient.facts.known, path: Fact(path, None, DOUBT)})
        checks = examine(patient._replace(facts=facts))
        for check in checks:
            if check.status is Status.OK:
                assert all(one.value != DOUBT for one in check.evidence), check
        if checks == examine(patient):
            unasked.add(path)
    # What matters only where something else is wrong, or is one of several places for the same thing.
    # What matters only where something else is wrong; each of these is asked about in a test of its own.
    services = {path for path in unasked if "/systemd/system/" in path}
    assert {path.rpartition("/")[2] for path in unasked - services} == {
        *(".dockerenv", ".containerenv", "grub.cfg", "entries", "iommu", "ecap", "reset"),
        *("enable_unsafe_noiommu_mode", "allow_unsafe_interrupts", "dma_entry_limit", "disable_idle_d3"),
    }


@given(st.data())
def test_no_text_of_a_file_makes_it_fall_over(patient: Patient, data: st.DataObject) -> None:
    """Files are written by people; what they say is judged, or unknown."""
    known = dict(patient.facts.known)
    parts = ["options", "vfio-pci", "ids=", "softdep", "=", ",", "10de:2204", "intel_iommu=", "amd_iommu="]
    parts += ["memlock", "-", "@kvm", "*", "GRUB_CMDLINE_LINUX=", "MODULES=", "(", ")", "LimitMEMLOCK="]
    parts += ["0: IR-", "TOTAL_ERR_", "MemTotal:", "HugePages_Free:", "{", '"', "#", "\\\n", "\n", "9", "²"]
    words = st.sampled_from(parts)
    texts = st.lists(st.one_of(words, st.text(max_size=5)), max_size=9).map(" ".join)
    for path in data.draw(st.lists(st.sampled_from(sorted(known)), max_size=6)):
        known[path] = Fact(path, data.draw(texts))

    checks = examine(patient._replace(facts=patient.facts._replace(known=known)))

    assert checks
    for check in checks:
        assert check.evidence
        assert check.remedy or check.status not in {Status.FAIL, Status.WARN}


def test_an_ok_without_evidence_is_none(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that has nothing to show is not believed."""
    bare = Check("vmd", "all is well", None, Status.OK, (Evidence("/x", ""),))
    monkeypatch.setattr("vfioctl.checkup.group.vmd", lambda _: iter([bare]))

    assert [check.status for check in examine(patient, [BY_ID["vmd"]])] == [Status.UNKNOWN]


def test_no_facts_at_all() -> None:
    """What was not read is unknown: nothing about files is ok."""
    nothing = Patient(
        Host(None, None, (), ()), DriverCatalog(frozenset(), (), frozenset(), None), NO_FACTS, Wanted(())
    )

    fine = {check.id for check in examine(nothing) if check.status is Status.OK}

    assert fine <= {"orphan", "vmd"}


@pytest.mark.parametrize(
    ("text", "asked", "lost"),
    [
        ("options vfio-pci ids=10de:2204,10de:1aef", ["10de:2204", "10de:1aef"], []),
        ("options vfio_pci disable_vga=1 ids=10de:2204", ["10de:2204"], []),
        ('options vfio-pci ids="10de:2204"', ["10de:2204"], []),
        ("options vfio-pci ids=10de:2204, 10de:1aef", ["10de:2204"], ["10de:1aef"]),
        ("options vfio-pci ids=10de2204", [], ["10de2204"]),
        (
            "options vfio-pci ids=10de:2204:ffffffff:ffffffff:00030000",
            ["10de:2204:ffffffff:ffffffff:00030000"],
            [],
        ),
        ("# options vfio-pci ids=10de:2204", [], []),
        ("options nvidia ids=10de:2204", [], []),
        ("options vfio-pci \\\n ids=10de:2204", ["10de:2204"], []),
    ],
)
def test_ids_of_modprobe_d(text: str, asked: list[str], lost: list[str]) -> None:
    """As the kernel splits them."""
    ids = read_ids(made({"/etc/modprobe.d/a.conf": text}))

    assert [one.text for one in ids.asked] == asked
    assert [one[0] for one in ids.lost] == lost


def test_a_file_hides_those_of_its_name_in_later_folders() -> None:
    """As modprobe reads them: /etc before /usr/lib."""
    files = {"/etc/modprobe.d/a.conf": "blacklist x", "/usr/lib/modprobe.d/a.conf": "blacklist y"}

    assert [one.words for one in directives(made(files))] == [("x",)]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("intel_iommu=on,sm_on iommu=pt", []),
        ("amd_iommu=force_isolation,fullflush", []),
        ("amd_iommu=on", ["amd_iommu=on"]),
        ("intel_iommu=yes", ["intel_iommu=yes"]),
        ("iommu=on", ["iommu=on"]),
        ("pcie_acs_override=downstream,multifunction", ["pcie_acs_override=downstream,multifunction"]),
        ("quiet splash", []),
    ],
)
def test_words_of_the_command_line(words: str, wrong: list[str], patient: Patient) -> None:
    """What the kernel knows, and what it ignores without a word."""
    checks = of(patient, {paths.COMMAND_LINE: words}, "cmdline")

    assert [check.evidence[0].value for check in checks if check.status is Status.WARN] == wrong
    assert [check.status for check in checks if check.status is Status.OK] == ([] if wrong else [Status.OK])


@pytest.mark.parametrize(
    ("running", "default", "generated", "status", "says"),
    [
        ("iommu=pt", 'GRUB_CMDLINE_LINUX="iommu=pt"', "linux /v iommu=pt", Status.OK, ""),
        ("quiet", 'GRUB_CMDLINE_LINUX="iommu=pt"', "linux /v quiet", Status.FAIL, "update-grub"),
        ("quiet", 'GRUB_CMDLINE_LINUX="iommu=pt"', "linux /v iommu=pt", Status.FAIL, "reboot"),
        ("iommu=pt", 'GRUB_CMDLINE_LINUX="quiet"', "linux /v quiet", Status.WARN, "/etc/default/grub"),
        ("quiet", 'GRUB_CMDLINE_LINUX+=" iommu=pt"', "linux /v iommu=pt", Status.FAIL, "reboot"),
        ("quiet", 'GRUB_CMDLINE_LINUX="quiet \\\n iommu=pt"', "linux /v iommu=pt", Status.FAIL, "reboot"),
        ("quiet", "GRUB_CMDLINE_LINUX_DEFAULT='quiet'", "linux /v quiet", Status.OK, ""),
        ("quiet", 'GRUB_CMDLINE_LINUX_RECOVERY="iommu=pt"', "linux /v", Status.UNKNOWN, ""),
    ],
)
def test_bootloaders(
    running: str, default: str, generated: str, status: Status, says: str, patient: Patient
) -> None:
    """Configured, generated, booted: three places for the same words."""
    files = {paths.COMMAND_LINE: running, paths.GRUB_DEFAULT: default, "/boot/grub/grub.cfg": generated}

    (check,) = of(patient, files, "bootloader")

    assert check.status is status
    assert says in (check.remedy or "")


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ("qemu - memlock unlimited", Status.OK),
        ("qemu hard memlock 17825792", Status.OK),
        ("qemu hard memlock 17825791", Status.FAIL),
        ("qemu soft memlock unlimited", Status.FAIL),
        ("@kvm - memlock infinity", Status.OK),
        ("@other - memlock unlimited", Status.FAIL),
        ("* - memlock -1", Status.OK),
        ("* - memlock unlimited\nqemu - memlock 64", Status.FAIL),
        ("qemu - memlock 64\n@kvm - memlock unlimited", Status.FAIL),
        ("# qemu - memlock unlimited", Status.FAIL),
        ("qemu - nofile unlimited", Status.FAIL),
        ("107 - memlock unlimited", Status.OK),
    ],
)
def test_memory_limits_of_a_user(limits: str, status: Status, patient: Patient) -> None:
    """16 GiB and one more; the user's own line outranks that of a group, and that the one for all."""
    facts = made({paths.LIMITS: limits, paths.MEMORY: "MemTotal: 65536000 kB"})

    checks = [*memory(patient._replace(facts=facts))]

    assert [check.status for check in checks] == [Status.OK, status]


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ({"/usr/lib/systemd/system/libvirtd.service": "LimitMEMLOCK=infinity"}, Status.OK),
        ({"/usr/lib/systemd/system/libvirtd.service": "LimitMEMLOCK=64M"}, Status.FAIL),
        ({"/usr/lib/systemd/system/libvirtd.service": "LimitMEMLOCK=8M:32G"}, Status.OK),
        (
            {
                "/usr/lib/systemd/system/libvirtd.service": "LimitMEMLOCK=64M",
                "/etc/systemd/system/libvirtd.service.d/a.conf": "LimitMEMLOCK=infinity",
            },
            Status.OK,
        ),
        ({}, Status.UNKNOWN),
    ],
)
def test_memory_limits_of_services(files: dict[str, str], status: Status, patient: Patient) -> None:
    """Drop-ins outrank what they are dropped into."""
    facts = made({**files, paths.MEMORY: "MemTotal: 65536000 kB"})
    wanted = patient.wanted._replace(user=None)

    checks = [*memory(patient._replace(facts=facts, wanted=wanted))]

    assert [check.status for check in checks] == [Status.OK, status]


def test_a_vm_that_is_larger_than_the_host(patient: Patient) -> None:
    """No limit helps there."""
    facts = made({paths.LIMITS: "* - memlock unlimited", paths.MEMORY: "MemTotal: 8388608 kB"})

    assert [check.status for check in memory(patient._replace(facts=facts))] == [Status.FAIL, Status.OK]


@pytest.mark.parametrize(
    ("stamp", "status"),
    [
        (Stamp(107, 0, 0o600, 0), Status.OK),
        (Stamp(0, 36, 0o660, 0), Status.OK),
        (Stamp(0, 36, 0o640, 0), Status.FAIL),
        (Stamp(0, 0, 0o666, 0), Status.OK),
        (Stamp(0, 0, 0o600, 0), Status.FAIL),
        (Stamp(107, 0, 0o400, 0), Status.FAIL),
        (Stamp(0, 0, 0o600, 0, acl=True), Status.UNKNOWN),
    ],
)
def test_who_may_open_a_node(stamp: Stamp, status: Status, patient: Patient) -> None:
    """Owner, group and others, in that order; an ACL may say more."""
    stamps = {**patient.facts.stamps, "/dev/vfio/1": stamp}

    checks = examine(patient._replace(facts=patient.facts._replace(stamps=stamps)), [BY_ID["perm"]])

    assert {check.status for check in checks if check.address == at(GPU)} == {status}


def test_errors_that_go_on_are_worse_than_those_that_were(patient: Patient) -> None:
    """Counters that grow while they are watched."""
    place = patient.facts.places[at(GPU)]
    path = f"{place}/aer_dev_nonfatal"
    facts = patient.facts._replace(again={path: Fact(path, "TOTAL_ERR_NONFATAL 4")})

    (check,) = (
        one for one in examine(patient._replace(facts=facts), [BY_ID["aer"]]) if one.status is not Status.OK
    )

    assert (check.address, check.status) == (at(GPU), Status.FAIL)
    assert "4 errors" in check.title


def test_what_is_stored_and_contradicted(patient: Patient) -> None:
    """The hardware fails, another mechanism at boot warns, a damaged file is unknown."""
    facts = made({f"{paths.STORED}/{GPU}.toml": "x"})
    gone = Drifted(at(GPU), "there is no such device", "vfioctl persist remove 0000:01:00.0")
    other = Drifted(at(GPU), "it gives it to another", "take it out", "/etc/driverctl.d/x")
    cases = {
        Kept(1): [Status.OK],
        Kept(1, (gone,)): [Status.FAIL],
        Kept(1, (gone, other)): [Status.FAIL, Status.WARN],
        Kept(0, doubt="damaged"): [Status.UNKNOWN],
    }
    for kept, states in cases.items():
        checks = examine(patient._replace(facts=facts, kept=kept), [BY_ID["drift"]])
        assert [check.status for check in checks] == states


def test_which_devices_matter() -> None:
    """On a VFIO driver, with its override, or asked for at boot; bridges never are."""
    host = Host(
        None,
        True,
        (
            make_device("00:01.0", driver="vfio-pci"),
            make_device("00:02.0", driver=None, driver_override="vfio-pci"),
            make_device("00:03.0", vendor_id=0x10DE, device_id=0x2204, driver="nvidia"),
            make_device("00:04.0", driver="igb"),
        ),
        (),
    )

    found = concerned(host, made({paths.COMMAND_LINE: "vfio-pci.ids=10de:2204"}))

    assert [device.address.device for device in found] == [1, 2, 3]


def test_words_that_are_nobodys_business_are_left_out() -> None:
    """Only what decides about passthrough."""
    words = kernel_words('root=/dev/x password=y vfio-pci.ids=1:2 kvm.ignore_msrs=1 "pci=noaer" ip=dhcp')

    assert words == ("vfio-pci.ids=1:2", "kvm.ignore_msrs=1", "pci=noaer")
