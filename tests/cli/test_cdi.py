from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.export.cdi_rules import faults
from tests.model.factory import at
from vfioctl.cli import export_targets
from vfioctl.export.cdi import CdiDevice, CdiNode
from vfioctl.export.cdi_files import FILE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles

GPU, AUDIO, VF = "0000:02:00.0", "0000:02:00.1", "0000:05:02.2"


def names(text: str) -> list[str]:
    """Return the addresses of a printed specification, which is checked."""
    document = json.loads(text)
    assert faults(document) == []
    return [device["name"] for device in document["devices"]]


@pytest.mark.parametrize("host", ["sample", "server", "lab-6.12-cdev"])
def test_every_device_on_a_vfio_driver_is_described(host: str, ask: Ask, golden: GoldenFiles) -> None:
    """Without selectors: exactly those."""
    ended = ask("cdi", "generate", "--print", host=host)
    scan = ask("scan", "driver:vfio-pci", "--json", host=host).document

    assert ended.code == 0
    assert names(ended.out) == [device["address"] for device in scan["devices"]]
    golden.check(f"cdi/{host}.spec.json", ended.out)


def test_a_device_brings_its_group(ask: Ask) -> None:
    """The group's node opens all of it, so all of it gets names; --device-only leaves the rest."""
    whole = ask("cdi", "generate", "--print", GPU, host="sample")
    one = ask("cdi", "generate", "--print", "--device-only", GPU, host="sample")

    assert names(whole.out) == [GPU, AUDIO]
    assert names(one.out) == [GPU]
    assert f"also opens {AUDIO}" in one.err


@pytest.mark.parametrize(
    ("selector", "code", "words"),
    [
        ("01:00.0", 4, ["nvidia drives it", "hint: vfioctl bind 0000:01:00.0"]),
        ("01:00", 4, ["hint: vfioctl bind 0000:01:00.0 0000:01:00.1"]),
        ("05:02.3", 4, ["it has no driver", "vfioctl bind 0000:05:02.3"]),
        ("00:01.0", 5, ["it is a bridge"]),
        ("class:nvme", 4, ["none of these devices", "vfioctl bind 0000:03:00.0"]),
        ("99:00.0", 3, ["nothing here matches"]),
        ("usb:1-2", 2, ["names USB devices"]),
    ],
)
def test_what_cannot_be_given_is_refused_with_the_way(
    selector: str, code: int, words: list[str], ask: Ask
) -> None:
    """Nothing is printed that a container could not use."""
    ended = ask("cdi", "generate", "--print", selector, host="sample")

    assert (ended.code, ended.out) == (code, "")
    assert [word for word in words if word not in ended.err] == []


def test_of_a_broad_selector_the_unbound_are_left_out_and_named(ask: Ask) -> None:
    """class:gpu is a description, no order."""
    ended = ask("cdi", "generate", "--print", "class:gpu", host="sample")

    assert names(ended.out) == [GPU, AUDIO]
    assert "left out: 0000:01:00.0" in ended.err


def test_nodes_that_the_kernel_lacks_are_refused(ask: Ask) -> None:
    """--backend iommufd, where there is none."""
    ended = ask("cdi", "generate", "--print", "--backend", "iommufd", GPU, host="sample")

    assert ended.code == 5
    assert "no nodes for --backend iommufd" in ended.err


def test_written_listed_and_removed(ask: Ask, tmp_path: Path, golden: GoldenFiles) -> None:
    """The life of a file, as text and as documents."""
    folder = str(tmp_path / "cdi")

    def told(*words: str, host: str = "sample") -> tuple[int, str]:
        ended = ask("cdi", *words, "--dir", folder, host=host)
        return ended.code, (ended.out + ended.err).replace(folder, "DIR")

    written = told("generate", "--owner", "107:36", "--mode", "0660")
    again = told("generate", "--owner", "107:36", "--mode", "0660", "--json")
    listed, document = told("list"), told("list", "--json")
    other, other_document = told("list", host="server"), told("list", "--json", host="server")
    fewer = told("generate", "02:00.0")
    foreseen = told("remove", "-n"), told("remove", AUDIO, "-n", "--json")
    removed = told("remove", AUDIO, "--json", host="server")
    gone = told("remove", VF)
    rest, nothing = told("remove"), told("remove")

    codes = [one[0] for one in (written, again, listed, document, other, other_document, fewer, removed)]
    assert codes == [0, 0, 0, 0, 10, 10, 0, 0]
    assert (gone[0], rest[0], nothing) == (3, 0, (0, "note: nothing is stored\n"))
    assert "would be removed: 2 names" in foreseen[0][1]
    assert json.loads(foreseen[1][1]) == {**json.loads(removed[1]), "dry_run": True}
    assert json.loads(again[1])["result"] == "already"
    assert f"no longer in it: {VF}" in fewer[1]
    assert json.loads(removed[1])["removed"][0]["address"] == AUDIO
    assert not (tmp_path / "cdi" / FILE_NAME).exists()
    golden.check("cdi/generate.txt", written[1])
    golden.check("cdi/generate.json", again[1])
    golden.check("cdi/list.txt", listed[1])
    golden.check("cdi/list.json", document[1])
    golden.check("cdi/list-stale.txt", other[1])
    golden.check("cdi/list-stale.json", other_document[1])


def test_a_snapshot_is_never_stored_on_this_machine(ask: Ask) -> None:
    """What is true of another host would be wrong here."""
    for words in (["generate"], ["generate", "--static"], ["remove"]):
        ended = ask("cdi", *words, host="sample")

        assert ended.code == 2
        assert "not this host" in ended.err


def test_a_file_that_is_not_understood_is_no_empty_one(ask: Ask, tmp_path: Path) -> None:
    """Unknown is not fine."""
    (tmp_path / FILE_NAME).write_text("{")

    ended = ask("cdi", "list", "--dir", str(tmp_path), host="sample")

    assert ended.code == 10
    assert "could not be understood" in ended.err


def test_without_any_device_a_file_goes(ask: Ask, tmp_path: Path) -> None:
    """As after `unbind`: a specification must have a device."""
    folder = str(tmp_path / "cdi")
    ask("cdi", "generate", "--dir", folder, host="sample")

    first = ask("cdi", "generate", "--dir", folder, host="laptop")
    second = ask("cdi", "generate", "--dir", folder, "--json", host="laptop")

    assert (first.code, second.code) == (0, 0)
    assert "was removed" in first.err
    assert second.document["result"] == "already"


def test_two_places_at_once_are_refused(ask: Ask) -> None:
    """--dir says where, --static too."""
    assert ask("cdi", "generate", "--static", "--dir", "/x").code == 2


def test_a_node_that_is_announced_and_missing_is_said() -> None:
    """A runtime would refuse to start the container."""
    device = CdiDevice(at("65:00.0"), (CdiNode("/dev/null"), CdiNode("/dev/vfio/devices/none")))

    (finding,) = export_targets._missing_nodes([device])
    assert "/dev/vfio/devices/none is not there" in finding.message
