"""What is exported agrees with what the plugin does: two rooms that do not know each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vfioctl.cli.pod_targets import of_domain, requests
from vfioctl.export.cdi import KIND, Access, cdi_device
from vfioctl.export.nodes import Backend
from vfioctl.libvirt.devices import text_of
from vfioctl.libvirt.values import PciHostdev
from vfioctl.model.address import PciAddress
from vfioctl.plugin.allocation import CDI_KIND, allocate
from vfioctl.plugin.config import parse
from vfioctl.plugin.resources import sort_out
from vfioctl.plugin.sight import Sight
from vfioctl.plugin.values import Grant

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vfioctl.model.host import Host

SIGHT = Sight(usb=(), has_node=lambda _path: True)


def granted(host: Host, text: str, counts: dict[str, int] | None = None) -> list[tuple[str, Grant]]:
    """Return what the plugin hands out: as many items as are asked for, or each item by itself."""
    config = parse(text)
    grants: list[tuple[str, Grant]] = []
    for offer in sort_out(host, config, sight=SIGHT).offers:
        ids = [item.id for item in offer.items]
        asked = [[one] for one in ids] if counts is None else [ids[: counts.get(offer.resource, 0)]]
        for chosen in filter(None, asked):
            grant = allocate(host, config, offer, chosen, SIGHT)
            assert isinstance(grant, Grant), grant
            grants.append((chosen[0], grant))
    return grants


@pytest.mark.parametrize("name", ["sample", "server", "lab-6.1-vfio", "lab-6.12-cdev"])
@pytest.mark.parametrize("backend", ["auto", "legacy"])
def test_a_cdi_name_brings_the_nodes_that_the_plugin_hands_out(
    name: str, backend: str, sample_host: Callable[[str], Host]
) -> None:
    """With `cdi = true` the plugin answers a name instead of nodes: a container must get no less."""
    host = sample_host(name)
    grants = granted(
        host, f'[[resource]]\nname = "a.b/c"\nselect = ["driver:vfio-pci"]\nbackend = "{backend}"\n'
    )
    pairs = [
        ({node.host_path for node in grant.nodes}, host.by_address[PciAddress.parse(item)])
        for item, grant in grants
    ]

    assert pairs
    assert KIND == CDI_KIND
    for handed_out, device in pairs:
        described = {node.path for node in cdi_device(device, Backend(backend), Access()).nodes}
        assert handed_out <= described
        assert described - handed_out <= {"/dev/iommu"}


def test_a_domain_gets_its_own_devices_back_from_the_kubelet(
    sample_host: Callable[[str], Host], tmp_path: Path
) -> None:
    """Libvirt's XML, to a Pod, to an allocation, to the variables: the same addresses."""
    host = sample_host("sample")
    addresses = [PciAddress.parse(text) for text in ("02:00.0", "02:00.1", "05:02.2")]
    devices = "".join(text_of(PciHostdev(address)) for address in addresses)
    vm = tmp_path / "vm.xml"
    vm.write_text(f"<domain><name>vm</name><devices>{devices}</devices></domain>")
    text = "".join(
        f'[[resource]]\nname = "vfioctl.io/{number}"\nselect = ["{address}"]\n'
        for number, address in enumerate(addresses)
    )

    counts, _ = requests(host, parse(text), SIGHT, of_domain(str(vm)))

    assert counts == {"vfioctl.io/0": 1, "vfioctl.io/1": 1, "vfioctl.io/2": 1}
    grants = granted(host, text, counts)
    variables = [
        value for _, grant in grants for name, value in grant.envs if name.startswith("PCI_RESOURCE_")
    ]
    assert sorted(variables) == [str(address) for address in addresses]
