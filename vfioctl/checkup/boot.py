"""What happens before anybody can type: ids, order, early modules, the age of the initramfs (K54)."""

from __future__ import annotations

import time

from vfioctl.checkup.check import Check, Evidence, Status, in_doubt, listed
from vfioctl.checkup.early import modules_dep, rebuild
from vfioctl.checkup.modprobe import directives, read_ids, sources, unread_sources
from vfioctl.model import paths
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.checkup.check import Patient
    from vfioctl.checkup.modprobe import AskedId, Directive
    from vfioctl.model.device import PciDevice
    from vfioctl.model.facts import Facts

_SEE = "vfioctl persist list"


def _no_ids(patient: Patient, id: str) -> Iterator[Check]:  # noqa: A002 - the key of the document
    doubts = unread_sources(patient.facts)
    if doubts:
        yield in_doubt(id, "whether ids are asked for at boot is unknown", doubts)
    else:
        seen = tuple(
            Evidence(
                fact.file, "no vfio-pci.ids=" if fact.file == paths.COMMAND_LINE else "no ids= of vfio-pci"
            )
            for fact in sources(patient.facts)
        )
        yield Check(id, "no ids are asked for at boot", None, Status.OK, seen)


def syntax(patient: Patient) -> Iterator[Check]:
    """Judge whether every id in an ``ids=`` list is understood: behind a blank all others are lost (H14)."""
    ids = read_ids(patient.facts)
    for text, file, line in ids.lost:
        title = f"{text!r} is dropped from the ids of vfio-pci"
        remedy = "write the list without blanks: ids=10de:2204,10de:1aef"
        yield Check("boot-syntax", title, None, Status.FAIL, (Evidence(file, line),), remedy)
    if ids.lost:
        return
    if not ids.asked:
        yield from _no_ids(patient, "boot-syntax")
        return
    doubts = unread_sources(patient.facts)
    if doubts:
        yield in_doubt("boot-syntax", "not every list of ids could be read", doubts)
    else:
        yield Check("boot-syntax", "every id of the lists is understood", None, Status.OK, _lines(ids.asked))


def _lines(asked: tuple[AskedId, ...]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(Evidence(one.file, one.line) for one in asked))


def ids(patient: Patient) -> Iterator[Check]:
    """Judge whether an id means one device: it takes all cards of its kind (H15, K54)."""
    asked = read_ids(patient.facts).asked
    if not asked:
        yield from _no_ids(patient, "ids")
        return
    for one in {found.text: found for found in asked}.values():
        matched = [device for device in patient.host.devices if one.matches(device)]
        seen = (Evidence(one.file, one.line), Evidence(paths.PCI_DEVICES, _addresses(matched) or "no device"))
        if len(matched) == 1:
            yield Check("ids", f"{one.text} is one device", None, Status.OK, seen)
            continue
        if matched:
            title = f"{one.text} takes {len(matched)} devices: {_addresses(matched)}"
            remedy = f"bind by address instead: vfioctl bind --persist {matched[0].address}"
        else:
            title, remedy = f"no device has the id {one.text}", "take it out of the list"
        yield Check("ids", title, None, Status.WARN, seen, remedy, _SEE)


def _addresses(devices: list[PciDevice]) -> str:
    return listed(device.address for device in devices)


def winner(patient: Patient) -> Iterator[Check]:
    """Judge whether what was asked for at boot came true, or a host driver was faster (H10)."""
    asked = read_ids(patient.facts).asked
    if not asked:
        yield from _no_ids(patient, "boot-ids")
        return
    found = [(one, device) for one in asked for device in patient.host.devices if one.matches(device)]
    lost = [(one, device) for one, device in found if not device.on_vfio]
    order = {
        (one.words[0], tuple(word.replace("-", "_") for word in one.words[1:])): one
        for one in directives(patient.facts)
        if one.verb == "softdep" and "vfio" in one.text
    }
    for one, device in lost:
        if device.driver is None:
            unknown = (device.address, "driver") in patient.host.unknown_fields
            title = "its driver is unknown" if unknown else "it was asked for at boot and has no driver"
            status, remedy = Status.UNKNOWN if unknown else Status.WARN, f"vfioctl bind {device.address}"
        else:
            title = f"it was asked for at boot, but {device.driver} has it: that driver came first"
            status, remedy = Status.FAIL, _come_first(patient.facts, device, ordered=_ordered(order, device))
        softdeps = (Evidence(line.file, line.text) for line in order.values())
        seen = (Evidence(one.file, one.line), _driver_link(device), *softdeps)
        yield Check("boot-ids", title, device.address, status, seen, remedy, f"vfioctl show {device.address}")
    if found and not lost:
        seen = (*_lines(asked), *(_driver_link(device) for _, device in found))
        yield Check("boot-ids", "what was asked for at boot is on vfio-pci", None, Status.OK, seen)
    elif not found:
        title = "no device has an id that is asked for at boot"
        yield Check("boot-ids", title, None, Status.WARN, _lines(asked), "see the check ids")


def _ordered(order: dict[tuple[str, tuple[str, ...]], Directive], device: PciDevice) -> bool:
    driver = (device.driver or "").replace("-", "_")
    return any(module.replace("-", "_") == driver for module, _ in order)


def _driver_link(device: PciDevice) -> Evidence:
    return Evidence(f"{paths.PCI_DEVICES}/{device.address}/driver", device.driver or "none")


def _come_first(facts: Facts, device: PciDevice, *, ordered: bool) -> str:
    bound = f"now: vfioctl bind {device.address}; "
    if ordered:
        return f"{bound}at boot: the order is asked for, so make the initramfs anew: {rebuild(facts)}"
    line = f"softdep {device.driver} pre: vfio-pci"
    return f"{bound}at boot: add '{line}' to /etc/modprobe.d/vfio.conf, then {rebuild(facts)}"


def initramfs(patient: Patient) -> Iterator[Check]:
    """Judge whether the initramfs is newer than what it was to take up from modprobe.d (H13)."""
    facts = patient.facts
    about = sorted({one.file for one in directives(facts) if "vfio" in one.text})
    doubts = unread_sources(facts)
    if not about:
        if doubts:
            yield in_doubt("boot-initramfs", "whether the initramfs is up to date is unknown", doubts)
        else:
            seen = tuple(Evidence(fact.file, "nothing about VFIO") for fact in sources(facts))
            yield Check(
                "boot-initramfs", "nothing about VFIO has to be in the initramfs", None, Status.OK, seen
            )
        return
    images = [
        path for name in facts.fact(paths.BOOT).lines if (path := f"{paths.BOOT}/{name}") in facts.stamps
    ]
    dated = [path for path in about if path in facts.stamps]
    if not images or len(dated) < len(about):
        title = "whether the initramfs is up to date is unknown: it, or its date, was not found"
        yield in_doubt("boot-initramfs", title, (facts.fact(paths.BOOT),), f"make it anew: {rebuild(facts)}")
        return
    image = max(images, key=lambda path: facts.stamps[path].changed)
    newest = max(dated, key=lambda path: facts.stamps[path].changed)
    seen = tuple(Evidence(path, f"changed {_date(facts.stamps[path].changed)}") for path in (newest, image))
    if facts.stamps[newest].changed > facts.stamps[image].changed:
        title = f"{newest} is newer than the initramfs, which may not have it"
        yield Check("boot-initramfs", title, None, Status.WARN, seen, f"make it anew: {rebuild(facts)}")
    else:
        yield Check("boot-initramfs", "the initramfs is newer than modprobe.d", None, Status.OK, seen)


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _where(patient: Patient, module: str) -> Evidence:
    loaded = patient.facts.fact(paths.LOADED_MODULES)
    if any(line.partition(" ")[0] == module for line in loaded.lines):
        return Evidence(loaded.file, f"{module} is loaded")
    return Evidence(f"/sys/module/{module}", "it is there: loaded or built in")


def drivers(patient: Patient) -> Iterator[Check]:
    """Judge whether this kernel has what VFIO needs: vfio-pci, and a way to map memory (K25)."""
    catalog = patient.catalog
    for names in (("vfio_pci",), ("vfio_iommu_type1", "iommufd")):
        there = [name for name in names if name in catalog.present]
        can = [name for name in names if catalog.loadable is not None and name in catalog.loadable]
        what = " or ".join(names)
        if there:
            seen = (_where(patient, there[0]),)
            yield Check("modules", f"{there[0]} is there", None, Status.OK, seen)
        elif can:
            seen = (Evidence(modules_dep(patient), f"{can[0]} can be loaded"),)
            yield Check("modules", f"{can[0]} can be loaded", None, Status.OK, seen)
        elif catalog.loadable is None:
            seen = (Evidence(modules_dep(patient), "it could not be read"),)
            yield Check("modules", f"whether this kernel has {what} is unknown", None, Status.UNKNOWN, seen)
        else:
            seen = (Evidence(modules_dep(patient), f"no {what}"),)
            remedy = "install the package of kernel modules that has it, or another kernel"
            yield Check("modules", f"this kernel has no {what}", None, Status.FAIL, seen, remedy)
