from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.model.factory import at, make_device, make_group, make_host, make_port
from vfioctl.model.device import Acs, Header, PciDevice, PortType, VirtualFunction
from vfioctl.model.group import OtherMember
from vfioctl.model.together import is_conventional, why_together

if TYPE_CHECKING:
    from vfioctl.model.host import Host


def why(
    *members: PciDevice, others: tuple[PciDevice, ...] = (), **fields: tuple[OtherMember, ...]
) -> tuple[str, ...]:
    """Return why members are one group, on a host that has other devices outside of it."""
    host = make_host(*members, *(other._replace(iommu_group=None) for other in others))
    return why_together(host, make_group(1, members, **fields))


FALLBACK = ("the firmware or the kernel reports one translation for all of them",)
GPU = make_device("01:00.0", parent="00:01.0", class_code=0x030000)
AUDIO = make_device("01:00.1", parent="00:01.0", class_code=0x040300)
SLOT = "functions of one device without ACS between them: 0000:01:00.0, 0000:01:00.1"


def test_a_group_of_one_needs_no_explanation() -> None:
    """It is together with nobody."""
    assert why(GPU) == ()
    assert why(make_port("00:01.0", acs=Acs.ABSENT)) == ()


def test_functions_of_one_card_are_together() -> None:
    """A graphics card and its audio function, below a port that isolates and is not a member."""
    assert why(GPU, AUDIO, others=(make_port("00:01.0"),)) == (SLOT,)


def test_functions_that_isolate_are_not_to_blame() -> None:
    """Only those without ACS are joined by being one card."""
    isolating = [device._replace(acs=Acs.ISOLATES) for device in (GPU, AUDIO)]
    assert why(*isolating) == FALLBACK
    third = make_device("01:00.2", parent="00:01.0")
    assert why(GPU, isolating[1], third) == (
        "functions of one device without ACS between them: 0000:01:00.0, 0000:01:00.2",
    )


def test_virtual_functions_are_not_joined_by_their_slots_number() -> None:
    """They are numbered into slots, but each has an id of its own and needs no ACS."""
    functions = [
        make_device(f"65:00.{number}", sriov=VirtualFunction(at("65:00.0"), number - 2)) for number in (2, 3)
    ]
    assert why(*functions) == FALLBACK


@pytest.mark.parametrize(
    ("acs", "state"),
    [
        (Acs.ABSENT, "has no ACS"),
        (Acs.INCOMPLETE, "has ACS but not all of it is switched on"),
        (None, "does not isolate (ACS missing or off)"),
    ],
)
def test_a_root_port_without_acs_is_joined_with_its_card(acs: Acs | None, state: str) -> None:
    """The walk to the root finds nothing that keeps them apart (K26)."""
    text = f"root port 0000:00:01.0 {state}: it is joined with what is behind it"
    assert why(make_port("00:01.0", acs=acs), GPU) == (text,)
    assert why(make_port("00:01.0", acs=acs), GPU, AUDIO) == (text, SLOT)


@pytest.mark.parametrize(
    ("kind", "parent", "name"),
    [
        (PortType.DOWNSTREAM, "02:00.0", "downstream port"),
        (PortType.FROM_PCI, None, "PCI-to-PCIe bridge"),
        (None, None, "root port"),
        (None, "02:00.0", "port"),
    ],
)
def test_a_port_is_called_by_its_kind_as_far_as_it_is_known(
    kind: PortType | None, parent: str | None, name: str
) -> None:
    """Without the express capability, a port on a root bus is a root port and any other just a port."""
    port = make_port("03:00.0", kind, parent=parent, acs=Acs.ABSENT)
    (reason,) = why(port, make_device("04:00.0", parent="03:00.0"))
    assert reason.startswith(f"{name} 0000:03:00.0 has no ACS")


def switch(
    root: Acs | None, upstream: Acs | None, down: Acs | None, *, known: bool = True
) -> list[PciDevice]:
    """Return a root port, a switch with two downstream ports, and a disk below each of these."""

    def kind(port: PortType) -> PortType | None:
        return port if known else None

    return [
        make_port("00:01.0", kind(PortType.ROOT_PORT), acs=root),
        make_port("01:00.0", kind(PortType.UPSTREAM), acs=upstream, parent="00:01.0"),
        make_port("02:00.0", kind(PortType.DOWNSTREAM), acs=down, parent="01:00.0"),
        make_port("02:01.0", kind(PortType.DOWNSTREAM), acs=down, parent="01:00.0"),
        make_device("03:00.0", parent="02:00.0"),
        make_device("04:00.0", parent="02:01.0"),
    ]


def named(reasons: tuple[str, ...]) -> list[str]:
    """Return the ports that reasons begin with."""
    return [reason.partition(" 0000:")[2][:7] for reason in reasons]


def test_a_switch_below_a_port_without_acs_is_joined_by_that_port_alone() -> None:
    """Downstream ports that isolate, and the upstream port, of which no ACS is asked, are not to blame."""
    reasons = why(*switch(Acs.ABSENT, Acs.ABSENT, Acs.ISOLATES))
    assert reasons == ("root port 0000:00:01.0 has no ACS: it is joined with what is behind it",)


def test_every_port_of_a_switch_without_acs_is_named() -> None:
    """All of them would have to be mended."""
    assert named(why(*switch(Acs.INCOMPLETE, Acs.ABSENT, Acs.ABSENT))) == ["00:01.0", "02:00.0", "02:01.0"]


def test_a_downstream_port_without_acs_is_joined_with_its_own_device() -> None:
    """The port above isolates and is in another group."""
    root, upstream, down, _, disk, _ = switch(Acs.ISOLATES, Acs.ABSENT, Acs.ABSENT)
    assert named(why(down, disk, others=(root, upstream))) == ["02:00.0"]


@pytest.mark.parametrize("known", [True, False])
def test_of_a_chain_whose_acs_is_unknown_only_the_topmost_port_is_named(*, known: bool) -> None:
    """The topmost lacks ACS for certain, or it would not be a member; of the others nothing is known."""
    assert named(why(*switch(None, None, None, known=known))) == ["00:01.0"]


def test_functions_of_one_slot_may_be_ports() -> None:
    """Root ports without ACS of one slot are joined with each other, driving nothing below."""
    ports = [make_port(f"00:1c.{function}", acs=Acs.ABSENT) for function in (0, 4)]
    assert why(*ports) == ("functions of one device without ACS between them: 0000:00:1c.0, 0000:00:1c.4",)


def test_all_behind_a_conventional_bridge_are_together() -> None:
    """Conventional requests carry no id of their own, so the bridge's stands for all."""
    bridge = make_port("00:1e.0", PortType.TO_PCI, driver="shpchp", acs=None)
    cards = [make_device(f"05:0{slot}.0", parent="00:1e.0", express=False) for slot in (1, 2)]
    text = "0000:00:1e.0 is a conventional PCI bridge: all behind it reach memory under one id"
    assert why(bridge, *cards) == (text,)
    assert why(*cards, others=(bridge,)) == (text,)


@pytest.mark.parametrize(
    ("fields", "below", "conventional"),
    [
        ({"port_type": PortType.TO_PCI}, (), True),
        ({"port_type": PortType.TO_PCI}, (True,), True),
        ({"port_type": PortType.ROOT_PORT}, (False,), False),
        ({"port_type": PortType.FROM_PCI, "driver": None}, (), False),
        # The type could not be read: a port's driver, then the function itself, then what is below it.
        ({"port_type": None, "express": False}, (False,), False),
        ({"port_type": None, "driver": None, "express": False}, (), True),
        ({"port_type": None, "driver": None, "express": False}, (True,), True),
        ({"port_type": None, "driver": None, "express": True}, (), False),
        ({"port_type": None, "driver": None, "express": True}, (False, True), False),
        ({"port_type": None, "driver": None, "express": True}, (False, False), True),
    ],
)
def test_a_conventional_bridge_is_told_by_its_type_or_else_by_what_is_below(
    fields: dict[str, Any], below: tuple[bool, ...], *, conventional: bool
) -> None:
    """Users other than root cannot read the capability that holds the type (K31)."""
    bridge = make_port("00:1e.0", **fields)
    children = [
        make_device(f"05:0{slot}.0", parent="00:1e.0", express=express) for slot, express in enumerate(below)
    ]
    assert is_conventional(make_host(bridge, *children), bridge) is conventional


def test_everything_behind_vmd_is_together_and_its_ports_are_not_to_blame() -> None:
    """The children reach memory under the controller's id, whatever the ports between them do (K51)."""
    members = (
        make_device("00:0e.0", driver="vmd", class_code=0x010400),
        make_port("10000:e0:06.0", acs=Acs.ABSENT),
        make_port("10000:e0:06.1", acs=Acs.ABSENT),
        make_device("10000:e1:00.0", driver="nvme", parent="10000:e0:06.0"),
    )
    assert why(*members) == ("everything behind Intel VMD reaches memory under the VMD controller's id",)


def test_members_that_are_no_pci_functions_are_named() -> None:
    """They count as members, even beside a single PCI function (K22)."""
    others = (OtherMember("808622B7:00", None), OtherMember("INT33FE:00", "x"))
    text = "non-PCI members share the translation of this group: 808622B7:00, INT33FE:00"
    assert why(GPU, other_members=others) == (text,)
    assert why(GPU, AUDIO, other_members=others[:1])[0] == SLOT
    assert why(other_members=others) == (text,)
    assert why(other_members=others[:1]) == ()


CARDS = (make_device("02:00.0", parent="01:00.0"), make_device("02:01.0", parent="01:00.0"))


@pytest.mark.parametrize(
    ("ports", "culprit"),
    [
        (
            (
                make_port("00:01.0"),
                make_port("01:00.0", PortType.DOWNSTREAM, parent="00:01.0", acs=Acs.INCOMPLETE),
            ),
            "downstream port 0000:01:00.0 has ACS but not all of it is switched on",
        ),
        (
            (
                make_port("00:01.0", acs=Acs.ABSENT),
                make_port("01:00.0", PortType.UPSTREAM, parent="00:01.0", acs=Acs.ABSENT),
            ),
            "root port 0000:00:01.0 has no ACS",
        ),
        ((make_port("00:01.0"), make_port("01:00.0", parent="00:01.0")), None),
        ((), None),
    ],
)
def test_a_port_above_them_may_explain_members_of_several_slots(
    ports: tuple[PciDevice, ...], culprit: str | None
) -> None:
    """Not every IOMMU driver puts the port into the group it makes; one that isolates is never blamed."""
    assert why(*CARDS, others=ports) == ((f"{culprit}: it cannot keep them apart",) if culprit else FALLBACK)


def test_a_port_above_only_some_members_explains_nothing() -> None:
    """It has to be above all of them."""
    port = make_port("01:00.0", acs=Acs.ABSENT)
    assert why(CARDS[0], make_device("00:02.0"), others=(port,)) == FALLBACK
    assert why(CARDS[0], make_device("03:00.0"), others=(port,)) == FALLBACK


def test_a_member_that_could_not_be_read_still_counts() -> None:
    """The kernel's list says that there are two."""
    host = make_host(GPU)
    assert why_together(host, make_group(1, [GPU, AUDIO])) == FALLBACK


def test_every_port_and_slot_of_a_large_group_is_named() -> None:
    """A machine without any ACS may be one group of thousands: nothing is left out or told twice."""
    host = _one_group(ports=64, cards=32)
    reasons = why_together(host, host.groups[0])
    assert len(reasons) == len(set(reasons))
    assert sum(reason.startswith("root port") for reason in reasons) == 64
    assert sum(reason.startswith("functions of one device") for reason in reasons) == 64 // 8 + 64 * 32 // 8


def _one_group(ports: int, cards: int) -> Host:
    roots = [make_port(f"00:{number // 8 % 32:02x}.{number % 8}", acs=Acs.ABSENT) for number in range(ports)]
    devices = [
        make_device(f"{bus + 1:02x}:{card // 8:02x}.{card % 8}", parent=str(root.address))
        for bus, root in enumerate(roots)
        for card in range(cards)
    ]
    return make_host(*roots, *devices)


def test_a_cardbus_bridge_joins_what_is_behind_it() -> None:
    """CardBus is conventional PCI."""
    bridge = make_port(
        "06:00.0", None, header=Header.CARDBUS, driver="yenta_cardbus", express=False, acs=None
    )
    (reason,) = why(bridge, make_device("07:00.0", parent="06:00.0", express=False))
    assert reason.startswith("0000:06:00.0 is a conventional PCI bridge")
