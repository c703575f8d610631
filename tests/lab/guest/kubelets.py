"""The kubelet of `tests/plugin`, as a guest can afford it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.plugin.kubelet.kubelet import Settings

LOOK: Final = 0.1
"""Seconds from look to look: hundreds in a second take an emulated processor from whom is waited for."""


def settings(dial: float = 30.0, pre_start: float = 30.0) -> Settings:
    """Give what a kubelet is started with: as elsewhere, but that it looks less often."""
    from tests.plugin.kubelet.kubelet import Settings  # gRPC, for which no other machine has to wait

    return Settings(dial=dial, pre_start=pre_start, watch_every=LOOK, look_every=LOOK)
