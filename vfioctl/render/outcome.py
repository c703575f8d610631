"""What became of a plan: every device with its driver now, and what to type next."""

from __future__ import annotations

from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.viability import assess
from vfioctl.plan.outcome import Result
from vfioctl.render.change import device_lines, group_lines, groups_of, unmoved
from vfioctl.render.device_text import NONE
from vfioctl.render.fields import field
from vfioctl.render.findings import shortened
from vfioctl.render.step_text import typed
from vfioctl.render.text import visible
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.model.binding import Move
    from vfioctl.model.device import PciDevice
    from vfioctl.model.host import Host
    from vfioctl.model.situation import NodeMode
    from vfioctl.plan.outcome import DeviceState, Report, StepOutcome
    from vfioctl.render.styled import Line, Piece
    from vfioctl.sysfs.names import Names


def standing(host: Host, states: Iterable[DeviceState]) -> Host:
    """Return a host with its devices as they were read after the last step."""
    bindings = {state.address: state.binding for state in states}
    devices: list[PciDevice] = []
    for device in host.devices:
        binding = bindings.get(device.address)
        if binding is not None:
            device = device._replace(driver=binding.driver, driver_override=binding.override)  # noqa: PLW2901
        elif device.address in bindings:
            device = device._replace(driver=None, unbinding=True)  # noqa: PLW2901 - unknown, not "none"
        devices.append(device)
    return host._replace(devices=tuple(devices))


def outcome_lines(
    host: Host, report: Report, nodes: Sequence[NodeMode], names: Names, *, width: int | None, verbose: bool
) -> Iterator[Line]:
    """Yield what became of a plan that was made for this host."""
    if verbose:
        yield from step_lines((*report.outcomes, *report.undo))
    now = _now(host, report)
    if now:
        yield from device_lines(host, report.plan, now, names, ("WAS", "NOW"), width=width)
    after = standing(host, report.states)
    if report.result in {Result.DONE, Result.ALREADY}:
        yield []
        yield _headline(report)
        yield from _closing(after, report, nodes, width=width)


def step_lines(outcomes: Iterable[StepOutcome]) -> Iterator[Line]:
    """Yield every step as it could be typed, with what became of it."""
    for outcome in outcomes:
        for line in typed(outcome.step):
            yield [(f"{outcome.status.value:<8}", "faint"), (f"  {visible(line)}", "")]


def _now(host: Host, report: Report) -> dict[PciAddress, Piece]:
    """Return for each device what its driver is now."""
    shown = unmoved(host, report.plan)
    goals = {move.address: move for move in report.plan.moves}
    exact = report.result in {Result.PARTIAL, Result.STUCK}
    for state in report.states:
        if state.binding is None or exact:
            from vfioctl.render.problems import state_text

            shown[state.address] = (visible(state_text(state)), "bad" if state.binding is None else "")
            continue
        move = goals.get(state.address)
        reached = report.result is Result.DONE and move is not None and _arrived(move, state)
        shown[state.address] = (visible(state.binding.driver or NONE), "good" if reached else "")
    return shown


def _headline(report: Report) -> Line:
    if report.result is Result.ALREADY:
        return [("nothing to do", "good"), (": it was so already", "")]
    done = {"bind": "bound", "unbind": "given back", "recover": "recovered"}
    moves, states = report.plan.moves, {state.address: state for state in report.states}
    arrived = [move for move in moves if _arrived(move, states.get(move.address))]
    devices = f"{len(moves)} device{'' if len(moves) == 1 else 's'}"
    if len(arrived) < len(moves):
        return [(f"{done[report.plan.command]}: {len(arrived)} of {devices}", "warn")]
    return [(f"{done[report.plan.command]}: {devices}", "good")]


def _arrived(move: Move, state: DeviceState | None) -> bool:
    """Tell whether a device is where it was to go; away from vfio, where the kernel decides."""
    if state is None or state.binding is None:
        return False
    driver = state.binding.driver
    if move.kernel_decides:
        return driver is not None and not is_vfio_driver(driver)
    return driver == move.goal.driver


def _closing(after: Host, report: Report, nodes: Sequence[NodeMode], *, width: int | None) -> Iterator[Line]:
    """Say what can be done with the devices now."""
    devices = [after.by_address[address] for address in report.plan.scope if address in after.by_address]
    ready = [device for device in devices if device.on_vfio]
    if report.plan.command == "unbind":
        yield from _given_back(report, devices, width=width)
    if not ready:
        return
    groups = [
        group for group in groups_of(after, report.plan) if any(one.iommu_group == group.id for one in ready)
    ]
    if report.plan.command == "unbind":
        # That a group is viable is no news to somebody who wants nothing more of it.
        groups = [group for group in groups if not assess(after, group).viable]
    yield from group_lines(after, groups, width=width)
    if report.plan.command == "unbind":
        return
    yield from _nodes(ready, nodes, width=width)
    usable = {group.id for group in groups if assess(after, group).viable is not False}
    addresses = [str(device.address) for device in ready if device.iommu_group in usable]
    if addresses:
        # Never wrapped: it is there to be copied.
        command = f"vfioctl libvirt-xml {' '.join(addresses)}"
        yield from field("next", [command], width=None, indent=0, style="command")


def _nodes(ready: Sequence[PciDevice], nodes: Sequence[NodeMode], *, width: int | None) -> Iterator[Line]:
    """Yield the nodes a VM opens, those of one owner and mode together."""
    known = {node.path: node for node in nodes}
    alike: dict[str, list[str]] = {}
    for number in dict.fromkeys(device.iommu_group for device in ready if device.iommu_group is not None):
        path = f"/dev/vfio/{number}"
        node = known.get(path)
        text = _owned(node) if node else "not seen yet: udev may still be making it"
        alike.setdefault(text, []).append(path)
    for text, paths in alike.items():
        title = "node" if len(paths) == 1 else "nodes"
        yield from field(title, [f"{shortened(paths)}: {text}"], width=width, indent=0)


def _owned(node: NodeMode) -> str:
    return f"owner {_user(node.uid)}:{_group(node.gid)}, mode {node.mode:04o}"


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _given_back(report: Report, devices: Sequence[PciDevice], *, width: int | None) -> Iterator[Line]:
    """Say which devices the kernel found no driver for, and how to find the module that has one."""
    left = {move.address for move in report.plan.moves if move.kernel_decides}
    alike: dict[tuple[int, int], list[PciDevice]] = {}
    for device in devices:
        if device.address in left and device.driver is None and not device.unbinding:
            alike.setdefault((device.vendor_id, device.device_id), []).append(device)
    for found in alike.values():
        text = f"{shortened([str(device.address) for device in found])}: no driver that is loaded takes it"
        yield from field("no driver", [text], width=width, indent=0, style="warn")
        modalias = f"/sys/bus/pci/devices/{found[0].address}/modalias"
        yield from field("next", [f'modprobe "$(cat {modalias})"'], width=None, indent=0, style="command")
