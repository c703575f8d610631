"""Where packages come from: the system's own apt sources, in both of their forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab import packages
from tests.lab.errors import LabUnavailableError
from tests.lab.packages import Source

if TYPE_CHECKING:
    from pathlib import Path

DEB822 = """\
# a comment
Types: deb
URIs: http://mirror.example/other
Suites: nodistro
Components: main

Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /keys/debian.gpg
"""
ONE_LINE = """\
deb http://mirror.example/vendor packages main
# deb http://mirror.example/off bookworm main
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/keys/debian.gpg] http://mirror.example/debian bookworm main contrib
"""


def system(folder: Path, name: str, text: str) -> Path:
    """Make an /etc/apt with one file of sources."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "text", "suites"),
    [
        ("sources.list.d/debian.sources", DEB822, {"bookworm", "bookworm-updates"}),
        ("sources.list", ONE_LINE, {"bookworm"}),
    ],
)
def test_mirror_and_key_are_those_of_the_system(
    tmp_path: Path, name: str, text: str, suites: set[str]
) -> None:
    """Other archives and lines that are switched off do not count."""
    found = packages.debian_source(system(tmp_path, name, text))
    assert found == Source("http://mirror.example/debian", frozenset(suites), "/keys/debian.gpg")


def test_a_system_without_a_debian_archive_cannot_run_the_lab(tmp_path: Path) -> None:
    """There is no mirror in the project to fall back on."""
    with pytest.raises(LabUnavailableError, match="no Debian archive"):
        packages.debian_source(
            system(tmp_path, "sources.list", "deb http://mirror.example/x nodistro main\n")
        )


def test_a_switched_off_stanza_is_no_source(tmp_path: Path) -> None:
    """`Enabled: no` is how apt itself switches one off."""
    text = DEB822.replace("Suites: bookworm", "Enabled: no\nSuites: bookworm")
    with pytest.raises(LabUnavailableError):
        packages.debian_source(system(tmp_path, "sources.list.d/debian.sources", text))


def test_private_sources_name_our_suites_in_the_systems_archive() -> None:
    """The stable suite and its backports, whatever the system itself uses."""
    text = packages.private_sources(Source("http://mirror.example/debian", frozenset({"trixie"}), "/k.gpg"))
    assert "URIs: http://mirror.example/debian\n" in text
    assert "Suites: bookworm bookworm-backports\n" in text
    assert "Signed-By: /k.gpg\n" in text


def test_a_key_inside_the_sources_file_is_carried_along(tmp_path: Path) -> None:
    """deb822 allows a whole key block as the value."""
    text = DEB822.replace(" /keys/debian.gpg", "\n -----BEGIN PGP-----\n .\n abc")
    found = packages.debian_source(system(tmp_path, "sources.list.d/debian.sources", text))
    assert found.signed_by.splitlines()[-1] == " abc"
    assert packages.private_sources(found).endswith(" abc\n")
