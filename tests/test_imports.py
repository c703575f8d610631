"""What starting the program loads: completion starts it on every TAB."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vfioctl.sysfs.archive import open_root

HEAVY = {"rich", "lxml", "yaml", "grpc", "google", "prometheus_client", "pyudev", "asyncio", "dataclasses"}
"""Never loaded by a scan that prints no table."""


def imported_by(*arguments: str) -> set[str]:
    """Return every module that the program imports besides those that Python itself starts with."""
    return modules("-m", "vfioctl", *arguments) - modules("-c", "pass")


def modules(*arguments: str) -> set[str]:
    """Return every module that a run of Python imports; some come with the environment (site, .pth files)."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines[1:]}


def top_level(modules: set[str]) -> set[str]:
    """Return the packages that modules belong to."""
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("form", [["--json"], ["-o", "plain"]], ids=["json", "plain"])
def test_scan_loads_no_heavy_library(form: list[str]) -> None:
    """A scan for a script pays for nothing that it does not print."""
    assert top_level(imported_by("--root", "sample", "scan", *form)) & HEAVY == set()


def test_a_table_loads_rich() -> None:
    """The measuring itself sees what is loaded."""
    loaded = imported_by("--root", "sample", "--color", "scan", "-o", "table")

    assert "rich" in top_level(loaded)


@pytest.mark.parametrize("arguments", ["--version", "-h"])
def test_help_and_version_load_click_and_the_standard_library_only(arguments: str) -> None:
    """Neither reader nor renderer is imported to say how they are called."""
    loaded = imported_by(arguments)
    rooms = {name for name in loaded if name.startswith(("vfioctl.sysfs", "vfioctl.render"))}

    assert top_level(loaded) - sys.stdlib_module_names - {"click", "vfioctl"} == set()
    assert rooms == set()
    assert top_level(loaded) & HEAVY == set()


def test_a_scan_spares_what_has_a_short_stand_in() -> None:
    """See `vfioctl.lean`: one import of these anywhere on the way would undo it."""
    with open_root("sample") as sample:
        # Nobody has a node open there: to tell whose it is takes re.
        for process in Path(sample.base, "proc").glob("[0-9]*"):
            shutil.rmtree(process)
        program = str(Path(sys.executable).with_name("vfioctl"))
        scan = modules(program, "--root", sample.base, "scan", "--json")

    assert "vfioctl.render.device_document" in scan
    spared = {"collections", "contextlib", "enum", "functools", "re", "signal"}
    assert (scan - modules("-c", "pass")) & spared == set()
