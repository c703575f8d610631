"""The kernel's release, as far as rules depend on it."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


_DIGITS = "0123456789"
_MOST = 9
"""Digits that a number may have: text of somebody's recording is no reason to count longer."""


class KernelRelease(NamedTuple):
    """A kernel release: two numbers for the rules, and the text as the kernel spells it."""

    major: int
    minor: int
    text: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read the content of ``osrelease`` (``6.1.0-56-amd64``), or return None."""
        # By hand: every run reads it, and few others of this program's runs need re.
        major, point, rest = text.partition(".")
        minor = rest[: len(rest) - len(rest.lstrip(_DIGITS))]
        numbers = point and 0 < len(major) <= _MOST and not major.strip(_DIGITS) and minor
        return cls(int(major), int(minor[:_MOST]), text) if numbers else None

    @property
    def tracks_dma_ownership(self) -> bool:
        """Whether viability means DMA ownership, which came with 5.19 (K18, K19)."""
        return (self.major, self.minor) >= (5, 19)
