"""What keeps the plugin from knowing who owns what is shown, and logged when it begins, lasts, and ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.plugin.scene import scene
from tests.plugin.test_keeper import Clock
from tests.plugin.test_pages import BOTH, key, metrics
from vfioctl.plugin.standing import standing
from vfioctl.plugin.status import facts, status
from vfioctl.plugin.troubles import LASTING, Source, Troubles

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_logged_three_times(caplog: pytest.LogCaptureFixture) -> None:
    """A warning at first, an error when a minute is over, a word at the end; whatever came between."""
    caplog.set_level("INFO")
    clock = Clock()
    troubles = Troubles(clock)
    troubles.succeeded(Source.PODS)
    for _ in range(int(LASTING)):
        troubles.failed(Source.PODS, "connection refused")
        clock.now += 5
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "nothing is released, for 60 s now: connection refused" in caplog.text
    troubles.succeeded(Source.PODS)
    troubles.succeeded(Source.PODS)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR", "INFO"]
    assert "known again after 300 s" in caplog.text
    assert troubles.failures == {"pods": 60, "open-nodes": 0}


def test_each_source_has_its_own() -> None:
    """One that answers says nothing of the other."""
    clock = Clock()
    troubles = Troubles(clock)
    troubles.failed(Source.OPEN_NODES, "first")
    clock.now += 2
    troubles.failed(Source.OPEN_NODES, "then")
    troubles.succeeded(Source.PODS)
    (trouble,) = troubles.now()
    assert (trouble.source, trouble.error, trouble.seconds) == (Source.OPEN_NODES, "then", 2.0)


@pytest.mark.parametrize(("seconds", "in_summary"), [(1.0, False), (LASTING, True)])
def test_it_shows_in_metrics_and_status(place: Path, seconds: float, in_summary: bool) -> None:
    """At once; in the line that sums all up only when it lasts, as kubelets restart."""

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            await stage.kubelet.until(lambda: stage.plugin.ready)
            found = await metrics(stage)
            for source in Source:
                assert found[key("ownership_known", source=source)] == 1
                assert found[key("ownership_failures_total", source=source)] == 0
            assert status(facts(stage.plugin))["ownership"] == {"troubles": []}
            clock = Clock()
            stage.plugin.troubles = Troubles(clock)
            stage.plugin.troubles.failed(Source.PODS, "connection refused")
            clock.now += seconds
            found = await metrics(stage)
            assert found[key("ownership_known", source=Source.PODS)] == 0
            assert found[key("ownership_known", source=Source.OPEN_NODES)] == 1
            assert found[key("ownership_failures_total", source=Source.PODS)] == 1
            (told,) = status(facts(stage.plugin))["ownership"]["troubles"]
            assert (told["source"], told["error"]) == ("pods", "connection refused")
            assert ("nothing is released" in standing(stage.plugin).summary()) == in_summary

    asyncio.run(run())
