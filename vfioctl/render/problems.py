"""What went wrong while a plan was carried out: what happened, why, and what to do about it."""

from __future__ import annotations

from vfioctl.model.device import PhysicalFunction
from vfioctl.model.usage import UsageKind
from vfioctl.plan.explain import explain
from vfioctl.plan.outcome import Result, Status
from vfioctl.plan.plan import Finding, Severity
from vfioctl.plan.steps import SetVfs
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.plan.outcome import DeviceState, Report, StepOutcome

_HOLDING = {UsageKind.VM, UsageKind.PROCESS, UsageKind.GPU}

_ENDINGS = {
    Result.ROLLED_BACK: "was rolled back; everything is as it was before",
    Result.PARTIAL: "could not be rolled back completely; where each device stands is shown",
    Result.STUCK: "a write of it is still blocked in the kernel; where each device stands is shown",
}


def problem_findings(report: Report, host: Host, now: Host) -> tuple[Finding, ...]:
    """Return what went wrong, who holds what is stuck, and how the devices stand, as findings.

    The first host is the one the plan was made for; the second one says who holds a device by now.
    """
    return tuple(_findings(report, host, now))


def _findings(report: Report, host: Host, now: Host) -> Iterator[Finding]:
    for outcome in failures(report):
        explained = explain(outcome, host)
        message = "; ".join((explained.what, *explained.why))
        yield Finding(outcome.status.value, Severity.WARN, outcome.step.address, message, explained.hint)
    for address in _stuck(report, host):
        for holder in holders(now, address):
            yield Finding("holder", Severity.WARN, address, holder, "")
    if report.result in {Result.PARTIAL, Result.STUCK}:
        for state in report.states:
            yield Finding("state", Severity.NOTE, state.address, state_text(state), "")


def failures(report: Report) -> tuple[StepOutcome, ...]:
    """Return the steps that failed or are stuck, those of the rollback last."""
    return tuple(
        outcome
        for outcome in (*report.outcomes, *report.undo)
        if outcome.status in {Status.FAILED, Status.STUCK}
    )


def _stuck(report: Report, host: Host) -> Iterator[PciAddress]:
    """Yield the devices that the kernel waits for.

    Of virtual functions that are being removed, it is known only from before whose they are: the links to the
    one that is waited for are gone already.
    """
    yield from (state.address for state in report.states if state.stuck)
    for outcome in report.outcomes:
        if outcome.status is Status.STUCK and isinstance(outcome.step, SetVfs):
            device = host.by_address.get(outcome.step.address)
            if device is not None and isinstance(device.sriov, PhysicalFunction):
                yield from device.sriov.virtual_functions


def holders(host: Host, address: PciAddress) -> tuple[str, ...]:
    """Return who has a device or a sibling of its group open, one sentence each."""
    device = host.by_address.get(address)
    if device is None:
        return ()
    group = host.group_of(device)
    members = (device, *(host.members(group) if group else ()))
    uses = (use.detail for member in members for use in member.usage if use.kind in _HOLDING)
    return tuple(dict.fromkeys(uses))


def state_text(state: DeviceState) -> str:
    """Say where a device stands."""
    if state.stuck:
        return "an unbind of it is still blocked"
    if state.binding is None:
        return "unknown: its state could not be read"
    driver = f"on {state.binding.driver}" if state.binding.driver else "without a driver"
    return f"{driver}, driver_override {state.binding.override or 'not set'}"


def problem_text(report: Report, host: Host, now: Host) -> tuple[str, str]:
    """Return the two parts of the error for a plan that failed: what happened, and what to do next."""
    begun = "was interrupted" if report.interrupted else "failed"
    lines = [f"{report.plan.command} {begun} and {_ENDINGS[report.result]}"]
    if report.plan.command == "recover":
        lines = ["recover did not bring every device to where it belongs; where each one stands is shown"]
    hints: list[str] = []
    for outcome in failures(report):
        explained = explain(outcome, host)
        lines += [explained.what, *(f"  {reason}" for reason in explained.why)]
        hints.append(explained.hint)
    for address in _stuck(report, host):
        lines += (f"  {holder}" for holder in holders(now, address))
    if report.result is not Result.ROLLED_BACK and not any("vfioctl recover" in hint for hint in hints):
        cause = "nothing holds the devices any more" if report.result is Result.STUCK else "that is mended"
        hints.append(f"when {cause}: vfioctl recover")
    if report.plan.command == "recover" and report.result is Result.PARTIAL:
        hints.append("to leave every device as it is: vfioctl recover --forget")
    return "\n".join(dict.fromkeys(lines)), "\n".join(dict.fromkeys(filter(None, hints)))
