"""The schemas of libvirt that are there: the installed one, and those that make test fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from vfioctl.libvirt.installed import installed_version
from vfioctl.libvirt.schema import load_schema
from vfioctl.libvirt.version import Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vfioctl.libvirt.schema import Schema

FETCHED: Final = Path(__file__).parent.parent.parent / "build" / "libvirt-schemas"


@pytest.fixture(scope="session")
def schemas() -> Mapping[Version, Schema]:
    """Return every schema that can be had, by its release."""
    found: dict[Version, Schema] = {}
    places = [(Version.parse(path.name), str(path)) for path in sorted(FETCHED.glob("*.*.*"))]
    installed = installed_version()
    if installed is not None:
        places.append((installed, "/usr/share/libvirt/schemas"))
    for version, folder in places:
        schema = load_schema(folder)
        if schema is not None:
            found[version] = schema
    return found


@pytest.fixture(scope="session")
def newest(schemas: Mapping[Version, Schema]) -> Schema:
    """Return the newest schema, or skip."""
    if not schemas or max(schemas) < Version(12, 2):
        pytest.skip("no schema of libvirt 12 (package libvirt-common; make test fetches it into build/)")
    return schemas[max(schemas)]
