"""The command lines that scripts repeat, understood without Click.

Importing Click takes longer than scanning a small host. So ``vfioctl [--root PATH] scan [--json | -o FORM]``
is recognised here, word by word; anything else, right or wrong, is left to Click. A test holds both ways to
the same result.
"""

from __future__ import annotations

from vfioctl.cli.session import OUTPUTS, ROOT_VARIABLE, Session
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def understood(arguments: Sequence[str], environment: Mapping[str, str]) -> Session | None:
    """Return the session that a plain scan asks for, or None where Click must look."""
    if any(name.startswith("_VFIOCTL_") for name in environment):
        return None
    session = Session()
    root: str | None = None
    scanning = False
    words = iter(arguments)
    for word in words:
        match word:
            case "scan" if not scanning:
                scanning = True
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
            case _:
                return None
    session.root = root or environment.get(ROOT_VARIABLE) or "/"
    return session if scanning else None
