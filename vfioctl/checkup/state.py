"""What was left behind: a journal, devices without a driver, automatic binding switched off (H19, K5)."""

from __future__ import annotations

from vfioctl.checkup.check import Check, Evidence, Status, as_root, evidence, in_doubt
from vfioctl.model import paths
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.checkup.check import Patient
    from vfioctl.model.device import PciDevice
    from vfioctl.model.facts import Fact


def journal(patient: Patient) -> Iterator[Check]:
    """Judge whether a bind or unbind ended by itself."""
    fact = patient.facts.fact(paths.JOURNAL)
    if fact.absent:
        title = "no bind or unbind was left half done"
        yield Check("journal", title, None, Status.OK, (evidence(fact),))
    elif fact.text is None:
        yield in_doubt("journal", "whether a bind was left half done is unknown", (fact,), as_root(fact))
    else:
        title = f"{_told(fact)} did not end by itself"
        remedy = "vfioctl recover (what it would do: vfioctl recover --dry-run)"
        seen = (Evidence(fact.file, "there"),)
        yield Check("journal", title, None, Status.FAIL, seen, remedy, "vfioctl recover --dry-run")


def _told(fact: Fact) -> str:
    """Say what a journal is about; one that is damaged is a journal all the same."""
    import json

    try:
        document = json.loads(fact.text or "")
        return f"a {document['command']} of {document['started']} (pid {document['pid']})"
    except (ValueError, LookupError, TypeError, RecursionError):
        return "a bind or unbind"


def orphans(patient: Patient) -> Iterator[Check]:
    """Judge whether a device has an override and no driver: what a failure half way leaves (K9)."""
    host = patient.host
    endpoints = [device for device in host.devices if not device.is_bridge]
    bad = 0
    for device in endpoints:
        found = _orphan(device) if not device.unbinding else _waiting(device)
        if found is not None:
            bad += 1
            yield found
        elif device.driver is None and _is_unknown(patient, device):
            bad += 1
            seen = (
                Evidence(f"{paths.PCI_DEVICES}/{device.address}/driver_override", "it could not be read"),
            )
            title = "whether it was left without a driver is unknown"
            yield Check("orphan", title, device.address, Status.UNKNOWN, seen)
    if not bad:
        count = len(endpoints)
        seen = (Evidence(paths.PCI_DEVICES, f"{count} endpoints, none with an override but no driver"),)
        yield Check("orphan", "no device was left without the driver it was meant for", None, Status.OK, seen)


def _is_unknown(patient: Patient, device: PciDevice) -> bool:
    fields = patient.host.unknown_fields
    return not fields.isdisjoint({(device.address, "driver"), (device.address, "driver_override")})


def _orphan(device: PciDevice) -> Check | None:
    if device.driver is not None or device.driver_override is None:
        return None
    folder = f"{paths.PCI_DEVICES}/{device.address}"
    seen = (
        Evidence(f"{folder}/driver_override", device.driver_override),
        Evidence(f"{folder}/driver", "none"),
    )
    title = f"it is meant for {device.driver_override} and has no driver"
    remedy = f"vfioctl bind {device.address}, or back to the host: vfioctl unbind {device.address}"
    return Check("orphan", title, device.address, Status.WARN, seen, remedy, f"vfioctl show {device.address}")


def _waiting(device: PciDevice) -> Check:
    seen = (
        Evidence(f"{paths.PCI_DEVICES}/{device.address}/driver", "gone"),
        Evidence(device.vfio_group_node or f"/dev/vfio/{device.iommu_group}", "still there"),
    )
    holders = "; ".join(dict.fromkeys(use.detail for use in device.usage if "open" in use.detail))
    title = "an unbind of it is blocked until its holder lets go" + (f": {holders}" if holders else "")
    remedy = "end the program that holds it, then: vfioctl recover"
    return Check("orphan", title, device.address, Status.FAIL, seen, remedy, f"vfioctl show {device.address}")


def autoprobe(patient: Patient) -> Iterator[Check]:
    """Judge whether drivers bind by themselves (K5)."""
    fact = patient.facts.fact(paths.AUTOPROBE)
    if fact.text == "1":
        title = "drivers bind to new devices by themselves"
        yield Check("autoprobe", title, None, Status.OK, (evidence(fact),))
    elif fact.text == "0":
        title = "no PCI driver binds by itself: what is plugged in or found again stays without one"
        remedy = f"echo 1 > {fact.file}"
        yield Check("autoprobe", title, None, Status.WARN, (evidence(fact),), remedy)
    else:
        yield in_doubt("autoprobe", "whether drivers bind by themselves is unknown", (fact,))


def drift(patient: Patient) -> Iterator[Check]:
    """Judge whether what is stored still fits the hardware, and nothing at boot contradicts (H9, H57)."""
    fact, kept = patient.facts.fact(paths.STORED), patient.kept
    names = [name for name in fact.lines if name.endswith(".toml")]
    none = fact.absent or (fact.text is not None and not names)
    if none and (kept is None or not (kept.made or kept.drifted or kept.doubt)):
        seen = (Evidence(fact.file, "no stored binding"),)
        yield Check("drift", "no binding is stored, so none can have drifted", None, Status.OK, seen)
    elif (fact.text is None and not fact.absent) or kept is None or kept.doubt is not None:
        seen = (Evidence(fact.file, fact.doubt or (kept.doubt if kept else None) or "it was not compared"),)
        title = "whether what is stored still fits is unknown"
        yield Check("drift", title, None, Status.UNKNOWN, seen, as_root(fact), "vfioctl persist verify")
    elif not kept.drifted:
        seen = (*((Evidence(fact.file, " ".join(names)),) if names else ()), *kept.made)
        title = f"{kept.number} stored {'binding fits' if kept.number == 1 else 'bindings fit'} the hardware"
        if kept.made:
            title += ", and what is made at every boot is there"
        yield Check("drift", title, None, Status.OK, seen, None, "vfioctl persist list")
    else:
        for one in kept.drifted:
            file = one.conflict or (f"{fact.file}/{one.address}.toml" if one.address else fact.file)
            status = Status.WARN if one.conflict else Status.FAIL
            seen = (Evidence(file, one.message),)
            yield Check("drift", one.message, one.address, status, seen, one.remedy, "vfioctl persist verify")
