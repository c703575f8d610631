"""Stored bindings: what there is, what does not fit any more, what else decides, what is left to do."""

from __future__ import annotations

from vfioctl.model.persisted import Split, card_of
from vfioctl.render.columns import Column, lay_out
from vfioctl.render.device_text import NONE, Namer
from vfioctl.render.document import document
from vfioctl.render.fields import field
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.model.host import Host
    from vfioctl.model.persisted import Card, Foreign, Mediated, Persisted, Stored
    from vfioctl.plan.drift import Conflict
    from vfioctl.plan.initramfs import Instruction
    from vfioctl.plan.keeping import Kept
    from vfioctl.plan.persist import FileChange
    from vfioctl.plan.unmade import Drift
    from vfioctl.render.document import Document
    from vfioctl.render.styled import Line, Piece
    from vfioctl.sysfs.names import Names

_COLUMNS = (
    Column("ADDRESS"),
    Column("DRIVER"),
    Column("IDS"),
    Column("STATE"),
    Column("NAME", least=14),
)


def stored_lines(
    host: Host, persisted: Persisted, drifts: Sequence[Drift], names: Names, *, width: int | None
) -> Iterator[Line]:
    """Yield the stored bindings, each with how it stands."""
    if not persisted.stored:
        if not persisted.made:
            yield [("nothing is stored", ""), (": vfioctl bind --persist stores a binding", "faint")]
        return
    namer = Namer(names)
    rows = [_row(host, one, drifts, namer) for one in persisted.stored]
    texts = [[text for text, _ in row] for row in rows]
    yield from lay_out(_COLUMNS, texts, width=width, styles=[[style for _, style in row] for row in rows])


def _row(host: Host, stored: Stored, drifts: Sequence[Drift], namer: Namer) -> list[Piece]:
    device = host.by_address.get(stored.address)
    fits = device is not None and stored.card.is_like(card_of(device))
    kinds = dict.fromkeys(drift.kind for drift in drifts if drift.address == stored.address)
    return [
        (str(stored.address), ""),
        (visible(stored.driver), ""),
        (str(stored.card), ""),
        (", ".join(kinds), "bad") if kinds else ("as stored", "good"),
        (namer.name(device) if device is not None and fits else NONE, "faint"),
    ]


def made_lines(persisted: Persisted, drifts: Sequence[Drift], *, width: int | None) -> Iterator[Line]:
    """Yield what is made at every boot, each with how it stands."""
    for one in persisted.made:
        kinds = dict.fromkeys(drift.kind for drift in drifts if drift.address == one.address)
        if isinstance(one, Split):
            text = f"{one.address}: {one.number} virtual functions{', on a vfio driver' if one.bind else ''}"
        else:
            text = f"{one.uuid}: {visible(one.type_id)} of {one.address}"
        text += f" [{', '.join(kinds) if kinds else 'as stored'}]"
        yield from field("made", [text], width=width, indent=0, style="bad" if kinds else "good")


def drift_lines(drifts: Iterable[Drift], *, width: int | None) -> Iterator[Line]:
    """Yield what does not fit, and what to do about it."""
    for drift in drifts:
        yield from field("drift", [f"{drift.message} [{drift.kind}]"], width=width, indent=0, style="bad")
        yield from field(" ", [drift.hint], width=width, indent=0, style="faint")


def around_lines(persisted: Persisted, conflicts: Iterable[Conflict], *, width: int | None) -> Iterator[Line]:
    """Yield what else decides at boot, and where it is at odds with what is stored."""
    for foreign in persisted.foreign:
        yield from field(foreign.mechanism, [f"{foreign.file}: {foreign.text}"], width=width, indent=0)
    for conflict in conflicts:
        text = f"{conflict.foreign.file}: {conflict.message}"
        yield from field("conflict", [text], width=width, indent=0, style="warn")
    yield from field("unreadable", persisted.unread, width=width, indent=0, style="unknown")


def instruction_lines(instructions: Iterable[Instruction], *, width: int | None) -> Iterator[Line]:
    """Yield what an administrator has to do about the initramfs; never wrapped, as it is to be copied."""
    for number, one in enumerate(instructions):
        if not number:
            text = "a driver in it may take the device first: do this, and again after each change"
            yield from field("initramfs", [text], width=width, indent=0, style="warn")
        yield []
        yield [(f"with {one.tool}:", "strong")]
        # Nothing before them: a shell would not see the end of a text that is indented.
        for line in (f"cat > {one.file} <<'END'", *one.text.splitlines(), "END", *one.commands):
            yield [(line, "command")]


def change_lines(changes: Iterable[FileChange], *, planned: bool, width: int | None) -> Iterator[Line]:
    """Yield files that are written or removed, with their text while they are only planned."""
    for change in changes:
        verb = "remove" if change.text is None else "write"
        done = {"remove": "removed", "write": "stored"}[verb]
        yield from field(verb if planned else done, [change.path], width=width, indent=0)
        if planned:
            for line in (change.text or "").splitlines():
                yield [("  ", ""), (visible(line), "command")]


def kept_lines(kept: Kept, *, planned: bool, width: int | None) -> Iterator[Line]:
    """Yield what ``bind --persist`` stores, and what is left to do by hand."""
    if not (kept.changes or kept.defines):
        # What is to be done by hand was said when it was stored; persist list says it again.
        yield from field("stored", ["already"], width=width, indent=0)
        return
    yield from change_lines(kept.changes, planned=planned, width=width)
    for one in kept.defines:
        # Never wrapped: it is there to be copied.
        word = "run" if planned else "stored"
        yield from field(word, [" ".join(one.command)], width=None, indent=0, style="command")
    yield from instruction_lines(kept.instructions, width=width)


def persist_document(
    persisted: Persisted,
    drifts: Iterable[Drift],
    conflicts: Iterable[Conflict],
    instructions: Iterable[Instruction],
    exit_code: int,
) -> Document:
    """Describe what is stored and how it stands."""
    return document(
        "persist",
        devices=[_device(one) for one in persisted.stored],
        sriov=[_split(one) for one in persisted.splits],
        mdevs=[_mediated(one) for one in persisted.mediated],
        drift=[
            {
                "address": None if one.address is None else str(one.address),
                "kind": one.kind,
                "message": one.message,
                "hint": one.hint,
            }
            for one in drifts
        ],
        foreign=[_foreign(one) for one in persisted.foreign],
        conflicts=[
            {
                "address": None if one.address is None else str(one.address),
                "mechanism": one.foreign.mechanism,
                "file": one.foreign.file,
                "message": one.message,
            }
            for one in conflicts
        ],
        initramfs=[
            {"tool": one.tool, "file": one.file, "text": one.text, "commands": list(one.commands)}
            for one in instructions
        ],
        unreadable=list(persisted.unread),
        exit_code=exit_code,
    )


def _ids(card: Card) -> Document:
    return {name: None if number is None else f"{number:04x}" for name, number in card._asdict().items()}


def _split(split: Split) -> Document:
    own = {"address": str(split.address), "number": split.number, "bind": split.bind}
    return {**own, **_ids(split.card), "place": split.place}


def _mediated(one: Mediated) -> Document:
    own = {"uuid": one.uuid, "parent": str(one.address), "type": one.type_id}
    return {**own, **_ids(one.card), "place": one.place}


def _device(stored: Stored) -> Document:
    return {
        "address": str(stored.address),
        "driver": stored.driver,
        **_ids(stored.card),
        "class_code": f"{stored.class_code:06x}",
        "place": stored.place,
    }


def _foreign(foreign: Foreign) -> Document:
    return {
        "mechanism": foreign.mechanism,
        "file": foreign.file,
        "text": foreign.text,
        "driver": foreign.driver,
        "address": None if foreign.address is None else str(foreign.address),
    }


def changes_document(changes: Iterable[FileChange], *, dry_run: bool) -> Document:
    """Describe files that are written or removed, in the form of a plan."""
    outcome = "planned" if dry_run else "done"
    steps = [file_step(change, outcome) for change in changes]
    result = outcome if steps else "already"
    return document("plan", dry_run=dry_run, steps=steps, findings=[], result=result, exit_code=0)


def file_step(change: FileChange, outcome: str) -> Document:
    """Describe a file that is written, or removed (no value), as a step of a plan."""
    return {
        "step": "file",
        "address": None,
        "path": change.path,
        "value": change.text,
        "outcome": outcome,
    }
