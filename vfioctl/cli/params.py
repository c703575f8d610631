"""The values that commands take: selectors and roots, with what the shell may complete."""

from __future__ import annotations

import os

import click

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from click.shell_completion import CompletionItem

    from vfioctl.model.selector import Selector

    Value = click.ParamType[Any]
else:
    Value = click.ParamType  # generic in the newest Click only, and for type checkers only

SAMPLE = "sample"
"""The word that stands for the embedded sample host."""


class Argument(click.Argument):
    """An argument with a help text (Click itself has that from 8.5 on)."""

    def __init__(self, *args: Any, help: str = "", **kwargs: Any) -> None:  # noqa: A002, ANN401 - Click's own
        """Keep the help text."""
        super().__init__(*args, **kwargs)
        self.help = help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """Return the name as shown in the usage line, and the help."""
        return self.make_metavar(ctx), self.help or ""


class SelectorType(Value):
    """A selector: text to `Selector`, and completion of what this host has."""

    name = "selector"

    def convert(
        self, value: str | Selector, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> Selector:
        """Parse a selector; the UsageError it raises passes through to the boundary."""
        from vfioctl.model.selector import Selector

        return Selector.parse(value) if isinstance(value, str) else value

    def shell_complete(
        self, ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete addresses with the device's name as help, term words and their values."""
        from vfioctl.cli.suggestions import suggest

        return suggest(ctx, incomplete)


class FilePath(Value):
    """A file or folder to write."""

    name = "file"

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete files and folders."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class RootPath(Value):
    """A folder or an archive that holds a host, or the word ``sample``."""

    name = "path"

    def convert(self, value: str, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        """Take the text as it is: whether it is a host shows when it is read."""
        return os.fspath(value)

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete files and folders, and the word ``sample``."""
        from click.shell_completion import CompletionItem

        items = [CompletionItem(incomplete, type="file")]
        if SAMPLE.startswith(incomplete):
            items.append(CompletionItem(SAMPLE, help="the embedded sample host"))
        return items
