"""A run's small decisions: what pytest is called with, what is read of lspci, how documents are compared."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab import cpio, ingredients, machine, outside, runner
from tests.lab.guest import disk, kernel
from tests.lab.guest.plugin import scenario_name
from tests.lab.ingredients import Cache
from tests.lab.results import Boot, Case
from tests.lab.topologies import BARE, HOTPLUG, LEGACY, LIBVIRT, RESTARTED, SERVER, TOPOLOGIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.runner import Order
    from tests.lab.topology import Topology

BLOCK = """\
0000:81:00.0 Non-Volatile memory controller [0108]: Red Hat, Inc. QEMU NVMe [1b36:0010] (rev 02)
\tSubsystem: Red Hat, Inc. Device [1af4:1100]
\tKernel driver in use: nvme
\tKernel modules: nvme"""


def test_the_guest_is_told_machine_kernel_and_pattern() -> None:
    """The pattern goes to pytest as it is."""
    arguments = runner.pytest_arguments(runner.Order(SERVER, "6.1", pattern="scan and not vf"))
    assert "--topology=server" in arguments
    assert arguments[arguments.index("-k") + 1] == "scan and not vf"
    assert arguments[-1] == "tests/lab/scenarios"


@pytest.fixture(scope="module")
def briefly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have the scenarios read outside for a brief run; give the folder with what was found."""
    folder = tmp_path_factory.mktemp("checkout")
    arguments = runner.pytest_arguments(runner.Order(BARE, "6.12", brief=True), str(folder))
    options = [word for word in arguments if not word.startswith("--rootdir")]
    command = [sys.executable, "-m", "pytest", "--collect-only", *options]
    done = subprocess.run(command, cwd=ingredients.CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_in_a_brief_run_one_kernel_is_enough_for_what_says_so(briefly: Path) -> None:
    """The newer has everything. A machine of which nothing is left on the other is not started there."""
    for one in TOPOLOGIES.values():
        older, newer = (runner.share_of(briefly, runner.Order(one, kernel)) for kernel in ("6.1", "6.12"))
        assert newer.to_run
        assert newer.left_out == 0
        assert bool(older.to_run) == (one not in {RESTARTED, LIBVIRT})
    hotplug = runner.share_of(briefly, runner.Order(HOTPLUG, "6.1"))
    assert hotplug.left_out == 3
    assert hotplug.to_run > 30


def test_scenarios_that_cannot_be_read_outside_are_left_to_the_guest(tmp_path: Path) -> None:
    """Which says what is wrong with them."""
    assert runner.share_of(tmp_path, runner.Order(RESTARTED, "6.1")) == (1, 0)


def test_a_device_of_lspci_is_read_with_everything_that_is_compared() -> None:
    """One block of `lspci -Dnnk`."""
    assert kernel.parse_block(BLOCK) == kernel.Listed(
        "0000:81:00.0", "Non-Volatile memory controller", "0108", "1b36", "0010", "02", "1af4:1100", "nvme"
    )


def test_a_device_without_subsystem_driver_or_revision_has_empty_parts() -> None:
    """Lspci leaves out what is zero or absent."""
    assert kernel.parse_block("0000:00:00.0 Host bridge [0600]: Intel Chip [8086:29c0]") == kernel.Listed(
        "0000:00:00.0", "Host bridge", "0600", "8086", "29c0", "00", "", ""
    )


def test_differences_of_documents_are_named_by_their_place() -> None:
    """Nested lists and objects, missing keys included."""
    live = {"devices": [{"driver": "nvme", "usage": []}], "kind": "scan"}
    stored: dict[str, object] = {"devices": [{"driver": None, "usage": []}]}
    assert outside.differences(live, stored) == [
        ".devices[0].driver: live 'nvme', snapshot None",
        ".kind: live 'scan', snapshot None",
    ]
    assert outside.differences(live, live) == []


def test_without_files_from_the_guest_nothing_is_compared(tmp_path: Path) -> None:
    """The scenario that sends them may not have been chosen."""
    assert outside.compare_snapshot({}, tmp_path) == ()


def test_a_scenario_is_called_by_its_file_and_function() -> None:
    """Also when a parameter holds a slash."""
    assert scenario_name("tests/lab/scenarios/test_scan.py::test_a[x/y]") == "test_scan.py::test_a[x/y]"


def leaving(
    *disks: bytes | None, trouble: str = "", cases: int = 1
) -> tuple[list[Order], Callable[..., Boot]]:
    """Give a run of guests that leave these disks one after the other, and the orders it will have had."""
    orders: list[Order] = []

    def run(order: Order) -> Boot:
        orders.append(order)
        found = tuple(Case(f"a{number}", "passed", 0.0) for number in range(cases))
        return Boot(order.machine, order.kernel, "", "6.1", found, 1.0, trouble, disk=disks[len(orders) - 1])

    return orders, run


def test_each_boot_has_the_disk_that_the_one_before_has_left() -> None:
    """A row and a folder of its own for each."""
    orders, run = leaving(b"one", b"two", b"three")
    boots = list(runner.run_boots(runner.Order(RESTARTED, "6.1"), run))
    assert [(order.boot, order.disk) for order in orders] == [(1, b""), (2, b"one"), (3, b"two")]
    assert [boot.name for boot in boots] == ["restarted-1-6.1", "restarted-2-6.1", "restarted-3-6.1"]


def test_a_machine_that_is_started_once_is_run_once() -> None:
    """Under its plain name."""
    orders, run = leaving(None)
    (boot,) = runner.run_boots(runner.Order(SERVER, "6.1"), run)
    assert (boot.name, len(orders)) == ("server-6.1", 1)


def test_a_boot_that_left_no_disk_is_the_last_one_and_that_is_a_failure() -> None:
    """What comes after it would be about another machine."""
    orders, run = leaving(None, trouble="the guest hangs")
    first, second = runner.run_boots(runner.Order(RESTARTED, "6.1"), run)
    assert (first.trouble, len(orders)) == ("the guest hangs", 1)
    assert (second.name, second.passed) == ("restarted-2-6.1", False)
    assert second.trouble.startswith("not started")


def test_where_the_pattern_chooses_nothing_there_is_no_second_boot() -> None:
    """It would only cost time."""
    orders, run = leaving(b"one", cases=0)
    assert [boot.passed for boot in runner.run_boots(runner.Order(RESTARTED, "6.1"), run)] == [True]
    assert len(orders) == 1


def met(monkeypatch: pytest.MonkeyPatch, *orders: Order) -> list[Boot]:
    """Run guests each of which waits until all of them are under way."""
    all_here = threading.Barrier(len(orders), timeout=20)

    def run_one(_lab: object, order: Order) -> Boot:
        all_here.wait()
        return Boot(order.machine, order.kernel, "", "6.1", (), 1.0, "")

    monkeypatch.setattr(runner, "run_one", run_one)
    return runner.run_all(runner.Lab(Cache(Path()), "tcg", Path(), Path(), print), orders)


@pytest.mark.parametrize(
    "machines", [(SERVER, BARE, HOTPLUG), (HOTPLUG, LEGACY, HOTPLUG), (SERVER, BARE, LIBVIRT)]
)
def test_guests_are_three_at_a_time(monkeypatch: pytest.MonkeyPatch, machines: tuple[Topology, ...]) -> None:
    """Whichever they are. Rows are in the order asked for."""
    boots = met(monkeypatch, *(runner.Order(machine, "6.1") for machine in machines))
    assert [boot.topology for boot in boots] == [machine.name for machine in machines]


def test_a_guest_that_waits_is_beside_two_that_do_not_while_there_are_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the order: no core is its for long."""
    begun: list[str] = []
    all_here = threading.Barrier(3, timeout=20)

    def run_one(_lab: object, order: Order) -> Boot:
        begun.append(order.topology.name)
        all_here.wait()
        return Boot(order.machine, order.kernel, "", "6.1", (), 1.0, "")

    monkeypatch.setattr(runner, "run_one", run_one)
    asked = [runner.Order(machine, "6.1") for machine in (SERVER, BARE, LIBVIRT, LIBVIRT, HOTPLUG, LEGACY)]
    runner.run_all(runner.Lab(Cache(Path()), "tcg", Path(), Path(), print), asked)
    assert [sorted(begun[:3]), sorted(begun[3:])] == [
        ["bare", "hotplug", "server"],
        ["legacy", "libvirt", "libvirt"],
    ]


def test_where_a_guest_cannot_be_run_the_others_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none is started after that."""
    begun: list[str] = []
    ended = threading.Event()

    def run_one(_lab: object, order: Order) -> Boot:
        begun.append(order.topology.name)
        if order.topology is not BARE:
            assert ended.wait(20)
        raise OSError(order.topology.name)

    monkeypatch.setattr(runner, "run_one", run_one)
    monkeypatch.setattr(machine, "end_all", ended.set)
    asked = [runner.Order(one, "6.1") for one in (SERVER, BARE, HOTPLUG, LIBVIRT, LIBVIRT)]
    with pytest.raises(OSError, match="bare"):
        runner.run_all(runner.Lab(Cache(Path()), "tcg", Path(), Path(), print), asked)
    assert ended.is_set()
    assert set(begun) <= {"bare", "hotplug", "server"}


def test_a_disk_holds_what_decides_about_the_next_boot_and_nothing_else(tmp_path: Path) -> None:
    """Files with their mode, below folders that the archive makes itself."""
    for name in ("etc/udev/rules.d/40-x.rules", "etc/hostname", "etc/vfioctl/devices.d/a.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    archive = disk.packed(tmp_path)
    assert b"etc/udev/rules.d/40-x.rules" in archive
    assert b"etc/vfioctl/devices.d/a.toml" in archive
    assert b"hostname" not in archive
    assert archive.index(b"etc\0") < archive.index(b"etc/udev\0") < archive.index(b"etc/udev/rules.d\0")
    assert len(archive) % cpio.BLOCK == 0


def test_only_a_guest_that_runs_virtual_machines_carries_the_programs_for_it(tmp_path: Path) -> None:
    """QEMU where it is wanted, libvirt beside it where that is wanted too: the others stay small."""
    cache = Cache(tmp_path)
    (cache.kernel("6.1") / "boot").mkdir(parents=True)
    (cache.kernel("6.1") / "boot/vmlinuz-6.1").touch()
    lab = runner.Lab(cache, "tcg", tmp_path / "checkout", tmp_path / "results", print)

    def carried(machine: Topology) -> set[str]:
        plan = runner.plan_for(lab, runner.Order(machine, "6.1"), tmp_path, "scenarios")
        return {path.name for path in plan.archives} & {"virtual-machine.cpio", "libvirt.cpio"}

    assert carried(BARE) == set()
    assert carried(SERVER) == {"virtual-machine.cpio"}
    assert carried(LIBVIRT) == {"virtual-machine.cpio", "libvirt.cpio"}
