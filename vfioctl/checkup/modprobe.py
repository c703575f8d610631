"""What modprobe.d and the command line ask for: options, order, ids for vfio-pci."""

from __future__ import annotations

from vfioctl.model import paths
from vfioctl.model.kernel_words import is_loose_id, kernel_words
from vfioctl.model.pattern import pattern
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.facts import Fact, Facts

_ID = pattern(
    r"(?P<vendor>[0-9a-fA-F]{1,8}):(?P<device>[0-9a-fA-F]{1,8})"
    r"(?::(?P<sv>[0-9a-fA-F]{1,8})(?::(?P<sd>[0-9a-fA-F]{1,8})(?::[0-9a-fA-F]{1,8}){0,2})?)?"
)
_WORD = pattern(r"vfio[-_]pci\.ids=(.*)")
_ANY = 0xFFFFFFFF


class Directive(NamedTuple):
    """One line of a file in modprobe.d."""

    file: str
    verb: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The line as it stands."""
        return " ".join((self.verb, *self.words))


class AskedId(NamedTuple):
    """An id that vfio-pci is to take at boot, and where that is asked for."""

    text: str
    vendor_id: int
    device_id: int
    subsystem: tuple[int | None, int | None]
    file: str
    line: str

    def matches(self, device: PciDevice) -> bool:
        """Tell whether a device has this id; what is not given, or all ones, is any."""
        pairs = zip(
            (self.vendor_id, self.device_id, *self.subsystem),
            (device.vendor_id, device.device_id, device.subsystem_vendor_id, device.subsystem_device_id),
            strict=True,
        )
        return all(asked in {None, _ANY, found} for asked, found in pairs)


class Ids(NamedTuple):
    """The ids that are asked for, and what among them nobody understands."""

    asked: tuple[AskedId, ...]
    lost: tuple[tuple[str, str, str], ...]
    """Text that is dropped, with the file and the line it stands in."""


def directives(facts: Facts) -> Iterator[Directive]:
    """Yield the lines of modprobe.d; a file hides those of the same name in later folders."""
    seen: set[str] = set()
    for folder in paths.MODPROBE:
        for fact in facts.inside(folder):
            name = fact.file.rpartition("/")[2]
            if name in seen:
                continue
            seen.add(name)
            yield from _directives(fact)


def _directives(fact: Fact) -> Iterator[Directive]:
    for line in (fact.text or "").replace("\\\n", " ").split("\n"):
        words = line.split()
        if len(words) > 1 and not words[0].startswith("#"):
            yield Directive(fact.file, words[0], tuple(words[1:]))


def unread_sources(facts: Facts) -> tuple[Fact, ...]:
    """Return what could not be read of the command line and modprobe.d."""
    folders = [facts.fact(folder) for folder in paths.MODPROBE]
    files = [fact for folder in paths.MODPROBE for fact in facts.inside(folder)]
    sources = (facts.fact(paths.COMMAND_LINE), *folders, *files)
    return tuple(fact for fact in sources if fact.doubt is not None)


def sources(facts: Facts) -> tuple[Fact, ...]:
    """Return the command line and the folders of modprobe.d that are there."""
    folders = [facts.fact(folder) for folder in paths.MODPROBE]
    return (facts.fact(paths.COMMAND_LINE), *(fact for fact in folders if not fact.absent))


def read_ids(facts: Facts) -> Ids:
    """Return the ids that vfio-pci is to take: of modprobe.d, and of the kernel's command line."""
    asked: list[AskedId] = []
    lost: list[tuple[str, str, str]] = []
    for one in directives(facts):
        if one.verb != "options" or one.words[0].replace("-", "_") != "vfio_pci":
            continue
        for word in one.words[1:]:
            if word.startswith("ids="):
                _split(word[4:], one.file, one.text, asked, lost)
            elif "=" not in word:
                lost.append((word, one.file, one.text))
    words = kernel_words(facts.fact(paths.COMMAND_LINE).text or "")
    for index, word in enumerate(words):
        found = _WORD.fullmatch(word)
        if found is None:
            continue
        behind = list(_loose(words[index + 1 :]))
        line = " ".join((word, *behind))
        _split(found[1], paths.COMMAND_LINE, line, asked, lost)
        lost += [(loose, paths.COMMAND_LINE, line) for loose in behind]
    return Ids(tuple(asked), tuple(lost))


def _loose(words: tuple[str, ...]) -> Iterator[str]:
    for word in words:
        if not is_loose_id(word):
            return
        yield word


def _split(text: str, file: str, line: str, asked: list[AskedId], lost: list[tuple[str, str, str]]) -> None:
    for part in text.strip("\"'").split(","):
        found = _ID.fullmatch(part)
        if found is not None:
            numbers = [int(found[name], 16) if found[name] else None for name in ("sv", "sd")]
            ids = int(found["vendor"], 16), int(found["device"], 16)
            asked.append(AskedId(part, *ids, (numbers[0], numbers[1]), file, line))
        elif part:
            lost.append((part, file, line))
