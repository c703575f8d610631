from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from tools.pci_ids import main, packed, version

if TYPE_CHECKING:
    from pathlib import Path

DATABASE = (
    b"#\n#\tVersion: 2023.04.10\n\n10de  NVIDIA Corporation\n\t2204  GA102\n\nC 02  Network controller\n"
)


def test_the_packaged_copy_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    """It decompresses, says its version and goes on to its end; no network is asked."""
    assert main(["--check"]) == 0
    assert "version 20" in capsys.readouterr().out


def test_equal_input_gives_equal_bytes() -> None:
    """Without a time in its header the copy is the same wherever it is made."""
    assert packed(DATABASE) == packed(DATABASE)
    assert packed(DATABASE)[4:8] == b"\0\0\0\0"


def test_a_copy_is_made_and_then_found_sound(tmp_path: Path) -> None:
    """From the file that is given."""
    source, copy = tmp_path / "pci.ids", tmp_path / "pci.ids.gz"
    source.write_bytes(DATABASE)
    assert main(["--source", str(source), "--copy", str(copy)]) == 0
    assert gzip.decompress(copy.read_bytes()) == DATABASE
    assert main(["--check", "--copy", str(copy)]) == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", packed(DATABASE)[:-20], gzip.compress(b"# nothing\n"), gzip.compress(DATABASE[:60])],
    ids=["empty", "no gzip", "cut off", "no entry", "too short"],
)
def test_a_damaged_copy_is_told(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1, and what makes it anew."""
    copy = tmp_path / "pci.ids.gz"
    copy.write_bytes(content)
    assert main(["--check", "--copy", str(copy)]) == 1
    assert "python -m tools.pci_ids" in capsys.readouterr().err
    assert copy.read_bytes() == content


def test_what_is_no_database_is_not_packed(tmp_path: Path) -> None:
    """The copy that is there stays."""
    source, copy = tmp_path / "pci.ids", tmp_path / "pci.ids.gz"
    source.write_bytes(b"something else\n")
    copy.write_bytes(b"before")
    assert main(["--source", str(source), "--copy", str(copy)]) == 1
    assert main(["--source", str(tmp_path / "absent"), "--copy", str(copy)]) == 1
    assert copy.read_bytes() == b"before"


def test_a_version_is_read_from_the_header() -> None:
    """As the project writes it."""
    assert version(DATABASE) == "2023.04.10"
