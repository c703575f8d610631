"""Files in /etc: all of them or none, whole, with the mode they had."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from vfioctl.apply.files import change_files
from vfioctl.apply.lock import locked
from vfioctl.apply.settings import Settings
from vfioctl.errors import LockedError, VfioctlError
from vfioctl.plan.persist import FileChange
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from pathlib import Path

DEVICE, RULES = "/etc/vfioctl/devices.d/0000:65:00.0.toml", "/etc/udev/rules.d/40-vfioctl.rules"


def there(root: Path) -> dict[str, str]:
    """Return every file below a folder with its text."""
    return {f"/{path.relative_to(root)}": path.read_text() for path in root.rglob("*") if path.is_file()}


def change(root: Path, state: str, *changes: FileChange) -> None:
    """Change files below a folder."""
    change_files(lambda: changes, Settings(state=state, lock_timeout=0.0), HostRoot(str(root)))


def test_files_come_and_go_without_a_trace(tmp_path: Path, state: str) -> None:
    """Everybody may read them; the folders that are vfioctl's own go with the last file."""
    root = tmp_path / "host"
    (root / "etc/udev/rules.d").mkdir(parents=True)
    before = sorted(root.rglob("*"))

    change(root, state, FileChange(DEVICE, "a\n"), FileChange(RULES, "b\n"))
    between, mode = there(root), (root / RULES[1:]).stat().st_mode & 0o777
    change(root, state, FileChange(DEVICE, None), FileChange(RULES, None))

    assert (between, mode) == ({DEVICE: "a\n", RULES: "b\n"}, 0o644)
    assert sorted(root.rglob("*")) == before


def test_a_file_keeps_its_mode(tmp_path: Path, state: str) -> None:
    """What an administrator has set stays, also for a file behind a link."""
    root = tmp_path / "host"
    kept = root / "elsewhere.rules"
    (root / "etc/udev/rules.d").mkdir(parents=True)
    kept.write_text("old\n")
    kept.chmod(0o640)
    (root / RULES[1:]).symlink_to(kept)

    change(root, state, FileChange(RULES, "new\n"))

    assert (kept.read_text(), kept.stat().st_mode & 0o777) == ("new\n", 0o640)
    assert (root / RULES[1:]).is_symlink()


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_all_or_nothing(tmp_path: Path, state: str, monkeypatch: pytest.MonkeyPatch, broken: int) -> None:
    """Whichever file fails, those before it are as they were, and no draft is left."""
    root = tmp_path / "host"
    change(root, state, FileChange(RULES, "old\n"))
    before, count, rename = there(root), iter(range(100)), os.rename

    def failing(source: str, target: str) -> None:
        if next(count) == broken:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr("vfioctl.apply.files.os.rename", failing)

    with pytest.raises(VfioctlError, match="No space left on device"):
        change(root, state, FileChange(DEVICE, "a\n"), FileChange(RULES, "b\n"), FileChange("/etc/c", "c\n"))

    assert there(root) == before
    assert not (root / "etc/vfioctl").exists()


def test_another_vfioctl_is_waited_for(tmp_path: Path, state: str) -> None:
    """Two that store at a time would each forget what the other stored."""
    with locked(state, 0.0), pytest.raises(LockedError):
        change(tmp_path / "host", state, FileChange(DEVICE, "a\n"))

    assert not (tmp_path / "host").exists()
