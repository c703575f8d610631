"""The values of changing commands: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import grp
import pwd
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import BashComplete
from hypothesis import given
from hypothesis import strategies as st

from vfioctl.cli.change_params import FORCEABLE, CheckType, DriverType, ModeType, Owner, OwnerType
from vfioctl.cli.tree import root
from vfioctl.errors import UsageError
from vfioctl.plan.findings import FORCEABLE as PLANNED

if TYPE_CHECKING:
    from tests.cli.conftest import Ask

ROOT = pwd.getpwuid(0).pw_name
GROUP = grp.getgrgid(0).gr_name

BAD = {
    "no such user": (["--owner", "nobody-of-that-name"], "there is no user", "getent passwd"),
    "no such group": (["--owner", f"{ROOT}:no-such-group"], "there is no group", "getent group"),
    "no owner at all": (["--owner", ":"], "--owner ':' is malformed", "USER:GROUP"),
    "a colon and no group": (["--owner", f"{ROOT}:"], "is malformed", "USER:GROUP"),
    "the id that means none": (["--owner", "4294967295"], "too large", "4294967294"),
    "decimal mode": (["--mode", "0680"], "--mode '0680' is not a mode", "0660"),
    "symbolic mode": (["--mode", "u=rw"], "is not a mode", "0660"),
    "setuid on a node": (["--mode", "4755"], "is not a mode", "0660"),
    "a path for a driver": (["--driver", "../nvme"], "no driver's name", "/sys/bus/pci/drivers"),
    "no driver": (["--driver", ""], "no driver's name", "/sys/bus/pci/drivers"),
    "no time": (["--timeout", "nan"], "is not a time", "vfioctl bind -h"),
    "endless": (["--timeout", "inf"], "is not a time", "vfioctl bind -h"),
    "before now": (["--lock-timeout", "-1"], "not in the range", "vfioctl bind -h"),
    "no time at all": (["--timeout", "0"], "not in the range", "vfioctl bind -h"),
    "unknown check": (["--force", "storages"], "there is no check 'storages'", "did you mean storage?"),
    "a running VM": (["--force", "vm"], "vm cannot be forced: the kernel would take", "checks that can be"),
    "what the kernel refuses": (["--force", "host-cannot"], "cannot be forced: the kernel itself", "storage"),
    "virtual functions": (["--force", "vfs"], "remove those first", "storage"),
    "a bridge's driver": (["--force", "shpchp"], "--release-shpchp", "storage"),
    "a journal": (["--force", "journal"], "vfioctl recover", "storage"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_value_that_means_nothing_is_a_usage_error(case: str, ask: Ask) -> None:
    """Before anything is read, with what was expected."""
    arguments, message, hint = BAD[case]

    ended = ask("bind", "-n", *arguments, "05:00.1", host="sample")

    assert (ended.code, ended.out) == (2, "")
    first, second = ended.err.split("\nhint: ")
    assert message in first
    assert hint in second


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        (ROOT, Owner(0, None)),
        (f"{ROOT}:{GROUP}", Owner(0, 0)),
        (f":{GROUP}", Owner(None, 0)),
        ("64055:104", Owner(64055, 104)),
        ("0", Owner(0, None)),
    ],
)
def test_an_owner_is_given_as_to_chown(text: str, owner: Owner) -> None:
    """By name or number, one of the two or both."""
    assert OwnerType().convert(text, None, None) == owner


@given(st.integers(0, 0o777))
def test_every_mode_is_read_as_it_is_written(mode: int) -> None:
    """With a leading zero and without."""
    assert [ModeType().convert(f"{mode:0{digits}o}", None, None) for digits in (3, 4)] == [mode, mode]


@given(st.text(max_size=6))
def test_any_other_text_is_no_mode(text: str) -> None:
    """Whatever a shell makes of a forgotten variable."""
    try:
        bits = ModeType().convert(text, None, None)
    except UsageError:
        return
    assert text in {f"{bits:03o}", f"{bits:04o}"}


@pytest.mark.parametrize("name", ["vfio-pci", "vfio_pci", "xe-vfio-pci", "auto", "8250_mid", "e1000e"])
def test_names_of_drivers_and_modules_are_taken_as_they_are(name: str) -> None:
    """Which one is meant shows when the host is read (K6)."""
    assert DriverType().convert(name, None, None) == name


def test_the_checks_are_those_of_the_plan() -> None:
    """In its order; here they have a help text."""
    assert tuple(FORCEABLE) == PLANNED


@pytest.mark.parametrize("name", FORCEABLE)
def test_a_check_that_can_be_forced_is_accepted(name: str) -> None:
    """By the name that the findings show."""
    assert CheckType().convert(name, None, None) == name


def test_the_values_complete() -> None:
    """Each with what it means."""
    bind = ["--root", "sample", "bind"]

    assert list(offered([*bind, "--force"], "s")) == ["storage", "storage-root", "ssh"]
    assert all(offered([*bind, "--force"], "").values())
    assert list(offered([*bind, "--mode"], "06")) == ["0600", "0660", "0666"]
    assert ROOT in offered([*bind, "--owner"], ROOT[:2])
    assert f"{ROOT}:{GROUP}" in offered([*bind, "--owner"], f"{ROOT}:{GROUP[:2]}")
    assert next(iter(offered([*bind, "--driver"], "a"))) == "auto"
    assert "vfio-pci" in offered([*bind, "--driver"], "vfio")
    assert "i40e" in offered([*bind, "--driver"], "i4")
    assert offered(["--root", "/nowhere", "bind", "--driver"], "i4") == {}


def offered(words: list[str], incomplete: str) -> dict[str, str | None]:
    """Return the values that would be offered, with their help."""
    shell = BashComplete(root, {}, "vfioctl", "_VFIOCTL_COMPLETE")
    return {item.value: item.help for item in shell.get_completions(words, incomplete)}
