"""What ``vfioctl libvirt-xml`` prints: fragments, names, commands, what became of a file, what was found."""

from __future__ import annotations

import sys

from vfioctl.cli.session import writing
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vfioctl.cli.session import Session
    from vfioctl.libvirt.check import Checked
    from vfioctl.libvirt.compose import Entry
    from vfioctl.libvirt.findings import Finding
    from vfioctl.libvirt.insertion import Change
    from vfioctl.libvirt.judge import Judge
    from vfioctl.model.host import Host
    from vfioctl.render.document import Document

_GIB = 1 << 30


def print_text(lines: Iterable[str]) -> None:
    """Write lines as they are: this is for libvirt and the shell, no table."""
    with writing():
        sys.stdout.write("".join(f"{line}\n" for line in lines))


def fragments(entries: Sequence[Entry], *, wrap: bool, iommufd: bool) -> list[str]:
    """Return the elements, with one parent if asked for; what belongs beside ``<devices>`` comes first."""
    from vfioctl.libvirt.fragments import fragment_lines, iommufd_element
    from vfioctl.libvirt.text import lines

    beside = list(lines(iommufd_element())) if iommufd else []
    devices = [line for entry in entries for line in fragment_lines(entry)]
    if not wrap:
        return [*beside, *devices]
    if iommufd:
        return _wrapped("domain", [*beside, *_wrapped("devices", devices)])
    return _wrapped("devices", devices)


def _wrapped(tag: str, inside: Sequence[str]) -> list[str]:
    return [f"<{tag}>", *(f"  {line}" for line in inside), f"</{tag}>"]


def attach_commands(entries: Sequence[Entry], domain: str) -> list[str]:
    """Return the commands that give the devices to a VM, whether it runs or not.

    One function of a card cannot be plugged in by itself (X11): a card goes into the configuration only.
    """
    from shlex import quote

    from vfioctl.libvirt.fragments import fragment_lines
    from vfioctl.libvirt.values import GuestAddress

    places = [entry.device.info.guest for entry in entries]
    card = len({place.function for place in places if isinstance(place, GuestAddress)}) > 1
    when = "--config" if card else "--persistent"
    text: list[str] = []
    for entry in entries:
        text += [f"virsh attach-device {quote(domain)} /dev/stdin {when} <<'XML'"]
        text += [*fragment_lines(entry), "XML"]
    return text


def nodedev_names(entries: Sequence[Entry]) -> list[str]:
    """Return libvirt's names of the devices."""
    from vfioctl.libvirt.nodedev import nodedev_name

    return [name for entry in entries if (name := nodedev_name(entry)) is not None]


def fragments_document(
    host: Host, entries: Sequence[Entry], judge: Judge, findings: Sequence[Finding], *, iommufd: bool
) -> Document:
    """Describe the elements as JSON."""
    from vfioctl.libvirt.devices import features, text_of
    from vfioctl.libvirt.fragments import iommufd_element
    from vfioctl.libvirt.nodedev import nodedev_name
    from vfioctl.libvirt.text import lines
    from vfioctl.libvirt.values import name_of
    from vfioctl.render.document import document, unreadable

    names = [name for entry in entries for name in features(entry.device)]
    names += ["domain-iommufd"] if iommufd else []
    return document(
        "libvirt-xml",
        libvirt_version=str(judge.target),
        schema_checked=judge.why_unchecked(names) is None,
        devices=[
            {
                "name": name_of(entry.device),
                "nodedev": nodedev_name(entry),
                "sibling": entry.sibling,
                "xml": text_of(entry.device),
            }
            for entry in entries
        ],
        domain_xml="\n".join(lines(iommufd_element())) if iommufd else None,
        findings=[finding_document(finding) for finding in findings],
        unreadable=unreadable(host),
    )


def finding_document(finding: Finding) -> Document:
    """Describe a finding as in a plan."""
    return {
        "check": finding.check,
        "severity": finding.severity,
        "address": finding.subject,
        "message": finding.message,
        "hint": finding.hint or None,
    }


def note_findings(session: Session, findings: Iterable[Finding]) -> None:
    """Say on stderr what an administrator must know."""
    for finding in dict.fromkeys(findings):
        say = session.warn if finding.severity == "warn" else session.note
        say(f"{finding} ({finding.hint})" if finding.hint else str(finding))


def print_change(session: Session, path: str, change: Change, *, removing: bool) -> None:
    """Say what became of a domain's file."""
    if session.form == "json":
        from vfioctl.render.document import document

        session.print_document(
            document(
                "libvirt-domain",
                file=path,
                removed=removing,
                changed=list(change.changed),
                unchanged=list(change.unchanged),
                findings=[finding_document(finding) for finding in change.findings],
            )
        )
        return
    from vfioctl.render.text import visible

    done, already = ("taken out", "not there") if removing else ("put in", "there already")
    parts = ((done, change.changed), (already, change.unchanged))
    print_text(f"{visible(path)}: {what}: {' '.join(names)}" for what, names in parts if names)
    note_findings(session, change.findings)
    if change.changed:
        session.note(f"libvirt reads it with: virsh define {path}")


def check_document(domains: Sequence[Checked], findings: Sequence[Finding], code: int) -> Document:
    """Describe what was found about domains as JSON; findings of one domain stand with it."""
    from vfioctl.libvirt.values import name_of
    from vfioctl.render.document import document

    return document(
        "libvirt-check",
        domains=[
            {
                "file": domain.path,
                "name": domain.name,
                "devices": [name_of(device) for device in domain.devices],
                "memlock": domain.memlock,
                "findings": [finding_document(finding) for finding in domain.findings],
            }
            for domain in domains
        ],
        findings=[finding_document(finding) for finding in findings],
        exit_code=code,
    )


def check_lines(domains: Sequence[Checked], findings: Sequence[Finding]) -> list[str]:
    """Return what was found about domains, one below the other."""
    from vfioctl.libvirt.values import name_of
    from vfioctl.render.text import visible

    lines: list[str] = []
    for domain in domains:
        devices = " ".join(name_of(device) for device in domain.devices) or "no host devices"
        lines.append(f"{domain.path} ({domain.name or 'no name'}): {devices}")
        if domain.memlock is not None:
            lines.append(f"  locks    {domain.memlock / _GIB:.1f} GiB of memory while it runs")
        lines += [line for finding in domain.findings for line in _finding_lines(finding)]
        if not domain.findings:
            lines.append("  ok       nothing speaks against it")
    lines += [line for finding in findings for line in _finding_lines(finding)]
    return [visible(line) for line in lines]


def _finding_lines(finding: Finding) -> list[str]:
    first = f"  {finding.severity:8} {finding.check}: {finding}"
    return [first, f"           {finding.hint}"] if finding.hint else [first]
