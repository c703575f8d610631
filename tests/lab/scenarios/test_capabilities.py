"""What each command can do with few of root's capabilities: the table of docs/security.md, on a real kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab.guest import bindings, cli, kernel
from tests.lab.guest.holder import holding

pytestmark = [pytest.mark.topologies("server"), pytest.mark.deadline(400)]

FREE = "0000:04:00.0"
PHYSICAL = "0000:41:00.0"
OWNED = ("--owner", "nobody:nogroup", "--mode", "0660")
NONE: tuple[str, ...] = ()


def with_few(capabilities: tuple[str, ...], *words: str) -> cli.Answer:
    """Run a command as root with these capabilities only."""
    return cli.vfioctl(*words, capabilities=capabilities)


def expect(code: int, capabilities: tuple[str, ...], *words: str) -> cli.Answer:
    """Run a command as root with these capabilities only; it must end with this exit code."""
    answer = with_few(capabilities, *words)
    assert answer.exit_code == code, (words, capabilities, answer)
    assert "Traceback" not in answer.stderr
    return answer


@pytest.fixture
def loaded() -> None:
    """Have the modules loaded already."""
    kernel.modprobe("vfio-pci", "vfio_iommu_type1")


def test_reading_needs_one_capability_for_the_whole_configuration_space():
    """Without CAP_SYS_ADMIN the kernel gives 64 bytes of it, and that is said."""
    few, enough = expect(0, NONE, "scan", "-v"), expect(0, ("sys_admin",), "scan", "-v")

    assert "only its first 64 bytes can be read" in few.stderr
    assert enough.stderr == ""


def test_modules_are_loaded_with_cap_sys_module_only():
    """Without it a bind that needs one changes nothing; with it, it needs no other."""
    subprocess.run(["modprobe", "--remove", "--quiet", "vfio_iommu_type1", "vfio_pci"], check=False)
    assert not Path("/sys/module/vfio_pci").exists()

    answer = expect(7, NONE, "bind", FREE)
    assert "Operation not permitted" in answer.stderr
    expect(0, ("sys_module",), "bind", FREE)
    expect(0, NONE, "unbind", FREE)


@pytest.mark.usefixtures("loaded")
def test_drivers_are_changed_without_any_capability():
    """The files are root's: bind, unbind, recover, virtual functions, and what is stored."""
    expect(0, NONE, "bind", FREE, "--persist")
    expect(0, NONE, "persist", "verify")
    expect(0, NONE, "persist", "remove", FREE)
    expect(0, NONE, "recover")
    expect(0, NONE, "unbind", FREE)
    expect(0, NONE, "sriov", "set", PHYSICAL, "2")
    expect(0, NONE, "sriov", "off", PHYSICAL)


@pytest.mark.usefixtures("loaded")
def test_nodes_are_given_to_others_with_cap_chown_and_cap_fowner():
    """The one for the owner, the other for the mode of what is another's by then; one alone is rolled back."""
    for few in (NONE, ("chown",), ("fowner",)):
        assert "EPERM" in expect(7, few, "bind", FREE, *OWNED).stderr
    expect(0, ("chown", "fowner"), "bind", FREE, *OWNED)
    expect(0, NONE, "unbind", FREE)


@pytest.mark.usefixtures("loaded")
def test_who_has_a_node_open_is_seen_with_cap_sys_ptrace():
    """Without it that is not known, and said before anything is changed; with it, the VM is safe."""
    expect(0, NONE, "bind", FREE)
    with holding(FREE, "group") as holder:
        assert "/proc/*/fd" in expect(0, NONE, "unbind", "-n", FREE).stdout
        answer = expect(4, ("sys_ptrace",), "unbind", FREE)
        assert f"pid {holder.pid}" in answer.stderr
    expect(0, NONE, "unbind", FREE)


def test_another_user_sees_and_changes_nothing():
    """Every command that reads answers; every one that changes something is refused at once."""
    for words in (("scan",), ("groups",), ("show", FREE), ("persist", "list"), ("sriov", "list"), ("mdev", "list")):
        answer = cli.vfioctl(*words, user=cli.NOBODY)
        assert answer.exit_code == 0, (words, answer)
    for words in (("bind", FREE), ("unbind", FREE), ("sriov", "set", PHYSICAL, "1"), ("recover",)):
        bindings.refused(*words, exit_code=6, user=cli.NOBODY)
