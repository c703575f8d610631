from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.factory import MODERN, OLD, at, make_device, make_group, make_host, make_port
from vfioctl.model.device import Header, PhysicalFunction, PortType
from vfioctl.model.group import OtherMember, ReservedRegion
from vfioctl.model.host import Host, MdevInstance, Unread
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.model.viability import Blocker, Loss, Viability, assess

if TYPE_CHECKING:
    from vfioctl.model.device import PciDevice
    from vfioctl.model.kernel import KernelRelease

ENDPOINT, BRIDGE, CARDBUS = Header.ENDPOINT, Header.BRIDGE, Header.CARDBUS
UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"


def judge(*devices: PciDevice, kernel: KernelRelease | None = MODERN, **fields: Any) -> Viability:  # noqa: ANN401 - the fields of a named tuple
    """Judge the first group of a host with these devices."""
    host = make_host(*devices, kernel=kernel, **fields)
    return assess(host, host.groups[0])


@pytest.mark.parametrize(
    ("header", "driver", "since_5_19", "before_5_19"),
    [
        # Driverless is fine, whatever it is (K18).
        (ENDPOINT, None, True, True),
        (BRIDGE, None, True, True),
        # The drivers that manage DMA themselves (K18).
        (ENDPOINT, "vfio-pci", True, True),
        (ENDPOINT, "mlx5_vfio_pci", True, True),
        (ENDPOINT, "xe-vfio-pci", True, True),
        (ENDPOINT, "nvgrace_gpu_vfio_pci", True, True),
        (ENDPOINT, "pci-stub", True, True),
        (BRIDGE, "pci-stub", True, True),
        (BRIDGE, "pcieport", True, True),
        # pcieport on an event collector: no bridge header, so the old rule did not know it (K19).
        (ENDPOINT, "pcieport", True, False),
        # shpchp and every other driver on a bridge: any bridge header was accepted before (K19).
        (BRIDGE, "shpchp", False, True),
        (BRIDGE, "i82975x_edac", False, True),
        (CARDBUS, "yenta_cardbus", False, True),
        # A host driver.
        (ENDPOINT, "nvme", False, False),
        (ENDPOINT, "shpchp", False, False),
        (ENDPOINT, "vfio-platform", False, False),
    ],
)
def test_a_member_is_judged_by_its_driver_on_both_sides_of_5_19(
    header: Header, driver: str | None, *, since_5_19: bool, before_5_19: bool
) -> None:
    """The rules of K18 and K19, and where the release is unknown, only what both rules say."""
    member = make_device(header=header, driver=driver)
    assert judge(member, kernel=MODERN).viable is since_5_19
    assert judge(member, kernel=OLD).viable is before_5_19
    assert judge(member, kernel=None).viable is (since_5_19 if since_5_19 == before_5_19 else None)


@pytest.mark.parametrize(
    ("driver", "viable"),
    [
        (None, True),
        ("vfio-platform", True),
        ("vfio-amba", True),
        ("vfio-fsl-mc", True),
        ("vfio-cdx", True),
        ("xhci-hcd", False),
        ("vfio-pci", False),
    ],
)
@pytest.mark.parametrize("kernel", [MODERN, OLD, None])
def test_a_member_of_another_bus_counts_too(
    driver: str | None, kernel: KernelRelease | None, *, viable: bool
) -> None:
    """A group can hold platform devices; the VFIO drivers of their buses are fine (K18, K22)."""
    device = make_device(driver="vfio-pci")
    group = make_group(1, [device], other_members=(OtherMember("808622B7:00", driver),))
    judged = judge(device, kernel=kernel, groups=(group,))
    assert judged.viable is viable
    assert judged.viable_after_bind is viable
    blocker = Blocker(
        "808622B7:00", driver, f"{driver} uses it for the host; vfioctl binds PCI functions only"
    )
    assert judged.blockers == (() if viable else (blocker,))
    assert judged.blockers_after_bind == judged.blockers


def test_a_mediated_device_does_not_block_its_group() -> None:
    """It has a group of its own, which its parent's driver backs (K53)."""
    parent = make_device("01:00.0", driver="nvidia", iommu_group=1)
    group = make_group(40, [], other_members=(OtherMember(UUID, "nvidia-vgpu-vfio"),))
    host = make_host(parent, groups=(group,), mdevs=(MdevInstance(UUID, at("01:00.0"), None, 40),))
    assert assess(host, group).viable is True
    assert assess(host._replace(mdevs=()), group).viable is False


def test_an_endpoint_on_a_host_driver_blocks_until_it_is_bound() -> None:
    """The ordinary case: a graphics card and its audio function on their host drivers."""
    gpu = make_device("01:00.0", driver="nouveau", class_code=0x030000)
    audio = make_device("01:00.1", driver="snd_hda_intel", class_code=0x040300)
    assert judge(gpu, audio) == Viability(
        viable=False,
        blockers=(
            Blocker("0000:01:00.0", "nouveau", "nouveau uses it for the host"),
            Blocker("0000:01:00.1", "snd_hda_intel", "snd_hda_intel uses it for the host"),
        ),
        bind=(at("01:00.0"), at("01:00.1")),
        viable_after_bind=True,
        blockers_after_bind=(),
        losses=(),
    )


def test_a_viable_group_may_still_have_something_to_bind() -> None:
    """Driverless and stubbed members keep nobody out, but only a VFIO driver gives a device away."""
    judged = judge(
        make_port("00:01.0"),
        make_device("01:00.0", driver="vfio-pci"),
        make_device("01:00.1", driver="pci-stub"),
        make_device("01:00.2"),
    )
    assert judged.viable is True
    assert judged.bind == (at("01:00.1"), at("01:00.2"))
    assert judged.viable_after_bind is True


def test_shpchp_on_a_bridge_outlasts_binding_since_5_19() -> None:
    """Binding the endpoints does not help: shpchp has to be released from the bridge (K19)."""
    bridge = make_port("00:1e.0", PortType.TO_PCI, driver="shpchp")
    card = make_device("05:00.0", driver="e1000", parent="00:1e.0")
    shpchp = Blocker(
        "0000:00:1e.0",
        "shpchp",
        "the hotplug driver shpchp on this bridge claims the group's DMA for the host",
    )

    modern = judge(bridge, card, kernel=MODERN)
    assert modern.blockers == (shpchp, Blocker("0000:05:00.0", "e1000", "e1000 uses it for the host"))
    assert modern.bind == (at("05:00.0"),)
    assert modern.viable_after_bind is False
    assert modern.blockers_after_bind == (shpchp,)

    assert judge(bridge._replace(driver=None), card, kernel=MODERN).viable_after_bind is True
    old = judge(bridge, card, kernel=OLD)
    assert old.viable is False
    assert old.viable_after_bind is True
    assert old.blockers_after_bind == ()


def test_an_unknown_release_leaves_only_the_bridge_in_doubt() -> None:
    """Unknown is neither yes nor no, and says what it hangs on."""
    bridge = make_port("00:1e.0", driver="shpchp")
    card = make_device("05:00.0", driver="e1000")
    judged = judge(bridge, card, kernel=None)
    assert judged.viable is False
    assert judged.viable_after_bind is None
    (doubt,) = judged.blockers_after_bind
    assert doubt.name == "0000:00:1e.0"
    assert doubt.reason.startswith("if the kernel is 5.19 or newer: the hotplug driver shpchp")

    collector = judge(make_device("00:00.7", driver="pcieport", class_code=0x080700), kernel=None)
    assert collector.viable is None
    assert collector.blockers[0].reason == (
        "if the kernel is older than 5.19: pcieport uses it for the host;"
        " it cannot be given away: it is a root complex event collector, part of the board"
    )


def test_other_drivers_on_a_bridge_are_named() -> None:
    """Not only shpchp takes a bridge, and no bridge is ever bound (K13)."""
    (blocker,) = judge(make_port("00:1e.0", driver="i82975x_edac")).blockers_after_bind
    assert blocker.driver == "i82975x_edac"
    assert blocker.reason.startswith("i82975x_edac on this bridge claims the group's DMA")
    assert blocker.reason.endswith("bridges are never bound")


def test_a_chipset_group_says_what_is_never_bound() -> None:
    """ISA bridge, audio and SMBus of one slot: the audio could be bound, the SMBus controller never is."""
    judged = judge(
        make_device("00:1f.0", class_code=0x060100),
        make_device("00:1f.3", class_code=0x040300, driver="snd_hda_intel"),
        make_device("00:1f.4", class_code=0x0C0500, driver="i801_smbus"),
        make_device("00:1f.5", class_code=0x0C8000, driver="vfio-pci"),
    )
    assert judged.viable is False
    assert judged.bind == (at("00:1f.3"),)
    assert judged.viable_after_bind is False
    assert judged.blockers_after_bind == (
        Blocker(
            "0000:00:1f.4",
            "i801_smbus",
            "i801_smbus uses it for the host; it cannot be given away:"
            " it is the SMBus controller, part of the board",
        ),
    )


def test_a_chipset_group_whose_board_functions_are_driverless_can_be_given() -> None:
    """Driverless members never stand in the way, not even an ISA bridge."""
    judged = judge(
        make_device("00:1f.0", class_code=0x060100),
        make_device("00:1f.3", class_code=0x040300, driver="snd_hda_intel"),
    )
    assert judged.viable is False
    assert judged.viable_after_bind is True


def test_a_physical_function_with_virtual_ones_blocks_until_they_are_gone() -> None:
    """It cannot be bound as it is (K15), and the words do not say never."""
    judged = judge(make_device(driver="igb", sriov=PhysicalFunction(8, (at("65:10.0"),))))
    assert judged.bind == ()
    assert judged.viable_after_bind is False
    assert judged.blockers_after_bind[0].reason.endswith("vfio-pci refuses it until there are none")


@pytest.mark.parametrize("driver", [None, "vfio-pci", "nvme", "pcieport"])
@pytest.mark.parametrize("kernel", [MODERN, OLD, None])
def test_a_group_with_a_firmware_mapping_is_never_viable(
    driver: str | None, kernel: KernelRelease | None
) -> None:
    """VFIO cannot attach to it, whoever drives its members (K24)."""
    device = make_device(driver=driver)
    group = make_group(1, [device], reserved_regions=(ReservedRegion(0, 0xFFF, "direct"),))
    judged = judge(device, kernel=kernel, groups=(group,))
    assert judged.viable is False
    assert judged.viable_after_bind is False
    assert judged.bind == ()
    (blocker,) = judged.blockers_after_bind
    assert blocker.driver == driver
    assert "RMRR" in blocker.reason


def test_a_relaxable_firmware_mapping_is_fine() -> None:
    """The kernel gives it up for a VFIO user: graphics and USB (K24)."""
    device = make_device(driver="xhci_hcd")
    group = make_group(1, [device], reserved_regions=(ReservedRegion(0, 0xFFF, "direct-relaxable"),))
    assert judge(device, groups=(group,)).viable_after_bind is True


def test_while_an_unbind_is_blocked_nothing_is_certain() -> None:
    """Its driver link is gone but its holder is not; binding it would hang as well (K55)."""
    stuck = make_device("01:00.0", unbinding=True, vfio_group_node="/dev/vfio/1")
    judged = judge(stuck, make_device("01:00.1", driver="vfio-pci"))
    assert judged.viable is None
    assert judged.viable_after_bind is None
    assert judged.bind == ()
    assert judged.blockers == (
        Blocker("0000:01:00.0", None, "an unbind of it is blocked until the process that holds it lets go"),
    )


def test_a_driver_that_could_not_be_read_is_not_no_driver() -> None:
    """Binding settles it, whatever it was."""
    device = make_device("01:00.0")
    unread = (
        Unread("/sys/bus/pci/devices/0000:01:00.0/driver", "permission denied", device.address, "driver"),
    )
    judged = judge(device, unread=unread)
    assert judged.viable is None
    assert judged.blockers == (Blocker("0000:01:00.0", None, "its driver could not be read"),)
    assert judged.bind == (device.address,)
    assert judged.viable_after_bind is True


def test_a_member_that_could_not_be_read_leaves_the_group_in_doubt() -> None:
    """The kernel lists it, so it counts, but nothing is known of it."""
    known, unread = make_device("01:00.0", driver="nvme"), make_device("01:00.1")
    judged = judge(known, groups=(make_group(1, [known, unread]),))
    doubt = Blocker("0000:01:00.1", None, "this member could not be read")
    assert judged.viable is False
    assert judged.viable_after_bind is None
    assert judged.blockers_after_bind == (doubt,)
    assert judge(known._replace(driver="vfio-pci"), groups=(make_group(1, [known, unread]),)).viable is None


def test_a_group_whose_list_could_not_be_read_is_unknown() -> None:
    """The kernel has no groups without members."""
    judged = judge(groups=(make_group(1, []),))
    assert judged.viable is None
    assert judged.viable_after_bind is None


def use(detail: str) -> Usage:
    """Return a use of a device."""
    return Usage(UsageKind.MOUNT, "nvme0n1p1", detail)


def test_the_losses_are_the_uses_of_what_would_be_bound() -> None:
    """What stays with the host, or is on VFIO already, is not lost."""
    disk = make_device("01:00.0", driver="nvme", usage=(use("/"), use("/boot")))
    given = make_device("01:00.1", driver="vfio-pci", usage=(use("a VM"),))
    board = make_device("01:00.2", driver="i801_smbus", class_code=0x0C0500, usage=(use("sensors"),))
    assert judge(disk, given, board).losses == (
        Loss(disk.address, use("/")),
        Loss(disk.address, use("/boot")),
    )


def test_binding_vmd_takes_everything_behind_it_along() -> None:
    """The children go away with the vmd driver: they block no longer, and what is on them is lost (K51)."""
    vmd = make_device("00:0e.0", driver="vmd", class_code=0x010400)
    port = make_port("10000:e0:06.0", driver="shpchp")
    disk = make_device("10000:e1:00.0", driver="nvme", parent="10000:e0:06.0", usage=(use("/"),))
    judged = judge(vmd, port, disk)
    assert judged.viable is False
    assert [blocker.name for blocker in judged.blockers] == ["0000:00:0e.0", "10000:e0:06.0", "10000:e1:00.0"]
    assert "give away the VMD controller itself" in judged.blockers[2].reason
    assert judged.bind == (vmd.address,)
    assert judged.viable_after_bind is True
    assert judged.losses == (Loss(disk.address, use("/")),)


def test_a_vmd_that_cannot_be_bound_takes_nothing_along() -> None:
    """Its children stay where they are, and stay in the way."""
    vmd = make_device("00:0e.0", driver="vmd", class_code=0x010400, alive=False)
    disk = make_device("10000:e1:00.0", driver="nvme", usage=(use("/"),))
    judged = judge(vmd, disk)
    assert judged.bind == ()
    assert judged.losses == ()
    assert [blocker.name for blocker in judged.blockers_after_bind] == ["0000:00:0e.0", "10000:e1:00.0"]


def test_children_of_a_vmd_elsewhere_stay() -> None:
    """Without the controller in the group there is nothing to bind that would take them along."""
    judged = judge(make_device("10000:e1:00.0", driver="nvme"))
    assert judged.bind == ()
    assert judged.viable_after_bind is False


MEMBERS = st.builds(
    lambda function, header, driver, class_code, unbinding: make_device(
        f"65:00.{function}", header=header, driver=driver, class_code=class_code, unbinding=unbinding
    ),
    st.integers(0, 7),
    st.sampled_from(tuple(Header)),
    st.sampled_from([None, "vfio-pci", "pcieport", "pci-stub", "shpchp", "nvme", "vmd"]),
    st.sampled_from([0x010802, 0x0C0500, 0x060400, 0x060100]),
    st.booleans(),
)


@given(
    st.lists(MEMBERS, min_size=1, max_size=5, unique_by=lambda member: member.address),
    st.sampled_from([MODERN, OLD]),
)
def test_what_is_said_about_a_group_fits_together(members: list[PciDevice], kernel: KernelRelease) -> None:
    """Binding only helps, a verdict has its blockers, and acting on it makes it true."""
    host = make_host(*members, kernel=kernel)
    judged = assess(host, host.groups[0])
    assert (judged.viable is True) == (judged.blockers == ())
    assert (judged.viable_after_bind is True) == (judged.blockers_after_bind == ())
    assert set(judged.blockers_after_bind) <= set(judged.blockers)
    assert judged.viable is not True or judged.viable_after_bind is True
    after = _bound(host, judged)
    assert assess(after, after.groups[0]).viable is judged.viable_after_bind
    assert assess(after, after.groups[0]).bind == ()
    # Where the release is unknown, a verdict is one that both rules give.
    unknown = assess(host._replace(kernel=None), host.groups[0])
    assert unknown.viable in {None, judged.viable}
    assert unknown.viable_after_bind in {None, judged.viable_after_bind}


def _bound(host: Host, judged: Viability) -> Host:
    """Return the host after binding what the judgement names."""
    return host._replace(
        devices=tuple(
            device._replace(driver="vfio-pci") if device.address in judged.bind else device
            for device in host.devices
        )
    )
