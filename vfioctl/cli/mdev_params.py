"""The values that ``vfioctl mdev`` takes: UUIDs and types, with what the shell may complete."""

from __future__ import annotations

from vfioctl.cli.params import Value
from vfioctl.cli.session import Session
from vfioctl.errors import UsageError, VfioctlError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

    from vfioctl.model.host import Host


class UuidType(Value):
    """A UUID, in small letters as the kernel spells it."""

    name = "uuid"

    def convert(self, value: str, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        """Check the form; the UsageError it raises passes through to the boundary."""
        import re

        if not re.fullmatch(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", value):
            raise UsageError(
                f"{value!r} is no UUID", hint="see which there are: vfioctl mdev list; or: uuidgen"
            )
        return value.lower()

    def shell_complete(
        self, ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the mediated devices that there are."""
        host = _host(ctx)
        return _items([(one.uuid, f"of {one.parent}") for one in host.mdevs] if host else [], incomplete)


class TypeName(Value):
    """A type of mediated devices, by its id or by what its driver calls it."""

    name = "type"

    def convert(self, value: str, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        """Take the text as it is: whether the parent has such a type shows when it is read."""
        return value

    def shell_complete(
        self, ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the types that any device offers."""
        host = _host(ctx)
        kinds = [kind for device in host.devices for kind in device.mdev_types] if host else []
        return _items([(kind.id, kind.name or "") for kind in kinds], incomplete)


def _host(ctx: click.Context) -> Host | None:
    try:
        return (ctx.find_object(Session) or Session()).host()
    except VfioctlError:
        # A TAB is no place for an error message.
        return None


def _items(found: list[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from vfioctl.render.text import visible

    return [
        CompletionItem(text, help=visible(meaning))
        for text, meaning in dict(found).items()
        if text.startswith(incomplete)
    ]
