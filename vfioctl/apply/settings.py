"""How long to wait for what, and where the state is kept."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple

STATE = "/run/vfioctl"
"""Where lock, journal and records are; gone after a reboot, as the bindings are."""


class Settings(NamedTuple):
    """How long to wait for what, and where the state is kept."""

    timeout: float = 20.0
    """Seconds that one write may take before it counts as stuck."""
    lock_timeout: float = 10.0
    """Seconds to wait for another vfioctl to finish."""
    state: str = STATE
