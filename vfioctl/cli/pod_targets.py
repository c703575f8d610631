"""From selectors, a domain of libvirt's or a VM of KubeVirt's to what a Pod asks for."""

from __future__ import annotations

from collections import Counter

from vfioctl.cli.export_targets import endpoints
from vfioctl.cli.kubevirt_targets import content_of, documents
from vfioctl.errors import NotFoundError, UsageError
from vfioctl.export.pod import Machine
from vfioctl.export.readiness import Finding
from vfioctl.model.address import PciAddress
from vfioctl.model.usb import matching
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.condition import REASONS
from vfioctl.plugin.resources import refuse_ties, sort_out
from vfioctl.plugin.settings import Kind
from vfioctl.plugin.values import Item
from vfioctl.sysfs.root import KVM_NODE
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector
    from vfioctl.plugin.config import Config
    from vfioctl.plugin.resources import Sorted
    from vfioctl.plugin.sight import Sight

_HOW = "kubectl get vmi NAME -o yaml | vfioctl pod-spec --vmi -"
_DEFAULT_PAGE = 2 << 20
_MOST_CPUS = 1 << 16


class Need(NamedTuple):
    """What a VM needs."""

    machine: Machine
    things: tuple[str, ...] = ()
    """Devices of this host: addresses, UUIDs, USB ports or ids."""
    resources: tuple[str, ...] = ()
    """Resources that it names itself."""


def of_selectors(session: Session, host: Host, selectors: Sequence[Selector]) -> Need:
    """Return the devices that are selected, and no machine.

    Raises:
        NotFoundError: nothing matches.

    """
    return Need(Machine(), tuple(str(device.address) for device in endpoints(session, host, selectors)))


def of_domain(path: str) -> Need:
    """Read a domain of libvirt's; ``-`` is stdin.

    Raises:
        UsageError: the file is no domain.
        NotFoundError: there is no such file.
        NotPermittedError: it may not be read.

    """
    from vfioctl.libvirt.facts import parse_tree, read_domain
    from vfioctl.libvirt.source import parse_source, read_source
    from vfioctl.libvirt.values import UNASSIGNED, name_of

    tree = parse_tree(parse_source("stdin", content_of(path)) if path == "-" else read_source(path))
    domain = read_domain(path, tree)
    # What the guest does not see is detached for its group's sake, and bound on a node of a cluster.
    seen = [device for device in domain.devices if device.info.guest != UNASSIGNED]
    things = tuple(name_of(device).removeprefix("mdev:").removeprefix("usb:") for device in seen)
    cpus = (tree.findtext("vcpu") or "").strip()
    machine = Machine(
        name=domain.name or None,
        memory=domain.memory.size,
        cpus=int(cpus) if cpus.isdecimal() and 0 < int(cpus[:9]) < _MOST_CPUS else None,
        page=_page(tree),
    )
    return Need(machine, things)


def of_vmi(path: str) -> Need:
    """Read a VM of KubeVirt's; raises as `vfioctl.cli.kubevirt_targets.documents` does."""
    from vfioctl.export.kubevirt_source import machines_of
    from vfioctl.export.machine_source import machine_of

    for document in documents([path], hint=_HOW):
        machine = machine_of(document)
        if machine is not None:
            asked = next(machines_of(document))
            return Need(machine, resources=(*asked.gpus, *asked.host_devices))
    raise UsageError(f"{path} has no virtual machine in it", hint=_HOW)


def requests(
    host: Host, config: Config, sight: Sight, need: Need
) -> tuple[dict[str, int], tuple[Finding, ...]]:
    """Return how many of which resource a Pod asks for, and what is to be said of that.

    Raises:
        NotFoundError: no resource of the configuration offers a device; the hint has what would.

    """
    applied = sort_out(host, config, sight=sight)
    refuse_ties(applied)
    names = {_canonical(thing, sight) for thing in need.things}
    found = {name: _item_of(name, applied) or _to_come(name, applied) for name in sorted(names)}
    missing = [name for name, item in found.items() if item is None]
    unknown = [name for name in need.resources if name not in {one.name for one in applied.resources}]
    if missing or unknown:
        raise _not_offered(host, applied, sight, missing, unknown)
    items = {item.id: item for item in found.values() if item is not None}
    counts = Counter([*(item.resource for item in items.values()), *need.resources])
    kvm = next((one.name for one in applied.resources if KVM_NODE in one.paths), None)
    if kvm is not None:
        counts[kvm] = 1
    findings = [
        *_unhealthy(items),
        *_choices(applied, counts, items),
        *_nodes(items),
        *([] if kvm else [_NO_KVM]),
        *([_NO_MEMORY] if need.machine.name is not None and need.machine.memory is None else []),
    ]
    return dict(counts), tuple(findings)


_NO_KVM = Finding(
    "kvm",
    "note",
    None,
    f"no resource offers {KVM_NODE}, which a VM needs",
    'kind = "node", paths = ["/dev/kvm"], count = 110',
)


_NO_MEMORY = Finding(
    "memory", "note", None, "how much memory it has is not said: the Pod asks for none", "add it by hand"
)


def _page(tree: Any) -> int | None:  # noqa: ANN401 - an element; only the room libvirt knows lxml
    from vfioctl.libvirt.memlock import scaled

    if tree.find("memoryBacking/hugepages") is None:
        return None
    page = tree.find("memoryBacking/hugepages/page")
    return _DEFAULT_PAGE if page is None else scaled(page.get("size"), page.get("unit"))


def _canonical(thing: str, sight: Sight) -> str:
    """Return the name that items have: of a USB device its port."""
    found = matching(sight.usb or (), thing)
    return found[0].name if found else thing


def _item_of(name: str, applied: Sorted) -> Item | None:
    kinds = {one.name: one.kind for one in applied.resources}
    for offer in applied.offers:
        for item in offer.items:
            members = map(str, item.members) if kinds[offer.resource] is Kind.PCI else ()
            if name == item.id or name in members:
                return item
    return None


def _to_come(name: str, applied: Sorted) -> Item | None:
    """Return what is selected and not offered as the host stands: nobody has bound it yet, for example."""
    priorities = {one.name: one.priority for one in applied.resources}
    found = [one for one in applied.left_out if one.id == name]
    if not found:
        return None
    best = max(found, key=lambda one: priorities[one.resource])
    address = PciAddress.from_name(name)
    return Item(name, best.resource, (address,) if address else (), (), None, best.why)


def _not_offered(
    host: Host, applied: Sorted, sight: Sight, missing: Sequence[str], unknown: Sequence[str]
) -> NotFoundError:
    blocks = dict.fromkeys(block for name in missing if (block := _block(host, sight, name)))
    text = "; ".join(
        [
            *([f"no configured resource offers {', '.join(missing)}"] if missing else []),
            *([f"no resource is called {', '.join(unknown)}"] if unknown else []),
        ]
    )
    offered = " ".join(one.name for one in applied.resources) or "none"
    return NotFoundError(
        text, hint="\n".join(["this would:", *blocks]) if blocks else f"there are: {offered}"
    )


def _block(host: Host, sight: Sight, name: str) -> str | None:
    """Return the table of a configuration that would offer something."""
    address = PciAddress.from_name(name)
    device = host.by_address.get(address) if address else None
    if device is not None:
        ids = f"{device.vendor_id:04x}:{device.device_id:04x}"
        first = "" if device.on_vfio else f"# after: vfioctl bind {name}\n"
        return f'{first}[[resource]]\nname = "vfioctl.io/{ids.replace(":", "_")}"\nselect = ["{ids}"]'
    for mdev in host.mdevs:
        if mdev.uuid == name:
            return f'[[resource]]\nname = "vfioctl.io/mdev"\nkind = "mdev"\nselect = ["{mdev.parent}"]'
    for usb in matching(sight.usb or (), name):
        own = usb.ids.replace(":", "_")
        return f'[[resource]]\nname = "vfioctl.io/usb_{own}"\nkind = "usb"\nselect = ["usb:{usb.ids}"]'
    return None


def _unhealthy(items: dict[str, Item]) -> Iterator[Finding]:
    for item in items.values():
        if item.reason is not None:
            yield Finding(
                "health",
                "warn",
                item.members[0] if item.members else None,
                f"{item.resource} cannot give it away now: {REASONS.get(item.reason, item.reason)}",
                f"vfioctl plugin explain {item.id}",
            )


def _choices(applied: Sorted, counts: Counter[str], items: dict[str, Item]) -> Iterator[Finding]:
    mine = {item.resource for item in items.values()}
    for offer in applied.offers:
        taken, there = counts[offer.resource], len(offer.items)
        if offer.resource in mine and there > taken:
            yield Finding(
                "choice",
                "note",
                None,
                f"the kubelet takes {taken} of the {there} of {offer.resource}, not necessarily these",
                "give them a resource of their own",
            )


def _nodes(items: dict[str, Item]) -> Iterator[Finding]:
    nodes = sorted({node for item in items.values() for node in item.numa_nodes})
    if len(nodes) > 1:
        yield Finding(
            "numa",
            "warn",
            None,
            f"the devices are on NUMA nodes {' '.join(map(str, nodes))}",
            "a kubelet with topologyManagerPolicy single-numa-node would not admit the Pod",
        )
