"""What scenarios share: the machine they run on, and what it looks like before anything is touched."""

from __future__ import annotations

import pytest

from tests.lab.guest import cli, kernel
from tests.lab.topologies import TOPOLOGIES
from tests.lab.topology import CHANNEL_SLOT, Topology

CHANNEL = f"0000:00:{CHANNEL_SLOT}"
"""The guest's own line to the outside: the one device no scenario may touch."""


@pytest.fixture(scope="session")
def topology(request: pytest.FixtureRequest) -> Topology:
    """The machine this guest runs on."""
    return TOPOLOGIES[request.config.getoption("--topology")]


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest) -> str:
    """The kernel's version as the lab calls it."""
    return str(request.config.getoption("--kernel"))


@pytest.fixture(scope="session")
def scanned() -> dict[str, dict]:
    """What `vfioctl scan` says of each device while all are as the boot left them."""
    return cli.devices()


@pytest.fixture(autouse=True)
def _everything_is_back() -> None:
    """Every scenario leaves each device on the driver it found it on."""
    before = {path.name: kernel.driver_of(path.name) for path in kernel.DEVICES.iterdir()}
    yield
    after = {path.name: kernel.driver_of(path.name) for path in kernel.DEVICES.iterdir()}
    assert after == before, "the scenario left devices on other drivers"
