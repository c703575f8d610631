"""What waits for udev when systemd starts it, and what does not."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from vfioctl.apply import kernel
from vfioctl.cli.booting import PATIENCE, await_udev
from vfioctl.plugin.manager import ServiceManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Be the service manager at this path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(5)
        channel.bind(str(path))
        yield channel


@pytest.mark.parametrize("ends", [True, False])
def test_a_service_waits_for_drivers_and_says_so(
    ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for ever: then it begins all the same, with a warning."""
    waited: list[float] = []
    warned: list[str] = []

    def settle(patience: float) -> bool:
        waited.append(patience)
        return ends

    monkeypatch.setattr(kernel, "settle", settle)

    with listening(tmp_path / "notify") as channel:
        await_udev(ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")}), warned.append)
        told = channel.recv(4096).decode()

    assert told == "STATUS=waiting for udev to give devices their drivers"
    assert waited == [PATIENCE]
    assert ["udev is still busy" in text for text in warned] == [True] * (not ends)


def test_what_a_user_starts_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host is long up."""
    monkeypatch.setattr(kernel, "settle", pytest.fail)

    await_udev(ServiceManager({}), pytest.fail)
