"""The unit that runs the plugin under systemd: what it says, and what systemd makes of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from typing import TYPE_CHECKING

import pytest

from vfioctl.cli.unit import program, unit_path

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask

MOST_EXPOSED = 2.5


class Unit(ConfigParser):
    """A unit file: keys keep their case, and may come again."""

    def __init__(self) -> None:
        """Read as systemd does."""
        super().__init__(interpolation=None, strict=False, comment_prefixes="#", delimiters="=")

    def optionxform(self, optionstr: str) -> str:
        """Keep the case."""
        return optionstr


@pytest.fixture
def unit(ask: Ask, tmp_path: Path) -> Path:
    """Return the unit as it is printed here, in a file."""
    ended = ask("serve-plugin", "--print-unit")
    assert ended.code == 0
    path = tmp_path / "vfioctl-plugin.service"
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
    with open(unit_path(), encoding="utf-8") as file:
        kept = file.read()

    assert unit.read_text() == kept.replace("ExecStart=vfioctl ", f"ExecStart={program()} ")
    assert "\nExecStart=vfioctl serve-plugin\n" in kept


def test_systemd_finds_nothing_wrong_with_it(unit: Path) -> None:
    """Misspelt keys, programs that are not there, orders that cannot be."""
    ended = analysed("verify", "--man=no", str(unit))

    # Units of this machine may have faults of their own.
    assert [line for line in ended.stderr.splitlines() if "vfioctl" in line] == []


def test_a_misspelt_key_would_be_found(unit: Path) -> None:
    """The check itself can fail."""
    unit.write_text(unit.read_text().replace("Restart=always", "Restrat=always"))

    assert "Restrat" in analysed("verify", "--man=no", str(unit)).stderr


def test_it_is_exposed_little(unit: Path) -> None:
    """Of ten, as systemd-analyze counts; what is left is root, the kubelet's folder and a port."""
    ended = analysed("security", "--offline=true", str(unit))
    if "Unknown" in ended.stderr or "unrecognized option" in ended.stderr:
        pytest.skip("this systemd-analyze knows no --offline (from 250 on)")
    found = re.search(r"Overall exposure level for vfioctl-plugin\.service: ([0-9.]+)", ended.stdout)

    assert found is not None, ended.stdout + ended.stderr
    assert float(found[1]) <= MOST_EXPOSED


def test_it_fits_what_the_program_does(unit: Path) -> None:
    """Type, watchdog and folders are a contract between the two."""
    read = Unit()
    read.read(unit)
    service = read["Service"]

    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert int(service["WatchdogSec"]) > 0
    # What is cordoned is kept below it, and must outlive a restart.
    assert (service["RuntimeDirectory"], service["RuntimeDirectoryPreserve"]) == ("vfioctl cdi", "yes")
    assert "kubelet.service" in read["Unit"]["Before"]
    assert "/var/lib/kubelet" in service["ReadWritePaths"]
    for family in ("AF_UNIX", "AF_NETLINK", "AF_INET", "AF_INET6"):
        assert family in service["RestrictAddressFamilies"].split()
