"""How far a bind reaches, what moves together, and whose nodes change hands."""

from __future__ import annotations

import pytest

from tests.model.factory import at, make_device, make_host, make_port
from tests.plan.hosts import CATALOG, NOWHERE
from vfioctl.errors import NotFoundError
from vfioctl.model.binding import Binding, Move
from vfioctl.model.device import VirtualFunction
from vfioctl.model.situation import NodeMode
from vfioctl.plan.bind import plan_bind
from vfioctl.plan.foresee import after, foresee
from vfioctl.plan.plan import Request
from vfioctl.plan.steps import BindDriver, OwnNode, UnbindDriver

GPU = make_device("01:00.0", class_code=0x030000, driver="nvidia", iommu_group=1, companions=(at("01:00.1"),))
SOUND = make_device(
    "01:00.1", class_code=0x040300, driver="snd_hda_intel", iommu_group=2, companions=(at("01:00.0"),)
)
SERIAL = make_device("01:00.2", class_code=0x0C8000, driver="nvidia", iommu_group=2)
PORT = make_port("00:01.0", iommu_group=1)
OTHER = make_device("02:00.0", driver="nvme", iommu_group=3)
HOST = make_host(GPU, SOUND, SERIAL, PORT, OTHER)
NODE = "/dev/vfio/1"


def addresses(*devices: object) -> list[object]:
    """Return the addresses of devices."""
    return [getattr(device, "address", None) for device in devices]


def test_a_bind_brings_the_group_its_companions_and_their_groups() -> None:
    """But no bridge, and nobody else (H3, K50)."""
    plan = plan_bind(HOST, CATALOG, NOWHERE, Request((GPU.address,)))

    assert [move.address for move in plan.moves] == addresses(GPU, SOUND, SERIAL)
    assert list(plan.scope) == addresses(GPU, SOUND, SERIAL)
    assert plan.asked == (GPU.address,)
    assert len(plan.units) == 1


def test_device_only_brings_nobody() -> None:
    """Nor does a driver that is not VFIO's."""
    for request in (Request((GPU.address,), device_only=True), Request((GPU.address,), driver="pci-stub")):
        plan = plan_bind(HOST, CATALOG, NOWHERE, request)

        assert [move.address for move in plan.moves] == [GPU.address]


def test_a_board_function_of_the_group_stays() -> None:
    """The SMBus controller beside the sound card is not dragged along."""
    smbus = make_device("00:1f.4", class_code=0x0C0500, driver=None, iommu_group=7)
    sound = make_device("00:1f.3", class_code=0x040300, driver="snd_hda_intel", iommu_group=7)

    plan = plan_bind(make_host(smbus, sound), CATALOG, NOWHERE, Request((sound.address,)))

    assert list(plan.scope) == [sound.address]
    assert not plan.refusals


def test_what_is_independent_is_a_unit_of_its_own() -> None:
    """Two groups with nothing in common; virtual functions of one slot as well."""
    functions = [
        make_device(
            f"03:02.{index}",
            driver="igb",
            iommu_group=20 + index,
            sriov=VirtualFunction(at("03:00.0"), index),
        )
        for index in range(4)
    ]
    host = make_host(GPU, SOUND, SERIAL, PORT, OTHER, *functions)
    asked = (GPU.address, OTHER.address, *(one.address for one in functions))

    plan = plan_bind(host, CATALOG, NOWHERE, Request(asked))

    assert [len(unit.moves) for unit in plan.units] == [3, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(("real", "virtual"), [("03:00.0", "03:00.4"), ("03:00.4", "03:00.0")])
def test_virtual_functions_are_independent_of_what_shares_their_slot(real: str, virtual: str) -> None:
    """They fill a bus by number; the ports of a card do not."""
    port = make_device(real, driver="igb", iommu_group=1)
    function = make_device(virtual, driver="igb", iommu_group=2, sriov=VirtualFunction(at("02:00.0"), 0))

    plan = plan_bind(make_host(port, function), CATALOG, NOWHERE, Request((port.address, function.address)))

    assert [len(unit.moves) for unit in plan.units] == [1, 1]


def test_companions_go_together_from_different_slots() -> None:
    """The consumer must have left before its supplier leaves (K50)."""
    first = make_device("03:00.0", driver="igb", iommu_group=1, companions=(at("04:00.0"),))
    second = make_device("04:00.0", driver="igb", iommu_group=2, companions=(at("03:00.0"),))

    plan = plan_bind(make_host(first, second), CATALOG, NOWHERE, Request((first.address,)))

    assert [len(unit.moves) for unit in plan.units] == [2]


def test_functions_of_one_slot_go_together_also_across_groups() -> None:
    """All are without a driver before the first is bound (K60)."""
    pair = (
        make_device("04:00.0", driver="igb", iommu_group=1),
        make_device("04:00.1", driver="igb", iommu_group=2),
    )

    plan = plan_bind(make_host(*pair), CATALOG, NOWHERE, Request((pair[0].address, pair[1].address)))

    kinds = [type(step) for step in plan.steps if isinstance(step, UnbindDriver | BindDriver)]
    assert len(plan.units) == 1
    assert kinds == [UnbindDriver, UnbindDriver, BindDriver, BindDriver]


@pytest.mark.parametrize("driver", [None, "auto", "vfio-pci"])
def test_a_device_on_vfio_stays(driver: str | None) -> None:
    """Without an override too: it came by its ids. A variant is as good unless vfio-pci is asked for."""
    plain = make_device("05:00.0", driver="vfio-pci", iommu_group=1)
    variant = make_device("06:00.0", driver="mlx5_vfio_pci", iommu_group=2)

    plan = plan_bind(
        make_host(plain, variant), CATALOG, NOWHERE, Request((plain.address, variant.address), driver=driver)
    )

    moves = () if driver != "vfio-pci" else (variant.address,)
    assert tuple(move.address for move in plan.moves) == moves


def test_a_move_knows_where_it_came_from() -> None:
    """Driver and override, for the way back."""
    device = make_device(driver="nvme", driver_override="nvme")

    (move,) = plan_bind(make_host(device), CATALOG, NOWHERE, Request((device.address,))).moves

    assert move == Move(device.address, Binding("nvme", "nvme"), Binding("vfio-pci", "vfio-pci"))


def test_who_is_not_there_is_not_found() -> None:
    """It may have gone between two readings."""
    with pytest.raises(NotFoundError, match=r"0000:99:00\.0"):
        plan_bind(HOST, CATALOG, NOWHERE, Request((at("99:00.0"),)))


def nodes(
    request: Request, *standing: NodeMode, driver: str = "nvme", cdev: str | None = None
) -> list[OwnNode]:
    """Return the steps for the nodes of a device in group 1."""
    device = make_device(driver=driver, vfio_cdev=cdev)
    around = NOWHERE._replace(nodes=standing)
    plan = plan_bind(make_host(device), CATALOG, around, request._replace(devices=(device.address,)))
    return [step for step in plan.steps if isinstance(step, OwnNode)]


@pytest.mark.parametrize(
    ("standing", "cdev", "steps"),
    [
        ([NodeMode(NODE, 107, 0, 0o660)], None, 0),
        ([NodeMode(NODE, 107, 5, 0o660)], None, 0),
        ([NodeMode(NODE, 0, 0, 0o660)], None, 1),
        ([NodeMode(NODE, 107, 0, 0o600)], None, 1),
        ([], None, 1),
        ([NodeMode(NODE, 107, 0, 0o660)], "/dev/vfio/devices/vfio0", 1),
        (
            [NodeMode(NODE, 107, 0, 0o660), NodeMode("/dev/vfio/devices/vfio0", 107, 0, 0o660)],
            "/dev/vfio/devices/vfio0",
            0,
        ),
    ],
)
def test_nodes_that_stand_change_hands_only_where_they_differ(
    standing: list[NodeMode], cdev: str | None, steps: int
) -> None:
    """The group's and the device's own; what is not seen is not taken for right."""
    request = Request((), uid=107, mode=0o660)

    assert len(nodes(request, *standing, driver="vfio-pci", cdev=cdev)) == steps


def test_a_group_is_not_all_that_has_a_node() -> None:
    """The group's stands and suits; that of the device which is about to come is not there yet (K27)."""
    standing = NodeMode(NODE, 107, 5, 0o600)

    assert len(nodes(Request((), uid=107), standing)) == 1
    assert len(nodes(Request((), gid=5), standing, driver="vfio-pci")) == 0
    assert len(nodes(Request((), gid=6), standing, driver="vfio-pci")) == 1


def test_nodes_that_are_to_come_get_their_owner_last() -> None:
    """None where nobody asked for one."""
    assert nodes(Request((), gid=5)) == [OwnNode(1, (at("65:00.0"),), None, 5, None)]
    assert nodes(Request(())) == []
    assert nodes(Request((), uid=5, driver="pci-stub")) == []
    plan = plan_bind(HOST, CATALOG, NOWHERE, Request((GPU.address,), uid=5))
    assert plan.steps[-2:] == (
        OwnNode(1, (GPU.address,), 5, None, None),
        OwnNode(2, (SOUND.address, SERIAL.address), 5, None, None),
    )


def test_a_refused_plan_keeps_its_steps() -> None:
    """They are there to be looked at."""
    plan = plan_bind(HOST, CATALOG, NOWHERE._replace(), Request((PORT.address, OTHER.address)))

    assert plan.exit_code == 5
    assert BindDriver(OTHER.address, "vfio-pci") in plan.steps


def test_what_is_behind_vmd_vanishes_with_it() -> None:
    """The domain is the driver's work (K51)."""
    vmd = make_device("00:0e.0", class_code=0x010400, driver="vmd", iommu_group=1)
    disk = make_device("10000:e1:00.0", driver="nvme", iommu_group=1)
    host = make_host(vmd, disk)

    plan = plan_bind(host, CATALOG, NOWHERE, Request((vmd.address,)))
    then = foresee(host, plan)

    assert [device.address for device in then.devices] == [vmd.address]
    assert then.groups[0].members == (vmd.address,)
    assert not plan.refusals
    assert after(host, [Move(vmd.address, Binding("vmd", None), Binding("vmd", "vmd"))]).groups == host.groups
    child = plan_bind(host, CATALOG, NOWHERE, Request((disk.address,)))
    assert child.exit_code == 5
