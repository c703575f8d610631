"""What a probe and a scraper are told of a plugin that runs."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path
from time import monotonic

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.plugin.kubelet.pods import pod
from tests.plugin.scene import GPU, NIC, Scene, Table, offer, scene
from tests.plugin.test_http import ask
from vfioctl.model.address import PciAddress
from vfioctl.plugin.attendants import attended
from vfioctl.plugin.pages import address, keep_listening, pages
from vfioctl.plugin.values import Item, Offer

BOTH = (offer(GPU, "a", "-b"), offer(NIC, "x"))


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def page(stage: Scene, path: str) -> tuple[int, str]:
    """Return status and text of a page."""
    made = await pages(stage.plugin)[path]("")
    return made.status, made.body.decode()


async def metrics(stage: Scene) -> dict[str, float]:
    """Return every sample of ours, by its name and labels."""
    _, text = await page(stage, "/metrics")
    return {
        key(sample.name.removeprefix("vfioctl_plugin_"), **sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("vfioctl_plugin_")
    }


def key(name: str, **labels: str) -> str:
    """Return a sample's name and labels as one text."""
    return " ".join([name, *(f"{label}={value}" for label, value in sorted(labels.items()))])


def test_metrics_say_how_items_streams_and_calls_stand(place: Path) -> None:
    """Every one that plugin-behaviour names; what never happened is zero, not absent."""

    async def run() -> None:
        card = Item("0000:01:00.0", NIC, tuple(PciAddress(0, 1, 0, n) for n in (0, 1)), (), 7, "no-node")
        async with scene(place, BOTH[0], Offer(NIC, (card,))) as stage:
            await stage.settled(gpu=(2, 1), nic=(1, 0))
            await stage.kubelet.until(lambda: stage.plugin.ready)
            await stage.kubelet.admit(pod("p", {GPU: 1}))
            found = await metrics(stage)
            assert found[key("devices", resource=GPU, health="healthy")] == 1
            assert found[key("devices", resource=NIC, health="healthy")] == 0
            assert found[key("devices", resource=NIC, health="unhealthy")] == 1
            assert {name for name in found if "device_unhealthy" in name} == {
                key("device_unhealthy", address="b", reason="missing"),
                key("device_unhealthy", address="0000:01:00.0", reason="no-node"),
                key("device_unhealthy", address="0000:01:00.1", reason="no-node"),
            }
            assert found[key("allocations_total", resource=GPU, result="granted")] == 1
            assert found[key("registrations_total", resource=GPU, result="registered")] == 1
            assert found[key("stream_up", resource=GPU)] == 1
            assert found[key("allocate_seconds_bucket", le="+Inf")] == 1
            assert found["allocate_seconds_count"] == 1
            assert found["resync_seconds_count"] == stage.plugin.look.count
            assert found["config_reload_success"] == 1
            assert found["releases_total"] == found["group_conflicts_total"] == 0
            stage.plugin.counts.released(2)
            stage.plugin.counts.conflicted()
            stage.plugin.reload_error = "plugin.toml: no"
            found = await metrics(stage)
            assert (found["releases_total"], found["group_conflicts_total"]) == (2, 1)
            assert found["config_reload_success"] == 0

    asyncio.run(run())


def test_ready_is_when_every_resource_has_a_stream(place: Path) -> None:
    """Before that it says what is waited for."""

    async def run() -> None:
        async with scene(place, *BOTH, kubelet_runs=False) as stage:
            await stage.kubelet.until(lambda: stage.plugin.look.count)
            assert await page(stage, "/readyz") == (503, "there is no kubelet: 2 resources wait for it\n")
            assert (await page(stage, "/healthz"))[0] == 200
            await stage.kubelet.start()
            await stage.kubelet.until(lambda: stage.plugin.ready)
            assert await page(stage, "/readyz") == (200, "ok\n")

    asyncio.run(run())


def test_healthy_is_when_the_host_was_seen_of_late(place: Path) -> None:
    """Looks that fail are no reason to restart, as a restart mends nothing; looks that never end are one."""

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            await stage.kubelet.until(lambda: stage.plugin.ready)
            stage.plugin.look.last = monotonic() - 500
            stage.plugin.look.error = "looking at the host takes more than 30 s"
            told = "the host was not seen for 500 s: looking at the host takes more than 30 s\n"
            assert await page(stage, "/healthz") == (503, told)
            assert await page(stage, "/livez") == (200, "ok\n")
            stage.plugin.look.last_try = monotonic() - 500
            assert await page(stage, "/livez") == (503, "no look at the host has ended for 500 s\n")

    asyncio.run(run())


def test_the_address_follows_the_configuration(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Off, then a port that is taken, then another: devices are served all the time."""
    caplog.set_level("INFO")

    async def run() -> None:
        async with scene(place, *BOTH) as stage, attended(http=keep_listening(stage.plugin)):
            await stage.kubelet.until(lambda: stage.plugin.ready)
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                busy = Table(str(place))
                busy.listen = f"127.0.0.1:{taken.getsockname()[1]}"
                stage.plugin._load = lambda _held: busy
                stage.plugin.reload()
                await stage.kubelet.until(lambda: "are not served at" in caplog.text)
                free = Table(str(place))
                port = free_port()
                free.listen = f"127.0.0.1:{port}"
                stage.plugin._load = lambda _held: free
                stage.plugin.reload()
                await stage.kubelet.until(lambda: "are served at" in caplog.text)
            answer = await ask(port, b"GET /readyz HTTP/1.1\r\n\r\n")
            assert answer.endswith(b"\r\n\r\nok\n")
            accepted = b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n"
            assert (await ask(port, accepted)).endswith(b"# EOF\n")
            assert {state.streams for state in stage.plugin.states().values()} == {1}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        ("*:9464", (None, 9464)),
        ("node:80", ("node", 80)),
    ],
)
def test_an_address_is_a_host_and_a_port(listen: str, expected: tuple[str | None, int]) -> None:
    """The asterisk is every address of this machine."""
    assert address(listen) == expected


def test_the_alerts_of_the_operators_page_ask_for_metrics_that_are_there(place: Path) -> None:
    """A name that is misspelt never alerts."""
    page_ = (Path(__file__).parents[2] / "docs" / "plugin.md").read_text()
    asked = set(re.findall(r"vfioctl_plugin_(\w+)", page_))

    async def run() -> None:
        async with scene(place, *BOTH) as stage:
            await stage.settled(gpu=(2, 1))
            await stage.kubelet.until(lambda: stage.plugin.ready)
            await stage.kubelet.admit(pod("p", {GPU: 1}))
            assert asked <= {name.partition(" ")[0] for name in await metrics(stage)}

    asyncio.run(run())
    assert len(asked) == 6
