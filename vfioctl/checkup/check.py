"""What a checkup says: one finding about the host or a device, with what it was read from."""

from __future__ import annotations

from enum import StrEnum

from vfioctl.model.kernel_words import interrupt_chip, kernel_words
from vfioctl.model.paths import COMMAND_LINE, INTERRUPTS
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from vfioctl.model.address import PciAddress
    from vfioctl.model.device import PciDevice
    from vfioctl.model.drivers import DriverCatalog
    from vfioctl.model.facts import Fact, Facts
    from vfioctl.model.host import Host

_LONGEST = 200


class Status(StrEnum):
    """How a check ended, the gravest first."""

    FAIL = "fail"
    WARN = "warn"
    UNKNOWN = "unknown"
    OK = "ok"


class Evidence(NamedTuple):
    """A file as the host knows it, and what it says."""

    file: str
    value: str


class Check(NamedTuple):
    """One finding."""

    id: str
    title: str
    address: PciAddress | None
    status: Status
    evidence: tuple[Evidence, ...]
    remedy: str | None = None
    """What to do; None where nothing is to be done."""
    see: str | None = None
    """The command that tells more."""


class User(NamedTuple):
    """Who is to open the devices."""

    name: str
    uid: int | None
    """None where it is not known on the machine that looks."""
    groups: frozenset[str] = frozenset()
    gids: frozenset[int] = frozenset()


class Wanted(NamedTuple):
    """What the checkup is to find out."""

    devices: tuple[PciDevice, ...]
    """Those that the device checks look at."""
    named: bool = False
    """Whether they were named: else they are those that are on a VFIO driver or meant for one."""
    memory: int | None = None
    """How much memory the virtual machine is to have, in bytes."""
    user: User | None = None


class Drifted(NamedTuple):
    """Something that is stored and does not fit any more, or that something else at boot contradicts."""

    address: PciAddress | None
    message: str
    remedy: str
    conflict: str | None = None
    """The file that contradicts; None: the hardware or the drivers do."""


class Kept(NamedTuple):
    """What is stored that is to survive a reboot."""

    number: int
    """How many bindings."""
    drifted: tuple[Drifted, ...] = ()
    doubt: str | None = None
    """Why it is not known."""
    made: tuple[Evidence, ...] = ()
    """The folders of what is made anew at every boot, with the names of their files."""


class Patient(NamedTuple):
    """Everything a check may look at."""

    host: Host
    catalog: DriverCatalog
    facts: Facts
    wanted: Wanted
    kept: Kept | None = None
    """None where nobody looked."""

    @property
    def release(self) -> str:
        """The kernel's release, which names the folder of its modules."""
        return self.host.kernel.text if self.host.kernel else "KERNEL"


if TYPE_CHECKING:
    Examine: TypeAlias = Callable[[Patient], Iterator[Check]]


def evidence(fact: Fact) -> Evidence:
    """Return a fact as evidence: its first lines, that it is not there, or why it is unknown."""
    if fact.text is None:
        return Evidence(fact.file, fact.doubt or "not there")
    if fact.file == COMMAND_LINE:
        return Evidence(fact.file, " ".join(kernel_words(fact.text)) or "no word about IOMMU or VFIO")
    if fact.file == INTERRUPTS:
        chips = dict.fromkeys(chip for line in fact.lines if (chip := interrupt_chip(line)))
        return Evidence(fact.file, " ".join(chips) or "no interrupt chip")
    text = " ".join(fact.lines) or "empty"
    return Evidence(fact.file, text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…")


def in_doubt(
    id: str,  # noqa: A002 - the key of the document
    title: str,
    facts: Iterable[Fact],
    remedy: str | None = None,
    address: PciAddress | None = None,
) -> Check:
    """Return what to say where facts are missing: never that all is well."""
    seen = tuple(evidence(fact) for fact in facts)
    return Check(id, title, address, Status.UNKNOWN, seen, remedy)


def as_root(fact: Fact) -> str | None:
    """Return what helps where this user may not read a file."""
    return "run it as root" if "permi" in (fact.doubt or "") else None


def unread(*facts: Fact) -> tuple[Fact, ...]:
    """Return the facts that are in doubt."""
    return tuple(fact for fact in facts if fact.doubt is not None)


def listed(names: Iterable[object]) -> str:
    """Return names on one line."""
    return " ".join(map(str, names))
