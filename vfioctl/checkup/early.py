"""Modules that are loaded before the root file system is there, and what makes the initramfs anew (H12)."""

from __future__ import annotations

from vfioctl.checkup.check import Check, Evidence, Status, in_doubt, listed, unread
from vfioctl.model import paths
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.checkup.check import Patient
    from vfioctl.model.facts import Fact, Facts

_GONE = "vfio_virqfd"
_LISTS = ("modules-load=", "modules_load=", "rd.driver.pre=")
_ASSIGNED = ("add_drivers", "force_drivers", "MODULES")


def rebuild(facts: Facts) -> str:
    """Return the command that makes the initramfs anew, by whose configuration is there."""
    if facts.fact(paths.INITRAMFS_TOOLS).text is not None:
        return "update-initramfs -u -k all"
    if facts.fact(paths.MKINITCPIO).text is not None:
        return "mkinitcpio -P"
    if facts.fact(paths.DRACUT_FILE).text is not None or facts.fact(paths.DRACUT[0]).lines:
        return "dracut --force --regenerate-all"
    return "update-initramfs -u, dracut --force or mkinitcpio -P, whichever this system has"


def modules(patient: Patient) -> Iterator[Check]:
    """Judge whether every module that is listed for early loading exists (H12)."""
    named, lists = _early_modules(patient.facts), _early_lists(patient.facts)
    known = patient.catalog.loadable
    if known is None:
        doubt = Evidence(modules_dep(patient), "it could not be read")
        title = "whether the modules listed for early loading exist is unknown"
        yield Check("boot-modules", title, None, Status.UNKNOWN, (doubt,))
        return
    missing = [(name, fact) for name, fact in named if name not in known | patient.catalog.present]
    for name, fact in missing:
        early = fact.file in {paths.INITRAMFS_TOOLS, paths.MKINITCPIO, paths.DRACUT_FILE}
        why = " (part of vfio since Linux 6.2)" if name == _GONE else ""
        title = f"{name} is to be loaded early, but this kernel has no such module{why}"
        status = Status.FAIL if early or name == _GONE else Status.WARN
        remedy = f"take {name} out of {fact.file}, then {rebuild(patient.facts)}"
        yield Check("boot-modules", title, None, status, (Evidence(fact.file, name),), remedy)
    doubts = unread(*lists)
    if doubts:
        yield in_doubt("boot-modules", "not every list of early modules could be read", doubts)
    elif not missing:
        texts = {fact.file: listed(name for name, where in named if where is fact) for fact in lists}
        seen = tuple(Evidence(file, text or "no module") for file, text in texts.items())
        title = "every module listed for early loading exists"
        yield Check("boot-modules", title, None, Status.OK, seen)


def modules_dep(patient: Patient) -> str:
    """Return the list of what modprobe finds, as evidence."""
    return f"/lib/modules/{patient.release}/modules.dep"


def _early_lists(facts: Facts) -> list[Fact]:
    files = [
        facts.fact(path)
        for path in (paths.MODULES, paths.INITRAMFS_TOOLS, paths.DRACUT_FILE, paths.MKINITCPIO)
    ]
    folders = [facts.fact(folder) for folder in (*paths.MODULES_LOAD, *paths.DRACUT)]
    inside = [fact for folder in folders for fact in facts.inside(folder.file)]
    present = [fact for fact in (*files, *inside) if not fact.absent]
    return [facts.fact(paths.COMMAND_LINE), *present, *unread(*folders)]


def _early_modules(facts: Facts) -> list[tuple[str, Fact]]:
    """Return the modules that are listed for early loading, each with the file that lists it."""
    found = []
    for fact in _early_lists(facts):
        for line in fact.lines:
            found += [(name.replace("-", "_"), fact) for name in _names(fact.file, line)]
    return found


def _names(file: str, line: str) -> list[str]:
    if file == paths.COMMAND_LINE:
        texts = [word.partition("=")[2] for word in line.split() if word.startswith(_LISTS)]
        return [name for text in texts for name in text.split(",") if name]
    text = line.partition("#")[0].strip()
    if file.startswith((paths.DRACUT_FILE, *paths.DRACUT, paths.MKINITCPIO)):
        key, assigned, value = text.partition("=")
        wanted = assigned and key.rstrip("+") in _ASSIGNED
        return value.strip("\"'() ").split() if wanted else []
    return text.split()[:1]
