"""What is wrong with a cluster's list of permitted devices, and with VMs that ask for them."""

from __future__ import annotations

from vfioctl.export.kubevirt import Listing, Permitted
from vfioctl.export.kubevirt_source import Asked, Entry, Permissions, entries_of, machines_of
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


class Problem(NamedTuple):
    """Something wrong, where it stands, and what to write instead."""

    check: str
    severity: str
    """``error``: a VM fails or gets a wrong device; ``stale``: not this host's; ``warn``."""
    place: str
    message: str
    hint: str


class Knowledge(NamedTuple):
    """What documents are held against."""

    offered: tuple[Permitted, ...]
    """The resources of the plugin's configuration."""
    pci: frozenset[str]
    """Ids of this host's functions, as ``10DE:1EB8``."""
    mdev_types: frozenset[str]
    usb: frozenset[str] | None
    """Ids of its USB devices, as ``1050:0407``; None: unknown."""
    name_problem: Callable[[str], str | None]
    """Says why the kubelet would refuse a resource's name."""

    def offer(self, resource: str) -> Permitted | None:
        """Return a resource of the configuration."""
        return next((one for one in self.offered if one.resource == resource), None)


def check(documents: Sequence[object], known: Knowledge) -> tuple[Problem, ...]:
    """Return every problem, in the order of the documents."""
    permissions = [one for document in documents for one in entries_of(document)]
    problems: list[Problem] = []
    for one in permissions:
        for entry in one.entries:
            problems += _entry(entry, known)
        problems += [*_repeated(one), *_missing(one, known), *_gates(one)]
    for asked in (asked for document in documents for asked in machines_of(document)):
        problems += _machine(asked, permissions, known)
    return tuple(problems)


def _entry(entry: Entry, known: Knowledge) -> Iterator[Problem]:
    if entry.fault:
        yield Problem("shape", "error", entry.place, entry.fault, "compare: vfioctl kubevirt snippet")
    if entry.resource is None:
        return
    if why := known.name_problem(entry.resource):
        yield Problem("name", "error", entry.place, f"{entry.resource}: {why}", "as in vfioctl.io/t4")
        return
    offer = known.offer(entry.resource)
    if offer is None:
        yield from _unknown(entry, known)
    else:
        yield from _ours(entry, offer)
    yield from _selectors(entry, known)


def _ours(entry: Entry, offer: Permitted) -> Iterator[Problem]:
    if entry.external is not True:
        yield Problem(
            "external",
            "error",
            entry.place,
            f"{entry.resource} lacks externalResourceProvider: true, so virt-handler serves it as well",
            "add externalResourceProvider: true",
        )
    if entry.listing is not offer.listing:
        yield Problem(
            "list",
            "error",
            entry.place,
            f"{entry.resource} stands in {entry.listing.value}, and the plugin offers it for"
            f" {offer.listing.value}",
            f"move it to {offer.listing.value}",
        )


def _unknown(entry: Entry, known: Knowledge) -> Iterator[Problem]:
    if entry.external:
        near = _near(entry.resource or "", (one.resource for one in known.offered))
        domain = (entry.resource or "").partition("/")[0]
        ours = any(one.resource.partition("/")[0] == domain for one in known.offered)
        if near or ours:
            yield Problem(
                "unknown",
                "error",
                entry.place,
                f"no [[resource]] of the configuration is called {entry.resource}",
                f"did you mean {near}?" if near else "see: vfioctl kubevirt snippet",
            )
        return
    shared = [
        one.resource
        for one in known.offered
        if one.listing is entry.listing and not {*_plain(one.selectors)}.isdisjoint(_plain(entry.selectors))
    ]
    if shared:
        yield Problem(
            "rival",
            "warn",
            entry.place,
            f"KubeVirt itself offers as {entry.resource} the devices that the plugin offers as {shared[0]}",
            "remove one of them: what both offer is given away twice",
        )


def _selectors(entry: Entry, known: Knowledge) -> Iterator[Problem]:
    here = {Listing.PCI: known.pci, Listing.MDEV: known.mdev_types, Listing.USB: known.usb}[entry.listing]
    if here is None or not entry.selectors:
        return
    present = set(_plain(here))
    for selector, plain in zip(entry.selectors, _plain(entry.selectors), strict=True):
        if plain not in present:
            yield Problem(
                "selector",
                "stale",
                entry.place,
                f"{selector} of {entry.resource} matches nothing on this host",
                "see: vfioctl scan" if entry.listing is Listing.PCI else "is it for another node?",
            )


def _repeated(one: Permissions) -> Iterator[Problem]:
    seen: dict[str, Entry] = {}
    for entry in one.entries:
        if entry.resource is None:
            continue
        first = seen.setdefault(entry.resource, entry)
        # One resource may have several ids in one list: then they stand there several times.
        if first.listing is not entry.listing:
            yield Problem(
                "twice",
                "error",
                entry.place,
                f"{entry.resource} stands in {first.listing.value} too",
                "a resource belongs to one list; remove it from the other",
            )


def _missing(one: Permissions, known: Knowledge) -> Iterator[Problem]:
    there = {entry.resource for entry in one.entries}
    for offer in known.offered:
        if offer.resource not in there:
            yield Problem(
                "missing",
                "warn",
                one.place,
                f"{offer.resource} is offered and not permitted: KubeVirt would refuse a VM that asks for it",
                "see: vfioctl kubevirt snippet",
            )


def _gates(one: Permissions) -> Iterator[Problem]:
    if one.entries and one.gates is not None and "HostDevices" not in one.gates:
        yield Problem(
            "gate",
            "warn",
            one.place,
            "the feature gate HostDevices is not on",
            "add HostDevices to spec.configuration.developerConfiguration.featureGates",
        )


def _machine(asked: Asked, permissions: Sequence[Permissions], known: Knowledge) -> Iterator[Problem]:
    if asked.fault:
        yield Problem("shape", "error", asked.place, asked.fault, "compare: vfioctl kubevirt snippet")
    both = [name for name in dict.fromkeys(asked.host_devices) if name in asked.gpus]
    for name in both:
        yield Problem(
            "twice",
            "error",
            asked.place,
            f"{name} stands in gpus and in hostDevices: both would take the first address",
            "move all of them to one list",
        )
    permitted = {entry.resource for one in permissions for entry in one.entries}
    names = permitted if permissions else {one.resource for one in known.offered}
    for name in dict.fromkeys((*asked.gpus, *asked.host_devices)):
        if name not in names and (permissions or _near_ours(name, known)):
            near = _near(name, (one for one in names if one))
            what = "permitted" if permissions else "offered by the configuration"
            hint = f"did you mean {near}?" if near else "see: vfioctl kubevirt snippet"
            yield Problem("unknown", "error", asked.place, f"{name} is not {what}", hint)


def _near_ours(name: str, known: Knowledge) -> bool:
    domain = name.partition("/")[0]
    return any(one.resource.partition("/")[0] == domain for one in known.offered)


def _near(name: str, names: Iterable[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, sorted(names), n=1, cutoff=0.8)), None)


def _plain(selectors: Iterable[str]) -> list[str]:
    """Return selectors as KubeVirt compares them: case does not matter to ids, nor blanks to names."""
    return [selector.upper().replace(" ", "_") for selector in selectors]
