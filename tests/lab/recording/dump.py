"""The guest written as text, for the sample hosts of the ordinary tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import channel, cli

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.deadline(180)
def test_dump(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Save a redacted snapshot under the name of machine and kernel, and bring it back."""
    name = f"{request.config.getoption('--topology')}-{request.config.getoption('--kernel')}.txt"
    saved = cli.vfioctl("snapshot", "save", "--redact", str(tmp_path / name))
    assert saved.exit_code == 0, saved.stderr
    channel.bring_back(name, (tmp_path / name).read_bytes())
