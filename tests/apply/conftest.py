"""What the tests of this room share."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

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
    before = _open_files()
    yield
    # What an earlier test left to the garbage collector may go meanwhile.
    assert _open_files() <= before


def _open_files() -> set[tuple[str, str]]:
    """Return descriptors with what they are of; anonymous ones come and go with gRPC's threads."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        # The listing's own is gone by now.
        with suppress(FileNotFoundError):
            found.add((name, os.readlink(f"/proc/self/fd/{name}")))
    return {(name, target) for name, target in found if not target.startswith("anon_inode:")}
