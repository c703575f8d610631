"""The sandbox of the unit: what it leaves open has a reason, and what it takes away is not needed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vfioctl.cli.plugin_hands import _planning
from vfioctl.cli.unit import PLUGIN, unit_path
from vfioctl.model.address import PciAddress
from vfioctl.plan.bind import plan_bind
from vfioctl.plan.unbind import plan_unbind
from vfioctl.plugin.config import _BY_KIND, _PLUGIN

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


def capabilities() -> set[str]:
    """Return those that the unit keeps."""
    found = re.search(r"^CapabilityBoundingSet=(.*)$", Path(unit_path(PLUGIN)).read_text(), re.MULTILINE)
    assert found is not None
    return set(found[1].split())


def test_whatever_the_sandbox_leaves_open_has_a_reason() -> None:
    """Each line that systemd-analyze marks is a row of docs/security.md; and the figure is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (package systemd)")
    ended = subprocess.run(
        ["systemd-analyze", "--no-pager", "security", "--offline=true", unit_path(PLUGIN)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Unknown" in ended.stderr or "unrecognized option" in ended.stderr:
        pytest.skip("this systemd-analyze knows no --offline (from 250 on)")
    lines = re.findall(r"^\N{BALLOT X} (\S+) .* ([0-9.]+)\s*$", ended.stdout, re.MULTILINE)
    figure = re.search(r"exposure level for vfioctl-plugin\.service: ([0-9.]+)", ended.stdout)
    page = PAGE.read_text()

    assert len(lines) > 5
    assert figure is not None
    spelled = [name.replace("|", "\\|") for name, _ in lines]
    assert [name for name in spelled if f"| `{name}` |" not in page] == []
    # Later releases of systemd count other things; the page has the figure of the one it was written with.
    assert abs(float(figure[1]) - 2.4) < 1


def test_no_owner_is_ever_given_by_the_plugin() -> None:
    """So that CAP_CHOWN and CAP_FOWNER are not needed: no key names an owner, no plan has one."""
    keys = {key for readers in (_PLUGIN, *_BY_KIND.values()) for key in readers}
    asked = [
        _planning(command, (PciAddress(0, 1, 0, 0),), decide).asked
        for command, decide in (("bind", plan_bind), ("unbind", plan_unbind))
    ]

    assert not keys & {"owner", "group", "mode", "uid", "gid"}
    assert [(one.owner, one.mode) for one in asked] == [(None, None)] * 2
    assert capabilities() == {"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"}


def test_no_module_is_loaded_and_no_privilege_gained_inside() -> None:
    """As the unit says to whoever configures bind = "on-demand"."""
    text = Path(unit_path(PLUGIN)).read_text()

    for line in ("NoNewPrivileges=yes", "ProtectKernelModules=yes", "ProtectSystem=strict", "UMask=0077"):
        assert f"\n{line}\n" in text
    assert "CAP_SYS_MODULE" not in capabilities()
    assert "CAP_SYS_ADMIN" not in capabilities()
