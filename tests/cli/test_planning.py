"""A plan for what was read around the devices is the plan for the whole host."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.support.fixtures import HOST_NAMES, unpacked
from tests.support.machines import machines
from tests.support.tree import HostTree
from vfioctl.cli.changing import Asked, decision
from vfioctl.cli.planning import Planning
from vfioctl.errors import VfioctlError
from vfioctl.model.selector import Selector
from vfioctl.render.plan import plan_lines
from vfioctl.sysfs.dump import format_dump
from vfioctl.sysfs.names import load_names
from vfioctl.sysfs.near import FEW, read_near
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vfioctl.model.host import Host
    from vfioctl.sysfs.names import Names


def requests(texts: tuple[str, ...]) -> Iterator[Asked]:
    """Give what may be asked of devices."""
    selectors = tuple(map(Selector.parse, texts))
    for command in ("bind", "unbind"):
        yield Asked(command, selectors, dry_run=True)
        yield Asked(command, selectors, dry_run=True, device_only=True)
    yield Asked("bind", selectors, dry_run=True, release_shpchp=True)
    yield Asked("bind", selectors, dry_run=True, driver="pci-stub")


def told(asked: Asked, root: HostRoot, names: Names, host: Host | None = None) -> object:
    """Give the plan and what is said of it, or the error."""
    planning = Planning(asked, decision(asked.command))
    try:
        plan = planning.plan(root, host)
    except VfioctlError as error:
        return type(error), error.message, error.hint
    return plan, list(plan_lines(planning.host, plan, names, width=100))


def wordings(host: Host) -> Iterator[tuple[str, ...]]:
    """Give each device, each slot, and some devices together."""
    yield from ((str(device.address),) for device in host.devices)
    yield from ((slot,) for slot in sorted({str(device.address)[:-2] for device in host.devices}))
    drawn = Random(1)  # noqa: S311 - the same ones each time
    addresses = [str(device.address) for device in host.devices]
    for count in (2, 3):
        yield tuple(drawn.sample(addresses, min(count, len(addresses))))


@pytest.mark.no_cover
@pytest.mark.parametrize("name", HOST_NAMES)
def test_what_is_near_is_enough_to_plan(
    name: str, host_root: Callable[[str], HostRoot], sample_host: Callable[[str], Host]
) -> None:
    """Steps, findings and what is printed, to the letter: on every sample host, for every device and slot."""
    root, host, names = host_root(name), sample_host(name), load_names()
    for texts in wordings(host):
        terms = [Selector.parse(text).address for text in texts]
        near = read_near(root, lambda address: any(term and term.means(address) for term in terms))  # noqa: B023
        for asked in requests(texts) if near else ():
            assert told(asked, root, names, near) == told(asked, root, names, host), (texts, asked)


NIC, CARD, AUDIO = "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"
EHCI, UHCI = "0000:00:1d.7", "0000:00:1d.0"
PHYSICAL, VIRTUAL = "0000:04:00.0", "0000:04:10.0"


@pytest.fixture
def scattered(tmp_path: Path) -> HostRoot:
    """Build a host on which what belongs together is in groups of its own."""
    tree = HostTree(tmp_path / "host")
    tree.device(NIC, driver="e1000e", group=1)
    tree.device(CARD, class_code=0x030200, driver="nouveau", group=2).device(AUDIO, driver="x", group=3)
    tree.folder(f"/sys/class/devlink/pci:{CARD}--pci:{AUDIO}")
    tree.device(EHCI, class_code=0x0C0320, driver="ehci-pci", group=4)
    tree.device(UHCI, class_code=0x0C0300, driver="uhci_hcd", group=5)
    tree.device(PHYSICAL, driver="vfio-pci", group=6).device(VIRTUAL, driver="igbvf", group=7)
    tree.virtual_functions(PHYSICAL, 8, [VIRTUAL])
    return HostRoot(str(tmp_path / "host"))


@pytest.mark.parametrize("address", [NIC, CARD, AUDIO, EHCI, UHCI, PHYSICAL, VIRTUAL])
def test_what_is_tied_is_near(scattered: HostRoot, address: str) -> None:
    """By a link, by shared ports, as a parent: all that a plan then says."""
    host, names = read_host(scattered), load_names()
    near = read_near(scattered, Selector.parse(address).address.means)  # type: ignore[union-attr]
    assert near is not None
    assert len(near.devices) < len(host.devices)
    for asked in requests((address,)):
        assert told(asked, scattered, names, near) == told(asked, scattered, names, host), asked


@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    max_examples=settings().max_examples // 5,
    deadline=None,
)
@given(machine=machines(), data=st.data())
def test_what_is_near_is_enough_on_any_machine(
    tmp_path_factory: pytest.TempPathFactory, machine: HostTree, data: st.DataObject
) -> None:
    """With domains, bridges, virtual functions, and attributes missing here and there."""
    root = unpacked(tmp_path_factory.mktemp("machine"), format_dump(machine.entries()))
    host, names = read_host(root), load_names()
    assume(host.devices)
    address = data.draw(st.sampled_from(host.devices)).address
    near = read_near(root, lambda one: one == address)
    for asked in requests((str(address),)) if near else ():
        assert told(asked, root, names, near) == told(asked, root, names, host), asked


def test_of_a_large_host_little_is_read(
    host_root: Callable[[str], HostRoot], sample_host: Callable[[str], Host]
) -> None:
    """A device alone in its group and slot, and nothing else."""
    root, host = host_root("server"), sample_host("server")
    alone = next(
        device for device in host.devices
        if not device.is_bridge and device.sriov is None and len(host.same_slot(device)) == 1
        and (group := host.group_of(device)) is not None and len(group.members) == 1
    )  # fmt: skip
    near = read_near(root, lambda address: address == alone.address)
    assert near is not None
    assert near.devices == (alone,)
    assert [group.id for group in near.groups] == [alone.iommu_group]


@pytest.mark.parametrize("name", HOST_NAMES)
def test_many_none_and_what_has_no_groups_are_read_as_a_whole(
    name: str, host_root: Callable[[str], HostRoot], sample_host: Callable[[str], Host]
) -> None:
    """Then looking around costs more, or cannot tell."""
    root, host = host_root(name), sample_host(name)
    assert read_near(root, lambda _: False) is None
    if len(host.devices) > FEW or not host.groups:
        assert read_near(root, lambda _: True) is None
    if not host.groups:
        assert read_near(root, lambda address: address == host.devices[0].address) is None


def test_what_is_stored_speaks_of_other_devices(
    host_root: Callable[[str], HostRoot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --persist, and for a selector that only the host can resolve, everything is read."""
    read: list[HostRoot] = []

    def seen(root: HostRoot) -> Host:
        read.append(root)
        return read_host(root)

    monkeypatch.setattr("vfioctl.cli.planning.read_host", seen)
    root = host_root("server")
    address = str(next(one.address for one in read_host(root).devices if one.word == "nic"))
    for text, persist, whole in ((address, False, 0), (address, True, 1), (f"{address},class:nic", False, 1)):
        read.clear()
        asked = Asked("bind", (Selector.parse(text),), dry_run=True, persist=persist)
        told(asked, root, load_names())
        assert len(read) == whole, text
