"""A run's small decisions: what pytest is called with, what is read of lspci, how documents are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab import outside, runner
from tests.lab.guest import kernel
from tests.lab.guest.plugin import scenario_name
from tests.lab.topologies import SERVER

if TYPE_CHECKING:
    from pathlib import Path

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
