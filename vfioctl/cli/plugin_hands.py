"""What the plugin does to this host's devices, by the same plans and transactions as the commands.

Each of these functions is called in an interpreter of its own.
"""

from __future__ import annotations

from functools import partial

from vfioctl.cli.changing import Asked
from vfioctl.cli.planning import Planning
from vfioctl.model.selector import Selector
from vfioctl.plan.bind import plan_bind
from vfioctl.plan.outcome import Result, Status
from vfioctl.plan.unbind import plan_unbind
from vfioctl.plugin.hands import Hands, Outcome, Wish
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.root import HostRoot
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.changing import Decide
    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.plan.outcome import Report
    from vfioctl.plan.plan import Plan


def hands() -> Hands:
    """Return all of them."""
    return Hands(survey, bind, give_back, reset)


def survey(asked: tuple[Wish, ...], root: HostRoot | None = None) -> tuple[str | None, ...]:
    """Say of each whether a bind would be refused now, and why."""
    seen = root or HostRoot()
    host = read_host(seen)
    return tuple(_refusal(_binding(one).plan(seen, host)) for one in asked)


def bind(wish: Wish) -> Outcome:
    """Give functions to VFIO, with the rest of their groups, or change nothing."""
    return _carry_out(_binding(wish))


def give_back(addresses: tuple[PciAddress, ...]) -> Outcome:
    """Give functions, and nothing else, back to where they came from; those that are gone are passed over."""
    there = read_host(HostRoot()).by_address
    found = tuple(address for address in addresses if address in there and _is_ours(there[address]))
    if not found:
        return Outcome(done=True)
    return _carry_out(_planning("unbind", found, plan_unbind, device_only=True))


def _is_ours(device: PciDevice) -> bool:
    """Tell whether it is as a bind left it: on VFIO, or a bridge that was released."""
    return device.on_vfio or (device.is_bridge and device.driver is None)


def reset(addresses: tuple[PciAddress, ...]) -> Outcome:
    """Reset functions."""
    from vfioctl.apply.resetting import reset as reset_each

    problem = reset_each(addresses)
    return Outcome(done=problem is None, text=problem or "")


def _binding(wish: Wish) -> Planning:
    return _planning("bind", wish.addresses, plan_bind, release_shpchp=wish.release_shpchp)


def _planning(
    command: str,
    addresses: tuple[PciAddress, ...],
    decide: Decide,
    *,
    device_only: bool = False,
    release_shpchp: bool = False,
) -> Planning:
    selectors = tuple(Selector.parse(str(address)) for address in addresses)
    asked = Asked(
        command,
        selectors,
        every=False,
        driver=None,
        device_only=device_only,
        force=(),
        timeout=20.0,
        lock_timeout=60.0,
        dry_run=False,
        release_shpchp=release_shpchp,
    )
    return Planning(asked, decide)


def _carry_out(planning: Planning) -> Outcome:
    from vfioctl.apply.transaction import Settings, carry_out

    asked = planning.asked
    settings = Settings(timeout=asked.timeout, lock_timeout=asked.lock_timeout)
    report = carry_out(partial(planning.plan, HostRoot()), settings, observe=lambda _: None)
    if report.result in {Result.DONE, Result.ALREADY}:
        return Outcome(done=True, moved=tuple(move.address for move in report.plan.moves))
    return Outcome(done=False, text=_why(report, planning.host))


def _why(report: Report, host: Host) -> str:
    """Say in one line why it was refused, or where it failed."""
    if refusal := _refusal(report.plan):
        return refusal
    from vfioctl.plan.explain import explain

    failed = {Status.FAILED, Status.STUCK}
    outcome = next((one for one in (*report.outcomes, *report.undo) if one.status in failed), None)
    if outcome is None:
        return f"{report.plan.command}: {report.result}"
    explained = explain(outcome, host)
    return f"{explained.what}; {explained.why[0]}" if explained.why else explained.what


def _refusal(plan: Plan) -> str | None:
    return plan.refusals[0].message if plan.refusals else None
