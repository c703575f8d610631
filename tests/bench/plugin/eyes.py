"""What the program sees of a host that is a folder."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from vfioctl.plugin.eyes import HostEyes
from vfioctl.plugin.sight import Sight

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.plugin.decisions import View


class NodesBelow:
    """Tells which nodes are there, of a host that is a folder."""

    def __init__(self, root: str) -> None:
        """Look below this root."""
        self._root = root

    def __eq__(self, other: object) -> bool:
        """Compare by what it looks at."""
        return isinstance(other, NodesBelow) and self._root == other._root

    def __hash__(self) -> int:
        """Agree with the comparison."""
        return hash(self._root)

    def __call__(self, path: str) -> bool | None:
        """Tell whether a path is a character device."""
        try:
            return stat.S_ISCHR(os.stat(self._root + path).st_mode)
        except OSError:
            return False


class FolderEyes(HostEyes):
    """Looks as the program does at a host, but for the nodes, which are in the folder as well."""

    def __init__(self, root: str) -> None:
        """Look below this folder."""
        super().__init__(root)
        self._sight = Sight(None, NodesBelow(root))

    def __call__(self, places: Iterable[str] | None = None) -> View:
        """Look."""
        return super().__call__(places)._replace(sight=self._sight)
