"""Folders that are short enough for sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of this test's own whose path leaves room: a socket's has 107 bytes at most."""
    return tmp_path_factory.mktemp("k")
