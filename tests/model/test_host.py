from __future__ import annotations

import pickle

import pytest

from tests.model.factory import at, make_device, make_group, make_host, make_port
from vfioctl.model.host import Host, Unread

ROOT_PORT = make_port("00:01.0", iommu_group=1)
GPU = make_device("01:00.0", parent="00:01.0", iommu_group=2)
AUDIO = make_device("01:00.1", parent="00:01.0", iommu_group=2)
NIC = make_device("00:1f.6", iommu_group=None)


def test_indexes_find_every_device_and_group() -> None:
    """Indexes are derived from the tuples, which are the truth."""
    host = make_host(ROOT_PORT, GPU, AUDIO, NIC)
    assert host.by_address == {device.address: device for device in (ROOT_PORT, NIC, GPU, AUDIO)}
    assert {number: group.members for number, group in host.by_group.items()} == {
        1: (at("00:01.0"),),
        2: (at("01:00.0"), at("01:00.1")),
    }
    assert host.children == {None: (ROOT_PORT, NIC), at("00:01.0"): (GPU, AUDIO)}
    assert host.by_slot[0, 1, 0] == (GPU, AUDIO)


def test_equal_hosts_hash_alike_and_different_ones_differ() -> None:
    """Comparing two readings is how a change is noticed."""
    host, again = make_host(ROOT_PORT, GPU), make_host(GPU, ROOT_PORT)
    assert host == again
    assert hash(host) == hash(again)
    assert host != make_host(ROOT_PORT, GPU._replace(driver="vfio-pci"))
    assert host != make_host(ROOT_PORT)


def test_asking_a_host_does_not_change_it() -> None:
    """Indexes are kept on the side: they take no part in comparing, hashing, copying or pickling."""
    asked, fresh = make_host(ROOT_PORT, GPU), make_host(ROOT_PORT, GPU)
    assert asked.by_address
    assert asked == fresh
    assert hash(asked) == hash(fresh)
    assert pickle.loads(pickle.dumps(asked)) == fresh  # noqa: S301 - our own value


def test_a_replaced_host_has_indexes_of_its_own() -> None:
    """An index of the old devices must not survive in the new value."""
    host = make_host(ROOT_PORT, GPU)
    assert at("01:00.0") in host.by_address
    changed = host._replace(devices=(ROOT_PORT,))
    assert isinstance(changed, Host)
    assert at("01:00.0") not in changed.by_address


def test_the_group_of_a_device_is_found_where_it_has_one() -> None:
    """A device without a group, or with one that could not be read, has None."""
    host = make_host(GPU, NIC)
    assert host.group_of(GPU) == make_group(2, [GPU])
    assert host.group_of(NIC) is None
    assert host.group_of(NIC._replace(iommu_group=99)) is None


def test_members_are_those_that_could_be_read() -> None:
    """A group's own list may name a device that was too malformed to read (K22)."""
    host = make_host(GPU, groups=(make_group(2, [GPU, AUDIO]),))
    assert host.members(host.groups[0]) == (GPU,)


def test_ancestors_go_from_the_nearest_bridge_to_the_root() -> None:
    """The walk follows parents."""
    upstream = make_port("02:00.0", parent="00:01.0")
    disk = make_device("03:00.0", parent="02:00.0")
    host = make_host(ROOT_PORT, upstream, disk)
    assert list(host.ancestors(disk)) == [upstream, ROOT_PORT]
    assert list(host.ancestors(ROOT_PORT)) == []
    assert host.is_under(disk, at("00:01.0"))
    assert host.is_under(disk, at("02:00.0"))
    assert not host.is_under(disk, disk.address)
    assert not host.is_under(ROOT_PORT, at("02:00.0"))


def test_a_loop_of_parents_ends() -> None:
    """A hand-made tree may say that two bridges are behind each other."""
    one, other = make_port("01:00.0", parent="02:00.0"), make_port("02:00.0", parent="01:00.0")
    selfish = make_port("03:00.0", parent="03:00.0")
    host = make_host(one, other, selfish)
    assert list(host.ancestors(one)) == [other]
    assert list(host.ancestors(selfish)) == []
    below = make_device("04:00.0", parent="02:00.0")
    assert list(make_host(one, other, below).ancestors(below)) == [other, one]
    assert not host.is_under(one, one.address)
    assert not host.is_under(selfish, selfish.address)
    assert not host.is_under(one, at("09:00.0"))


def test_what_is_behind_an_unreadable_bridge_is_still_behind_it() -> None:
    """One odd bridge must not hide the disks below it."""
    disk = make_device("03:00.0", parent="02:00.0")
    host = make_host(disk)
    assert list(host.ancestors(disk)) == []
    assert host.is_under(disk, at("02:00.0"))


@pytest.mark.parametrize("device", [GPU, AUDIO])
def test_the_functions_of_a_slot_know_each_other(device: object) -> None:
    """Itself included, in address order; a device of another host has none here."""
    host = make_host(ROOT_PORT, GPU, AUDIO, NIC)
    assert device in host.same_slot(GPU)
    assert host.same_slot(AUDIO) == (GPU, AUDIO)
    assert make_host(NIC).same_slot(GPU) == ()


def test_only_fields_of_devices_count_as_unknown_fields() -> None:
    """What could not be read elsewhere says nothing about a device."""
    host = make_host(
        GPU,
        unread=(
            Unread("/sys/a", "permission denied"),
            Unread("/sys/b", "permission denied", GPU.address),
            Unread("/sys/c", "permission denied", GPU.address, "driver"),
        ),
    )
    assert host.unknown_fields == {(GPU.address, "driver")}


def test_indexes_are_not_pickled() -> None:
    """A host of thousands crosses to another process without them; whoever gets it derives its own."""
    host = make_host(ROOT_PORT, GPU)
    assert host.by_address

    received = pickle.loads(pickle.dumps(host))  # noqa: S301 - made here

    assert received == host
    assert vars(received) == {}
