"""What is made anew at every boot: stored, listed, verified, made, and removed without a trace."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_mdev import GPU, NEW, THERE, TYPE, Mediating
from tests.cli.test_sriov import WHOLE, Splitting
from tests.support.fixtures import dump_path, unpacked
from vfioctl.model.address import PciAddress
from vfioctl.model.persisted import UNIT, WANTED
from vfioctl.plan.restore import KUBELETS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.cli.pretended import Pretended
    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot

SPLIT_FILE = f"/etc/vfioctl/sriov.d/{WHOLE}.toml"


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave this machine's udev and mdevctl out of it."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr("vfioctl.apply.kernel.settle", lambda _patience: True)
    monkeypatch.setattr(
        "vfioctl.apply.mdevctl.environment", lambda: {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    )


def writable(folder: Path, name: str) -> HostRoot:
    """Return a copy of a sample host, with systemd and udev, whose files may be written."""
    with open(dump_path(name), encoding="utf-8") as file:
        root = unpacked(folder, file.read())
    for path in ("/run/systemd/system", "/run/udev"):
        os.makedirs(root.local(path), exist_ok=True)
    return root


@pytest.fixture
def nic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_host: Callable[[str], Host]) -> Splitting:
    """Return the host with a NIC that can be split as the one that the program runs on."""
    pretended = Splitting(sample_host("sample"), writable(tmp_path / "host", "sample"), tmp_path / "run")
    pretended.install(monkeypatch)
    return pretended


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample_host: Callable[[str], Host]) -> Mediating:
    """Return the host with a GPU that offers mediated devices as the one that the program runs on."""
    pretended = Mediating(sample_host("mdev"), writable(tmp_path / "host", "mdev"), tmp_path / "run")
    pretended.kernel.mdevs[THERE] = (GPU, "i915-GVTg_V5_4")
    pretended.install(monkeypatch)
    return pretended


def files(here: Pretended) -> dict[str, str]:
    """Return what is in /etc, and what it says."""
    found = {}
    for where, _, names in os.walk(here.root.local("/etc")):
        for name in names:
            path = os.path.join(where, name)
            with open(path, encoding="utf-8") as file:
                found[path.removeprefix(here.root.base)] = file.read()
    return found


def reboot(here: Splitting) -> None:
    """Lose what the kernel does not keep (K41)."""
    here.kernel.devices[WHOLE].virtual_functions = 0
    for name in [name for name in here.kernel.devices if name.startswith("0000:05:0a")]:
        del here.kernel.devices[name]


def test_virtual_functions_are_stored_made_again_and_forgotten(nic: Splitting, ask: Ask) -> None:
    """From the first boot to the last, and nothing is left behind."""
    before = files(nic)

    stored = ask("sriov", "set", "--bind", "--persist", WHOLE, "3")
    new = sorted(files(nic).keys() - before.keys())
    fits = ask("persist", "verify")
    reboot(nic)
    lost = ask("persist", "verify", "--json")
    made = ask("persist", "apply")
    again = ask("persist", "verify")

    assert (stored.code, new) == (0, sorted([SPLIT_FILE, UNIT, WANTED])), stored.err
    assert (fits.code, again.code) == (0, 0)
    assert f"{WHOLE}: 3 virtual functions, on a vfio driver [as stored]" in fits.out
    assert (lost.code, [one["kind"] for one in lost.document["drift"]]) == (10, ["number"])
    assert made.code == 0
    assert [nic.kernel.devices[f"0000:05:0a.{number}"].driver for number in range(3)] == ["vfio-pci"] * 3
    assert ask("persist", "apply").code == 0
    assert ask("persist", "remove", WHOLE).code == 0
    assert files(nic) == before
    assert not os.path.exists(nic.root.local(os.path.dirname(WANTED)))
    assert not os.path.exists(nic.root.local("/etc/vfioctl"))


def test_storing_again_writes_only_what_differs(nic: Splitting, ask: Ask) -> None:
    """The same is there already; another number changes one file."""
    ask("sriov", "set", "--persist", WHOLE, "3")
    before = files(nic)

    again = ask("sriov", "set", "--persist", WHOLE, "3")
    other = ask("sriov", "set", "--persist", "--json", WHOLE, "2")

    assert again.out.endswith("stored      already\n")
    assert [step["path"] for step in other.document["steps"] if step["step"] == "file"] == [SPLIT_FILE]
    changed = {path for path, text in files(nic).items() if before.get(path) != text}
    assert changed == {SPLIT_FILE}
    assert "number = 2\nbind = false\n" in files(nic)[SPLIT_FILE]


def test_a_dry_run_shows_the_files_and_writes_none(nic: Splitting, ask: Ask) -> None:
    """With what they would say, after the writes to sysfs."""
    before = files(nic)

    text = ask("sriov", "set", "-n", "--persist", WHOLE, "3")
    document = ask("sriov", "set", "-n", "--persist", "--json", WHOLE, "3").document

    assert (text.code, files(nic)) == (0, before)
    assert f"\nwrite       {SPLIT_FILE}\n" in text.out
    assert "\n  Type=oneshot\n" in text.out
    last = [(step["step"], step["path"], step["outcome"]) for step in document["steps"][-3:]]
    assert last == [("file", path, "planned") for path in (SPLIT_FILE, UNIT, WANTED)]


def test_nothing_is_made_of_another_card(nic: Splitting, ask: Ask) -> None:
    """The address is the same, the ids are not: drift, exit code 10, and the card is left alone."""
    ask("sriov", "set", "--persist", WHOLE, "3")
    reboot(nic)
    text = files(nic)[SPLIT_FILE].replace('device = "1572"', 'device = "1234"')
    with open(nic.root.local(SPLIT_FILE), "w", encoding="utf-8") as file:
        file.write(text)

    verified, applied = ask("persist", "verify", "--json"), ask("persist", "apply")

    assert [one["kind"] for one in verified.document["drift"]] == ["ids"]
    assert (applied.code, nic.kernel.devices[WHOLE].virtual_functions) == (10, 0)
    assert "another card is there" in applied.err


def test_documents_come_one_after_the_other(nic: Splitting, ask: Ask) -> None:
    """One for each of what is stored; where nothing is, one that says so."""
    nothing = ask("persist", "apply", "--json")
    ask("sriov", "set", "--persist", WHOLE, "3")
    reboot(nic)
    planned, made = ask("persist", "apply", "-n", "--json"), ask("persist", "apply", "--json")

    assert (nothing.code, nothing.document["result"]) == (0, "already")
    assert "nothing is stored that is to be made" in nothing.err
    assert (planned.document["result"], made.document["result"]) == ("planned", "done")
    assert nic.kernel.devices[WHOLE].virtual_functions == 3


def test_what_was_not_made_is_not_stored(nic: Splitting, ask: Ask) -> None:
    """It would fail at every boot."""
    nic.kernel.devices[WHOLE].most_vfs = 2
    before = files(nic)

    assert ask("sriov", "set", "--persist", WHOLE, "4").code == 7
    assert files(nic) == before


def test_without_systemd_nothing_is_made(nic: Splitting, ask: Ask) -> None:
    """What would make it at boot is named before anything is written (exit code 5)."""
    os.rmdir(nic.root.local("/run/systemd/system"))

    ended = ask("sriov", "set", "--persist", WHOLE, "3")

    assert (ended.code, ended.out, nic.kernel.writes) == (5, "", [])
    assert "takes systemd" in ended.err
    assert "hint: leave --persist away" in ended.err


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        (UNIT, None, "is missing"),
        (WANTED, None, "is missing"),
        (UNIT, "[Service]\nExecStart=/bin/true\n", "says something else"),
    ],
)
def test_an_edited_unit_is_drift(nic: Splitting, ask: Ask, path: str, text: str | None, says: str) -> None:
    """It would make nothing, or something else; storing once more mends it."""
    ask("sriov", "set", "--persist", WHOLE, "3")
    if text is None:
        os.unlink(nic.root.local(path))
    else:
        with open(nic.root.local(path), "w", encoding="utf-8") as file:
            file.write(text)

    (drift,) = ask("persist", "verify", "--json").document["drift"]

    assert (drift["kind"], f"{path} {says}" in drift["message"]) == ("files", True)
    assert f"vfioctl sriov set --persist {WHOLE} 3" in drift["hint"]
    ask("sriov", "set", "--persist", WHOLE, "3")
    assert ask("persist", "verify").code == 0


@pytest.mark.parametrize("text", ["number = 0", "number = true", "bind = 1", "=", 'address = "x"'])
def test_a_damaged_file_is_named(nic: Splitting, ask: Ask, text: str) -> None:
    """Exit code 2 with the file; never a guess, never a traceback."""
    ask("sriov", "set", "--persist", WHOLE, "3")
    key = text.partition(" ")[0]
    lines = [line for line in files(nic)[SPLIT_FILE].splitlines() if not line.startswith(f"{key} =")]
    with open(nic.root.local(SPLIT_FILE), "w", encoding="utf-8") as file:
        file.write("\n".join([*lines, text]))

    ended = ask("persist", "list")

    assert ended.code == 2
    assert SPLIT_FILE in ended.err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(nic: Splitting, ask: Ask, tmp_path: Path) -> None:
    """What systemd-analyze finds wrong, a host would find at boot."""
    ask("sriov", "set", "--persist", WHOLE, "3")
    unit = files(nic)[UNIT]
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    (tmp_path / os.path.basename(UNIT)).write_text(unit.replace(command, "ExecStart=/bin/true persist apply"))

    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / os.path.basename(UNIT))],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert command.endswith(" persist apply")
    assert os.path.isabs(command.removeprefix("ExecStart=").split()[0])
    assert [line for line in said.stderr.splitlines() if "vfioctl" in line] == []
    for service in ("libvirtd.service", *KUBELETS, "vfioctl-plugin.service"):
        assert service in next(line for line in unit.splitlines() if line.startswith("Before="))


NETWORK = """[Unit]
DefaultDependencies=no
After=network-pre.target
[Service]
Type=oneshot
ExecStart=/bin/true
"""
ONLINE = """[Unit]
DefaultDependencies=no
Requires=networking.service
After=networking.service
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/true
"""
"""What is done before sysinit.target and after the network: cloud-init, which asks there for its data."""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_a_host_whose_network_comes_before_everything_else_keeps_it(
    nic: Splitting, ask: Ask, tmp_path: Path
) -> None:
    """Of units that wait for each other in a circle, systemd leaves one out: it may be the network."""
    ask("sriov", "set", "--persist", WHOLE, "3")
    stored = files(nic)
    command = next(line for line in stored[UNIT].splitlines() if line.startswith("ExecStart="))
    units = {
        os.path.basename(UNIT): stored[UNIT].replace(command, "ExecStart=/bin/true persist apply"),
        "networking.service": NETWORK,
        "online.service": ONLINE,
        "sysinit.target.d/online.conf": "[Unit]\nWants=online.service\n",
        "multi-user.target.d/vfioctl-restore.conf": stored[WANTED],
    }
    for name, text in units.items():
        (tmp_path / "units" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "units" / name).write_text(text)

    def circles() -> list[str]:
        said = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", "multi-user.target"],
            env={"SYSTEMD_UNIT_PATH": f"{tmp_path}/units:/usr/lib/systemd/system:/lib/systemd/system"},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return [line for line in said.stderr.splitlines() if "cycle" in line or "vfioctl" in line]

    assert circles() == []
    as_others_start = units[os.path.basename(UNIT)].replace("DefaultDependencies=no\n", "")
    (tmp_path / "units" / os.path.basename(UNIT)).write_text(as_others_start)
    assert any("ordering cycle" in line for line in circles())


def test_mediated_devices_are_stored_made_again_and_forgotten(gpu: Mediating, ask: Ask) -> None:
    """Where there is no mdevctl, by vfioctl's own unit."""
    before = files(gpu)

    stored = ask("mdev", "create", "--persist", "--uuid", NEW[0], GPU, TYPE)
    fits = ask("persist", "verify")
    del gpu.kernel.mdevs[NEW[0]]
    lost = ask("persist", "verify", "--json")
    made = ask("persist", "apply")

    assert stored.code == 0, stored.err
    assert sorted(files(gpu).keys() - before.keys()) == sorted(
        [f"/etc/vfioctl/mdevs.d/{NEW[0]}.toml", UNIT, WANTED]
    )
    assert f"{NEW[0]}: {TYPE} of {GPU} [as stored]" in fits.out
    assert (lost.code, [one["kind"] for one in lost.document["drift"]]) == (10, ["absent"])
    assert (made.code, gpu.kernel.mdevs[NEW[0]]) == (0, (GPU, TYPE))
    assert ask("persist", "remove", f"mdev:{NEW[0]}").code == 0
    assert files(gpu) == before


def mdevctl(folder: Path, script: str) -> Path:
    """Install an mdevctl that notes how it was called; return where."""
    noted, program = folder / "noted", folder / "bin" / "mdevctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {noted}\n{script}\n', encoding="utf-8")
    program.chmod(0o755)
    return noted


def test_mdevctl_is_told_where_it_is_installed(gpu: Mediating, ask: Ask, tmp_path: Path) -> None:
    """Its definitions are what libvirt looks at; vfioctl stores nothing beside them."""
    before, noted = files(gpu), mdevctl(tmp_path, "")
    words = ("mdev", "create", "--persist", "--uuid", NEW[0])
    told = f"define --auto --uuid {NEW[0]} --parent {GPU} --type {TYPE}"

    planned = ask(*words, "-n", GPU, TYPE)
    silent = not noted.exists()
    done = ask(*words, GPU, TYPE)
    os.makedirs(gpu.root.local(f"/etc/mdevctl.d/{GPU}"))
    with open(gpu.root.local(f"/etc/mdevctl.d/{GPU}/{NEW[0]}"), "w", encoding="utf-8") as file:
        file.write(f'{{"mdev_type": "{TYPE}", "start": "auto"}}')
    again, listed = ask(*words, GPU, TYPE), ask("persist", "list")

    assert f"run         mdevctl {told}\n" in planned.out
    assert silent
    assert f"stored      mdevctl {told}\n" in done.out
    assert noted.read_text().splitlines() == [told]
    assert again.out.endswith("stored      already\n")
    assert f"mdevctl     /etc/mdevctl.d/{GPU}/{NEW[0]}: " in listed.out
    assert files(gpu).keys() - before.keys() == {f"/etc/mdevctl.d/{GPU}/{NEW[0]}"}


def test_what_mdevctl_does_not_take_is_said_and_taken_back(gpu: Mediating, ask: Ask, tmp_path: Path) -> None:
    """All of them or none; the devices are there for this boot."""
    noted = mdevctl(tmp_path, f'case "$*" in define*{NEW[1]}*) echo "no room" >&2; exit 1;; esac')

    ended = ask("mdev", "create", "--persist", "--uuid", NEW[0], "--uuid", NEW[1], GPU, TYPE)

    assert ended.code == 1
    assert f"done for this boot, but not stored: mdevctl does not take {NEW[1]}: no room" in ended.err
    assert noted.read_text().splitlines()[-1] == f"undefine --uuid {NEW[0]}"
    assert set(gpu.kernel.mdevs) == {THERE, *NEW}


def test_what_is_removed_but_stored_is_made_again_and_that_is_said(nic: Splitting, ask: Ask) -> None:
    """Off is for this boot; which command is for all later ones is said."""
    ask("sriov", "set", "--persist", WHOLE, "3")

    stored = ask("sriov", "off", WHOLE)
    ask("persist", "remove", WHOLE)
    ask("sriov", "set", WHOLE, "3")
    other = ask("sriov", "off", WHOLE)

    assert f"made again at the next boot; if not: vfioctl persist remove {WHOLE}" in stored.err
    assert (stored.code, other.code, other.err) == (0, 0, "")
    assert nic.kernel.devices[WHOLE].virtual_functions == 0


def test_a_mediated_device_that_is_stored_is_made_again_and_that_is_said(gpu: Mediating, ask: Ask) -> None:
    """The same of mdev remove."""
    ask("mdev", "create", "--persist", "--uuid", NEW[0], GPU, TYPE)

    removed = ask("mdev", "remove", NEW[0])

    assert removed.code == 0
    assert f"vfioctl persist remove {NEW[0]}" in removed.err
    assert NEW[0] not in gpu.kernel.mdevs


def test_unknown_names_are_not_found(nic: Splitting, ask: Ask) -> None:
    """Neither an address nor a UUID of which nothing is stored."""
    ask("sriov", "set", "--persist", WHOLE, "3")

    assert ask("persist", "remove", NEW[0]).code == 3
    assert ask("persist", "remove", str(PciAddress.parse("01:00.0"))).code == 3
    assert nic.kernel.devices[WHOLE].virtual_functions == 3
