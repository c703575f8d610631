from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.factory import make_device, make_host, make_port
from vfioctl.export.readiness import State, group_findings, node_findings, readiness, with_groups

if TYPE_CHECKING:
    from vfioctl.model.device import PciDevice

PORT = make_port("00:01.0")
BOUND = make_device("01:00.0", driver="vfio-pci", vfio_group_node="/dev/vfio/1", parent="00:01.0")
SOUND = make_device("01:00.1", driver="snd_hda_intel", parent="00:01.0")


def test_a_sibling_on_a_driver_of_the_host_is_what_keeps_the_container_from_it() -> None:
    """The node is there and opening it fails (K20): said before the container is started."""
    host = make_host(PORT, BOUND, SOUND)

    (finding,) = group_findings(host, [BOUND])

    assert (finding.check, finding.severity) == ("viability", "warn")
    assert "not viable because of 0000:01:00.1" in finding.message
    assert finding.hint == "vfioctl bind 0000:01:00.0"


def test_siblings_that_come_along_are_named() -> None:
    """Whoever has the node of a group has all of it."""
    sibling = SOUND._replace(driver="vfio-pci", vfio_group_node="/dev/vfio/1")
    host = make_host(PORT, BOUND, sibling)

    (finding,) = group_findings(host, [BOUND])

    assert (finding.check, finding.severity) == ("group", "note")
    assert "0000:01:00.1" in finding.message
    assert list(group_findings(host, [BOUND, sibling])) == []


def test_a_group_is_named_by_its_endpoints() -> None:
    """Bridges are in the group, and never handed over."""
    host = make_host(PORT, BOUND, SOUND)

    assert with_groups(host, [SOUND]) == (BOUND, SOUND)


@pytest.mark.parametrize(
    ("device", "state", "words"),
    [
        (BOUND, State.READY, ""),
        (SOUND, State.UNBOUND, "snd_hda_intel drives it"),
        (SOUND._replace(driver=None), State.UNBOUND, "it has no driver"),
        (SOUND._replace(driver=None, unbinding=True), State.NEVER, "an unbind of it is blocked"),
        (PORT, State.NEVER, "bridge"),
        (SOUND._replace(iommu_group=None), State.NEVER, "no IOMMU group"),
    ],
    ids=["bound", "driver", "driverless", "unbinding", "bridge", "groupless"],
)
def test_how_far_a_device_is(device: PciDevice, state: State, words: str) -> None:
    """A driver that cannot be seen is no missing driver (K55)."""
    found = readiness(make_host(PORT, device), device)

    assert found.state is state
    assert words in found.reason
    assert (found.hint == "") == (state is State.READY)


def test_odd_nodes_are_said() -> None:
    """No IOMMU behind it (K29), or no node at all."""
    open_to_all = BOUND._replace(vfio_group_node="/dev/vfio/noiommu-1")
    host = make_host(open_to_all)

    assert [one.check for one in node_findings(host, [open_to_all])] == ["noiommu"]
    assert [one.check for one in node_findings(host, [BOUND._replace(vfio_group_node=None)])] == ["node"]
    assert list(node_findings(host, [BOUND, SOUND])) == []
