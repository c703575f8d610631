"""What vfioctl says of a group's viability against what the kernel says through VFIO_GROUP_GET_STATUS."""

from __future__ import annotations

import pytest

from tests.lab.guest import cli, kernel, vfio
from tests.lab.scenarios.conftest import CHANNEL


def said_viable(group: int) -> bool | None:
    """Give what `vfioctl groups` says of one group."""
    (found,) = cli.document("groups", f"group:{group}")["groups"]
    viable: bool | None = found["viable"]
    return viable


def candidates(topology) -> list[tuple[int, list[str]]]:
    """Give every group that scenarios may take, with the endpoints in it."""
    spared = {CHANNEL, topology.default_route}
    found = []
    for number, members in sorted(kernel.iommu_groups().items()):
        endpoints = [member for member in sorted(members) if not kernel.is_bridge(member)]
        untouchable = any(
            (kernel.DEVICES / member / "class").read_text().startswith("0x06") for member in endpoints
        )
        if endpoints and not untouchable and not spared & members:
            found.append((number, endpoints))
    return found


@pytest.mark.topologies("workstation", "server", "legacy")
@pytest.mark.deadline(300)
def test_viability_is_what_the_kernel_says_before_and_after_binding_the_rest(topology):
    """Bound one member at a time: each time both are asked, and neither may say more than the other."""
    groups = candidates(topology)
    assert groups
    asked = []
    for number, endpoints in groups:
        for count in sorted({1, len(endpoints)}):
            with kernel.given_to_vfio(endpoints[:count]):
                asked.append((number, count, said_viable(number), vfio.is_viable(number)))
    assert [(number, count, said) for number, count, said, _ in asked] == [
        (number, count, truth) for number, count, _, truth in asked
    ]


@pytest.mark.topologies("legacy")
@pytest.mark.deadline(180)
def test_a_bridge_on_shpchp_makes_its_group_non_viable_until_it_is_released():
    """shpchp does not manage DMA itself, so it owns the group for the kernel (K19)."""
    bridge, cards = "0000:00:02.0", ["0000:02:01.0", "0000:02:02.0"]
    assert kernel.driver_of(bridge) == "shpchp"
    number = kernel.group_of(bridge)
    with kernel.given_to_vfio(cards):
        assert (vfio.is_viable(number), said_viable(number)) == (False, False)
        (found,) = cli.document("groups", f"group:{number}")["groups"]
        assert [(blocker["address"], blocker["driver"]) for blocker in found["blockers"]] == [
            (bridge, "shpchp")
        ]
        kernel.unbind(bridge)
        try:
            assert (vfio.is_viable(number), said_viable(number)) == (True, True)
        finally:
            kernel.write(kernel.DRIVERS / "shpchp/bind", bridge)


@pytest.mark.topologies("legacy", "workstation", "server")
@pytest.mark.deadline(180)
def test_a_group_said_to_be_viable_after_binding_is_so(topology):
    """The promise is kept by binding exactly what was named."""
    groups = {group["id"]: group for group in cli.document("groups")["groups"]}
    number, endpoints = max(candidates(topology), key=lambda candidate: len(candidate[1]))
    assert groups[number]["bind"] == endpoints
    with kernel.given_to_vfio(groups[number]["bind"]):
        assert vfio.is_viable(number) == groups[number]["viable_after_bind"]
