"""What ``vfioctl cdi`` says."""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from vfioctl.cli.session import Session
    from vfioctl.export.cdi import CdiDevice
    from vfioctl.export.cdi_files import Stored
    from vfioctl.export.readiness import Finding
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector


def note_findings(session: Session, findings: Iterable[Finding]) -> None:
    """Say on stderr what was found, each with what to do about it."""
    for finding in findings:
        about = f"{finding.address}: " if finding.address else ""
        text = f"{about}{finding.message}" + (f" ({finding.hint})" if finding.hint else "")
        if finding.severity == "warn":
            session.warn(text)
        else:
            session.note(text)


def finding_documents(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Describe findings as in the documents of other commands."""
    return [
        {
            "check": finding.check,
            "severity": finding.severity,
            "address": str(finding.address) if finding.address else None,
            "message": finding.message,
            "hint": finding.hint or None,
        }
        for finding in findings
    ]


def report_written(
    session: Session, folder: str, devices: Sequence[CdiDevice], findings: Sequence[Finding]
) -> None:
    """Store a specification, and say what was done."""
    from vfioctl.export.cdi_files import FILE_NAME, read_stored, store

    before = read_stored(folder)
    changed = store(folder, devices)
    result = "already" if not changed else "written" if devices else "removed"
    path = f"{folder}/{FILE_NAME}"
    if session.form == "json":
        from vfioctl.render.document import document

        members = [_device_document(device) for device in devices]
        session.print_document(
            document("cdi", file=path, result=result, devices=members, findings=finding_documents(findings))
        )
        return
    _print_names(session, devices)
    known = {device.address for device in devices}
    gone = [str(one.address) for one in (before.devices if before else ()) if one.address not in known]
    if result == "removed":
        session.note(f"no device is on a vfio driver: {path} was removed")
    elif not devices:
        session.note("no device is on a vfio driver: there is nothing to write (vfioctl bind SELECTOR)")
    else:
        session.note(f"{path}: {'written' if changed else 'it says so already'}")
        if gone:
            session.note(f"no longer in it: {' '.join(gone)}")


def print_stored(session: Session, host: Host, stored: Sequence[Stored]) -> bool:
    """Print what is stored; tell whether all of it holds."""
    from vfioctl.export.cdi import why_stale

    states = [(one, [(device, why_stale(host, device)) for device in one.devices]) for one in stored]
    for one in stored:
        if one.problem:
            session.warn(f"{one.path}: {one.problem}")
    if session.form == "json":
        from vfioctl.render.document import document

        devices = [
            {**_device_document(device), "file": one.path, "current": why is None, "reason": why}
            for one, members in states
            for device, why in members
        ]
        files = [{"file": one.path, "problem": one.problem} for one in stored]
        session.print_document(document("cdi-list", files=files, devices=devices))
    else:
        rows = [
            (device.name, why or "current", _paths(device), one.path.rpartition("/")[0])
            for one, members in states
            for device, why in members
        ]
        if rows:
            _print_rows(session, ("NAME", "STATE", "NODES", "FOLDER"), rows)
        elif not stored:
            session.note("nothing is stored; see: vfioctl cdi generate -h")
    return all(why is None for _, members in states for _, why in members) and not any(
        one.problem for one in stored
    )


def report_removed(
    session: Session, folders: Sequence[str], selectors: Sequence[Selector], *, dry_run: bool
) -> None:
    """Take devices out of the files, and say what was done, or would be."""
    from vfioctl.export.cdi_files import read_stored, store

    stored = [(folder, found) for folder in folders if (found := read_stored(folder)) is not None]
    gone: list[CdiDevice] = []
    for folder, one in stored:
        leaving = _leaving(session, one, selectors)
        gone += leaving
        if not dry_run and (leaving or (one.problem and not selectors)):
            store(folder, [device for device in one.devices if device not in leaving])
    if selectors and not gone:
        from vfioctl.errors import NotFoundError

        wanted = " ".join(selector.text for selector in selectors)
        raise NotFoundError(f"no stored name matches {wanted}", hint="see: vfioctl cdi list")
    if session.form == "json":
        from vfioctl.render.document import document

        session.print_document(
            document("cdi-remove", dry_run=dry_run, removed=[_device_document(one) for one in gone])
        )
        return
    _print_names(session, gone)
    if not stored:
        session.note("nothing is stored")
    else:
        what = "would be removed" if dry_run else "removed"
        session.note(f"{what}: {len(gone)} {'name' if len(gone) == 1 else 'names'}")


def _leaving(session: Session, one: Stored, selectors: Sequence[Selector]) -> list[CdiDevice]:
    from vfioctl.model.terms import AddressTerm

    if not selectors:
        return list(one.devices)
    if all(isinstance(term, AddressTerm) for selector in selectors for term in selector.terms):
        return [device for device in one.devices if any(_spells(selector, device) for selector in selectors)]
    from vfioctl.model.selector import select

    addresses = {device.address for device in select(session.host(), selectors)}
    return [device for device in one.devices if device.address in addresses]


def _spells(selector: Selector, device: CdiDevice) -> bool:
    """Tell whether a selector of addresses means a stored device, which may be gone from the host."""
    return all(
        want in {None, have}
        for term in selector.terms
        for want, have in zip(term, device.address, strict=True)
    )


def _device_document(device: CdiDevice) -> dict[str, Any]:
    return {
        "name": device.name,
        "address": str(device.address),
        "nodes": [node.path for node in device.nodes],
    }


def _print_names(session: Session, devices: Sequence[CdiDevice]) -> None:
    if devices:
        _print_rows(session, ("NAME", "NODES"), [(device.name, _paths(device)) for device in devices])


def _print_rows(session: Session, titles: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    from vfioctl.render.columns import Column, lay_out
    from vfioctl.render.text import visible

    cells = [tuple(map(visible, row)) for row in rows]
    session.print_lines(lay_out([Column(title) for title in titles], cells))


def _paths(device: CdiDevice) -> str:
    return " ".join(node.path for node in device.nodes)
