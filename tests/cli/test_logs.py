"""What a program that runs for months says, and in which form."""

from __future__ import annotations

import json
import logging
import os
import pty
import sys
from typing import TYPE_CHECKING

from tests.plugin.scene import GPU, item, offer
from vfioctl.cli.logs import formatter, suiting
from vfioctl.plugin.event import denied, granted, offered
from vfioctl.plugin.values import Denied, Grant, Node, Offer

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from vfioctl.plugin.event import Event

CARD = item(GPU, "0000:01:00.0")._replace(group=7)
OFFER = Offer(GPU, (CARD, item(GPU, "0000:02:00.0", "no-node")))


def line(form: str, message: Event | str, level: int = logging.INFO, *, failed: bool = False) -> str:
    """Return what is written of a message."""
    information = None
    if failed:
        try:
            json.loads("two\nlines")
        except ValueError:
            information = sys.exc_info()
    return formatter(form).format(logging.LogRecord("vfioctl", level, "", 1, message, (), information))


def test_an_allocation_is_one_line_and_one_object() -> None:
    """Resource, ids, group, nodes and the names of variables: their values are the pod's business."""
    told = granted(
        OFFER, ("0000:01:00.0",), Grant((("PCI_GPU", "secret"),), (Node("/dev/vfio/7", "/dev/vfio/7", "rw"),))
    )

    assert line("text", told).endswith(
        "INFO allocated resource=foo.com/gpu ids=0000:01:00.0 group=7 nodes=/dev/vfio/7 env=PCI_GPU"
    )
    seen = json.loads(line("json", told))
    assert seen.pop("time").endswith("+00:00")
    assert seen == {
        "level": "info",
        "message": str(told),
        "resource": GPU,
        "ids": ["0000:01:00.0"],
        "group": [7],
        "nodes": ["/dev/vfio/7"],
        "env": ["PCI_GPU"],
    }


def test_a_denial_says_why_and_by_which_code() -> None:
    """As the pod's status has it."""
    told = denied(OFFER, ("x",), Denied("NOT_FOUND", "foo.com/gpu has no item x"))

    assert str(told) == "foo.com/gpu: denied: foo.com/gpu has no item x"
    assert json.loads(line("json", told))["code"] == "NOT_FOUND"


def test_a_change_of_health_names_what_changed_and_not_all_that_is_bad() -> None:
    """A thousand items that were bad before are no news."""
    before = offer(GPU, "-a", "b", "-c")
    now = Offer(GPU, (item(GPU, "a", "missing"), item(GPU, "b", "no-node"), item(GPU, "c")))
    told = offered(before, now)

    assert str(told) == "foo.com/gpu: 3 items, 2 unhealthy: b no-node, c healthy again"
    assert told.facts["reasons"] == {"b": "no-node"}
    assert told.facts["recovered"] == ["c"]
    assert str(offered(None, offer(GPU, "a"))) == "foo.com/gpu: 1 items, 0 unhealthy"


def test_every_line_for_the_journal_has_its_priority() -> None:
    """A traceback too: the journal takes lines one by one."""
    lines = line("journal", "it failed", logging.ERROR, failed=True).splitlines()

    assert lines[0] == "<3>it failed"
    assert len(lines) > 3
    assert all(one.startswith("<3>") for one in lines)


def test_a_failure_is_one_object() -> None:
    """A collector splits at line ends."""
    told = line("json", "it failed\x1b[31m", logging.ERROR, failed=True)

    assert "\n" not in told
    assert "\x1b" not in told
    assert "JSONDecodeError: Expecting value" in json.loads(told)["exception"]


def test_the_form_suits_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets text; the journal is only where it says that it is; all else is collected."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours), os.fdopen(theirs, "w") as terminal:
        assert suiting(terminal) == "text"
    with (tmp_path / "log").open("w") as file:
        status = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + 1}")
        assert suiting(file) == "json"
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert suiting(file) == "journal"
