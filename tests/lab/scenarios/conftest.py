"""What scenarios share: the machine they run on, and what it looks like before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import bindings, cli, libvirt
from tests.lab.topologies import TOPOLOGIES
from tests.lab.topology import CHANNEL_SLOT, Topology

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
def _everything_is_back() -> Iterator[None]:
    """Every scenario leaves each device on the driver it found it on, without an override or a journal.

    What it leaves otherwise is put right by hand, so that the next one starts from where this one did.
    """
    before = bindings.bindings()
    yield
    journal = bindings.JOURNAL.exists()
    moved = bindings.differing(before, bindings.bindings())
    if moved or journal:
        bindings.restore(before)
    assert moved == {}, "the scenario left devices on other drivers or with other overrides"
    assert not journal, "the scenario left a journal"


@pytest.fixture
def virsh(tmp_path: Path) -> Iterator[libvirt.Virsh]:
    """virsh, with a daemon of this scenario's own: one remembers devices that were without it before."""
    with libvirt.daemon(tmp_path) as virsh:
        yield virsh
        virsh.end_all()
