"""Who holds a device: seen by vfioctl, and what the kernel does about it (K28, K57)."""

from __future__ import annotations

import time

import pytest

from tests.lab.guest import cli, holder, kernel
from tests.lab.scenarios.test_blocked_unbind import SPARE

pytestmark = [pytest.mark.topologies(*SPARE), pytest.mark.deadline(180)]


@pytest.mark.parametrize("mode", ["silent", "deaf", "group"])
def test_a_holder_is_named_as_a_use(topology, mode):
    """Only the group open, or the device too, by a process that is no virtual machine."""
    address = SPARE[topology.name]
    with kernel.given_to_vfio([address]), holder.holding(address, mode) as held:
        details = [use["detail"] for use in cli.devices()[address]["usage"]]
        assert any(str(held.pid) in detail for detail in details), details


@pytest.mark.parametrize("mode", ["polite", "group"])
def test_an_unbind_comes_back_at_once_from_a_holder_that_lets_go(topology, mode):
    """A holder that answers the request, and one that never had the device (K57)."""
    address = SPARE[topology.name]
    with kernel.given_to_vfio([address]), holder.holding(address, mode):
        started = time.monotonic()
        kernel.unbind(address)
        assert time.monotonic() - started < 15
