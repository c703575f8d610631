"""A domain held against the host as it is now: what is missing or another one, what stops its start."""

from __future__ import annotations

import re

from vfioctl.errors import DriftError, HostCannotError, RefusedError
from vfioctl.libvirt.devices import features, read
from vfioctl.libvirt.domain_rules import domain_findings, split_cards, usb_findings
from vfioctl.libvirt.edit import own_comment
from vfioctl.libvirt.facts import parse_tree, read_domain
from vfioctl.libvirt.findings import Finding, warning, wrong
from vfioctl.libvirt.host_rules import host_findings
from vfioctl.libvirt.insertion import device_spans
from vfioctl.libvirt.memlock import memlock
from vfioctl.libvirt.merge import names_usb
from vfioctl.libvirt.value_rules import value_findings
from vfioctl.libvirt.values import (
    MdevHostdev,
    NvmeDisk,
    PciHostdev,
    UsbHostdev,
    VfInterface,
    name_of,
)
from vfioctl.libvirt.version import FEATURES
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeGuard

    from lxml import etree

    from vfioctl.libvirt.facts import Domain
    from vfioctl.libvirt.judge import Judge
    from vfioctl.libvirt.source import Source
    from vfioctl.libvirt.values import Device
    from vfioctl.model.host import Host
    from vfioctl.model.usb import UsbDevice

_IDS = re.compile(r"\[([0-9a-f]{4}:[0-9a-f]{4})\]")
# Valid by the schema, and refused by libvirt all the same.
_REFUSED = (
    ("devices/hostdev[@type='pci'][@model]", "X4", "the attribute model is for mediated devices only"),
    (
        "devices/hostdev[@type='pci']/source[@startupPolicy]",
        "schema",
        "startupPolicy is for USB devices only",
    ),
    ("devices/hostdev[@type='pci']/source[@writeFiltering]", "schema", "writeFiltering is for Xen only"),
    ("devices/interface[@type='hostdev']/bandwidth", "X5", "libvirt cannot limit the bandwidth of a VF"),
)


class Checked(NamedTuple):
    """What was found about one domain."""

    path: str
    name: str
    devices: tuple[Device, ...]
    memlock: int | None
    """How many bytes it may have to lock; None where it has no such device, or nothing says how much."""
    findings: tuple[Finding, ...]


def check_domain(source: Source, host: Host, usb: Sequence[UsbDevice] | None, judge: Judge) -> Checked:
    """Hold a domain against a host; ``usb`` is None where its USB devices are unknown.

    Raises:
        UsageError: the file is no domain.

    """
    tree = parse_tree(source)
    domain = read_domain(source.path, tree)
    findings = [
        *_missing(domain, host, usb),
        *_changed(source, tree, host, usb),
        *_starting(domain, host),
        *_written(tree, domain, judge),
    ]
    need = memlock(domain.memory, [one for one in domain.devices if not isinstance(one, UsbHostdev)])
    if not any(not isinstance(device, UsbHostdev) for device in domain.devices):
        need = None
    return Checked(source.path, domain.name, domain.devices, need, tuple(dict.fromkeys(findings)))


def shared_groups(host: Host, domains: Sequence[Checked]) -> Iterator[Finding]:
    """Yield the IOMMU groups that several domains have a part of: only one of them can run (X6)."""
    owners: dict[int, dict[str, str]] = {}
    for domain in domains:
        for device in domain.devices:
            there = host.by_address.get(device.source) if _is_function(device) else None
            if there is not None and there.iommu_group is not None:
                owners.setdefault(there.iommu_group, {}).setdefault(domain.path, name_of(device))
    for number, parts in sorted(owners.items()):
        if len(parts) > 1:
            who = ", ".join(f"{path} ({name})" for path, name in parts.items())
            message = f"group {number} is shared by {who}: only one of them can run"
            yield Finding("X6", "refuse", None, message, f"see: vfioctl groups group:{number}", RefusedError)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 10 if a device is missing or another one, 4 if a domain would not start as it is, else 0."""
    refused = [finding for finding in findings if finding.severity == "refuse"]
    if any(finding.kind is DriftError for finding in refused):
        return DriftError.exit_code
    return RefusedError.exit_code if refused else 0


def _is_function(device: Device) -> TypeGuard[PciHostdev | VfInterface | NvmeDisk]:
    return isinstance(device, PciHostdev | VfInterface | NvmeDisk)


def _drift(check: str, subject: str, message: str, hint: str) -> Finding:
    return Finding(check, "refuse", subject, message, hint, DriftError)


def _missing(domain: Domain, host: Host, usb: Sequence[UsbDevice] | None) -> Iterator[Finding]:
    uuids = {mdev.uuid for mdev in host.mdevs}
    for device in domain.devices:
        name = name_of(device)
        match device:
            case PciHostdev() | VfInterface() | NvmeDisk() if device.source not in host.by_address:
                yield _drift("missing", name, "this host has no such device", "see: vfioctl scan")
            case MdevHostdev() if device.uuid not in uuids:
                message = "this host has no such mediated device now"
                yield _drift("missing", name, message, "make it first: vfioctl mdev create")
            case UsbHostdev():
                yield from _missing_usb(device, usb)
            case _:
                pass


def _missing_usb(device: UsbHostdev, usb: Sequence[UsbDevice] | None) -> Iterator[Finding]:
    name = name_of(device)
    yield from usb_findings(device)
    if usb is None:
        yield warning("missing", name, "which USB devices this host has is unknown")
        return
    found = [one for one in usb if names_usb(device, one)]
    if len(found) > 1:
        places = " ".join(one.name for one in found)
        message = f"several devices are meant by it: {places}"
        yield wrong("X10", name, message, "add <address bus= device=>, or name the port (libvirt 12)")
    elif not found and device.startup_policy == "optional":
        yield warning("missing", name, "it is not plugged in; the domain starts without it")
    elif not found:
        yield _drift("missing", name, "it is not plugged in", "see: lsusb")


def _changed(
    source: Source, tree: etree._Element, host: Host, usb: Sequence[UsbDevice] | None
) -> Iterator[Finding]:
    """Yield the devices whose ids are not those that the comment beside them says."""
    for span, node in device_spans(source, tree):
        device = read(node)
        if device is None:
            continue
        now, name = _ids_now(device, host, usb), name_of(device)
        beside = own_comment(source, span, name)
        said = _IDS.search(beside.text) if beside is not None else None
        if said is not None and now is not None and now != said[1]:
            message = f"another device is there now: {now}, and it was made for {said[1]}"
            yield _drift("changed", name, message, f"see: vfioctl show {name}")


def _ids_now(device: Device, host: Host, usb: Sequence[UsbDevice] | None) -> str | None:
    if isinstance(device, UsbHostdev):
        found = [one for one in usb or () if names_usb(device, one)]
        return found[0].ids if len(found) == 1 else None
    there = host.by_address.get(device.source) if _is_function(device) else None
    return f"{there.vendor_id:04x}:{there.device_id:04x}" if there is not None else None


def _starting(domain: Domain, host: Host) -> Iterator[Finding]:
    """Yield what would keep it from starting: here it is not about what is to come, but about what is."""
    for finding in host_findings(host, domain.devices):
        serious = finding.check in {"X1", "X2", "X6", "offline"}
        yield finding._replace(severity="refuse", kind=RefusedError) if serious else finding
    yield from split_cards(domain.devices, host)
    yield from domain_findings(domain)
    for device in domain.devices:
        yield from value_findings(device)


def _written(tree: etree._Element, domain: Domain, judge: Judge) -> Iterator[Finding]:
    """Yield what is wrong with the XML as such."""
    for path, check, message in _REFUSED:
        for node in tree.iterfind(path):
            subject = f"<{node.tag!s}> in line {node.sourceline}"
            yield wrong(check, subject, f"libvirt refuses it: {message}", "take it out")
    for device in domain.devices:
        for name in dict.fromkeys(features(device)):
            feature = FEATURES[name]
            if feature.since > judge.target:
                message = f"libvirt {judge.target} does not have {feature.text} (since {feature.since})"
                yield Finding("version", "refuse", name_of(device), message, "take it out", HostCannotError)
    if judge.schema is not None and judge.schema_version == judge.target:
        for error in judge.schema.errors(tree):
            message = f"not valid by the schema of libvirt {judge.target}: {error}"
            yield warning("schema", None, message, "virsh define --validate would refuse it")
