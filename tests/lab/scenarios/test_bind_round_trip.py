"""bind and unbind of every kind of device and group, against the kernel's own word."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.lab.guest import bindings, cli, kernel, vfio
from tests.lab.guest.bindings import Bound

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = ("nobody", 65534)
MODE = 0o660
PHYSICAL = "0000:41:00.0"

pytestmark = pytest.mark.deadline(180)


class Case(NamedTuple):
    """What is asked for on which machine, and which devices move with it."""

    name: str
    topology: str
    asked: str
    moved: tuple[str, ...]
    options: tuple[str, ...] = ()


CASES = (
    Case("nic_alone", "server", "04:00.0", ("0000:04:00.0",)),
    Case("nic_with_two_functions", "server", "0000:42:00.1", ("0000:42:00.0", "0000:42:00.1")),
    Case("nic_behind_a_port_without_acs", "server", "0000:01:00.0", ("0000:01:00.0",)),
    Case("nvme_behind_an_expander", "server", "0000:81:00.0", ("0000:81:00.0",)),
    Case("nvme", "workstation", "03:00.0", ("0000:03:00.0",)),
    Case(
        "display_and_sound", "workstation", "0000:02:00.1", ("0000:02:00.0", "0000:02:00.1"),
    ),
    Case(
        "usb_of_three_functions", "workstation", "0000:00:1a.0",
        ("0000:00:1a.0", "0000:00:1a.1", "0000:00:1a.7"),
    ),
    Case("usb_with_the_keyboard", "workstation", "0000:04:00.0", ("0000:04:00.0",)),
    Case(
        "group_with_a_bridge_on_shpchp", "legacy", "0000:02:02.0", ("0000:02:01.0", "0000:02:02.0"),
        ("--release-shpchp",),
    ),
)  # fmt: skip


def case_of(name: str) -> Case:
    """Give a case by name."""
    return next(case for case in CASES if case.name == name)


def node_of(address: str) -> Path:
    """Give the node of a device's group."""
    return Path(f"/dev/vfio/{kernel.group_of(address)}")


def owner(node: Path) -> tuple[int, int, int]:
    """Give user, group and mode of a node."""
    found = node.stat()
    return found.st_uid, found.st_gid, found.st_mode & 0o7777


@pytest.mark.parametrize(
    "name",
    [pytest.param(case.name, marks=pytest.mark.topologies(case.topology), id=case.name) for case in CASES],
)
def test_bound_and_given_back(name: str) -> None:
    """Planned, done, done again, viable, owned; then back to where everything came from."""
    case = case_of(name)
    before = bindings.bindings()
    words = (case.asked, *case.options, "--owner", f"{NOBODY[0]}:{NOBODY[1]}", "--mode", f"{MODE:04o}")
    planned = bindings.done("bind", "--dry-run", *words)
    assert planned["result"] == "planned"
    assert bindings.bindings() == before

    done = bindings.done("bind", *words)
    assert done["result"] == "done"
    assert bindings.steps(done) == bindings.steps(planned), "what was done is not what was planned"
    after = bindings.bindings()
    moved = {address: pair[1] for address, pair in bindings.differing(before, after).items()}
    expected = dict.fromkeys(case.moved, Bound("vfio-pci", "vfio-pci"))
    assert {address: now for address, now in moved.items() if address in expected} == expected
    assert moved.keys() - expected.keys() == (
        {"0000:00:02.0"} if "--release-shpchp" in case.options else set()
    )
    _check_nodes(case.moved)

    again = bindings.done("bind", case.asked, *case.options)
    assert (again["result"], again["steps"]) == ("already", [])
    assert bindings.bindings() == after

    given_back = bindings.done("unbind", case.asked)
    assert given_back["result"] == "done"
    assert bindings.differing(before, bindings.bindings()) == {}
    assert not node_of(case.moved[0]).exists()
    assert bindings.done("unbind", case.asked)["result"] == "already"


def _check_nodes(moved: tuple[str, ...]) -> None:
    """The group is viable, its node is the user's, and stays so once udev has nothing more to say."""
    for group in {kernel.group_of(address) for address in moved}:
        node = Path(f"/dev/vfio/{group}")
        assert owner(node) == (NOBODY[1], NOBODY[1], MODE)
        kernel.settle()
        assert owner(node) == (NOBODY[1], NOBODY[1], MODE)
        assert vfio.is_viable(group)


@pytest.mark.topologies("legacy")
def test_a_group_with_shpchp_is_refused_until_the_bridge_may_be_released() -> None:
    """The group would not be viable (K19): nothing is bound for nothing; alone, with a warning."""
    answer = bindings.refused("bind", "0000:02:01.0", check="shpchp")
    assert "0000:00:02.0" in answer.stderr
    assert "--release-shpchp" in answer.stderr
    alone = bindings.done("bind", "0000:02:01.0", "--device-only")
    assert "viability" in bindings.checks(alone, "warn"), alone["findings"]
    assert not vfio.is_viable(kernel.group_of("0000:02:01.0"))
    bindings.done("unbind", "0000:02:01.0")


@pytest.mark.topologies("server")
def test_device_only_leaves_the_rest_of_the_group() -> None:
    """One function of two moves, and is told to be of no use alone."""
    before = bindings.bindings()
    done = bindings.done("bind", "0000:42:00.0", "--device-only")
    moved = bindings.differing(before, bindings.bindings())
    assert moved == {"0000:42:00.0": (before["0000:42:00.0"], Bound("vfio-pci", "vfio-pci"))}
    assert "viability" in bindings.checks(done, "warn"), done["findings"]
    assert not vfio.is_viable(kernel.group_of("0000:42:00.0"))
    bindings.done("unbind", "0000:42:00.0", "--device-only")
    assert bindings.bindings() == before


@pytest.fixture
def functions() -> Iterator[list[str]]:
    """Two virtual functions of the igb, driven by igbvf, as its administrator would make them."""
    kernel.write(kernel.DEVICES / PHYSICAL / "sriov_numvfs", "2")
    links = [(kernel.DEVICES / PHYSICAL / f"virtfn{index}").resolve().name for index in range(2)]
    kernel.wait_until(lambda: all(kernel.driver_of(link) == "igbvf" for link in links), "igbvf", 60)
    kernel.settle()
    yield links
    kernel.write(kernel.DEVICES / PHYSICAL / "sriov_numvfs", "0")
    kernel.settle()


@pytest.mark.topologies("server")
def test_virtual_functions_are_bound_and_given_back_and_their_parent_is_not_touched(functions) -> None:
    """By the selector of their parent, one by its short address; the parent itself cannot (K15, K40)."""
    before = bindings.bindings()
    done = bindings.done("bind", f"vfs-of:{PHYSICAL}#0-1")
    assert done["result"] == "done"
    expected = dict.fromkeys(functions, Bound("vfio-pci", "vfio-pci"))
    after = bindings.bindings()
    assert {address: after[address] for address in bindings.differing(before, after)} == expected
    assert all(vfio.is_viable(kernel.group_of(function)) for function in functions)
    bindings.refused("bind", "--force", "net", PHYSICAL, exit_code=5, check="vfs")
    short = functions[0].removeprefix("0000:")
    assert bindings.done("unbind", short)["result"] == "done"
    assert bindings.bound(functions[0]) == before[functions[0]]
    bindings.done("unbind", functions[1])
    assert bindings.bindings() == before


@pytest.mark.topologies("server")
def test_an_nvme_controller_with_functions_is_refused() -> None:
    """Its functions would stay behind, and could not be taken away until it came back (K40)."""
    physical = "0000:81:00.0"
    kernel.write(kernel.DEVICES / physical / "sriov_drivers_autoprobe", "0")
    kernel.write(kernel.DEVICES / physical / "sriov_numvfs", "2")
    try:
        bindings.refused("bind", physical, exit_code=5, check="[vfs]")
        assert cli.vfioctl("bind", physical, "--force", "vfs").exit_code == 2
    finally:
        kernel.write(kernel.DEVICES / physical / "sriov_numvfs", "0")
        kernel.write(kernel.DEVICES / physical / "sriov_drivers_autoprobe", "1")
        kernel.settle()


@pytest.mark.topologies("server", "legacy")
def test_modules_are_loaded_that_are_not_there(topology) -> None:
    """vfio-pci, and vfio_iommu_type1, without which a virtual machine would not start (K25)."""
    subprocess.run(["modprobe", "--remove", "vfio_iommu_type1", "vfio_pci"], check=True)
    assert not Path("/sys/module/vfio_pci").exists()
    address, options = (
        ("0000:04:00.0", ()) if topology.name == "server" else ("0000:02:01.0", ("--release-shpchp",))
    )
    done = bindings.done("bind", address, *options)
    assert {"vfio_pci", "vfio_iommu_type1"} <= {step["value"] for step in done["steps"]}
    assert Path("/sys/module/vfio_pci").exists()
    assert Path("/sys/module/vfio_iommu_type1").exists()
    bindings.done("unbind", address)


@pytest.mark.topologies("server")
def test_a_driver_by_name_takes_only_what_was_asked_for() -> None:
    """pci-stub for one of two functions; without a record, unbind takes the driver it is told."""
    before = bindings.bindings()
    bindings.done("bind", "0000:42:00.1", "--driver", "pci_stub")
    moved = bindings.differing(before, bindings.bindings())
    assert moved == {"0000:42:00.1": (before["0000:42:00.1"], Bound("pci-stub", "pci-stub"))}
    bindings.done("bind", "0000:42:00.1", "--driver", "e1000e")
    assert bindings.bound("0000:42:00.1") == Bound("e1000e", "e1000e")
    kernel.clear_override("0000:42:00.1")
    assert bindings.bindings() == before


@pytest.mark.topologies("workstation")
def test_what_vfioctl_has_not_bound_goes_where_it_is_told_or_where_the_kernel_sends_it() -> None:
    """Bound by hand: there is no record of where it came from."""
    address = "0000:03:00.0"
    before = bindings.bound(address)
    for options in ((), ("--driver", "nvme")):
        kernel.modprobe("vfio-pci")
        kernel.unbind(address)
        kernel.bind(address, "vfio-pci")
        assert bindings.done("unbind", address, *options)["result"] == "done"
        assert bindings.bound(address) == before


@pytest.mark.topologies("workstation", "legacy")
def test_the_state_folder_is_private() -> None:
    """Lock and records tell who had which device: root's alone."""
    bindings.done("recover")
    assert bindings.STATE.stat().st_mode & 0o7777 == 0o700
    assert {path.stat().st_mode & 0o7777 for path in bindings.STATE.iterdir()} == {0o600}
