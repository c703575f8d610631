"""Displays and keyboards: the console of the host, programs that draw, and what is typed on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.guest import bindings, cli, kernel, vfio

BOOT, SECOND, KEYBOARD = "0000:01:00.0", "0000:02:00.0", "0000:04:00.0"

pytestmark = [pytest.mark.topologies("workstation"), pytest.mark.deadline(180)]


def test_the_boot_display_is_refused_and_force_console_takes_it():
    """With its sound; forced, it goes and comes back."""
    before = bindings.bindings()
    answer = bindings.refused("bind", BOOT, check="[console]")
    assert BOOT in answer.stderr
    assert "boot VGA" in answer.stderr
    bindings.refused("bind", BOOT, "--force", "storage", "--force", "net", check="[console]")
    done = bindings.done("bind", BOOT, "--force", "console")
    assert "console" in bindings.checks(done, "warn")
    assert vfio.is_viable(kernel.group_of(BOOT))
    bindings.done("unbind", BOOT)
    assert bindings.bindings() == before


def test_a_gpu_that_a_program_has_open_is_refused_by_its_pid():
    """A real driver would wait for it without end (K35)."""
    nodes = sorted((kernel.DEVICES / SECOND / "drm").glob("card*"))
    node = Path("/dev/dri") / nodes[0].name
    code = (
        f"import time; node = open('{node}', 'rb+', buffering=0); print('open', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout
            assert program.stdout.readline().strip() == "open"
            answer = bindings.refused("bind", SECOND, check="[gpu-busy]")
            assert str(program.pid) in answer.stderr
            lifted = bindings.done("bind", "-n", SECOND, "--force", "gpu-busy")
            assert bindings.checks(lifted) == set()
        finally:
            program.kill()
    assert cli.vfioctl("bind", "-n", SECOND).exit_code == 0


def test_the_controller_of_the_keyboard_is_bound_with_a_warning():
    """There is another way in, or there is not: the administrator is told."""
    before = bindings.bindings()
    answer = cli.vfioctl("bind", KEYBOARD)
    assert answer.exit_code == 0, answer.stderr
    assert "[input]" in answer.stderr
    bindings.done("unbind", KEYBOARD)
    kernel.settle()
    assert bindings.bindings() == before
