"""What doctor reads beside the host: known, not there, or in doubt; and what a snapshot keeps of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ready import GPU, VFIO_CONF, ready, settle, stamped
from tests.sysfs.reading import at, host_of, root_of, written
from vfioctl.model import paths
from vfioctl.model.facts import NOT_READ, Fact, Stamp
from vfioctl.sysfs.facts import endpoints, read_facts
from vfioctl.sysfs.facts_record import NOT_RECORDED, RECORD, Record, decode, encode, reduced
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot
from vfioctl.sysfs.snapshot import capture

if TYPE_CHECKING:
    from pathlib import Path

STAMPS = st.builds(
    Stamp,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 0o7777),
    st.integers(0, 2**33),
    st.booleans(),
)
PATHS = st.from_regex(r"/[a-z]{1,6}(/[a-zA-Z0-9 .:_-]{1,9}){0,3}", fullmatch=True)


@given(st.frozensets(PATHS), st.dictionaries(PATHS, STAMPS))
def test_a_record_comes_back_as_it_was(absent: frozenset[str], stamps: dict[str, Stamp]) -> None:
    """Names may hold blanks."""
    record = Record(absent, stamps)

    assert decode(encode(record).decode().rstrip("\n")) == record


@pytest.mark.parametrize("text", [None, "", "vfioctl facts 2\nabsent /etc", "hello"])
def test_what_is_no_record_says_nothing(text: str | None) -> None:
    """Then nothing is known not to be there."""
    assert decode(text) is None


def test_lines_of_a_record_that_mean_nothing_are_left_out() -> None:
    """A snapshot may come from a stranger."""
    text = "vfioctl facts 1\nstamp a b c d - /x\nstamp 1 2 999 4 - /x\nstamp 1 2\nabsent /etc\nother /y"

    assert decode(text) == Record(frozenset({"/etc"}), {})


@pytest.mark.parametrize(
    ("path", "line", "kept"),
    [
        ("/proc/cmdline", "root=/dev/x secret=1 iommu=pt", "iommu=pt"),
        ("/proc/cmdline", "vfio-pci.ids=10de:1, 10de:1aef x", "vfio-pci.ids=10de:1, 10de:1aef"),
        ("/etc/kernel/cmdline", "luks.key=/k intel_iommu=on", "intel_iommu=on"),
        ("/etc/default/grub", "GRUB_PASSWORD=x", ""),
        ("/etc/default/grub", 'GRUB_CMDLINE_LINUX="a=b iommu=pt"', 'GRUB_CMDLINE_LINUX="iommu=pt"'),
        ("/boot/grub/grub.cfg", "password_pbkdf2 root x", ""),
        ("/boot/grub/grub.cfg", "\tlinux /v root=x iommu=pt", "linux /v iommu=pt"),
        ("/boot/loader/entries/a.conf", "options root=x iommu=pt", "options iommu=pt"),
        ("/etc/modprobe.d/x.conf", "options wifi psk=hunter2", ""),
        ("/etc/modprobe.d/x.conf", "install nvidia /bin/curl -u me:pw", "install nvidia"),
        ("/etc/modprobe.d/x.conf", "options vfio-pci \\\n ids=1:2", "options vfio-pci   ids=1:2"),
        ("/etc/modprobe.d/x.conf", "softdep nvidia pre: vfio-pci", "softdep nvidia pre: vfio-pci"),
        ("/etc/security/limits.conf", "bob hard nproc 5", ""),
        ("/etc/security/limits.d/a.conf", "@kvm - memlock 5", "@kvm - memlock 5"),
        ("/etc/systemd/system/libvirtd.service", "Environment=TOKEN=x", ""),
        ("/etc/systemd/system/libvirtd.service", "LimitMEMLOCK=8M", "LimitMEMLOCK=8M"),
        ("/etc/mkinitcpio.conf", "MODULES=(vfio_pci)", "MODULES=(vfio_pci)"),
        ("/etc/mkinitcpio.conf", "KEY=x", ""),
        ("/proc/meminfo", "Dirty: 5 kB", ""),
        ("/proc/interrupts", " 24:  5  6  IR-PCI-MSIX-0000:01:00.0  0-edge  eth0-secret", "0: IR-PCI-MSIX"),
        ("/proc/interrupts", "NMI: 1 2 Non-maskable interrupts", ""),
    ],
)
def test_only_what_a_check_uses_is_kept(path: str, line: str, kept: str) -> None:
    """Of files that may hold passwords; what is kept is kept again."""
    once = reduced(path, f"{line}\n".encode())

    assert once == (f"{kept}\n".encode() if kept else b"")
    assert reduced(path, once) == once


def test_other_files_are_left_alone() -> None:
    """They are no business of a checkup."""
    assert reduced("/proc/swaps", b"x") is None


def test_without_a_record_nothing_is_known_to_be_absent(tmp_path: Path) -> None:
    """A file that a snapshot lacks may never have been looked for."""
    tree = ready(tmp_path / "a")

    facts = read_facts(root_of(tree), host_of(tree), host_of(tree).devices)

    assert facts.fact("/proc/cmdline").text is not None
    assert facts.fact(paths.JOURNAL) == Fact(paths.JOURNAL, None, NOT_RECORDED)
    assert not any(fact.absent for fact in facts.known.values())
    assert facts.fact("/never/asked").doubt == NOT_READ
    settle(tree, stamped())
    facts = read_facts(root_of(tree), host_of(tree))
    assert facts.fact(paths.JOURNAL).absent
    assert facts.stamps == {path: stamp for path, stamp in stamped().items() if path != "/x"}


def test_a_file_that_may_not_be_read_is_in_doubt(tmp_path: Path) -> None:
    """Its name is there; what it says is not known."""
    tree = settle(ready(tmp_path / "a"), stamped()).deny(VFIO_CONF).deny("/boot/grub/grub.cfg")

    facts = read_facts(root_of(tree), host_of(tree))

    assert facts.fact(VFIO_CONF).doubt == "permission denied"
    assert facts.fact("/etc/modprobe.d").lines == ("vfio.conf",)
    assert facts.fact("/boot/grub/grub.cfg").doubt == "permission denied"


def test_a_snapshot_keeps_it_and_a_snapshot_of_that_too(tmp_path: Path) -> None:
    """Also what was not there, owners and dates; nothing else than what is used."""
    tree = settle(ready(tmp_path / "a"), stamped())
    root, host = root_of(tree), host_of(tree)

    (tmp_path / "b").mkdir()

    _, entries = capture(root)
    copy = written(entries, tmp_path / "b")
    _, again = capture(copy)

    assert again == entries
    before, after = (read_facts(one, host, endpoints(host)) for one in (root, copy))
    assert after.stamps == before.stamps
    assert after.known.keys() == before.known.keys()
    for path, fact in before.known.items():
        assert after.known[path].absent == fact.absent
        assert after.known[path].doubt == fact.doubt


def test_counters_are_read_again_after_a_pause(tmp_path: Path) -> None:
    """What grew in between is still going on."""
    tree = settle(ready(tmp_path / "a"), stamped())
    host = host_of(tree)

    def fail() -> None:
        tree.attributes(GPU, aer_dev_fatal="TOTAL_ERR_FATAL 3")

    facts = read_facts(root_of(tree), host, [host.by_address[at(GPU)]], pause=fail)

    assert facts.of(at(GPU), "aer_dev_fatal").text == "TOTAL_ERR_FATAL 0"
    later = facts.later(at(GPU), "aer_dev_fatal")
    assert later is not None
    assert later.text == "TOTAL_ERR_FATAL 3"


def test_of_the_running_system_what_is_not_there_is_known() -> None:
    """Only a recording leaves that open."""
    root = HostRoot()

    facts = read_facts(root, read_host(root))

    for path in paths.FILES:
        fact = facts.fact(path)
        assert fact.doubt != NOT_RECORDED
        assert not (fact.absent and os.path.isfile(path))
    assert facts.fact("/proc/cmdline").text
    assert RECORD not in facts.known
