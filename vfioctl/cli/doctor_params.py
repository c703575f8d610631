"""The values that doctor takes: ids of checks, sizes, users."""

from __future__ import annotations

import re

from vfioctl.cli.params import Value
from vfioctl.errors import UsageError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

_SIZE = re.compile(r"(\d{1,12})([KMGT]?)(?:i?B)?", re.IGNORECASE)
_POWERS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_SIZES = ("4G", "8G", "16G", "32G", "64G", "128G")


class CheckId(Value):
    """The id of a check, or the first word of several: ``iommu``."""

    name = "id"

    def convert(self, value: str, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        """Accept a known id in any case, with or without ``D-`` before it."""
        from vfioctl.checkup.topics import BY_ID, families, known_as

        name = known_as(value)
        if name in BY_ID or name in families():
            return name
        from difflib import get_close_matches

        near = get_close_matches(name, [*BY_ID, *families()], n=1)
        raise UsageError(
            f"no such check: {value!r}" + (f"; did you mean {near[0]}?" if near else ""),
            hint=f"there are: {' '.join(BY_ID)}",
        )

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete ids, with what each asks as help."""
        from click.shell_completion import CompletionItem

        from vfioctl.checkup.topics import TOPICS, families

        items = [CompletionItem(topic.id, help=f"{topic.about}?") for topic in TOPICS]
        items += [CompletionItem(family, help=f"all whose id starts with {family}-") for family in families()]
        return [item for item in items if item.value.startswith(incomplete)]


class MemorySize(Value):
    """A size such as ``16G``; without a unit, bytes."""

    name = "size"

    def convert(self, value: str | int, _param: click.Parameter | None, _ctx: click.Context | None) -> int:
        """Return it in bytes; ``K`` is 1024."""
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(value)
        if found is None or not int(found[1]):
            raise UsageError(f"not a size: {value!r}", hint="write it as in 16G or 512M")
        return int(found[1]) << _POWERS[found[2].upper()]

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete usual sizes."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(size) for size in _SIZES if size.startswith(incomplete)]


class UserName(Value):
    """A user, by name or number; whether there is one shows when it is looked up."""

    name = "user"

    def convert(self, value: str, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        """Take the text as it is."""
        return value

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the users of this machine."""
        import pwd

        from click.shell_completion import CompletionItem

        names = sorted(entry.pw_name for entry in pwd.getpwall())
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]
