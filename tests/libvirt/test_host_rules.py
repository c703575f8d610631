from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.factory import at, make_device, make_group, make_host, make_port
from vfioctl.libvirt.domain_rules import split_cards
from vfioctl.libvirt.host_rules import host_findings, siblings
from vfioctl.libvirt.values import UNASSIGNED, GuestAddress, Info, NvmeDisk, PciHostdev, VfInterface
from vfioctl.model.device import PhysicalFunction, VirtualFunction
from vfioctl.model.usage import Usage, UsageKind

if TYPE_CHECKING:
    from vfioctl.model.host import Host

PF, VF = "0000:02:00.0", "0000:02:10.0"
GPU, AUDIO = "0000:01:00.0", "0000:01:00.1"


def pci(address: str, *, managed: bool | None = True) -> PciHostdev:
    """Return a plain entry."""
    return PciHostdev(at(address), managed=managed)


def checks(*found: object) -> list[tuple[str, str]]:
    """Return check and severity of findings."""
    return [(finding.check, finding.severity) for finding in found]  # type: ignore[attr-defined]


def nic_host(*, interfaces: tuple[str, ...] = ("eth0",), driver: str | None = "igb", up: bool = True) -> Host:
    """Return a host with a physical function and one virtual."""
    used = tuple(Usage(UsageKind.INTERFACE, name, f"{name} is up") for name in interfaces if up)
    return make_host(
        make_device(
            PF,
            iommu_group=1,
            driver=driver,
            net_interfaces=interfaces,
            usage=used,
            sriov=PhysicalFunction(7, (at(VF),)),
        ),
        make_device(VF, iommu_group=2, driver="igbvf", sriov=VirtualFunction(at(PF), 0)),
    )


def test_a_virtual_function_can_be_an_interface() -> None:
    """Nothing speaks against it."""
    assert list(host_findings(nic_host(), [VfInterface(at(VF), managed=True)])) == []


def test_an_owner_whose_interface_is_down_is_worth_a_word() -> None:
    """The VM would not start: seen with libvirt 9.0."""
    (found,) = host_findings(nic_host(up=False), [VfInterface(at(VF), managed=True)])

    assert (found.check, found.severity, found.subject) == ("offline", "warn", VF)
    assert "eth0" in found.message
    assert "ip link set eth0 up" in found.hint


@pytest.mark.parametrize(
    ("address", "interfaces", "driver", "severity", "word"),
    [
        (PF, ("eth0",), "igb", "refuse", "no virtual function"),
        (VF, (), "vfio-pci", "refuse", "is on vfio-pci"),
        (VF, (), None, "warn", "no interface of"),
    ],
)
def test_an_interface_is_for_virtual_functions_whose_owner_has_one(
    address: str, interfaces: tuple[str, ...], driver: str | None, severity: str, word: str
) -> None:
    """X5: libvirt sets the MAC through the interface of the physical function."""
    host = nic_host(interfaces=interfaces, driver=driver)

    found = [
        one for one in host_findings(host, [VfInterface(at(address), managed=True)]) if one.check == "X5"
    ]

    assert checks(*found) == [("X5", severity)]
    assert word in found[0].message


def test_what_is_no_endpoint_is_refused_and_what_may_change_is_warned_of() -> None:
    """X6: a bridge never; a function whose VFs are enabled, as long as they are."""
    host = nic_host(up=False)
    bridge = make_host(make_port("0000:00:01.0", iommu_group=1))

    assert ("X6", "refuse") in checks(*host_findings(bridge, [pci("0000:00:01.0")]))
    assert checks(*host_findings(host, [pci(PF)])) == [("X6", "warn")]


@pytest.mark.parametrize(
    ("driver", "managed", "expected"),
    [
        ("nvidia", True, []),
        ("nvidia", False, [("X1", "warn")]),
        ("nvidia", None, [("X1", "warn")]),
        (None, False, [("X1", "warn")]),
        ("vfio-pci", False, []),
        ("mlx5_vfio_pci", None, []),
    ],
)
def test_an_unmanaged_device_must_be_bound_before(
    driver: str | None, managed: bool | None, expected: list[tuple[str, str]]
) -> None:
    """X1: libvirt would refuse to start."""
    host = make_host(make_device(GPU, iommu_group=1, driver=driver))

    found = list(host_findings(host, [pci(GPU, managed=managed)]))

    assert checks(*found) == expected
    assert all(one.hint == f"before the VM starts: vfioctl bind {GPU}" for one in found)


def test_a_group_whose_other_members_stay_with_the_host_is_told() -> None:
    """X2: managed='yes' detaches what is listed, and nothing else."""
    host = make_host(
        make_device(GPU, iommu_group=1, driver="nvidia"),
        make_device(AUDIO, iommu_group=1, driver="snd_hda_intel"),
    )

    (found,) = host_findings(host, [pci(GPU)])
    assert (found.check, found.severity) == ("X2", "warn")
    assert f"{AUDIO}: snd_hda_intel uses it" in found.message
    assert "--group" in found.hint
    assert list(host_findings(host, [pci(GPU), pci(AUDIO)])) == []
    assert list(host_findings(host, [pci(GPU)], [pci(AUDIO)])) == []


def test_a_bridge_that_is_in_the_way_is_not_helped_by_listing() -> None:
    """The hint names what would help."""
    bridge = make_port("0000:00:01.0", iommu_group=1, driver="shpchp")
    host = make_host(bridge, make_device(GPU, iommu_group=1, driver="nvidia"))

    (found,) = host_findings(host, [pci(GPU)])

    assert found.hint == "vfioctl groups group:1"


def test_siblings_are_the_endpoints_that_can_go() -> None:
    """No bridge, none of the board, none that is listed."""
    host = make_host(
        make_port("0000:00:01.0", iommu_group=1),
        make_device(GPU, iommu_group=1),
        make_device(AUDIO, iommu_group=1),
        make_device("0000:01:00.2", iommu_group=1, class_code=0x060100),
        make_device("0000:02:00.0", iommu_group=2),
    )

    assert siblings(host, [at(GPU)]) == (at(AUDIO),)
    assert siblings(host, [at(GPU), at(AUDIO)]) == ()
    assert siblings(make_host(make_device(GPU, iommu_group=None)), [at(GPU)]) == ()


def test_what_the_host_uses_is_told() -> None:
    """It does not ask: the disk below the root file system would go when the VM starts."""
    use = Usage(UsageKind.MOUNT, "nvme0n1p2", "nvme0n1p2 is mounted on /")
    host = make_host(make_device(GPU, class_code=0x010802, iommu_group=1, driver="nvme", usage=(use,)))

    (found,) = host_findings(host, [NvmeDisk(at(GPU), 1, "vda", managed=True)])

    assert (found.check, found.severity) == ("usage", "warn")
    assert "mounted on /" in found.message


def test_only_an_nvme_controller_is_a_disk_of_qemu() -> None:
    """Another one has no namespaces."""
    host = make_host(make_device(GPU, iommu_group=1, driver="vfio-pci"))

    assert checks(*host_findings(host, [NvmeDisk(at(GPU), 1, "vda", managed=True)])) == [("nvme", "refuse")]


def test_a_driver_model_without_managed_is_told_to_be_without_effect() -> None:
    """X3: it is libvirt that would bind it."""
    host = make_host(make_device(GPU, iommu_group=1, driver="vfio-pci"))

    assert checks(*host_findings(host, [pci(GPU, managed=False)._replace(driver_model="mlx5_vfio_pci")])) == [
        ("X3", "warn")
    ]


@pytest.mark.parametrize(
    ("first", "second", "split"),
    [
        (None, None, True),
        (GuestAddress(5, 0, 0, multifunction=True), GuestAddress(5, 0, 1), False),
        (GuestAddress(5, 0), GuestAddress(6, 0), True),
        (GuestAddress(5, 0), None, True),
        (None, UNASSIGNED, False),
    ],
)
def test_functions_of_one_card_in_different_slots_are_told(
    first: GuestAddress | None, second: GuestAddress | None, split: bool
) -> None:
    """H53: a card's driver in the guest looks for its other half in the same slot."""
    host = make_host(make_device(GPU, iommu_group=1), make_device(AUDIO, iommu_group=1))
    both = [pci(GPU)._replace(info=Info(guest=first)), pci(AUDIO)._replace(info=Info(guest=second))]

    assert [one.check for one in split_cards(both, host)] == (["H53"] if split else [])


def test_a_device_that_is_not_there_is_nobodys_finding() -> None:
    """What is missing is another rule's matter."""
    assert list(host_findings(make_host(groups=(make_group(1, ()),)), [pci(GPU)])) == []
