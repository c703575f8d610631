"""Import Click without the standard-library modules that it names but that this program never uses.

Shell completion starts the program on every TAB, so the start is counted in milliseconds. Click imports
``inspect`` (with ``ast``, ``dis`` and ``tokenize`` behind it), ``uuid`` (with ``platform``), ``datetime``
and ``gettext``: together a quarter of its import time. While Click is imported, stand-ins take their
place; right afterwards they are gone from ``sys.modules``, so that everybody else gets the real ones.

What Click keeps of them: ``inspect`` loads the real module on first use, except for ``cleandoc``, which
every help text passes through; ``gettext`` says everything in English, as the rest of the program does;
``click.DateTime`` and ``click.UUID`` are not to be used.
"""

from __future__ import annotations

import gc
import sys
from types import ModuleType


class _Later(ModuleType):
    """A module that loads the real one when something of it is asked for."""

    def __getattr__(self, name: str) -> object:
        if sys.modules.get(self.__name__) is self:
            raise AttributeError(name)
        return getattr(__import__(self.__name__), name)


def load_click(*, completing: bool = False) -> None:
    """Import Click, with stand-ins for the modules that nobody has imported yet."""
    if "click" in sys.modules:
        return
    placed = {name: module for name, module in _stand_ins().items() if name not in sys.modules}
    sys.modules.update(placed)
    collecting = gc.isenabled()
    gc.disable()
    try:
        __import__("click.shell_completion" if completing else "click")
    finally:
        if collecting:
            gc.enable()
        for name in placed:
            del sys.modules[name]


def _stand_ins() -> dict[str, ModuleType]:
    inspect, uuid, datetime, gettext = (_Later(name) for name in ("inspect", "uuid", "datetime", "gettext"))
    inspect.__dict__.update(cleandoc=cleandoc)
    # Click subclasses ParamType[uuid.UUID] and ParamType[datetime]: any class will do.
    uuid.__dict__.update(UUID=type("UUID", (), {}))
    datetime.__dict__.update(datetime=type("datetime", (), {}))
    gettext.__dict__.update(gettext=str, ngettext=lambda one, many, count: one if count == 1 else many)
    return {module.__name__: module for module in (inspect, uuid, datetime, gettext)}


def cleandoc(text: str) -> str:
    """Remove the indentation that all lines but the first share, and empty lines at both ends."""
    first, *rest = text.expandtabs().split("\n")
    margin = min((len(line) - len(line.lstrip(" ")) for line in rest if line.strip(" ")), default=0)
    lines = [first.lstrip(" "), *(line[margin:] for line in rest)]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return "\n".join(lines)
