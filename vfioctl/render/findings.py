"""Findings in words: one line for what is said of several devices alike."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple
from vfioctl.plan.findings import FORCEABLE
from vfioctl.plan.plan import Severity
from vfioctl.render.fields import field
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.plan.plan import Finding, Plan
    from vfioctl.render.styled import Line

_SHOWN = 4
_STYLES = {Severity.REFUSE: "bad", Severity.WARN: "warn", Severity.NOTE: ""}


class Said(NamedTuple):
    """What one or several findings come to."""

    check: str
    severity: Severity
    text: str
    hint: str


def said(findings: Iterable[Finding]) -> Iterator[Said]:
    """Yield findings in words, the gravest first; what differs in the address only is said once."""
    alike: dict[tuple[Severity, str, str, str], list[PciAddress]] = {}
    for finding in findings:
        message = finding.message.removeprefix(f"{finding.address}: ")
        key = (finding.severity, finding.check, message, finding.hint)
        addresses = alike.setdefault(key, [])
        # A message that names its device needs no address before it.
        if finding.address is not None and str(finding.address) not in message:
            addresses.append(finding.address)
    order = list(Severity)
    for (severity, check, message, hint), addresses in sorted(
        alike.items(), key=lambda item: order.index(item[0][0])
    ):
        yield Said(check, severity, _about(addresses) + message, hint)


def _about(addresses: list[PciAddress]) -> str:
    return f"{shortened([str(address) for address in addresses])}: " if addresses else ""


def shortened(names: Sequence[str]) -> str:
    """List names, the first few of many."""
    more = len(names) - _SHOWN
    return " ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def way_out(plan: Plan) -> str | None:
    """Say which options would lift all that refuses a plan; None where nothing does, or where it is said."""
    if plan.command == "recover":  # it forces nothing: where one way is barred, the other may not be
        return "try the other way, with or without --finish; or leave all as it is: vfioctl recover --forget"
    options = dict.fromkeys(f"--force {finding.check}" for finding in plan.refusals)
    liftable = all(finding.check in FORCEABLE for finding in plan.refusals)
    said_already = all(f"--force {finding.check}" in finding.hint for finding in plan.refusals)
    if not options or not liftable or (said_already and len(options) == 1):
        return None
    return f"if the host can do without: {' '.join(options)}"


def finding_lines(findings: Iterable[Finding], *, width: int | None) -> Iterator[Line]:
    """Yield each finding with its check's name, and what to do about it below."""
    found = list(said(findings))
    for index, one in enumerate(found):
        text = f"{one.text} [{one.check}]"
        yield from field(one.severity.value, [text], width=width, indent=0, style=_STYLES[one.severity])
        # What is to be done about several in a row is said below the last of them.
        if one.hint and one.hint != next((after.hint for after in found[index + 1 : index + 2]), None):
            yield from field(" ", [one.hint], width=width, indent=0, style="faint")
