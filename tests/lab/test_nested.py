"""What is packed for a guest that runs virtual machines itself."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from tests.lab import nested

if TYPE_CHECKING:
    from pathlib import Path


def test_a_library_keeps_its_full_name_which_tells_the_release(tmp_path: Path) -> None:
    """As `libvirt.so.0 -> libvirt.so.0.9000.0`; a program is one file."""
    (tmp_path / nested.LIBRARIES).mkdir(parents=True)
    (tmp_path / nested.LIBRARIES / "libone.so.0.9000.0").write_bytes(b"library")
    (tmp_path / nested.LIBRARIES / "libone.so.0").symlink_to("libone.so.0.9000.0")

    link, library = nested.files(tmp_path, str(nested.LIBRARIES / "libone.so.0"))
    assert stat.S_ISLNK(link.mode)
    assert link.data == b"libone.so.0.9000.0"
    assert (library.name, library.data) == (str(nested.LIBRARIES / "libone.so.0.9000.0"), b"library")
    assert [one.name for one in nested.files(tmp_path, library.name)] == [library.name]
