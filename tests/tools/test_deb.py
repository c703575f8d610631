"""The Debian package: what it takes along, and what its scripts do; that it installs is shown in the lab."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING, Final

import pytest
from packaging.requirements import Requirement

from tools import deb, deb_libraries
from tools.generated import PROJECT
from vfioctl import __version__
from vfioctl.cli import unit
from vfioctl.export.cdi_files import FILE_NAME
from vfioctl.model import persisted
from vfioctl.sysfs.root import CDI_STATIC

if TYPE_CHECKING:
    from pathlib import Path

SCRIPTS: Final = {name: (deb.PARTS / name).read_text() for name in ("postinst", "prerm", "postrm")}


def test_all_that_the_program_needs_is_packed_and_new_enough() -> None:
    """As this environment has it, and nothing that only its developers need."""
    packed = {one.name: one.version for one in deb_libraries.bundled()}

    for text in metadata.requires("vfioctl") or ():
        wanted = Requirement(text)
        if wanted.marker is None:
            assert packed[wanted.name.lower()] in wanted.specifier, text
    assert "pytest" not in packed
    assert {"markdown-it-py", "mdurl", "pygments"} <= {*packed}  # what rich needs


@pytest.mark.parametrize(
    ("inside", "place"),
    [
        ("vfioctl/cli/main.py", "usr/lib/vfioctl/vfioctl/cli/main.py"),
        ("D/share/man/man8/vfioctl.8", "usr/share/man/man8/vfioctl.8"),
        ("D/share/zsh/site-functions/_vfioctl", "usr/share/zsh/vendor-completions/_vfioctl"),
        ("D/lib/systemd/system/vfioctl-cdi.service", "lib/systemd/system/vfioctl-cdi.service"),
    ],
)
def test_each_file_of_the_wheel_has_its_place(inside: str, place: str) -> None:
    """Debian's zsh looks elsewhere than zsh's own would."""
    assert str(deb._place(inside, "D/")) == place


def test_a_file_that_is_new_in_the_wheel_is_not_lost() -> None:
    """Nobody has said where it goes: the package is not made."""
    with pytest.raises(StopIteration):
        deb._place("D/share/info/vfioctl.info", "D/")


def test_nothing_is_enabled_or_started_by_installing() -> None:
    """What was stopped stays so; an upgrade starts anew only what runs."""
    asked = re.findall(r"systemctl (?:--system )?([a-z-]+)", SCRIPTS["postinst"])

    assert asked == ["daemon-reload", "try-restart"]


@pytest.mark.parametrize(
    "path",
    [
        persisted.FOLDER,
        persisted.SPLITS,
        persisted.MEDIATED,
        persisted.RULES,
        persisted.MODULES,
        persisted.UNIT,
        persisted.WANTED,
        f"{CDI_STATIC}/{FILE_NAME}",
        f"/run/cdi/{FILE_NAME}",
        "/run/vfioctl/journal",
    ],
)
def test_purge_removes_all_that_the_program_writes(path: str) -> None:
    """Wherever --persist and cdi have left something: by its name, or with its folder."""
    removed = re.findall(r"rm -r?f (.*)", SCRIPTS["postrm"].partition("purge)")[2])
    names = {name for line in removed for name in line.split()}

    assert any(path == name or path.startswith(f"{name}/") for name in names), path


@pytest.mark.parametrize("name", [unit.PLUGIN, unit.CDI])
def test_each_service_ends_with_its_package(name: str) -> None:
    """And is no longer started at boot."""
    assert re.search(rf"systemctl stop .*{re.escape(name)}", SCRIPTS["prerm"])
    assert re.search(rf"systemctl disable .*{re.escape(name)}", SCRIPTS["prerm"])


def test_the_time_that_is_written_is_that_of_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless somebody says another one, as builders of distributions do."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    released = deb.epoch()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    assert released % 86400 == 0
    assert deb.epoch() == 1700000000


def test_modes_and_times_are_the_same_whatever_the_umask(tmp_path: Path) -> None:
    """Programs can be run, the rest be read."""
    tree = tmp_path / "tree"
    program = tree / "usr/bin/vfioctl"
    program.parent.mkdir(parents=True, mode=0o700)
    program.touch(mode=0o600)
    (tree / "usr/data").touch(mode=0o666)

    deb._settle(tree)

    modes = {path.name: path.stat().st_mode & 0o777 for path in tree.rglob("*")}
    assert modes == {"usr": 0o755, "bin": 0o755, "vfioctl": 0o755, "data": 0o644}
    assert {path.stat().st_mtime for path in tree.rglob("*")} == {deb.epoch()}


def test_the_newest_release_of_the_changelog_is_this_one() -> None:
    """One version everywhere: the package's, the man pages', the changelog's."""
    newest = re.search(r"^## \[(\d[^]]*)\]", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert newest is not None
    assert newest[1] == __version__ == metadata.version("vfioctl")
