"""Names that others choose: none becomes a line, a rule or an order of its own."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from typing import TYPE_CHECKING

import pytest

from vfioctl.cli.logs import formatter
from vfioctl.errors import UsageError
from vfioctl.plugin.manager import ServiceManager
from vfioctl.sysfs.persisted import read_persisted
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from pathlib import Path

FORGED = 'x\n<0>kernel: all is well\r\x1b]0;owned\x07\u2028"}'


@pytest.mark.parametrize("form", ["text", "journal", "json"])
def test_a_line_break_in_a_name_is_no_line_of_the_log(form: str) -> None:
    """Nor does an escape reach the terminal of whoever reads it."""
    record = logging.LogRecord("vfioctl", logging.INFO, "", 1, "%s was cordoned", (FORGED,), None)

    said = formatter(form).format(record)

    assert len(said.splitlines()) == 1
    assert said.isprintable()
    if form == "json":
        assert json.loads(said)["message"] == f"{FORGED} was cordoned"


@pytest.mark.parametrize("form", ["text", "journal"])
def test_an_exception_s_text_steers_no_terminal(form: str) -> None:
    """Its lines are its own; what stands in them is visible."""
    with pytest.raises(ValueError, match="owned") as raised:
        int(FORGED)
    given = (raised.type, raised.value, raised.tb)
    record = logging.LogRecord("vfioctl", logging.ERROR, "", 1, "it failed", (), given)

    said = formatter(form).format(record)

    assert all(line.isprintable() for line in said.split("\n"))
    assert form == "text" or all(line.startswith("<3>") for line in said.split("\n"))


def test_a_line_break_in_a_status_is_no_message_to_the_service_manager(place: Path) -> None:
    """READY=1 in a name would be believed."""
    path = str(place / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        asyncio.run(_say(path, "STATUS=x\nREADY=1\r\x0bMAINPID=1", "WATCHDOG=1"))
        told = manager.recv(4096).decode()

    assert told.splitlines() == ["STATUS=x READY=1  MAINPID=1", "WATCHDOG=1"]


async def _say(path: str, *lines: str) -> None:
    ServiceManager({"NOTIFY_SOCKET": path}).say(*lines)


@pytest.mark.parametrize(
    "driver", ['vfio-pci", RUN+="/tmp/x', "vfio-pci\\nACTION==", "vfio\\u2028pci", "", "\\u001b[2J"]
)
def test_a_stored_driver_is_no_rule_of_udev_s(driver: str, tmp_path: Path) -> None:
    """It goes into a line of a rule, between quotes."""
    path = tmp_path / "etc" / "vfioctl" / "devices.d" / "0000:01:00.0.toml"
    path.parent.mkdir(parents=True)
    spelled = driver.replace('"', '\\"')
    path.write_text(
        f'address = "0000:01:00.0"\ndriver = "{spelled}"\nvendor = "8086"\ndevice = "1"\nclass = "1"\n'
    )

    with pytest.raises(UsageError, match="is damaged"):
        read_persisted(HostRoot(str(tmp_path)))


def test_a_stored_type_leads_to_no_other_folder(tmp_path: Path) -> None:
    """It becomes part of a path in sysfs that root writes to."""
    path = tmp_path / "etc" / "vfioctl" / "mdevs.d" / "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        f'uuid = "{path.stem}"\nparent = "0000:01:00.0"\ntype = "../../x"\nvendor = "8086"\ndevice = "1"\n'
    )

    with pytest.raises(UsageError, match="is damaged"):
        read_persisted(HostRoot(str(tmp_path)))
