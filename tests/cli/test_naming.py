"""`serve-plugin` with `cdi = true`: a name that the kubelet is answered with is one that a runtime knows."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from tests.export.cdi_rules import faults
from tests.plugin.factory import given, machine
from tests.plugin.kubelet.pods import pod
from tests.plugin.serving_host import serving_host
from vfioctl.cli.naming import Specification
from vfioctl.export.cdi import Access, CdiDevice, CdiNode, cdi_device
from vfioctl.export.cdi_files import FILE_NAME, read_stored, store
from vfioctl.export.nodes import Backend
from vfioctl.plugin.naming import Named
from vfioctl.plugin.settings import Backend as Wanted

if TYPE_CHECKING:
    from pathlib import Path

    from vfioctl.model.device import PciDevice

ONE = given("0000:65:00.0", 7, vfio_cdev="/dev/vfio/devices/vfio3")
TWO = given("0000:66:00.0", 8)
GONE = ONE._replace(driver="nvidia", vfio_group_node=None, vfio_cdev=None)
BOTH = machine(ONE, TWO)
QEMU = Access(107, 36, 0o660)


def wanted(*devices: PciDevice, backend: Wanted = Wanted.LEGACY) -> tuple[Named, ...]:
    """Return the names of devices."""
    return tuple(Named(device.address, backend) for device in devices)


def stored(folder: Path) -> dict[str, list[str]]:
    """Return the names on disk with their nodes; the file is valid."""
    found = read_stored(str(folder))
    if found is None:
        return {}
    assert faults(json.loads((folder / FILE_NAME).read_text())) == []
    return {str(device.address): [node.path for node in device.nodes] for device in found.devices}


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Return the folder that is written, and that of what lasts."""
    return tmp_path / "run", tmp_path / "etc"


@pytest.fixture
def specification(places: tuple[Path, Path]) -> Specification:
    """Return what completes them."""
    return Specification(*map(str, places))


def test_names_are_there_once_they_were_asked_for(
    specification: Specification, places: tuple[Path, Path]
) -> None:
    """With the nodes of the resource's backend; a second time writes nothing."""
    assert specification(BOTH, wanted(ONE)) is None
    before = (places[0] / FILE_NAME).stat()
    assert specification(BOTH, wanted(ONE)) is None
    assert (places[0] / FILE_NAME).stat() == before
    assert specification(BOTH, wanted(TWO)) is None

    assert stored(places[0]) == {
        "0000:65:00.0": ["/dev/vfio/vfio", "/dev/vfio/7"],
        "0000:66:00.0": ["/dev/vfio/vfio", "/dev/vfio/8"],
    }
    assert specification(BOTH, wanted(ONE, backend=Wanted.IOMMUFD)) is None
    assert stored(places[0])["0000:65:00.0"] == ["/dev/vfio/devices/vfio3", "/dev/iommu"]


def test_what_others_stored_stays_with_its_owner(
    specification: Specification, places: tuple[Path, Path]
) -> None:
    """`cdi generate --owner` says whose the nodes are, whatever they are called now."""
    folder = str(places[0])
    other = CdiDevice(TWO.address, (CdiNode("/dev/vfio/99"),))
    store(folder, [cdi_device(ONE._replace(vfio_group_node="/dev/vfio/5"), Backend.LEGACY, QEMU), other])

    assert specification(BOTH, wanted(ONE)) is None

    found = read_stored(folder)
    assert found is not None
    assert found.devices == (cdi_device(ONE, Backend.LEGACY, QEMU), other)


def test_what_lasts_is_not_written_again(specification: Specification, places: tuple[Path, Path]) -> None:
    """A name in /etc/cdi is known; one in /var/run/cdi would outrank it, without its owner."""
    store(str(places[1]), [cdi_device(ONE, Backend.LEGACY, QEMU)])

    assert specification(BOTH, wanted(ONE)) is None
    assert stored(places[0]) == {}
    assert specification(BOTH, wanted(ONE, TWO)) is None
    assert list(stored(places[0])) == ["0000:66:00.0"]


def test_a_name_of_ours_goes_when_its_device_does(
    specification: Specification, places: tuple[Path, Path]
) -> None:
    """The host's driver has it again; what somebody else stored is his to remove."""
    store(str(places[0]), [CdiDevice(TWO.address, (CdiNode("/dev/vfio/99"),))])
    specification(BOTH, wanted(ONE))

    assert specification(machine(GONE, TWO), ()) is None

    assert list(stored(places[0])) == ["0000:66:00.0"]


def test_a_device_that_is_bound_on_demand_has_the_node_to_come(
    specification: Specification, places: tuple[Path, Path]
) -> None:
    """The runtime reads the specification after the answer, and the node is there by then."""
    assert specification(machine(GONE), wanted(GONE)) is None
    assert stored(places[0]) == {"0000:65:00.0": ["/dev/vfio/vfio", "/dev/vfio/7"]}


NIC = "foo.com/nic"
RESOURCE = f'[[resource]]\nname = "{NIC}"\nselect = ["driver:vfio-pci"]\ncdi = true\nbackend = "legacy"\n'


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose path leaves room for sockets."""
    return tmp_path_factory.mktemp("k")


def test_the_kubelet_is_answered_with_names_that_are_on_disk(place: Path) -> None:
    """Before it is asked, after somebody removed them, and never nodes beside them."""
    cdi = place / "cdi"
    names = Specification(str(cdi), str(place / "none"))

    async def run() -> None:
        async with serving_host(place, BOTH, RESOURCE, names) as stage:
            assert list(stored(cdi)) == ["0000:65:00.0", "0000:66:00.0"]
            (cdi / FILE_NAME).unlink()
            answers = await stage.answers(pod("one", {NIC: 2}))
            given = sorted(device.name for device in answers[NIC].cdi_devices)
            assert given == ["vfioctl.io/vfio=0000:65:00.0", "vfioctl.io/vfio=0000:66:00.0"]
            assert list(answers[NIC].devices) == []
            assert list(stored(cdi)) == ["0000:65:00.0", "0000:66:00.0"]

    asyncio.run(run())


def test_a_name_that_cannot_be_made_known_is_not_handed_out(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The pod's status says why; the container would not have started."""
    (place / "cdi").write_text("a file where the folder should be")
    names = Specification(str(place / "cdi"), str(place / "none"))

    async def run() -> None:
        async with serving_host(place, BOTH, RESOURCE, names) as stage:
            one = await stage.kubelet.admit(pod("one", {NIC: 1}))
            assert one.phase == "Failed"
            assert one.message is not None
            assert "could not be written" in one.message
            assert "vfioctl.io/vfio=0000:6" in one.message

    asyncio.run(run())
    assert "no pod can be given a device by name" in caplog.text
