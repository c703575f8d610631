"""A function is reset by the kernel's own file, or it is said why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.factory import at
from vfioctl.apply.resetting import reset

if TYPE_CHECKING:
    from pathlib import Path

GPU, AUDIO = at("0000:01:00.0"), at("0000:01:00.1")


def test_each_function_is_reset(tmp_path: Path) -> None:
    """One write of a 1 each."""
    for address in (GPU, AUDIO):
        (tmp_path / str(address)).mkdir()
        (tmp_path / str(address) / "reset").write_text("")
    assert reset([GPU, AUDIO], str(tmp_path)) is None
    assert [(tmp_path / str(one) / "reset").read_text() for one in (GPU, AUDIO)] == ["1", "1"]


def test_what_cannot_be_reset_is_named(tmp_path: Path) -> None:
    """The kernel has the file only where it has a method; and a write can fail."""
    assert reset([GPU], str(tmp_path)) == "0000:01:00.0 has no way to be reset"
    (tmp_path / str(GPU) / "reset").mkdir(parents=True)
    assert reset([GPU], str(tmp_path)) == "0000:01:00.0: resetting it: Is a directory"
