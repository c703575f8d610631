"""What is remembered is what would be decided again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.factory import make_device
from tests.plugin.factory import AUDIO, GPU, NIC, card, config, given, ids, machine, seeing
from tests.support.fixtures import HOST_NAMES, dump_path, unpacked
from tests.sysfs.reading import at
from tests.sysfs.test_again import Machine
from vfioctl.model.device import PhysicalFunction, VirtualFunction
from vfioctl.plugin.eyes import HostEyes
from vfioctl.plugin.memory import Memory
from vfioctl.plugin.resources import sort_out
from vfioctl.plugin.settings import default_config

if TYPE_CHECKING:
    from pathlib import Path

    from vfioctl.model.host import Host
    from vfioctl.plugin.settings import Config

NOBODY: frozenset[str] = frozenset()
ALL_SORTS = config(
    'name = "a.b/nics"\nselect = ["class:nic"]',
    'name = "a.b/cards"\nselect = ["class:gpu"]\nunit = "slot"\npriority = 2',
    'name = "a.b/all"\nselect = ["class:gpu", "class:nvme"]\nunit = "group"\nbind = "on-demand"',
    'name = "a.b/apart"\nselect = ["driver:vfio-pci"]\nexclude = ["class:nic"]\nshared_group = "refuse"\n'
    "priority = -1",
    'name = "a.b/first"\nselect = ["numa:1", "group:7", "0000:01:00.*"]\nbackend = "iommufd"\npriority = 3',
    'name = "a.b/vfs"\nselect = ["vfs-of:0000:01:00.0"]\npriority = 4',
    'name = "a.b/vgpu"\nkind = "mdev"\nselect = ["class:gpu"]',
)
CHANGES_OF_EACH = 8


@pytest.mark.parametrize("name", HOST_NAMES)
def test_what_is_remembered_is_what_is_so(name: str, tmp_path: Path) -> None:
    """Whatever happens to one device after the other, on every sample host."""
    with open(dump_path(name), encoding="utf-8") as file:
        root = unpacked(tmp_path / "host", file.read(), name)
    changing, eyes, memory = Machine(root, name), HostEyes(root.base), Memory()
    view, sight = eyes(), seeing()
    for _ in range(CHANGES_OF_EACH):
        found = memory.sort_out(view.host, ALL_SORTS, NOBODY, sight, view.touched)
        assert found == sort_out(view.host, ALL_SORTS, NOBODY, sight)
        if not view.host.devices:
            break
        device = changing.chance.choice(view.host.devices)
        changing.chance.choice(changing.changes)(device)
        view = eyes([str(device.address)])


TWO = config('name = "a.b/gpus"\nselect = ["class:gpu"]', 'name = "a.b/nics"\nselect = ["class:nic"]')


def remembered(
    before: Host, after: Host, configured: Config, *touched: str, missing: str = "", whole: bool = False
) -> list[str]:
    """Return which resources are not decided anew when a host changes."""
    memory = Memory()
    gone: set[str] = set()
    sight = seeing()._replace(has_node=lambda path: path not in gone)
    first = memory.sort_out(before, configured, NOBODY, sight, None)
    gone.add(missing)
    places = None if whole else frozenset(map(at, touched))
    second = memory.sort_out(after, configured, NOBODY, sight, places)
    assert second == sort_out(after, configured, NOBODY, sight)
    return [one.resource for one, other in zip(first.offers, second.offers, strict=True) if one is other]


HOST = machine(*card(1, 17), given(NIC, 4))


def test_only_what_a_change_concerns_is_decided_anew() -> None:
    """A device, its group, its slot; nodes come and go without any change of a device."""
    audio = HOST.by_address[at(AUDIO)]._replace(driver="snd_hda_intel")
    devices = [audio if device.address == audio.address else device for device in HOST.devices]

    assert remembered(HOST, HOST, TWO) == ["a.b/gpus", "a.b/nics"]
    assert remembered(HOST, HOST._replace(devices=tuple(devices)), TWO, AUDIO) == ["a.b/nics"]
    assert remembered(HOST, HOST, TWO, NIC, missing="/dev/vfio/4") == ["a.b/gpus"]
    assert remembered(HOST, machine(*HOST.devices, given("0000:05:00.0", 9)), TWO, "0000:05:00.0") == []
    without = HOST._replace(devices=HOST.devices[1:])
    assert remembered(HOST, without, TWO, GPU) == ["a.b/nics"]


def test_after_a_look_at_everything_only_what_changed_is_decided_anew() -> None:
    """A node may come or go without any change of a device: it is asked for each of them."""
    devices = [HOST.devices[0]._replace(driver="nouveau"), *HOST.devices[1:]]
    after = HOST._replace(devices=tuple(devices))

    assert remembered(HOST, HOST, TWO, whole=True) == ["a.b/gpus", "a.b/nics"]
    assert remembered(HOST, after, TWO, whole=True) == ["a.b/nics"]
    assert remembered(HOST, HOST, TWO, whole=True, missing="/dev/vfio/4") == []


def test_what_holds_for_the_whole_host_concerns_everything() -> None:
    """The kernel's release decides about groups, and a fixed list about models."""
    assert remembered(HOST, HOST._replace(denylist_disabled=True), TWO) == []


def test_a_term_may_ask_about_another_device() -> None:
    """Virtual functions are named by the interface of their physical one, which is not theirs."""
    owner = make_device(
        "0000:03:00.0", sriov=PhysicalFunction(4, (at(NIC),)), net_interfaces=("eth7",), driver="igb"
    )
    host = machine(owner, given(NIC, 4, sriov=VirtualFunction(owner.address, 0)))
    configured = config('select = ["vfs-of:eth7"]')
    renamed = host._replace(devices=(host.devices[0], owner._replace(net_interfaces=("eth8",))))

    assert remembered(host, renamed, configured, "0000:03:00.0") == []


def test_a_wider_offer_takes_from_a_narrower_one() -> None:
    """Priority decides about a device that another resource has selected from now on."""
    configured = config(
        'name = "a.b/all"\nselect = ["class:gpu", "class:nic"]',
        'name = "a.b/numa"\nselect = ["numa:1"]\npriority = 1',
        'name = "a.b/other"\nselect = ["class:audio"]',
    )
    moved = HOST.by_address[at(NIC)]._replace(numa_node=1)
    after = HOST._replace(devices=(*HOST.devices[:2], moved))

    assert remembered(HOST, after, configured, NIC) == ["a.b/other"]
    assert ids(sort_out(after, configured, NOBODY, seeing()).offers[0]) == [GPU]


def test_of_a_resource_that_a_change_concerns_the_other_items_are_kept() -> None:
    """The very same ones: thousands of devices of one model are one resource."""
    host, memory, sight = machine(given(NIC, 4), given("0000:05:00.0", 9)), Memory(), seeing()
    configured = config('select = ["class:nic"]')
    (first,) = memory.sort_out(host, configured, NOBODY, sight, None).offers
    moved = host.by_address[at(NIC)]._replace(driver="ice")
    after = host._replace(devices=(moved, *host.devices[1:]))

    (second,) = memory.sort_out(after, configured, NOBODY, sight, frozenset({at(NIC)})).offers

    assert [one.id for one in second.items] == ["0000:05:00.0"]
    assert second.items[0] is first.items[1]


def test_without_a_file_a_new_model_is_a_new_resource() -> None:
    """Nothing is known of it, and all of the others."""
    host, memory, sight = machine(given(NIC, 4)), Memory(), seeing()
    memory.sort_out(host, default_config(), NOBODY, sight, None)
    card = given("0000:05:00.0", 9, device_id=0x7777)
    after = machine(*host.devices, card)

    found = memory.sort_out(after, default_config(), NOBODY, sight, frozenset({card.address}))

    assert found == sort_out(after, default_config(), NOBODY, sight)
    assert len(found.offers) == 2
