"""What a virtual machine of KubeVirt's needs beside devices."""

from __future__ import annotations

from vfioctl.export.kubevirt_source import domain_of
from vfioctl.export.pod import Machine
from vfioctl.model.pattern import pattern
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

_QUANTITY = pattern(r"([0-9]{1,15})(?:\.([0-9]{1,6}))?([kMGTPE]|[KMGTPE]i|)")
_POWERS = {letter: power for power, letter in enumerate("KMGTPE", start=1)}


def machine_of(document: Any) -> Machine | None:  # noqa: ANN401 - what YAML holds
    """Return what a VirtualMachine or its instance needs; None for anything else."""
    found = domain_of(document)
    if found is None:
        return None
    name, domain = found
    memory, requests = _mapping(domain, "memory"), _mapping(_mapping(domain, "resources"), "requests")
    return Machine(
        name=name,
        memory=quantity(memory.get("guest")) or quantity(requests.get("memory")),
        cpus=_cpus(_mapping(domain, "cpu")),
        page=quantity(_mapping(memory, "hugepages").get("pageSize")),
    )


def quantity(value: object) -> int | None:
    """Read an amount of Kubernetes' in bytes, rounded up; None where it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 else None
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    whole, part, unit = found[1], found[2] or "", found[3]
    base = 1024 if unit.endswith("i") else 1000
    factor = base ** _POWERS.get(unit[:1].upper(), 0)
    return -(-int(whole + part) * factor // 10 ** len(part)) or None


def _cpus(cpu: dict[str, Any]) -> int | None:
    numbers = [cpu.get(key, 1) for key in ("sockets", "cores", "threads")]
    if not cpu or not all(isinstance(number, int) and number > 0 for number in numbers):
        return None
    return int(numbers[0] * numbers[1] * numbers[2])


def _mapping(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}
