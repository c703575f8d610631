"""How physical functions stand, and that a snapshot keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sysfs.reading import at, root_of, written
from vfioctl.model.splitting import Splitting
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.snapshot import capture
from vfioctl.sysfs.sriov import read_splittings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.tree import HostTree

PF = "0000:03:00.0"


def test_what_is_read_of_a_physical_function_is_kept_in_a_snapshot(tree: HostTree, tmp_path: Path) -> None:
    """The folders of the bus are links: what lies behind one is kept where it is."""
    tree.device(PF, driver="igb")
    tree.virtual_functions(PF, 7).attributes(PF, sriov_drivers_autoprobe="1", sriov_vf_device="10ca")
    root = root_of(tree)

    host, entries = capture(root)
    kept = written(entries, tmp_path)

    found = read_splittings(root, host)
    assert found.functions == (Splitting(at(PF), True, 0x10CA),)
    assert read_splittings(kept, read_host(kept)) == found
