"""The kernel's command line: words that are none, and words that never arrived (H11, H27, K26)."""

from __future__ import annotations

from vfioctl.checkup.check import Check, Evidence, Status, in_doubt, listed, unread
from vfioctl.model import paths
from vfioctl.model.kernel_words import kernel_words
from vfioctl.model.pattern import pattern
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.checkup.check import Patient
    from vfioctl.model.facts import Fact, Facts

_INTEL = frozenset(
    {"on", "off", "igfx_off", "forcedac", "strict", "sp_off", "sm_on", "sm_off", "tboot_noforce"}
)
_AMD = frozenset(
    {
        *("fullflush", "off", "force_isolation", "force_enable", "pgtbl_v1", "pgtbl_v2", "irtcachedis"),
        *("nohugepages", "v2_pgsizes_only"),
    }
)
_NO_VALUE = frozenset({"on", "1", "yes", "y", "true", "enable", "enabled"})
# What is set for recovery entries is not meant for every boot.
_EVERY_BOOT = pattern(r"\s*GRUB_CMDLINE_LINUX(?:_DEFAULT)?\+?=")
_UPDATE = "update-grub, or grub2-mkconfig -o with the file that is booted; then reboot"


def lint(patient: Patient) -> Iterator[Check]:
    """Judge whether the command line's words about the IOMMU mean anything."""
    fact = patient.facts.fact(paths.COMMAND_LINE)
    if fact.text is None:
        yield in_doubt("cmdline", "what the kernel was started with is unknown", (fact,))
        return
    words = kernel_words(fact.text)
    found = [one for word in words if (one := _wrong(word))]
    for word, title, remedy in found:
        yield Check("cmdline", title, None, Status.WARN, (Evidence(fact.file, word),), remedy)
    if not found:
        seen = (Evidence(fact.file, listed(words) or "no word about IOMMU or VFIO"),)
        yield Check(
            "cmdline", "every word about IOMMU and VFIO is one the kernel knows", None, Status.OK, seen
        )


def _wrong(word: str) -> tuple[str, str, str] | None:
    """Return what is wrong with a word, and what to do about it."""
    key, _, value = word.partition("=")
    values = value.split(",")
    if key == "amd_iommu" and not _AMD.issuperset(values):
        bad = listed(one for one in values if one not in _AMD)
        why = "; the AMD IOMMU is on by default" if _NO_VALUE.issuperset(values) else ""
        return word, f"amd_iommu={bad} is no value{why}", "take it off the kernel command line"
    if key == "intel_iommu" and not _INTEL.issuperset(values):
        bad = listed(one for one in values if one not in _INTEL)
        return word, f"intel_iommu={bad} is no value", "write intel_iommu=on"
    if key == "iommu" and _NO_VALUE.intersection(values):
        return word, f"{word} switches nothing on", "on Intel: intel_iommu=on; on AMD and Arm: nothing"
    if key == "pcie_acs_override":
        title = (
            "pcie_acs_override belongs to a patch: on other kernels it does nothing; where it works, groups"
            " are split that the hardware does not isolate"
        )
        return word, title, "put the card into a slot with a group of its own: vfioctl groups"
    return None


class _Config(NamedTuple):
    """What a file wants the command line to say."""

    fact: Fact
    words: frozenset[str]


def bootloader(patient: Patient) -> Iterator[Check]:
    """Judge whether what is configured is what the kernel was started with (H11)."""
    facts = patient.facts
    running = facts.fact(paths.COMMAND_LINE)
    wanted = [*_wanted(facts)]
    places = (paths.GRUB_DEFAULT, paths.GRUB_DEFAULTS, paths.KERNEL_COMMAND_LINE)
    sources = [*map(facts.fact, places), *facts.inside(paths.GRUB_DEFAULTS)]
    if running.text is None or not wanted:
        title = "whether the bootloader's configuration is in force is unknown"
        yield in_doubt("bootloader", title, unread(running, *sources) or (running, *sources))
        return
    now = frozenset(kernel_words(running.text))
    generated = [*_generated(facts)]
    asked = frozenset().union(*(one.words for one in wanted))
    missing = sorted(asked - now)
    extra = sorted(now - asked.union(*(one.words for one in generated)))
    seen = tuple(Evidence(one.fact.file, listed(sorted(one.words)) or "no such word") for one in wanted)
    seen = (Evidence(running.file, listed(sorted(now)) or "no such word"), *seen)
    if missing:
        yield _missing(missing, generated, seen)
    elif unread(*sources):
        yield in_doubt("bootloader", "not all that the bootloader is told could be read", unread(*sources))
    elif extra:
        title = f"no configuration that was found asks for {listed(extra)}: the next boot may be without"
        remedy = f"write it into {wanted[0].fact.file}"
        yield Check("bootloader", title, None, Status.WARN, seen, remedy)
    else:
        title = "what the configuration asks for is what the kernel was started with"
        yield Check("bootloader", title, None, Status.OK, seen)


def _missing(missing: list[str], generated: list[_Config], seen: tuple[Evidence, ...]) -> Check:
    stale = [one for one in generated if not one.words.issuperset(missing)]
    title = f"{listed(missing)} is configured, but the kernel was started without"
    seen = (*seen, *(Evidence(one.fact.file, listed(sorted(one.words)) or "no such word") for one in stale))
    if stale:
        title += f"; {stale[0].fact.file} does not have it either"
        return Check("bootloader", title, None, Status.FAIL, seen, _UPDATE)
    remedy = "reboot; if that does not help, another bootloader's file is the one that is read"
    return Check("bootloader", title, None, Status.FAIL, seen, remedy)


def _wanted(facts: Facts) -> Iterator[_Config]:
    """Yield what people write, which tools make the bootloader's own files from."""
    grub = [facts.fact(paths.GRUB_DEFAULT), *facts.inside(paths.GRUB_DEFAULTS)]
    for fact in grub:
        lines = (fact.text or "").replace("\\\n", " ").split("\n")
        texts = [line.partition("=")[2] for line in lines if _EVERY_BOOT.match(line)]
        if texts:
            yield _Config(fact, _words(texts))
    fact = facts.fact(paths.KERNEL_COMMAND_LINE)
    if fact.text is not None:
        yield _Config(fact, _words([fact.text]))


def _words(texts: list[str]) -> frozenset[str]:
    return frozenset(
        word for text in texts for word in kernel_words(text.strip().strip("'").replace("'", " "))
    )


def _generated(facts: Facts) -> Iterator[_Config]:
    """Yield what the bootloader reads: the words of every entry together."""
    for fact in (*map(facts.fact, paths.GRUB_GENERATED), *facts.inside(paths.BOOT_ENTRIES)):
        lines = [line for line in fact.lines if line.lstrip().startswith(("linux", "options"))]
        if lines:
            yield _Config(fact, _words(lines))
