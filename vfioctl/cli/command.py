"""Commands and groups of commands: lazily imported, with the global options and a help of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from vfioctl.cli.options import GLOBAL_OPTIONS, GlobalOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click.shell_completion import CompletionItem

HELP_NAMES = {"help_option_names": ["-h", "--help"]}
"""Context settings of every command."""


class Command(click.Command):
    """A command that takes the global options, listed apart from its own."""

    def __init__(self, *args: Any, params: list[click.Parameter] | None = None, **kwargs: Any) -> None:  # noqa: ANN401 - Click's own
        """Add the global options."""
        super().__init__(*args, params=[*(params or ()), *GLOBAL_OPTIONS], **kwargs)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write arguments, options, and then what every command takes."""
        _write_parameters(self, ctx, formatter)


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is called."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - Click's own
        params: list[click.Parameter] | None = None,
        lazy: Mapping[str, tuple[str, str]] | None = None,
        **kwargs: Any,  # noqa: ANN401 - Click's own
    ) -> None:
        """Keep the table of commands, name to module and short help, and add the global options."""
        super().__init__(*args, params=[*(params or ()), *GLOBAL_OPTIONS], **kwargs)
        self.lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module = __import__(self.lazy[cmd_name][0], fromlist=["command"])
        return cast("click.Command", module.command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one."""
        known = self.list_commands(ctx)
        if args[0] not in known and args[0][:1] != "-" and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(args[0], known, n=1)
            raise click.UsageError(
                f"no such command: {args[0]!r}" + (f"; did you mean {near[0]}?" if near else ""), ctx=ctx
            )
        return super().resolve_command(ctx, args)

    def short_helps(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Return every command with its short help."""
        lazy = [(name, short_help) for name, (_, short_help) in self.lazy.items()]
        return lazy + [
            (name, command.get_short_help_str(200)) for name, command in sorted(self.commands.items())
        ]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then arguments and options."""
        with formatter.section("Commands"):
            formatter.write_dl(self.short_helps(ctx))
        _write_parameters(self, ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands from the table, and options."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=short_help)
            for name, short_help in self.short_helps(ctx)
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)


def _write_parameters(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    own: list[tuple[str, str]] = []
    everywhere: list[tuple[str, str]] = []
    arguments: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is None:
            continue
        shared = isinstance(parameter, GlobalOption) or parameter.name == "help"
        is_argument = isinstance(parameter, click.Argument)
        (arguments if is_argument else everywhere if shared else own).append(record)
    for title, records in (("Arguments", arguments), ("Options", own), ("Global options", everywhere)):
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
