from __future__ import annotations

import copy
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.export.cdi_rules import faults, least_version
from tests.model.factory import at, make_device, make_host
from vfioctl.errors import NotPermittedError, VfioctlError
from vfioctl.export.cdi import (
    Access,
    CdiDevice,
    CdiNode,
    cdi_device,
    read_spec,
    spec_document,
    spec_text,
    why_stale,
)
from vfioctl.export.cdi_files import FILE_NAME, read_stored, store
from vfioctl.export.nodes import Backend
from vfioctl.model.address import PciAddress

if TYPE_CHECKING:
    from pathlib import Path

    from vfioctl.model.device import PciDevice

BOUND = make_device(
    "65:00.0", driver="vfio-pci", vfio_group_node="/dev/vfio/1", vfio_cdev="/dev/vfio/devices/vfio3"
)

ids = st.none() | st.integers(0, 0xFFFFFFFE)
accesses = st.builds(Access, ids, ids, st.none() | st.integers(0, 0o777))
addresses = st.builds(
    PciAddress, st.integers(0, 0x9FFF), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7)
)
devices = st.lists(
    st.builds(
        lambda address, group, cdev, backend, access: cdi_device(
            make_device(
                str(address),
                driver="vfio-pci",
                vfio_group_node=f"/dev/vfio/{group}",
                vfio_cdev=None if cdev is None else f"/dev/vfio/devices/vfio{cdev}",
            ),
            backend,
            access,
        ),
        addresses,
        st.integers(0, 500),
        st.none() | st.integers(0, 500),
        st.sampled_from([Backend.AUTO, Backend.LEGACY]),
        accesses,
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda device: device.address,
)


@given(devices)
def test_a_specification_is_valid_of_the_lowest_release_and_reads_back(made: list[CdiDevice]) -> None:
    """What is stored is what a strict runtime takes, and what `cdi list` reads."""
    document = json.loads(spec_text(made))

    assert faults(document) == []
    assert document["cdiVersion"] == least_version(document)
    assert read_spec(spec_text(made)) == tuple(made)


@pytest.mark.parametrize(
    ("backend", "nodes"),
    [
        ("auto", ["/dev/vfio/vfio", "/dev/vfio/1", "/dev/vfio/devices/vfio3", "/dev/iommu"]),
        ("legacy", ["/dev/vfio/vfio", "/dev/vfio/1"]),
        ("iommufd", ["/dev/vfio/devices/vfio3", "/dev/iommu"]),
    ],
)
def test_a_backend_has_its_nodes(backend: str, nodes: list[str]) -> None:
    """Kata refuses both at once; everybody else may choose inside."""
    assert [node.path for node in cdi_device(BOUND, Backend(backend), Access()).nodes] == nodes


def test_owner_and_mode_are_those_of_the_devices_nodes_alone() -> None:
    """/dev/vfio/vfio is everybody's already; a group's numbers are left to the runtime."""
    made = cdi_device(BOUND, Backend.LEGACY, Access(107, 36, 0o660))

    (device,) = spec_document([made])["devices"]
    assert device["containerEdits"]["deviceNodes"] == [
        {"path": "/dev/vfio/vfio", "type": "c", "permissions": "rw"},
        {"path": "/dev/vfio/1", "type": "c", "permissions": "rw", "fileMode": 432, "uid": 107, "gid": 36},
    ]
    assert made.name == "vfioctl.io/vfio=0000:65:00.0"


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (BOUND, None),
        (BOUND._replace(vfio_group_node="/dev/vfio/9"), "/dev/vfio/9"),
        (BOUND._replace(vfio_cdev="/dev/vfio/devices/vfio4"), "vfio4"),
        (BOUND._replace(driver="nvidia"), "nvidia has it now"),
        (BOUND._replace(driver=None), "no driver has it now"),
        (make_device("66:00.0"), "no such device any more"),
    ],
    ids=["current", "group", "cdev", "driver", "driverless", "gone"],
)
def test_what_no_longer_holds_is_said(now: PciDevice, why: str | None) -> None:
    """Groups and nodes are numbered anew."""
    said = why_stale(make_host(now), cdi_device(BOUND, Backend.AUTO, Access()))

    assert said is None if why is None else why in (said or "")


def test_each_rule_of_the_checker_can_fail() -> None:
    """A validator that accepts everything would prove nothing."""
    good = spec_document([cdi_device(BOUND, Backend.LEGACY, Access())])

    def broken(path: tuple[Any, ...], value: object) -> list[str]:
        document: Any = copy.deepcopy(good)
        place = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        return faults(document)

    node = ("devices", 0, "containerEdits", "deviceNodes", 0)
    assert faults(good) == []
    assert broken(("cdiVersion",), "9") == ["no release"]
    assert broken(("kind",), "vfio") == ["no kind"]
    assert broken(("devices",), []) == ["no devices"]
    assert broken(("devices", 0, "name"), "-a") == ["no name"]
    assert broken(("extra",), 1) == ["document has an unknown extra"]
    assert broken((*node, "major"), "0") == ["node has a major of another type"]
    assert broken((*node, "fileMode"), 0o1777) == ["fileMode out of range"]
    assert broken((*node, "path"), "relative") == ["no path"]
    assert broken((*node, "permissions"), "x") == ["no permissions"]


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"kind": "vfioctl.io/vfio"}', "[" * 100000,
        '{"kind": "vfioctl.io/vfio", "devices": [1]}',
        '{"kind": "vfioctl.io/vfio", "devices": [{"name": "gpu0", "containerEdits": {"deviceNodes": []}}]}',
        '{"kind": "vfioctl.io/vfio", "devices": [{"name": "65:00.0", "containerEdits": {}}]}',
    ],
    ids=range(8),
)  # fmt: skip
def test_what_is_no_specification_of_ours_is_said_and_stays(text: str, tmp_path: Path) -> None:
    """Unknown is not "nothing stored"."""
    (tmp_path / FILE_NAME).write_text(text)

    found = read_stored(str(tmp_path))

    assert found is not None
    assert found.devices == ()
    assert found.problem is not None


def test_storing_replaces_removes_and_is_idempotent(tmp_path: Path) -> None:
    """A second time changes nothing, not even the file; without devices there is no file."""
    folder = tmp_path / "made" / "cdi"
    made = [CdiDevice(at("65:00.0"), (CdiNode("/dev/vfio/1"),))]

    first = store(str(folder), made)
    before = os.stat(folder / FILE_NAME)
    again = store(str(folder), made)

    assert (first, again) == (True, False)
    assert os.stat(folder / FILE_NAME) == before
    assert before.st_mode & 0o777 == 0o644
    assert os.listdir(folder) == [FILE_NAME]
    assert (store(str(folder), []), store(str(folder), [])) == (True, False)
    assert read_stored(str(folder)) is None


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime never reads a half; nothing is left behind."""
    folder = tmp_path / "cdi"
    old = [CdiDevice(at("65:00.0"), (CdiNode("/dev/vfio/1"),))]
    store(str(folder), old)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(VfioctlError, match="No space left"):
        store(str(folder), [CdiDevice(at("66:00.0"), (CdiNode("/dev/vfio/2"),))])

    assert os.listdir(folder) == [FILE_NAME]
    assert read_stored(str(folder)) == (str(folder / FILE_NAME), tuple(old), None)


def test_a_folder_that_may_not_be_written_says_what_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 6, and the way without root."""

    def denied(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "makedirs", denied)
    with pytest.raises(NotPermittedError) as caught:
        store(str(tmp_path / "none"), [CdiDevice(at("65:00.0"), (CdiNode("/dev/vfio/1"),))])

    assert "--print" in caught.value.hint
