from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.libvirt.shapes import CASES, Case
from vfioctl.errors import HostCannotError, UsageError
from vfioctl.libvirt.devices import build, features
from vfioctl.libvirt.fragments import iommufd_element
from vfioctl.libvirt.installed import installed_version
from vfioctl.libvirt.value_rules import value_findings
from vfioctl.libvirt.version import FEATURES, Version, require

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vfioctl.libvirt.schema import Schema

RELEASES = (
    Version(9, 0), Version(9, 10), Version(10, 0), Version(10, 3), Version(11, 3), Version(11, 8),
    Version(12, 0), Version(12, 1), Version(12, 2), Version(12, 8),
)  # fmt: skip
# What a schema accepts although the release lacks it, or dates differ from the reference's.
SCHEMA_RELEASES = (Version(9, 0), Version(11, 3), Version(12, 8))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_option_is_accepted_from_its_release_on(case: Case) -> None:
    """Every builder, every option, every release: exactly as the reference's table."""
    assert list(value_findings(case.device)) == []
    for version in RELEASES:
        if version >= case.since:
            require(features(case.device), version)
            assert build(case.device) is not None
            continue
        with pytest.raises(HostCannotError) as caught:
            require(features(case.device), version)
        assert str(version) in caught.value.message
        assert str(Version(*case.since)) in caught.value.hint


@pytest.mark.parametrize("release", SCHEMA_RELEASES, ids=str)
def test_what_is_accepted_is_valid_by_the_schema_of_the_release(
    release: Version, schemas: Mapping[Version, Schema]
) -> None:
    """No fragment that a release's own schema refuses; and the schema refuses what it cannot know."""
    if release not in schemas:
        pytest.skip(
            f"no schema of libvirt {release} (9.0: package libvirt0; newer ones: make test fetches them)"
        )
    schema = schemas[release]
    for case in CASES:
        errors = schema.fragment_errors([build(case.device)])
        if release >= case.since:
            assert errors == [], case.name
        else:
            assert errors, f"{case.name}: the schema of {release} knows it already"


@pytest.mark.parametrize("release", SCHEMA_RELEASES, ids=str)
def test_iommufd_for_the_domain_is_of_12_2(release: Version, schemas: Mapping[Version, Schema]) -> None:
    """It stands beside <devices>."""
    if release >= (12, 2, 0):
        require(["domain-iommufd"], release)
    else:
        with pytest.raises(HostCannotError, match=r"since 12\.2\.0"):
            require(["domain-iommufd"], release)
    if release in schemas:
        assert (schemas[release].fragment_errors([iommufd_element()]) == []) == (release >= (12, 2, 0))


def test_every_feature_of_the_table_is_used_by_a_case() -> None:
    """A feature that no case asks for would be untested."""
    used = {name for case in CASES for name in features(case.device)}

    assert used | {"domain-iommufd"} == set(FEATURES)


@pytest.mark.parametrize(
    ("text", "version"),
    [("9.0", (9, 0, 0)), ("11.3.0", (11, 3, 0)), ("12.10.2", (12, 10, 2)), ("1.2.21", (1, 2, 21))],
)
def test_a_release_is_read(text: str, version: tuple[int, int, int]) -> None:
    """With or without the third number."""
    assert Version.parse(text) == version


@pytest.mark.parametrize("text", ["", "9", "v9.0", "9.0.0.1", "nine", "9.0-1", "9.0\n", "-1.2", "1000.0"])
def test_what_is_no_release_is_refused(text: str) -> None:
    """With the way to find out."""
    with pytest.raises(UsageError, match="not a release") as caught:
        Version.parse(text)
    assert "virsh --version" in caught.value.hint


def test_the_installed_release_is_told_by_the_library(tmp_path: Path) -> None:
    """libvirt.so.0.9000.0 is 9.0.0; the newest of several counts, and nothing is no release."""
    multiarch, plain = tmp_path / "lib" / "x86_64-linux-gnu", tmp_path / "lib64"
    multiarch.mkdir(parents=True)
    plain.mkdir()
    places = (str(tmp_path / "lib"), str(plain), str(tmp_path / "none"))
    assert installed_version(places) is None
    (plain / "libvirt.so.0").symlink_to("libvirt.so.0.x.0")
    assert installed_version(places) is None
    (multiarch / "libvirt.so.0").symlink_to("libvirt.so.0.9000.0")
    assert installed_version(places) == (9, 0, 0)
    (plain / "libvirt.so.0").unlink()
    (plain / "libvirt.so.0").symlink_to("/usr/lib64/libvirt.so.0.11003.2")
    assert installed_version(places) == (11, 3, 2)
