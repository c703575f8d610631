"""Which programs draw or compute with a GPU, by the device nodes they have open.

A driver may wait for such a program for ever when its GPU is taken away (K35), so this must be known before.
"""

from __future__ import annotations

from vfioctl.lean import partial
from vfioctl.model.pattern import pattern
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.sysfs import root
from vfioctl.sysfs.display import NVIDIA
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.sysfs.attribute import Attributes, Files
    from vfioctl.sysfs.display import Gpus
    from vfioctl.sysfs.holders import Holder

_NVIDIA_NODE = pattern(r"/dev/nvidia(\d+)")
NVIDIA_MINOR = pattern(rb"(?m)^Device Minor:\s*(\d+)")

# Nodes of a driver and not of one GPU.
_OF_DRIVERS = {
    "/dev/kfd": "amdgpu",
    "/dev/nvidiactl": NVIDIA,
    "/dev/nvidia-modeset": NVIDIA,
    "/dev/nvidia-uvm": NVIDIA,
    "/dev/nvidia-uvm-tools": NVIDIA,
}


def gpu_uses(
    attributes: Attributes, gpus: Gpus, holders: Iterable[Holder]
) -> Iterator[tuple[PciAddress, Usage]]:
    """Yield which programs use which GPU.

    A driver's own node counts for all its GPUs where the program has none of theirs open: every program
    that computes has it open beside those of its GPUs.
    """
    programs: dict[tuple[int, str], list[str]] = {}
    for holder in holders:
        programs.setdefault((holder.pid, holder.program), []).append(holder.node)
    owners = _NodeOwners(attributes, gpus)
    for (pid, program), opened in programs.items():
        for address, nodes in _by_function(owners, gpus, opened).items():
            detail = f"{program} (pid {pid}) has {' and '.join(nodes)} open"
            yield address, Usage(UsageKind.GPU, f"pid {pid}", detail)


def _by_function(owners: _NodeOwners, gpus: Gpus, opened: Iterable[str]) -> dict[PciAddress, list[str]]:
    """Return the nodes that a program has open, by the GPU they stand for."""
    found: dict[PciAddress, list[str]] = {}
    shared: dict[str, list[str]] = {}
    for node in opened:
        if node in _OF_DRIVERS:
            shared.setdefault(_OF_DRIVERS[node], []).append(node)
        for address in owners.of(node):
            found.setdefault(address, []).append(node)
    for driver, nodes in shared.items():
        functions = gpus.drivers.get(driver, ())
        if found.keys().isdisjoint(functions):
            found.update((address, nodes) for address in functions)
    return found


class _NodeOwners:
    """Which functions a GPU's node belongs to; NVIDIA's driver is asked once, and only if needed."""

    def __init__(self, attributes: Attributes, gpus: Gpus) -> None:
        self._attributes = attributes
        self._gpus = gpus
        self._minors: dict[str, PciAddress] | None = None

    def of(self, node: str) -> Sequence[PciAddress]:
        """Return the functions of a node; all of NVIDIA's where it cannot be told which."""
        known = self._gpus.nodes.get(node)
        if known is not None:
            return (known,)
        minor = _NVIDIA_NODE.fullmatch(node)
        functions = self._gpus.drivers.get(NVIDIA, ())
        if minor is None or len(functions) <= 1:
            return functions if minor else ()
        if self._minors is None:
            self._minors = _nvidia_minors(self._attributes.files, functions)
        owner = self._minors.get(minor[1])
        return functions if owner is None else (owner,)


def _nvidia_minors(files: Files, functions: Sequence[PciAddress]) -> dict[str, PciAddress]:
    """Return the functions by the number in their node's name."""
    texts = {str(address): address for address in functions}
    if not files.can_block:
        minors = [_nvidia_minor(files, name) for name in texts]
    else:
        from vfioctl.sysfs.disposable import gather

        # The driver takes the GPU's lock to answer, which a removal that waits may hold (K35).
        minors = gather(list(texts), partial(_nvidia_minor, files), files=files)
    return {minor: texts[name] for name, minor in zip(texts, minors, strict=True) if minor is not None}


def _nvidia_minor(files: Files, name: str) -> str | None:
    try:
        found = NVIDIA_MINOR.search(files.read(f"{root.NVIDIA_GPUS}/{name}/information"))
    except OSError:
        return None
    return found[1].decode() if found else None
