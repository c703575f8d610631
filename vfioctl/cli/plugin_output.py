"""What the commands about the plugin print: offers, answers and remarks, as lines and as documents."""

from __future__ import annotations

from vfioctl.plugin.explain import Verdict, why_unfit
from vfioctl.render.columns import Column, lay_out
from vfioctl.render.device_text import NONE, Namer
from vfioctl.render.document import document
from vfioctl.render.fields import field
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.model.host import Host
    from vfioctl.plugin.config import Config
    from vfioctl.plugin.explain import Answer
    from vfioctl.plugin.remark import Remark
    from vfioctl.plugin.resources import Sorted
    from vfioctl.plugin.settings import Resource
    from vfioctl.plugin.sight import Sight
    from vfioctl.plugin.values import Item, Offer
    from vfioctl.render.document import Document
    from vfioctl.render.styled import Line, Piece
    from vfioctl.sysfs.names import Names

_ITEMS = (
    Column("RESOURCE"),
    Column("ITEM"),
    Column("GROUP", right=True),
    Column("NUMA"),
    Column("HEALTH"),
    Column("NAME", least=12),
)
_ANSWERS = (Column("RESOURCE"), Column("VERDICT"), Column("ITEM"), Column("WHY", least=20))
_SHOWN = 4
_STYLES = {
    Verdict.OFFERED: "good",
    Verdict.UNHEALTHY: "bad",
    Verdict.LEFT_OUT: "warn",
    Verdict.EXCLUDED: "warn",
}


def offer_lines(
    host: Host, found: Sorted, sight: Sight, names: Names, *, width: int | None
) -> Iterator[Line]:
    """Yield a row per item, then what is not fit or left out and why, then a line that counts."""
    namer = Namer(names)
    rows = [_row(host, item, namer) for offer in found.offers for item in offer.items]
    if rows:
        texts = [[text for text, _ in row] for row in rows]
        yield from lay_out(_ITEMS, texts, width=width, styles=[[style for _, style in row] for row in rows])
    for offer in found.offers:
        if not offer.items:
            yield [(offer.resource, ""), ("  nothing to offer", "warn")]
    yield from _section("not healthy", _unfit(host, found, sight), width)
    yield from _section("left out", ((left.resource, left.why, left.id) for left in found.left_out), width)
    yield []
    yield from field("", [_count(found)], width=width, indent=0)


def _unfit(host: Host, found: Sorted, sight: Sight) -> Iterator[tuple[str, str, str]]:
    resources = {resource.name: resource for resource in found.resources}
    for offer in found.offers:
        for item in offer.items:
            if item.reason is not None:
                yield offer.resource, why_unfit(host, resources[offer.resource], item, sight), item.id


def _section(title: str, told: Iterable[tuple[str, str, str]], width: int | None) -> Iterator[Line]:
    """Yield resource, ids and reason; items of one resource with one reason are named in one line."""
    alike: dict[tuple[str, str], list[str]] = {}
    for resource, why, one in told:
        alike.setdefault((resource, why), []).append(one)
    if alike:
        yield []
        yield [(title, "title")]
    for (resource, why), ids in alike.items():
        more = len(ids) - _SHOWN
        named = " ".join(ids[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        yield from field("", [f"{resource}  {named}: {why}"], width=width)


def _row(host: Host, item: Item, namer: Namer) -> list[Piece]:
    device = host.by_address.get(item.members[0]) if item.members else None
    name = namer.name(device) if device is not None else NONE
    if len(item.members) > 1:
        name += f" +{len(item.members) - 1}"
    return [
        (item.resource, ""),
        (visible(item.id), ""),
        (NONE if item.group is None else str(item.group), ""),
        (",".join(map(str, item.numa_nodes)) or NONE, ""),
        ("healthy", "good") if item.reason is None else (item.reason, "bad"),
        (name, ""),
    ]


def _count(found: Sorted) -> str:
    items = [item for offer in found.offers for item in offer.items]
    fit = sum(item.reason is None for item in items)
    resources, offered = _number(len(found.offers), "resource"), _number(len(items), "item")
    return f"{resources}, {offered}, {fit} healthy; {len(found.left_out)} left out"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def offers_document(config: Config, found: Sorted) -> Document:
    """Describe what would be offered."""
    return document(
        "resources",
        config=config.file,
        resources=[
            _resource(resource, offer) for resource, offer in zip(found.resources, found.offers, strict=True)
        ],
        left_out=[{"id": left.id, "resource": left.resource, "why": left.why} for left in found.left_out],
    )


def _resource(resource: Resource, offer: Offer) -> Document:
    return {
        "name": resource.name,
        "kind": resource.kind.value,
        "unit": resource.unit.value,
        "shared_group": resource.shared_group.value,
        "backend": resource.backend.value,
        "bind": resource.bind.value,
        "cdi": resource.cdi,
        "priority": resource.priority,
        "env": [style.value for style in resource.env],
        "items": [
            {
                "id": item.id,
                "members": [str(address) for address in item.members],
                "iommu_group": item.group,
                "numa_nodes": list(item.numa_nodes),
                "healthy": item.reason is None,
                "reason": item.reason,
            }
            for item in offer.items
        ],
    }


def answer_lines(subject: str, answers: Sequence[Answer], *, width: int | None) -> Iterator[Line]:
    """Yield a row per resource and reason."""
    if not answers:
        yield [(subject, "strong"), (": no resource is configured, and nothing is on a vfio driver", "")]
        return
    rows: list[list[str]] = []
    styles: list[list[str]] = []
    for answer in answers:
        for index, why in enumerate(answer.why or ("",)):
            head = ["", "", ""]
            if not index:
                head = [answer.resource, answer.verdict.value.replace("-", " "), answer.item or NONE]
            rows.append([*head, visible(why)])
            styles.append(["", _STYLES.get(answer.verdict, "faint"), "", ""])
    yield [(subject, "strong")]
    yield from lay_out(_ANSWERS, rows, width=width, styles=styles)


def answers_document(
    file: str | None, subject: str, answers: Sequence[Answer], *, running: bool = False
) -> Document:
    """Describe what every resource makes of a device, by a file or by the plugin that runs."""
    return document(
        "explanation",
        config=file,
        running=running,
        subject=subject,
        resources=[
            {
                "name": answer.resource,
                "verdict": answer.verdict.value,
                "item": answer.item,
                "why": list(answer.why),
            }
            for answer in answers
        ],
    )


def remark_lines(remarks: Sequence[Remark], *, width: int | None) -> Iterator[Line]:
    """Yield each remark with its check's name, and what to do about it below."""
    for remark in remarks:
        text = f"{remark.resource}: {remark.message} [{remark.check}]"
        yield from field("warn", [text], width=width, indent=0, style="warn")
        yield from field(" ", [remark.hint], width=width, indent=0, style="faint")
        for line in remark.proposal:
            yield [("                ", ""), (visible(line), "")]
    yield [
        (_number(len(remarks), "remark") if remarks else "nothing to remark on", "" if remarks else "good")
    ]


def remarks_document(config: Config, remarks: Sequence[Remark]) -> Document:
    """Describe what is unwise in a configuration."""
    return document(
        "lint",
        config=config.file,
        remarks=[
            {
                "check": remark.check,
                "resource": remark.resource,
                "message": remark.message,
                "hint": remark.hint,
                "proposal": "".join(f"{line}\n" for line in remark.proposal) or None,
            }
            for remark in remarks
        ],
    )
