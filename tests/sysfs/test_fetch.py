from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sysfs.d_state import sleep_uninterruptibly
from tests.sysfs.reading import root_of
from vfioctl.sysfs import disposable
from vfioctl.sysfs.attribute import Files
from vfioctl.sysfs.denied import BLOCKED_REASON
from vfioctl.sysfs.fetch import fetch
from vfioctl.sysfs.folder import OpenFolder

if TYPE_CHECKING:
    from tests.support.tree import HostTree
    from vfioctl.sysfs.root import HostRoot

COUNT = 300
"""More devices than are read without processes of their own."""

HELD, ASLEEP, GONE = "0000:01:00.0", "0000:01:01.0", "0000:01:02.0"


class StuckFolder(OpenFolder):
    """The folder of a device, some attributes of which never come back."""

    __slots__ = ("_stuck",)

    def __init__(self, path: str, stuck: set[str]) -> None:
        """Open a folder."""
        super().__init__(path)
        self._stuck = stuck

    def read(self, name: str, size: int = 4096, offset: int = 0) -> bytes:
        """Read, or hang."""
        if name in self._stuck:
            sleep_uninterruptibly()
        return super().read(name, size, offset)


class StuckFiles(Files):
    """A host on which another program's unbind is stuck."""

    can_block = True

    def __init__(self, root: HostRoot, stuck: dict[str, set[str]]) -> None:
        """Hang when these attributes of these devices are read, or this group's type."""
        super().__init__(root)
        self._stuck = stuck

    def folder(self, path: str) -> OpenFolder:
        """Open a device's folder."""
        return StuckFolder(self.root.local(path), self._stuck.get(path[-12:], set()))

    def read(self, path: str) -> bytes:
        """Read, or hang."""
        if path in self._stuck:
            sleep_uninterruptibly()
        return super().read(path)


@pytest.mark.slow
def test_a_stuck_device_costs_what_is_stuck_and_no_more(
    tree: HostTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First driver_override is given up, then what asks the hardware, and only then the device (K55)."""
    monkeypatch.setattr(disposable, "PATIENCE", disposable.LEAST_PATIENCE)
    names = [f"0000:{number // 32 + 1:02x}:{number % 32:02x}.0" for number in range(COUNT)]
    for name in names:
        tree.device(name, driver="igb", override="vfio-pci")
    tree.group(HELD, 1).group(ASLEEP, 2)
    files = StuckFiles(
        root_of(tree),
        {
            HELD: {"driver_override"},
            ASLEEP: {"config"},
            GONE: {"modalias"},
            "/sys/kernel/iommu_groups/2/type": set(),
        },
    )
    devices, groups, unread = fetch(files, names, ["1", "2"])
    found = {str(one.address): one.facts for one in devices}
    assert len(found) == COUNT - 1
    assert (found[HELD].driver_override, found[HELD].config[1]) == (None, True)
    assert found[HELD].unread == (("driver_override", BLOCKED_REASON),)
    assert (found[ASLEEP].driver, found[ASLEEP].config[1]) == ("igb", None)
    assert {name for name, _ in found[ASLEEP].unread} == {"driver_override", "config"}
    assert all(
        facts.driver_override == "vfio-pci" for name, facts in found.items() if name not in {HELD, ASLEEP}
    )
    assert [number for number, _ in groups] == [1]
    assert unread == {
        f"/sys/bus/pci/devices/{GONE}": BLOCKED_REASON,
        "/sys/kernel/iommu_groups/2": BLOCKED_REASON,
    }
