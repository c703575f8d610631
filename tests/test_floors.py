"""The floors of docs/architecture.md, as import-linter contracts in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

PROJECT: Final = Path(__file__).parent.parent

INTRUDERS: Final = {
    "floors": {
        "model/intruder.py": "import vfioctl.sysfs",
        "render/intruder.py": "import vfioctl.sysfs.reader, vfioctl.export",
        "plan/__init__.py": "import vfioctl.sysfs",
        "export/__init__.py": "",
        "utils/__init__.py": "",
    },
    "click": {"model/asks.py": "from click import echo"},
    "rich": {"sysfs/colours.py": "from rich.text import Text"},
    "lxml": {"cli/xml.py": "def f():\n    from lxml import etree"},
    "yaml": {"cli/manifests.py": "def f():\n    import yaml"},
    "grpc": {"cli/serve.py": "import grpc.aio", "render/proto.py": "from google.protobuf import message"},
    "prometheus": {"cli/counts.py": "import prometheus_client"},
    "pyudev": {"sysfs/events.py": "import pyudev"},
}
"""Contract: modules that break it."""


def lint_imports(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the vfioctl package of a folder, with the contracts of this project."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(
        [*command, "--config", str(PROJECT / "pyproject.toml")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what import-linter says about a copy of the package that breaks every contract."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(PROJECT / "vfioctl", folder / "vfioctl", ignore=shutil.ignore_patterns("__pycache__"))
    for modules in INTRUDERS.values():
        for name, text in modules.items():
            path = folder / "vfioctl" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{text}\n")
    ended = lint_imports(folder, {**os.environ, "PYTHONPATH": str(folder)})
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stdout


def test_every_floor_imports_only_floors_below() -> None:
    """The contracts hold for the package as it is."""
    ended = lint_imports(PROJECT, dict(os.environ))

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"Contracts: {len(INTRUDERS)} kept, 0 broken." in ended.stdout


@pytest.mark.parametrize("contract", INTRUDERS)
def test_every_contract_can_break(broken: str, contract: str) -> None:
    """A contract that nothing can break protects nothing: each names each intruder."""
    for name, text in INTRUDERS[contract].items():
        module = "vfioctl." + name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

        assert not text or f"{module} -> " in broken


def test_a_new_room_must_be_given_a_floor(broken: str) -> None:
    """The layers are exhaustive."""
    assert "not listed as layers:\n\n- vfioctl.utils\n" in broken
