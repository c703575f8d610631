"""Archives for the kernel: the form that it unpacks as its first file system."""

from __future__ import annotations

import io
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.lab import cpio

if TYPE_CHECKING:
    from pathlib import Path


def fields(data: bytes, offset: int) -> list[int]:
    """Read the thirteen hexadecimal fields of an entry's head."""
    return [int(data[offset + 6 + 8 * index : offset + 14 + 8 * index], 16) for index in range(13)]


def test_an_entry_has_its_name_mode_and_content_aligned_to_four_bytes() -> None:
    """As in the kernel's own description of the format."""
    stream = io.BytesIO()
    cpio.write_archive(stream, [cpio.file_entry("init", b"hello", 0o755)])
    data = stream.getvalue()
    head = fields(data, 0)
    assert data[:6] == b"070701"
    assert (head[1], head[6], head[11]) == (0o100755, 5, 5)
    assert data[110:115] == b"init\0"
    assert data[116:121] == b"hello"
    assert data[124:130] == b"070701"
    assert len(data) % cpio.BLOCK == 0


def test_everything_belongs_to_root() -> None:
    """Whoever made the archive: nobody else exists in the guest."""
    stream = io.BytesIO()
    cpio.write_archive(stream, [cpio.folder_entry("a")])
    assert fields(stream.getvalue(), 0)[2:4] == [0, 0]


def test_a_tree_comes_with_links_as_links_and_folders_first(tmp_path: Path) -> None:
    """The kernel makes each entry where its folder already is."""
    tree = tmp_path / "tree"
    (tree / "b/c").mkdir(parents=True)
    (tree / "b/c/file").write_bytes(b"x")
    (tree / "a").symlink_to("b/c/file")
    entries = list(cpio.tree_entries(tree, "top/sub"))
    assert [entry.name for entry in entries] == [
        "top",
        "top/sub",
        "top/sub/a",
        "top/sub/b",
        "top/sub/b/c",
        "top/sub/b/c/file",
    ]
    assert entries[2].data == b"b/c/file"


@pytest.mark.skipif(shutil.which("cpio") is None, reason="there is no cpio to read the archive with")
def test_the_ordinary_cpio_reads_it(tmp_path: Path) -> None:
    """An independent reader of the format."""
    stream = io.BytesIO()
    cpio.write_archive(stream, [cpio.folder_entry("d"), cpio.file_entry("d/f", b"content")])
    subprocess.run(["cpio", "-id"], input=stream.getvalue(), cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "d/f").read_bytes() == b"content"
