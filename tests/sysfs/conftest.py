"""A machine to build on, for every test of the reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import HostTree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    """Return a machine without devices, in a folder of its own; what is added is on disk at once."""
    return HostTree(tmp_path / "host")
