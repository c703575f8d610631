"""Looking again where something was reported, and telling the plugin only what is new."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.bench.plugin.vfio_trees import address_of, make_vfio_tree
from tests.sysfs.reading import at
from vfioctl.plugin.decisions import View
from vfioctl.plugin.eyes import HostEyes, touched_by
from vfioctl.plugin.reader import dumps, loads, parts
from vfioctl.plugin.reading import Reading
from vfioctl.sysfs.attribute import Files
from vfioctl.sysfs.reader import read_whole
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Return a host with four functions on vfio-pci, in groups 0 to 3."""
    return make_vfio_tree(tmp_path / "host", 2, 4)


def asleep(host: Path, number: int) -> None:
    """Let a function sleep."""
    (host / "sys/devices/pci0000:00" / address_of(number) / "power_state").write_text("D3hot\n")


def asleep_in(view: View) -> list[str]:
    """Return which functions were seen asleep."""
    return [str(device.address) for device in view.host.devices if device.power_state == "D3hot"]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([address_of(1)], [1]),
        (["/dev/vfio/2"], [2]),
        (["/dev/vfio/noiommu-2"], [2]),
        (["/dev/vfio/devices/vfio3", address_of(1)], [1, 3]),
        ([address_of(9), "/dev/vfio/77"], [9]),
        (["/dev/vfio/77"], None),
        ([address_of(1), "/dev/vfio/77"], None),
        (["/dev/vfio/78"], []),
        ([address_of(1), "/dev/vfio/noiommu-78"], [1]),
        (["/dev/vfio/devices"], None),
        (["/dev/vfio/vfio"], None),
        (["/dev/iommu"], None),
        ([], []),
    ],
)
def test_whose_a_place_is(host: Path, places: list[str], expected: list[int] | None) -> None:
    """Of a new group nothing is known, unless there is a new function as well; of other nodes never.

    A group that is gone is nobody's: its node is often reported after its last function was missed.
    """
    root = HostRoot(str(host))
    reading = read_whole(Files(root))
    (host / "sys/kernel/iommu_groups/77").mkdir()

    touched = touched_by(places, reading, root)

    assert touched == (None if expected is None else frozenset(at(address_of(one)) for one in expected))


def test_with_no_place_the_host_is_the_one_of_before(host: Path) -> None:
    """Only who has nodes open is looked for."""
    eyes = HostEyes(str(host))
    before = eyes()
    asleep(host, 1)

    after = eyes([])

    assert after.host is before.host
    assert after.touched == frozenset()
    assert asleep_in(eyes()) == [address_of(1)]


def test_only_where_something_was_reported_it_is_looked(host: Path) -> None:
    """Unless nothing was seen before, or the report may be about more."""
    eyes = HostEyes(str(host))
    asleep(host, 0)
    assert asleep_in(eyes([address_of(3)])) == [address_of(0)]
    asleep(host, 1)
    asleep(host, 2)

    partly = eyes([address_of(2)])
    assert asleep_in(partly) == [address_of(0), address_of(2)]
    assert partly.touched == frozenset([at(address_of(2))])
    whole = eyes(["/dev/iommu"])
    assert asleep_in(whole) == [address_of(0), address_of(1), address_of(2)]
    assert whole.touched is None


def test_a_look_at_everything_has_parts_and_others_come_between(host: Path) -> None:
    """A part says that there is more; what is seen meanwhile is known in the end as well."""
    eyes = HostEyes(str(host), part=2)
    first = eyes()
    asleep(host, 0)
    asleep(host, 3)
    part = eyes()
    assert part.more
    assert (part.host, part.touched) == (first.host, frozenset())
    asleep(host, 1)
    between = eyes([address_of(1)])
    assert not between.more
    assert asleep_in(between) == [address_of(1)]

    whole = eyes()

    assert not whole.more
    assert whole.touched is None
    assert asleep_in(whole) == [address_of(0), address_of(1), address_of(3)]
    assert eyes().more


def same(one: View, other: View) -> list[bool]:
    """Tell of each part whether it is the very same object in both."""
    rows = zip(one.parts(), other.parts(), strict=True)
    return [part is its for row, others in rows for part, its in zip(row, others, strict=True)]


def test_what_did_not_change_is_the_same_object_on_both_sides(host: Path) -> None:
    """After a look in part, and after one at everything; so a message about one of thousands is short."""
    eyes = HostEyes(str(host))

    async def run() -> None:
        reading = Reading(eyes, 10.0)
        try:
            first = await reading.read()
            assert isinstance(first, View)
            asleep(host, 1)
            second = await reading.read(frozenset([address_of(1)]))
            asleep(host, 2)
            third = await reading.read()
            assert isinstance(second, View)
            assert isinstance(third, View)
            assert asleep_in(second) == [address_of(1)]
            assert asleep_in(third) == [address_of(1), address_of(2)]
            assert same(first, second) == [True, False, True, True, *[True] * 4]
            assert sum(same(second, third)) == 7
            assert await reading.read() is third
            os.kill(reading._process.pid, 9)  # type: ignore[union-attr] # it is at work
            with pytest.raises(Exception, match="was killed"):
                await reading.read()
            assert await reading.read() == third
        finally:
            reading.close()

    asyncio.run(run())


def test_a_message_names_what_is_known_by_its_place() -> None:
    """And says in full what is not."""
    known = ("x" * 5000, "y" * 5000)
    message = dumps([known[1], "new", known[0]], [known])

    assert len(message) < 100
    assert loads(message, [known]) == [known[1], "new", known[0]]
    assert parts(7) == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one,
        lambda one: one[1:],
        lambda one: (*one[:100], "new", *one[101:]),
        lambda one: (*one, "new", "newer"),
        lambda one: (*one[200:], *one[:200]),
        lambda one: ("new", *one[:50], "newer", *one[52:250]),
        lambda one: one[::-1],
        lambda one: (*one[:70], "new", *one[71:180], *one[190:]),
    ],
    ids=["same", "first gone", "one replaced", "two more", "moved", "several", "reversed", "here and there"],
)
def test_of_a_long_tuple_a_message_names_runs(
    change: Callable[[tuple[object, ...]], tuple[object, ...]],
) -> None:
    """Whatever comes, goes or moves; the rest is the very same on the other side."""
    known = tuple(f"known-{number}" for number in range(300))
    long = change(known)

    message = dumps({"long": long}, [(1, 2), known])

    received = loads(message, [(1, 2), known])
    assert received == {"long": long}
    assert [one is other for one, other in zip(received["long"], long, strict=True)] == [
        any(part is one for part in known) for one in long
    ]
    assert len(message) < (4000 if long[0] == known[-1] else 200)
