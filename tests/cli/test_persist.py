"""Bindings that survive a reboot: stored by bind, listed, verified and removed."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.cli.pretended import Pretended
from tests.support.fake_kernel import Fault
from tests.support.fixtures import dump_path, unpacked
from vfioctl.model.address import PciAddress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles
    from vfioctl.model.host import Host

NIC, GPU = "0000:05:00.1", "0000:01:00.0"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_host: Callable[[str], Host]) -> Pretended:
    """Return a copy of the sample host, whose files may be written, as the one that the program runs on."""
    with open(dump_path("sample"), encoding="utf-8") as file:
        root = unpacked(tmp_path / "host", file.read())
    pretended = Pretended(sample_host("sample"), root, tmp_path / "run")
    pretended.install(monkeypatch)
    return pretended


def stored_files(here: Pretended) -> list[str]:
    """Return what is in /etc."""
    return sorted(
        os.path.join(where, name) for where, _, names in os.walk(here.root.local("/etc")) for name in names
    )


def test_bind_verify_remove(here: Pretended, ask: Ask) -> None:
    """Stored, as it should be, and without a trace afterwards."""
    before = stored_files(here)

    bound = ask("bind", "--persist", NIC)
    between = [path.removeprefix(here.root.base) for path in stored_files(here) if path not in before]
    fits = ask("persist", "verify")
    again = ask("bind", "--persist", NIC)
    removed = ask("persist", "remove", NIC)

    assert (bound.code, bound.err) == (0, "")
    assert between == [
        "/etc/modules-load.d/vfioctl.conf",
        "/etc/udev/rules.d/40-vfioctl.rules",
        f"/etc/vfioctl/devices.d/{NIC}.toml",
    ]
    assert (fits.code, fits.out.splitlines()[1].split()[:4]) == (
        0,
        [NIC, "vfio-pci", "8086:1572:8086:0001", "as"],
    )
    assert again.out.endswith("\nstored      already\n")
    assert (removed.code, removed.err.count("\n")) == (0, 1)
    assert removed.err.startswith("note: if it is in the initramfs as well, take it out there: rm -f ")
    assert stored_files(here) == before
    assert not os.path.exists(here.root.local("/etc/vfioctl"))
    assert ask("persist", "list").out.startswith("nothing is stored")


def test_another_card_is_drift(here: Pretended, ask: Ask) -> None:
    """Exit code 10 for verify, and the same words for list, which is only a list."""
    ask("bind", "--persist", NIC)
    devices = [
        one._replace(device_id=0x1234) if one.address == PciAddress.parse(NIC) else one
        for one in here.recorded.devices
        if one.address != PciAddress.parse("05:00.0")
    ]
    here.recorded = here.recorded._replace(devices=tuple(devices))

    verified, listed, document = (
        ask("persist", "verify"),
        ask("persist", "list"),
        ask("persist", "verify", "--json"),
    )

    assert (verified.code, listed.code, document.code) == (10, 0, 10)
    assert f"{NIC}: another card is there: 8086:1234:8086:0001, was 8086:1572:8086:0001" in verified.out
    assert listed.out.startswith(verified.out)
    assert [one["kind"] for one in document.document["drift"]] == ["ids"]
    assert document.document["exit_code"] == 10


def test_what_is_rolled_back_is_not_stored(here: Pretended, ask: Ask) -> None:
    """A binding that failed now would fail at every boot."""
    before = stored_files(here)
    here.kernel.faults = {1: Fault(errno=22)}

    ended = ask("bind", "--persist", NIC)

    assert ended.code == 7
    assert stored_files(here) == before


def test_a_file_that_cannot_be_written_is_said_beside_the_binding(here: Pretended, ask: Ask) -> None:
    """The device is bound for this boot, and nobody is told that it will be for the next."""
    os.makedirs(here.root.local("/etc"), exist_ok=True)
    with open(here.root.local("/etc/modules-load.d"), "w", encoding="utf-8"):
        pass

    ended = ask("bind", "--persist", NIC)

    assert ended.code == 1
    assert "error: done for this boot, but not stored: cannot write " in ended.err
    assert here.kernel.bindings[NIC].driver == "vfio-pci"
    assert not os.path.exists(here.root.local("/etc/vfioctl"))


def test_without_udev_nothing_is_bound(here: Pretended, ask: Ask) -> None:
    """No rule would be read at boot; what can be done instead is said (exit code 5)."""
    shutil.rmtree(here.root.local("/run/udev"))

    ended = ask("bind", "--persist", NIC)

    assert (ended.code, ended.out, here.kernel.writes) == (5, "", [])
    assert "bind --persist takes udev" in ended.err
    assert "hint: leave --persist away" in ended.err
    assert ask("bind", NIC).code == 0


def test_a_document_has_the_files_as_steps(here: Pretended, ask: Ask) -> None:
    """Planned in a dry run, which writes none; done afterwards."""
    planned = ask("bind", "-n", "--persist", "--json", NIC).document
    none = not os.path.exists(here.root.local("/etc/vfioctl"))
    done = ask("bind", "--persist", "--json", NIC).document

    files = [[step for step in one["steps"] if step["step"] == "file"] for one in (planned, done)]
    assert none
    assert [step["path"] for step in files[0]] == [step["path"] for step in files[1]]
    assert [{step["outcome"] for step in one} for one in files] == [{"planned"}, {"done"}]


@pytest.mark.usefixtures("here")
def test_removing_wants_a_name(ask: Ask) -> None:
    """Neither nothing nor everything by accident; what is not stored is not found."""
    ask("bind", "--persist", NIC)

    assert ask("persist", "remove").code == 2
    assert ask("persist", "remove", "--all", NIC).code == 2
    assert ask("persist", "remove", GPU).code == 3
    assert ask("persist", "verify").code == 0
    planned = ask("persist", "remove", "-n", "--all", "--json").document
    assert [step["value"] for step in planned["steps"]] == [None, None, None]
    assert ask("persist", "verify").code == 0
    assert ask("persist", "remove", "--all").code == 0
    assert ask("persist", "remove", "--all").code == 0


def test_other_hosts_are_only_looked_at(ask: Ask) -> None:
    """What is stored on a recorded host is not this one's to remove."""
    assert ask("persist", "remove", "--all", host="sample").code == 2
    assert ask("persist", "list", host="sample").code == 0


@pytest.mark.usefixtures("here")
def test_what_an_early_device_needs_is_said(ask: Ask, golden: GoldenFiles) -> None:
    """A display: the screens of a dry run and of the list afterwards, and a word when it goes."""
    planned = ask("bind", "-n", "--persist", "--force", "console", GPU, width=100)
    ask("bind", "--persist", "--force", "console", GPU)
    listed = ask("persist", "list", "-o", "table", "--no-color")
    removed = ask("persist", "remove", "--all")

    golden.check("persist/bind-display.txt", planned.out)
    golden.check("persist/list-display.txt", listed.out)
    assert "note: if it is in the initramfs as well" in removed.err
    assert json.loads(ask("persist", "list", "--json").out)["devices"] == []


@pytest.mark.parametrize(
    "words", [["persist"], ["persist", "list"], ["persist", "verify"], ["persist", "remove"]]
)
def test_help(words: list[str], ask: Ask, golden: GoldenFiles) -> None:
    """What -h says on 100 columns."""
    golden.check(f"help/{'-'.join(words)}.txt", ask(*words, "-h").out)
