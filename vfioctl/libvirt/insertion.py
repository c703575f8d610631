"""Devices put into a domain's XML, once, and taken out of it again."""

from __future__ import annotations

from vfioctl.errors import RefusedError, VfioctlError
from vfioctl.libvirt.devices import features, read
from vfioctl.libvirt.domain_rules import domain_findings
from vfioctl.libvirt.edit import own_comment, with_devices, with_domain_element, without
from vfioctl.libvirt.facts import parse_tree, read_domain
from vfioctl.libvirt.findings import raise_refused, warning
from vfioctl.libvirt.fragments import fragment_lines, iommufd_element
from vfioctl.libvirt.judge import check_devices
from vfioctl.libvirt.merge import conflict_text, differences, present, same_device
from vfioctl.libvirt.placement import placed
from vfioctl.libvirt.source import parse_source
from vfioctl.libvirt.text import lines
from vfioctl.libvirt.values import name_of
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lxml import etree

    from vfioctl.libvirt.compose import Entry
    from vfioctl.libvirt.facts import Domain
    from vfioctl.libvirt.findings import Finding
    from vfioctl.libvirt.judge import Judge
    from vfioctl.libvirt.source import Source, Span
    from vfioctl.libvirt.values import Device
    from vfioctl.model.host import Host


class Change(NamedTuple):
    """What becomes of a domain's file."""

    content: bytes
    """The whole file as it is to be."""
    changed: tuple[str, ...]
    """The devices put in, or taken out."""
    unchanged: tuple[str, ...]
    """Those that were there already, or that were not there."""
    findings: tuple[Finding, ...]


def inserted(
    source: Source, entries: Sequence[Entry], host: Host, judge: Judge, *, domain_iommufd: bool = False
) -> Change:
    """Put entries into a domain; those that are there already stay as they are.

    Raises:
        RefusedError: one is there with other settings than were asked for.
        VfioctlError: as `check_devices`, and for what the domain and the devices say against each other.

    """
    tree = parse_tree(source)
    domain = read_domain(source.path, tree)
    new, there = _divided(domain, entries)
    new = placed(new, domain, host)
    add_iommufd = domain_iommufd and not domain.iommufd
    devices = [entry.device for entry in new]
    findings = check_devices(host, devices, judge, beside=domain.devices, domain_iommufd=add_iommufd)
    findings += domain_findings(domain, devices)
    raise_refused(findings)
    content = with_devices(source, [fragment_lines(entry) for entry in new]) if new else source.content
    if add_iommufd:
        edited = parse_source(source.path, content)
        content = with_domain_element(edited, list(lines(iommufd_element())))
    after = _verified(source.path, content, [*domain.devices, *devices])
    names = [name for device in devices for name in features(device)]
    names += ["domain-iommufd"] if add_iommufd else []
    findings += _held_against(judge, tree, after, names)
    changed = [*map(name_of, devices), *(["iommufd"] if add_iommufd else [])]
    return Change(content, tuple(changed), tuple(there), tuple(findings))


def removed(source: Source, entries: Sequence[Entry]) -> Change:
    """Take the devices of entries out of a domain, with the comments that were put there beside them."""
    tree = parse_tree(source)
    elements = [(span, read(node)) for span, node in device_spans(source, tree)]
    spans: list[Span] = []
    gone: list[str] = []
    absent: list[str] = []
    for entry in entries:
        found = [span for span, device in elements if device is not None and same_device(device, entry)]
        (gone if found else absent).append(name_of(entry.device))
        for span in found:
            beside = own_comment(source, span, entry.label.split()[0])
            spans += [span] if beside is None else [span, beside]
    content = without(source, dict.fromkeys(spans))
    left = [device for span, device in elements if device is not None and span not in spans]
    _verified(source.path, content, left)
    return Change(content, tuple(gone), tuple(absent), ())


def device_spans(source: Source, tree: etree._Element) -> list[tuple[Span, etree._Element]]:
    """Return every device of a domain with where it stands in the file."""
    nodes = [node for node in tree.iterfind("devices/*") if isinstance(node.tag, str)]
    parents = [span for span in source.spans if (span.name, span.depth) == ("devices", 1)]
    spans = [span for parent in sorted(parents) for span in source.below(parent) if span.name]
    # Two parsers read the same file; should they ever disagree, nothing is taken out of it.
    return list(zip(spans, nodes, strict=True))


def _divided(domain: Domain, entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Tell the entries that a domain does not have from those that it has, which are returned by name."""
    new: list[Entry] = []
    there: list[str] = []
    conflicts: list[str] = []
    for entry in entries:
        device = present(domain, entry)
        if device is None:
            new.append(entry)
            continue
        there.append(name_of(device))
        if fields := differences(device, entry):
            conflicts.append(conflict_text(device, fields))
    if conflicts:
        raise RefusedError(
            "\n".join(conflicts), hint=f"take it out first: --domain {domain.path} --remove, or edit the file"
        )
    return new, there


def _verified(path: str, content: bytes, expected: Sequence[Device]) -> etree._Element:
    """Parse a changed file, and make sure that it has these devices and no other."""
    tree = parse_tree(parse_source(path, content))
    if sorted(map(repr, read_domain(path, tree).devices)) != sorted(map(repr, expected)):
        raise VfioctlError(
            f"{path} would not have the devices that were asked for", hint="report it, with the file"
        )
    return tree


def _held_against(
    judge: Judge, before: etree._Element, after: etree._Element, names: Sequence[str]
) -> list[Finding]:
    """Hold a domain that was changed with these features against the schema, if it was valid before."""
    if judge.schema is None or judge.why_unchecked(names):
        return []
    if errors := judge.schema.errors(before):
        message = f"the file was not valid before: {'; '.join(errors)}"
        return [warning("schema", None, message, "virsh define --validate would refuse it")]
    if errors := judge.schema.errors(after):
        raise VfioctlError(
            f"the schema of libvirt would refuse the changed file: {'; '.join(errors)}",
            hint="nothing was changed; report it, with the file",
        )
    return []
