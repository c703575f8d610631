from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.libvirt.domains import domain
from tests.libvirt.shapes import GPU
from tests.model.factory import make_host
from vfioctl.errors import VfioctlError
from vfioctl.libvirt import judge as judging
from vfioctl.libvirt.check import check_domain
from vfioctl.libvirt.judge import Judge, check_devices
from vfioctl.libvirt.schema import load_schema
from vfioctl.libvirt.source import parse_source
from vfioctl.libvirt.text import element
from vfioctl.libvirt.values import PciHostdev
from vfioctl.libvirt.version import Version

if TYPE_CHECKING:
    from pathlib import Path

    from vfioctl.libvirt.schema import Schema

GRAMMAR = """<grammar xmlns="http://relaxng.org/ns/structure/1.0"><start>{}</start></grammar>"""


def schema_of(folder: Path, grammar: str) -> Schema | None:
    """Load a schema of one's own."""
    (folder / "domain.rng").write_text(grammar)
    return load_schema(str(folder))


def test_a_schema_that_is_missing_or_broken_is_none(tmp_path: Path) -> None:
    """Then the rules have to do; nothing is fetched for it."""
    broken = tmp_path / "broken"
    far = tmp_path / "far"
    broken.mkdir()
    far.mkdir()

    assert load_schema(str(tmp_path / "nowhere")) is None
    assert schema_of(broken, "<grammar") is None
    assert schema_of(far, GRAMMAR.format("<externalRef href='http://127.0.0.1:1/x.rng'/>")) is None


def test_what_a_schema_refuses_is_never_printed(tmp_path: Path) -> None:
    """Even if it is the schema that is wrong: then a person has to look."""
    schema = schema_of(tmp_path, GRAMMAR.format("<element name='other'><empty/></element>"))
    assert schema is not None

    with pytest.raises(VfioctlError, match=r"refuses what was made of 0000:65:00\.0"):
        check_devices(
            make_host(), [PciHostdev(GPU, managed=True)], Judge(Version(9, 0), schema, Version(9, 0))
        )
    assert schema.errors(element("other")) == []


def test_a_file_that_is_not_valid_is_told_in_a_check(tmp_path: Path) -> None:
    """It may start all the same: libvirt does not validate unless asked."""
    schema = schema_of(tmp_path, GRAMMAR.format("<element name='other'><empty/></element>"))

    found = check_domain(
        parse_source("vm.xml", domain().encode()),
        make_host(),
        (),
        Judge(Version(9, 0), schema, Version(9, 0)),
    ).findings

    assert {(one.check, one.severity) for one in found} == {("schema", "warn")}


def test_the_release_is_the_one_asked_for_else_the_installed_else_9_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In that order."""
    monkeypatch.setattr(judging, "load_schema", lambda: None)
    monkeypatch.setattr(judging, "installed_version", lambda: Version(11, 3))
    assert judging.judge_for(Version(12, 8)).target == (12, 8, 0)
    assert judging.judge_for(None).target == (11, 3, 0)
    monkeypatch.setattr(judging, "installed_version", lambda: None)
    assert judging.judge_for(None).target == (9, 0, 0)
