"""What is counted and how all stands, as Prometheus reads it."""

from __future__ import annotations

import time
from collections import Counter

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from vfioctl import __version__
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric

    from vfioctl.plugin.counts import Counts, Spread
    from vfioctl.plugin.standing import Standing

PREFIX = "vfioctl_plugin_"


def exposition(standing: Standing, counts: Counts, accepted: str = "") -> tuple[bytes, str]:
    """Return the metrics in the form that the asker accepts, and that form's content type."""
    registry = CollectorRegistry()
    registry.register(_Facts(standing, counts))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accepted)
    return encode(registry), content_type


class _Facts(Collector):
    """Plain values behind the library's interface."""

    def __init__(self, standing: Standing, counts: Counts) -> None:
        self._standing = standing
        self._counts = counts

    def describe(self) -> Iterable[Metric]:
        """Promise nothing: they are only read once."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield InfoMetricFamily(f"{PREFIX}build", "What runs", value={"version": __version__})
        yield from _of_items(self._standing)
        yield from _of_process(self._standing)
        yield from _of_owners(self._standing)
        yield from _of_counts(self._counts)


def _of_items(standing: Standing) -> Iterator[Metric]:
    devices = GaugeMetricFamily(
        f"{PREFIX}devices", "Items of a resource, by health", labels=["resource", "health"]
    )
    unhealthy = GaugeMetricFamily(
        f"{PREFIX}device_unhealthy", "Why a device must not be allocated", labels=["address", "reason"]
    )
    stream = GaugeMetricFamily(
        f"{PREFIX}stream_up", "Whether a kubelet has the resource's list open", labels=["resource"]
    )
    seen: set[tuple[str, str]] = set()
    for one in standing.served:
        name = one.offer.resource
        healths = Counter("healthy" if item.reason is None else "unhealthy" for item in one.offer.items)
        for health in ("healthy", "unhealthy"):
            devices.add_metric([name, health], healths[health])
        stream.add_metric([name], one.listening)
        for item in one.offer.items:
            if item.reason is not None:
                seen |= {(address, item.reason) for address in map(str, item.members or (item.id,))}
    for labels in sorted(seen):
        unhealthy.add_metric(labels, 1)
    yield from (devices, unhealthy, stream)


def _of_process(standing: Standing) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        f"{PREFIX}config_reload_success",
        "Whether the configuration in force is the one in the file",
        value=standing.reload_error is None,
    )
    yield GaugeMetricFamily(f"{PREFIX}tasks", "Tasks of the loop", value=standing.tasks)
    if standing.looked:
        yield GaugeMetricFamily(
            f"{PREFIX}last_resync_timestamp_seconds",
            "When the host was last seen",
            value=time.time() - standing.since_look,
        )


def _of_owners(standing: Standing) -> Iterator[Metric]:
    known = GaugeMetricFamily(
        f"{PREFIX}ownership_known", "Whether what is asked for who owns what answers", labels=["source"]
    )
    failures = CounterMetricFamily(
        f"{PREFIX}ownership_failures", "Questions for who owns what that failed", labels=["source"]
    )
    silent = {one.source.value for one in standing.troubles}
    for source, count in standing.failures:
        known.add_metric([source], source not in silent)
        failures.add_metric([source], count)
    yield from (known, failures)


def _of_counts(counts: Counts) -> Iterator[Metric]:
    for name, told, table in (
        ("allocations", "Allocate calls, by how they ended", counts.allocations),
        ("registrations", "Registrations with a kubelet, by how they ended", counts.registrations),
    ):
        family = CounterMetricFamily(f"{PREFIX}{name}", told, labels=["resource", "result"])
        for labels, count in sorted(table.items()):
            family.add_metric(labels, count)
        yield family
    yield CounterMetricFamily(
        f"{PREFIX}releases", "Items that came back from containers", value=counts.releases
    )
    yield CounterMetricFamily(
        f"{PREFIX}group_conflicts", "Times that two wanted one IOMMU group", value=counts.group_conflicts
    )
    yield _histogram("allocate_seconds", "How long an allocation took", counts.allocate_seconds)
    yield _histogram("resync_seconds", "How long a look at the host took", counts.look_seconds)


def _histogram(name: str, told: str, spread: Spread) -> Metric:
    bounds = [*map(str, spread.bounds), "+Inf"]
    buckets = [(bound, count) for bound, (_, count) in zip(bounds, spread.cumulative(), strict=True)]
    return HistogramMetricFamily(f"{PREFIX}{name}", told, buckets=buckets, sum_value=spread.total)
