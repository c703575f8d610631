"""What is legal in a configuration and unwise, on this host or on any."""

from __future__ import annotations

from vfioctl.model.selector import BlockTerm, DriverTerm, GroupTerm, NetTerm
from vfioctl.model.viability import assess
from vfioctl.plugin.condition import bridges_on_shpchp
from vfioctl.plugin.lots import lots
from vfioctl.plugin.races import races
from vfioctl.plugin.remark import Remark, few
from vfioctl.plugin.resources import EVERYTHING, sort_out
from vfioctl.plugin.settings import Backend, BindMode, EnvStyle, Kind
from vfioctl.sysfs.root import VFIO_GROUP_NODES
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.host import Host
    from vfioctl.plugin.resources import Sorted
    from vfioctl.plugin.settings import Config, Resource
    from vfioctl.plugin.sight import Sight
    from vfioctl.plugin.values import Item


def lint(host: Host, config: Config, sight: Sight = EVERYTHING) -> tuple[Remark, ...]:
    """Return every remark, in the order of the configuration's resources."""
    found = sort_out(host, config, sight=sight)
    remarks = [
        remark
        for resource in found.resources
        for remark in (*_written(resource), *_meeting(host, resource, found, sight))
    ]
    return (*remarks, *races(found))


def _written(resource: Resource) -> Iterator[Remark]:
    """Yield what can be said of a resource without a host."""
    for selector in resource.select:
        for term in selector.terms:
            if isinstance(term, GroupTerm):
                yield Remark(
                    "group-number",
                    resource.name,
                    f'"{selector.text}": the numbers of IOMMU groups are given anew at each boot',
                    'select by address or ids, with unit = "group"',
                )
            if _leaves_with_the_driver(resource, term):
                yield Remark(
                    "host-driver",
                    resource.name,
                    f'"{selector.text}" holds only while a driver of the host has the device',
                    "select by address, by ids, or by vfs-of: a vfio driver has no interfaces and no disks",
                )
    if resource.backend is Backend.IOMMUFD and EnvStyle.KUBEVIRT in resource.env:
        yield Remark(
            "kubevirt-iommufd",
            resource.name,
            "KubeVirt gives QEMU the nodes of a VM only where /dev/vfio/vfio is among them",
            'use backend = "auto", or env = ["json"] if it is not for KubeVirt',
        )
    for path in resource.paths:
        if path.startswith(VFIO_GROUP_NODES):
            yield Remark(
                "vfio-node",
                resource.name,
                f"{path} as a plain node: nothing looks after its group, and the number is not stable",
                'offer the device with kind = "pci"',
            )


def _leaves_with_the_driver(resource: Resource, term: object) -> bool:
    if resource.kind is not Kind.PCI or resource.bind is BindMode.ON_DEMAND:
        return False
    if isinstance(term, DriverTerm):
        return term.driver is None or "vfio" not in term.driver
    return isinstance(term, NetTerm | BlockTerm)


def _meeting(host: Host, resource: Resource, found: Sorted, sight: Sight) -> Iterator[Remark]:
    """Yield what shows only on a host."""
    offer = next(offer for offer in found.offers if offer.resource == resource.name)
    if not offer.items and resource.kind is not Kind.NODE:
        left = sum(one.resource == resource.name for one in found.left_out)
        yield Remark(
            "nothing-offered",
            resource.name,
            f"nothing of this host is offered: {left} selected and left out"
            if left
            else "nothing here is selected",
            "see: vfioctl serve-plugin --dry-run" if left else "see: vfioctl scan",
        )
    for selector in resource.select if resource.kind is not Kind.NODE else ():
        alone = resource._replace(select=(selector,), exclude=())
        if offer.items and not any(lots(host, alone, sight)):
            yield Remark(
                "selects-nothing",
                resource.name,
                f'"{selector.text}" matches nothing on this host',
                "leave it out, if it is not for another host",
            )
    words = {host.by_address[item.members[0]].word for item in offer.items if item.members}
    if resource.kind is Kind.PCI and "gpu" in words and len(words) > 1 and EnvStyle.KUBEVIRT in resource.env:
        yield Remark(
            "both-lists",
            resource.name,
            f"it offers {', '.join(sorted(words))}: in both of a VM's lists, gpus and hostDevices, KubeVirt"
            " would give the same device twice",
            "make a resource of each",
        )
    yield from _topology(resource, offer.items)
    yield from _bridges(host, resource, offer.items)


def _bridges(host: Host, resource: Resource, items: tuple[Item, ...]) -> Iterator[Remark]:
    """Yield what keeps groups from VFIO since 5.19 that a bind could release (K18, K19)."""
    if resource.bind is BindMode.ASSUME or resource.release_shpchp:
        return
    for number in sorted({group for item in items for group in item.groups}):
        group = host.by_group.get(number)
        blockers = assess(host, group).blockers_after_bind if group is not None else ()
        for bridge in bridges_on_shpchp(host, blockers):
            yield Remark(
                "shpchp",
                resource.name,
                f"the bridge {bridge.address} of IOMMU group {number} is on shpchp, which keeps it from VFIO:"
                " a bind is refused",
                "set release_shpchp = true: its slots lose native hotplug while a pod has the group",
            )


def _topology(resource: Resource, items: tuple[Item, ...]) -> Iterator[Remark]:
    without = [item.id for item in items if not item.numa_nodes]
    if without and len(without) < len(items):
        yield Remark(
            "mixed-numa",
            resource.name,
            f"{few(without)} on no NUMA node, others on one: a strict topology policy never gives them out",
            "make a resource of each",
        )
