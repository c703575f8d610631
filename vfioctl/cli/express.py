"""The command lines that scripts repeat, understood without Click.

Importing Click takes longer than scanning a small host. So ``vfioctl [--root PATH] scan [--json | -o FORM]``
and ``bind``, ``unbind`` and ``libvirt-xml SELECTOR...`` with these options are recognised here, word by word;
anything else, right or wrong, is left to Click. A test holds both ways to the same result.
"""

from __future__ import annotations

from vfioctl.cli.session import OUTPUTS, ROOT_VARIABLE, Session
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_OF_DEVICES = ("bind", "unbind", "libvirt-xml")
"""The commands that take selectors."""


class Understood(NamedTuple):
    """A command line that needs no Click."""

    session: Session
    command: str
    selectors: tuple[str, ...]


def understood(arguments: Sequence[str], environment: Mapping[str, str]) -> Understood | None:
    """Return what a plain command line asks for, or None where Click must look."""
    if any(name.startswith("_VFIOCTL_") for name in environment):
        return None
    session = Session()
    root: str | None = None
    command = ""
    selectors: list[str] = []
    words = iter(arguments)
    for word in words:
        match word:
            case "scan" | "bind" | "unbind" | "libvirt-xml" if not command:
                command = word
            case "--json" if session.output is None:
                session.output = "json"
            case "-o" | "--output" if session.output is None:
                session.output = next(words, None)
                if session.output not in OUTPUTS:
                    return None
            case "--root" if root is None:
                root = next(words, "-")
                if root.startswith("-"):
                    return None
            case _ if command in _OF_DEVICES and not word.startswith("-"):
                selectors.append(word)
            case _:
                return None
    session.root = root or environment.get(ROOT_VARIABLE) or "/"
    complete = command == "scan" or bool(selectors)
    return Understood(session, command, tuple(selectors)) if complete else None


def run(asked: Understood) -> int:
    """Do what was understood, and return the exit code; raises as the commands do."""
    if asked.command == "scan":
        from vfioctl.cli.devices import list_devices

        list_devices(asked.session)
        return 0
    from vfioctl.model.selector import Selector

    selectors = [Selector.parse(text) for text in asked.selectors]
    if asked.command != "libvirt-xml":
        from vfioctl.cli.changing import Asked, change, decision

        return change(asked.session, Asked(asked.command, tuple(selectors)), decision(asked.command))
    from vfioctl.cli.libvirt_modes import answer, no_options

    return answer(asked.session, selectors, no_options())
