"""The units for systemd, of the plugin and of names: what they say, and what systemd makes of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from typing import TYPE_CHECKING

import pytest

from vfioctl.cli.unit import CDI, PLUGIN, program, unit_path, unit_text
from vfioctl.plan.restore import KUBELETS
from vfioctl.sysfs.root import CDI_RUNTIME

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask

PRINTED = {PLUGIN: ("serve-plugin", "--print-unit"), CDI: ("cdi", "generate", "--print-unit")}
RUNS = {PLUGIN: "serve-plugin", CDI: "cdi generate --watch"}
MOST_EXPOSED = {PLUGIN: 2.5, CDI: 1.7}


class Unit(ConfigParser):
    """A unit file: keys keep their case, and may come again."""

    def __init__(self) -> None:
        """Read as systemd does."""
        super().__init__(interpolation=None, strict=False, comment_prefixes="#", delimiters="=")

    def optionxform(self, optionstr: str) -> str:
        """Keep the case."""
        return optionstr


@pytest.fixture(params=PRINTED)
def unit(request: pytest.FixtureRequest, ask: Ask, tmp_path: Path) -> Path:
    """Return a unit as it is printed here, in a file."""
    ended = ask(*PRINTED[request.param])
    assert ended.code == 0
    path = tmp_path / str(request.param)
    path.write_text(ended.out)
    return path


def analysed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd-analyze, which says on stderr what is wrong."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (package systemd)")
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False
    )


def test_what_is_printed_is_the_unit_that_is_installed(unit: Path) -> None:
    """But for the program, which is named by its path where systemd would not find it."""
    with open(unit_path(unit.name), encoding="utf-8") as file:
        kept = file.read()

    printed = unit.read_text().replace("ProtectHome=read-only", "ProtectHome=yes")
    assert printed == kept.replace("ExecStart=vfioctl ", f"ExecStart={program()} ")
    assert f"\nExecStart=vfioctl {RUNS[unit.name]}\n" in kept


@pytest.mark.parametrize("name", PRINTED)
@pytest.mark.parametrize(
    ("program", "homes"),
    [
        ("vfioctl", "yes"),
        ("/opt/vfioctl/bin/vfioctl", "yes"),
        ("/opt/pipx/venvs/vfioctl/bin/vfioctl", "yes"),
        ("/root/.local/share/pipx/venvs/vfioctl/bin/vfioctl", "read-only"),
        ("/home/anna/venv/bin/python -m vfioctl", "read-only"),
    ],
)
def test_a_program_in_a_home_is_not_hidden_from_its_own_service(name: str, program: str, homes: str) -> None:
    """With pipx and without --global it lies there, and ProtectHome=yes would leave nothing to execute."""
    lines = unit_text(name, program).splitlines()

    assert f"ExecStart={program} {RUNS[name]}" in lines
    assert [line for line in lines if line.startswith("ProtectHome=")] == [f"ProtectHome={homes}"]


def test_systemd_finds_nothing_wrong_with_it(unit: Path) -> None:
    """Misspelt keys, programs that are not there, orders that cannot be."""
    ended = analysed("verify", "--man=no", str(unit))

    # Units of this machine may have faults of their own.
    assert [line for line in ended.stderr.splitlines() if "vfioctl" in line] == []


def test_a_misspelt_key_would_be_found(unit: Path) -> None:
    """The check itself can fail."""
    unit.write_text(unit.read_text().replace("Restart=", "Restrat="))

    assert "Restrat" in analysed("verify", "--man=no", str(unit)).stderr


def test_it_is_exposed_little(unit: Path) -> None:
    """Of ten, as systemd-analyze counts; what is left is root, the kubelet's folder and a port."""
    ended = analysed("security", "--offline=true", str(unit))
    if "Unknown" in ended.stderr or "unrecognized option" in ended.stderr:
        pytest.skip("this systemd-analyze knows no --offline (from 250 on)")
    found = re.search(rf"Overall exposure level for {unit.name}: ([0-9.]+)", ended.stdout)

    assert found is not None, ended.stdout + ended.stderr
    assert float(found[1]) <= MOST_EXPOSED[unit.name]


@pytest.mark.parametrize("unit", [PLUGIN], indirect=True)
def test_the_plugins_fits_what_the_program_does(unit: Path) -> None:
    """Type, watchdog and folders are a contract between the two."""
    read = Unit()
    read.read(unit)
    service = read["Service"]

    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert int(service["WatchdogSec"]) > 0
    # What is cordoned is kept below it, and must outlive a restart.
    assert (service["RuntimeDirectory"], service["RuntimeDirectoryPreserve"]) == ("vfioctl cdi", "yes")
    assert read["Unit"]["Before"].split() == [*KUBELETS]
    assert "/var/lib/kubelet" in service["ReadWritePaths"]
    for family in ("AF_UNIX", "AF_NETLINK", "AF_INET", "AF_INET6"):
        assert family in service["RestrictAddressFamilies"].split()


@pytest.mark.parametrize("unit", [CDI], indirect=True)
def test_the_one_of_names_may_write_where_they_are_kept_and_nowhere_else(unit: Path) -> None:
    """/var/run is /run; runtimes of ordinary users read there too."""
    read = Unit()
    read.read(unit)
    service = read["Service"]

    assert service["Type"] == "notify"
    assert {"docker.service", "containerd.service", "crio.service"} <= {*read["Unit"]["Before"].split()}
    assert f"/var/run/{service['RuntimeDirectory']}" == CDI_RUNTIME
    assert (service["RuntimeDirectoryMode"], service["UMask"]) == ("0755", "0022")
    assert service["ProtectSystem"] == "strict"
    assert "ReadWritePaths" not in service
    assert service["CapabilityBoundingSet"] == ""
