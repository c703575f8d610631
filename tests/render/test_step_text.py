"""Steps as an administrator could type them: a shell that runs the lines writes what the step writes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.render.machines import address
from vfioctl.plan.steps import (
    BindDriver,
    LoadModule,
    OwnNode,
    ProbeDrivers,
    SetOverride,
    UnbindDriver,
)
from vfioctl.render.step_text import typed

if TYPE_CHECKING:
    from pathlib import Path

    from vfioctl.plan.steps import Step

GPU = address("01:00.0")

WRITES = [
    SetOverride(GPU, "vfio-pci"),
    SetOverride(GPU, None),
    UnbindDriver(GPU, "nvidia"),
    UnbindDriver(GPU, "driver of $(this) & 'that'"),
    BindDriver(GPU, "vfio-pci"),
    ProbeDrivers(GPU),
]


@pytest.mark.parametrize("step", WRITES, ids=lambda step: step.path + repr(step.value))
def test_a_shell_writes_what_the_step_writes(step: Step, tmp_path: Path) -> None:
    """The path, and the value with a line break, which sysfs ignores, and which alone clears (K8)."""
    (line,) = typed(step)
    target = tmp_path / step.path.lstrip("/")
    target.parent.mkdir(parents=True)

    subprocess.run(["sh", "-c", line.replace("/sys/", f"{tmp_path}/sys/")], check=True)

    assert target.read_text() == step.value.rstrip("\n") + "\n"


def test_a_module_is_loaded_by_modprobe() -> None:
    """With its name only."""
    assert list(typed(LoadModule("vfio_pci"))) == ["modprobe vfio_pci"]


@pytest.mark.parametrize(
    ("owner", "lines"),
    [
        ((64055, 104, 0o660), ["chown 64055:104 /dev/vfio/17", "chmod 0660 /dev/vfio/17"]),
        ((None, 104, None), ["chown :104 /dev/vfio/17"]),
        ((0, None, None), ["chown 0 /dev/vfio/17"]),
        ((None, None, 0), ["chmod 0000 /dev/vfio/17"]),
    ],
)
def test_a_node_gets_what_was_asked_for_and_nothing_else(
    owner: tuple[int | None, int | None, int | None], lines: list[str]
) -> None:
    """Root is an owner, and 0 is a mode."""
    assert list(typed(OwnNode(17, (GPU,), *owner))) == lines
