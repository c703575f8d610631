"""What the program sees of a host that is a folder."""

from __future__ import annotations

import os
import stat

from vfioctl.plugin.decisions import View
from vfioctl.plugin.sight import Sight
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot


class NodesBelow:
    """Tells which nodes are there, of a host that is a folder."""

    def __init__(self, root: str) -> None:
        """Look below this root."""
        self._root = root

    def __call__(self, path: str) -> bool | None:
        """Tell whether a path is a character device."""
        try:
            return stat.S_ISCHR(os.stat(self._root + path).st_mode)
        except OSError:
            return False


def look(root: str) -> View:
    """Look at the host that is a folder."""
    return View(read_host(HostRoot(root)), Sight(None, NodesBelow(root)))
