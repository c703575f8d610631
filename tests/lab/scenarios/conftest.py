"""What scenarios share: the machine they run on."""

from __future__ import annotations

import pytest

from tests.lab.topologies import TOPOLOGIES
from tests.lab.topology import Topology


@pytest.fixture(scope="session")
def topology(request: pytest.FixtureRequest) -> Topology:
    """The machine this guest runs on."""
    return TOPOLOGIES[request.config.getoption("--topology")]


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest) -> str:
    """The kernel's version as the lab calls it."""
    return str(request.config.getoption("--kernel"))
