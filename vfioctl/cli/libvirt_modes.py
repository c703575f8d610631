"""What ``vfioctl libvirt-xml`` does once understood: print devices, change a domain's file, check files."""

from __future__ import annotations

from vfioctl.errors import UsageError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from vfioctl.cli.libvirt_targets import Wish
    from vfioctl.cli.session import Session
    from vfioctl.libvirt.compose import Entry
    from vfioctl.libvirt.judge import Judge
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector

_YES_NO = {"yes": True, "no": False}
_ON_OFF = {"on": True, "off": False}
_MODES = ("wrap", "nodedev", "virsh", "domain", "check")
_FLAGS = ("domain_iommufd", "group", "interface", "wrap", "nodedev", "remove", "every")
_VALUES = ("libvirt_version", "usb_by", "nvme", "virsh", "domain")


def no_options() -> dict[str, Any]:
    """Return the options of a command line that has none."""
    from vfioctl.libvirt.settings import Settings

    return {**dict.fromkeys((*Settings._fields, *_VALUES)), **dict.fromkeys(_FLAGS, False), "check": ()}


def answer(session: Session, selectors: Sequence[Selector], options: Mapping[str, Any]) -> int:
    """Print, insert or check host devices, and return the exit code.

    Raises:
        VfioctlError: it cannot be done, or libvirt would refuse it.

    """
    _refuse_contradictions(selectors, options)
    from vfioctl.libvirt.judge import judge_for

    judge = judge_for(options["libvirt_version"])
    if options["check"]:
        return _check(session, options["check"], judge)
    host = session.host(outline=True)
    wish = _wish(options, judge)
    if options["domain"]:
        return _change(session, host, selectors, options, judge)
    from vfioctl.cli.libvirt_targets import entries_for

    entries = entries_for(session, host, selectors, wish)
    _print(session, host, entries, options, judge)
    session.note_unread(host)
    return 0


def _refuse_contradictions(selectors: Sequence[Selector], options: Mapping[str, Any]) -> None:
    modes = [f"--{name}" for name in _MODES if options[name]]
    if len(modes) > 1:
        raise UsageError(f"{' and '.join(modes)} exclude each other", hint="choose one of them")
    for name in ("remove", "every"):
        if options[name] and not options["domain"]:
            word = "all" if name == "every" else name
            raise UsageError(f"--{word} is for --domain FILE", hint="name the file: --domain vm.xml")
    if options["interface"] and options["nvme"]:
        raise UsageError("--interface and --nvme exclude each other", hint="choose one of them")
    if options["check"] and selectors:
        raise UsageError("--check takes files and no selectors", hint="vfioctl libvirt-xml --check FILE")
    if not selectors and not options["check"] and not (options["domain"] and options["domain_iommufd"]):
        raise UsageError("no device is named", hint="as in: vfioctl libvirt-xml 65:00.0")


def _wish(options: Mapping[str, Any], judge: Judge) -> Wish:
    from vfioctl.cli.libvirt_targets import Wish
    from vfioctl.libvirt.compose import Shape
    from vfioctl.libvirt.settings import Settings

    given = {name: options[name] for name in Settings._fields}
    given["managed"] = _YES_NO.get(options["managed"])
    given["display"] = _ON_OFF.get(options["display"])
    given["ramfb"] = _ON_OFF.get(options["ramfb"])
    return Wish(
        settings=Settings(**given),
        shape=Shape(options["interface"], options["nvme"]),
        usb_form=options["usb_by"],
        group=options["group"],
        version=judge.target,
        changing=bool(options["domain"]),
        every=options["every"],
    )


def _print(
    session: Session, host: Host, entries: Sequence[Entry], options: Mapping[str, Any], judge: Judge
) -> None:
    from vfioctl.cli import libvirt_output as output
    from vfioctl.libvirt.judge import check_devices

    iommufd: bool = options["domain_iommufd"]
    findings = check_devices(host, [entry.device for entry in entries], judge, domain_iommufd=iommufd)
    if session.form == "json":
        session.print_document(output.fragments_document(host, entries, judge, findings, iommufd=iommufd))
        return
    if options["nodedev"]:
        output.print_text(output.nodedev_names(entries))
    elif options["virsh"]:
        output.print_text(output.attach_commands(entries, options["virsh"]))
    else:
        output.print_text(output.fragments(entries, wrap=options["wrap"], iommufd=iommufd))
    output.note_findings(session, findings)


def _change(
    session: Session, host: Host, selectors: Sequence[Selector], options: Mapping[str, Any], judge: Judge
) -> int:
    from vfioctl.cli.libvirt_output import print_change
    from vfioctl.cli.libvirt_targets import entries_for, entries_to_remove
    from vfioctl.libvirt.insertion import inserted, removed
    from vfioctl.libvirt.replace import replace_file
    from vfioctl.libvirt.source import read_source

    path: str = options["domain"]
    source = read_source(path)
    wish = _wish(options, judge)
    if options["remove"]:
        change = removed(source, entries_to_remove(session, host, selectors, wish))
    else:
        entries = entries_for(session, host, selectors, wish)
        change = inserted(source, entries, host, judge, domain_iommufd=options["domain_iommufd"])
    if change.content != source.content:
        replace_file(path, source.content, change.content)
    print_change(session, path, change, removing=options["remove"])
    session.note_unread(host)
    return 0


def _check(session: Session, paths: Sequence[str], judge: Judge) -> int:
    from vfioctl.cli import libvirt_output as output
    from vfioctl.cli.libvirt_targets import read_usb_devices
    from vfioctl.libvirt.check import check_domain, exit_code, shared_groups
    from vfioctl.libvirt.source import read_source

    sources = [read_source(path) for path in paths]
    host = session.host(outline=True)
    usb = read_usb_devices(session)
    domains = [check_domain(source, host, usb, judge) for source in sources]
    shared = list(shared_groups(host, domains))
    code = exit_code([*shared, *(finding for domain in domains for finding in domain.findings)])
    if session.form == "json":
        session.print_document(output.check_document(domains, shared, code))
    else:
        output.print_text(output.check_lines(domains, shared))
    session.note_unread(host)
    return code
