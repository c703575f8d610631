"""What the tests of this room share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.descriptors import open_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> str:
    """Return where a state folder may be made."""
    return str(tmp_path / "run" / "vfioctl")


@pytest.fixture(autouse=True)
def no_descriptor_left() -> Iterator[None]:
    """No test of this room leaves an open file."""
    before = open_files()
    yield
    assert open_files() <= before
