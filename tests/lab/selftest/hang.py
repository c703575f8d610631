"""A scenario that cannot be interrupted: the outside has to notice, and to end the guest."""

from __future__ import annotations

import signal
import time

import pytest


@pytest.mark.deadline(3)
def test_deaf_to_its_deadline() -> None:
    """As in a system call that nothing ends: the deadline's signal is blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    while True:
        time.sleep(1)
