"""The kernel's release, as far as rules depend on it."""

from __future__ import annotations

import re

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class KernelRelease(NamedTuple):
    """A kernel release: two numbers for the rules, and the text as the kernel spells it."""

    major: int
    minor: int
    text: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read the content of ``osrelease`` (``6.1.0-56-amd64``), or return None."""
        found = re.match(r"([0-9]{1,9})\.([0-9]{1,9})", text)
        return cls(int(found[1]), int(found[2]), text) if found else None

    @property
    def tracks_dma_ownership(self) -> bool:
        """Whether viability means DMA ownership, which came with 5.19 (K18, K19)."""
        return (self.major, self.minor) >= (5, 19)
