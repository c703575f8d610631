"""What the plugin does to devices is decided as the commands decide it, and is told in one line."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING

import pytest

from tests.model.factory import at
from vfioctl.cli.plugin_hands import hands, survey
from vfioctl.plugin.hands import Wish

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Ask
    from vfioctl.sysfs.root import HostRoot


@pytest.mark.parametrize("address", ["0000:05:00.1", "0000:01:00.0", "0000:03:00.0", "0000:07:04.0"])
def test_a_survey_says_what_bind_would(address: str, host_root: Callable[[str], HostRoot], ask: Ask) -> None:
    """A spare card, the only display, the root disk, a group with shpchp: in the same words."""
    document = json.loads(ask("bind", "-n", "--json", address, host="sample").out)
    refused = [one["message"] for one in document["findings"] if one["severity"] == "refuse"]

    (answer,) = survey((Wish((at(address),)),), host_root("sample"))

    assert answer == (refused[0] if refused else None)


def test_a_bridge_is_released_where_the_wish_says_so(host_root: Callable[[str], HostRoot]) -> None:
    """With the key release_shpchp a bind is not refused for the bridge's driver any more."""
    cards = (at("0000:07:04.0"),)

    kept, released = survey((Wish(cards), Wish(cards, release_shpchp=True)), host_root("sample"))

    assert kept is not None
    assert "shpchp" in kept
    assert released is None or "shpchp" not in released


def test_hands_can_be_called_elsewhere() -> None:
    """They are functions of a module: another interpreter finds them by name."""
    assert pickle.loads(pickle.dumps(hands())) == hands()  # noqa: S301 - our own
