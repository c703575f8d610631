"""May the VM lock its memory: a device writes anywhere in it, so none of it may move (H39, H40)."""

from __future__ import annotations

from vfioctl.checkup.check import Check, Evidence, Status, evidence, in_doubt, unread
from vfioctl.model import paths
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.checkup.check import Patient, User
    from vfioctl.model.facts import Fact, Facts

_GIB = 1 << 30
_KIB = 1 << 10
_FIELDS = 4
_UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}
_UNLIMITED = frozenset({"unlimited", "infinity", "-1"})


class Limit(NamedTuple):
    """A limit that was found; None is no limit."""

    size: int | None
    fact: Fact
    line: str


def memory(patient: Patient) -> Iterator[Check]:
    """Judge whether the memory that a VM needs may be locked by the user it runs as."""
    size = patient.wanted.memory
    if size is None:
        return
    yield from _fits(patient, size)
    need, why = _need(patient, size)
    user = patient.wanted.user
    if user is None or user.uid == 0:
        yield from _service(patient, need, why)
        return
    yield _user(patient, user, need, why)


def _need(patient: Patient, size: int) -> tuple[int, str]:
    """Return what is locked: the memory and 1 GiB, as libvirt counts (X12), and BARs under iommufd (H40)."""
    need, why = size + _GIB, f"{_spelled(size)} of memory and 1 GiB"
    if patient.host.iommufd:
        bars = sum(bar.size for one in patient.wanted.devices for bar in one.bars if bar.space == "memory")
        if bars:
            need, why = need + bars, f"{why}, and {_spelled(bars)} of BARs, which iommufd counts"
    return need, why


def _fits(patient: Patient, size: int) -> Iterator[Check]:
    """Judge whether the host has that much at all."""
    fact = patient.facts.fact(paths.MEMORY)
    values = {line.partition(":")[0]: line.partition(":")[2].split() for line in fact.lines}
    total = values.get("MemTotal", [""])[0]
    if not total.isdecimal():
        yield in_doubt("memlock", "how much memory this host has is unknown", (fact,))
        return
    has = int(total) * _KIB
    huge = _huge(values)
    seen: tuple[Evidence, ...] = (
        Evidence(fact.file, f"MemTotal {_spelled(has)}, free in huge pages {_spelled(huge)}"),
    )
    entries = patient.facts.fact(paths.MAPPING_LIMIT)
    if entries.text is not None:
        seen = (*seen, Evidence(entries.file, f"{entries.text} mappings"))
    if has < size:
        title = f"this host has {_spelled(has)} of memory, less than the VM is to have"
        yield Check("memlock", title, None, Status.FAIL, seen, "give the VM less")
    else:
        yield Check("memlock", f"this host has {_spelled(has)} of memory", None, Status.OK, seen)


def _huge(values: dict[str, list[str]]) -> int:
    free, size = (values.get(name, ["0"])[0] for name in ("HugePages_Free", "Hugepagesize"))
    return int(free) * int(size) * _KIB if free.isdecimal() and size.isdecimal() else 0


def _service(patient: Patient, need: int, why: str) -> Iterator[Check]:
    """Judge the services that start VMs: libvirt raises the limit by itself, unless it may not."""
    found = [limit for unit in paths.SERVICES if (limit := _unit_limit(patient.facts, unit))]
    facts = [fact for unit in paths.SERVICES for fact in _unit_files(patient.facts, unit)]
    short = [one for one in found if one.size is not None and one.size < need]
    for one in short:
        title = (
            f"{_spelled(need)} have to be locked ({why}), {one.fact.file} allows {_spelled(one.size or 0)}"
        )
        remedy = "set LimitMEMLOCK=infinity there, then: systemctl daemon-reload, and restart the service"
        yield Check("memlock", title, None, Status.FAIL, (Evidence(one.fact.file, one.line),), remedy)
    if short:
        return
    if found and not unread(*facts):
        seen = tuple(Evidence(one.fact.file, one.line) for one in found)
        title = f"{_spelled(need)} have to be locked ({why}), and may be"
        yield Check("memlock", title, None, Status.OK, seen)
        return
    title = f"{_spelled(need)} have to be locked ({why}); whether they may be depends on who starts the VM"
    remedy = "name the user: --user qemu; libvirt raises the limit of the VMs it starts by itself"
    yield in_doubt("memlock", title, unread(*facts) or [patient.facts.fact(paths.LIMITS)], remedy)


def _unit_files(facts: Facts, unit: str) -> Iterator[Fact]:
    """Yield the files of a service that are there or in doubt, what outranks the rest first."""
    folders = [facts.fact(f"{folder}/{unit}.d") for folder in paths.UNITS]
    yield from unread(*folders)
    yield from (fact for folder in folders for fact in facts.inside(folder.file))
    yield from (fact for folder in paths.UNITS if not (fact := facts.fact(f"{folder}/{unit}")).absent)


def _unit_limit(facts: Facts, unit: str) -> Limit | None:
    """Return what systemd allows a service: its drop-ins outrank it, and /etc outranks /usr."""
    for fact in _unit_files(facts, unit):
        for line in reversed(fact.lines):
            key, _, value = line.strip().partition("=")
            if key == "LimitMEMLOCK":
                # "soft:hard"; a program with privileges may raise the soft one.
                known, size = _bytes(value.strip().rpartition(":")[2], 0)
                return Limit(size, fact, line.strip()) if known else None
    return None


def _user(patient: Patient, user: User, need: int, why: str) -> Check:
    facts = patient.facts
    files = [facts.fact(paths.LIMITS), facts.fact(paths.LIMITS_FOLDER), *facts.inside(paths.LIMITS_FOLDER)]
    limit = _user_limit(files, user)
    title = f"{_spelled(need)} have to be locked ({why})"
    line = f"{user.name} - memlock {-(-need // _KIB)}"
    remedy = (
        f"add '{line}' to {paths.LIMITS_FOLDER}/vfio.conf, and log in again (libvirt raises it by itself)"
    )
    if unread(*files):
        doubt = f"{title}; what {user.name} may lock is unknown"
        return in_doubt("memlock", doubt, unread(*files), remedy)
    if limit is None:
        seen = tuple(evidence(fact) for fact in files)
        title += f", and nothing raises the default of {user.name}, a few MiB"
        return Check("memlock", title, None, Status.FAIL, seen, remedy)
    seen = (Evidence(limit.fact.file, limit.line),)
    if limit.size is None or limit.size >= need:
        return Check("memlock", f"{title}, and {user.name} may", None, Status.OK, seen)
    title += f", {user.name} may lock {_spelled(limit.size)}"
    return Check("memlock", title, None, Status.FAIL, seen, remedy)


def _user_limit(files: list[Fact], user: User) -> Limit | None:
    """Return the last hard limit of a user: a line of its own outranks its group's, and that one for all."""
    found: dict[int, Limit] = {}
    for fact in files:
        for line in fact.lines:
            words = line.partition("#")[0].split()
            if len(words) != _FIELDS or words[1] not in {"-", "hard"} or words[2] != "memlock":
                continue
            rank = _rank(words[0], user)
            known, size = _bytes(words[3], 10)
            if rank is not None and known:
                found[rank] = Limit(size, fact, line.strip())
    return found[max(found)] if found else None


def _rank(domain: str, user: User) -> int | None:
    if domain in {user.name, str(user.uid)}:
        return 2
    if domain.startswith("@"):
        return 1 if domain[1:] in user.groups else None
    return 0 if domain == "*" else None


def _bytes(text: str, shift: int) -> tuple[bool, int | None]:
    """Return whether a text is a limit, and its size in bytes; None is no limit."""
    if text in _UNLIMITED:
        return True, None
    unit = _UNITS.get(text[-1:].upper())
    digits = text[:-1] if unit is not None else text
    if not digits.isdecimal():
        return False, None
    return True, int(digits) << (unit if unit is not None else shift)


def _spelled(size: int) -> str:
    """Spell a size in the largest unit that leaves a number of three digits or fewer."""
    for unit, name in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << unit:
            number = f"{size / (1 << unit):.1f}".removesuffix(".0")
            return f"{number} {name}"
    return f"{size} bytes"
