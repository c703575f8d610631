"""What holds on every host, whatever is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.factory import config, seeing
from tests.support.fixtures import HOST_NAMES
from vfioctl.plugin.allocation import allocate
from vfioctl.plugin.config import default_config
from vfioctl.plugin.explain import Verdict, explain
from vfioctl.plugin.health import History, judge
from vfioctl.plugin.lint import lint
from vfioctl.plugin.preferred import prefer
from vfioctl.plugin.resources import sort_out
from vfioctl.plugin.values import Denied, Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from vfioctl.model.host import Host
    from vfioctl.plugin.config import Config

SEEN = seeing()
WIDE = 'select = ["*:*:*.*", "class:gpu", "class:nic", "class:storage"]'
CONFIGS = {
    "default": default_config(),
    "devices": config(WIDE),
    "slots": config(f'{WIDE}\nunit = "slot"\nbackend = "legacy"'),
    "groups": config(f'{WIDE}\nunit = "group"\nshared_group = "refuse"'),
    "iommufd": config(f'{WIDE}\nbackend = "iommufd"'),
    "on-demand": config(f'{WIDE}\nbind = "on-demand"\nunit = "group"'),
    "contest": config(WIDE, 'select = ["class:nic"]\npriority = 1', 'select = ["class:gpu"]\nunit = "slot"'),
    "mdev": config('kind = "mdev"\nselect = ["class:gpu"]'),
}


@pytest.mark.parametrize("name", [*HOST_NAMES, "sample"])
@pytest.mark.parametrize("configured", CONFIGS.values(), ids=CONFIGS)
def test_what_holds_on_every_host(name: str, configured: Config, sample_host: Callable[[str], Host]) -> None:
    """Nothing is offered twice, healthy means that it can be allocated, and everything has an explanation."""
    host = sample_host(name)

    found = sort_out(host, configured, sight=SEEN)

    items = [item for offer in found.offers for item in offer.items]
    if configured.resources[:1] != CONFIGS["mdev"].resources:
        members = [address for item in items for address in item.members]
        assert len(members) == len(set(members))
    assert len({item.id for item in items}) == len(items)
    for offer in found.offers:
        assert [item.id for item in offer.items] == sorted(
            (item.id for item in offer.items), key=lambda one: next(i.members for i in items if i.id == one)
        )
        for item in offer.items:
            answer = allocate(host, configured, offer, [item.id], SEEN)
            assert isinstance(answer, Grant) is (item.reason is None), (item, answer)
        fit = [item.id for item in offer.items if item.reason is None]
        assert len(fit) < 2 or not isinstance(prefer(host, offer, fit, fit[1:2], 2), Denied)
    assert judge(History(), host, configured, sight=SEEN).offers == found.offers
    assert all(remark.hint for remark in lint(host, configured, SEEN))


@pytest.mark.parametrize("name", [*HOST_NAMES, "sample"])
@pytest.mark.parametrize("configured", CONFIGS.values(), ids=CONFIGS)
def test_every_device_has_an_explanation(
    name: str, configured: Config, sample_host: Callable[[str], Host]
) -> None:
    """Offered exactly where an item has it; else at least one reason."""
    host = sample_host(name)
    found = sort_out(host, configured, sight=SEEN)
    owners = {
        address: item.resource
        for offer in found.offers
        for item in offer.items
        for address in item.members
        if configured is not CONFIGS["mdev"]
    }

    for device in host.devices[:: max(1, len(host.devices) // 8)]:
        for answer in explain(host, configured, str(device.address), sight=SEEN):
            has_it = answer.verdict in {Verdict.OFFERED, Verdict.UNHEALTHY}

            assert has_it is (owners.get(device.address) == answer.resource)
            assert has_it or answer.why
