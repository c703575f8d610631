"""Commands and groups of commands: lazily imported, with the global options and a help of their own."""

from __future__ import annotations

from typing import cast

import click

from vfioctl.cli.options import GLOBAL_OPTIONS, GlobalOption
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from click.shell_completion import CompletionItem

HELP_NAMES = {"help_option_names": ["-h", "--help"]}
"""Context settings of every command."""


def _with_global_options(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "params": [*(settings.get("params") or ()), *GLOBAL_OPTIONS]}


class Command(click.Command):
    """A command that takes the global options, listed apart from its own."""

    def __init__(self, name: str | None = None, **settings: Any) -> None:  # noqa: ANN401 - Click's own
        """Add the global options."""
        super().__init__(name, **_with_global_options(settings))

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write nothing: newer versions of Click list arguments here, older ones nowhere."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write arguments, options, and then what every command takes."""
        _write_parameters(self, ctx, formatter)


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is called."""

    def __init__(
        self,
        name: str | None = None,
        *,
        lazy: Mapping[str, tuple[str, str]] | None = None,
        **settings: Any,  # noqa: ANN401 - Click's own
    ) -> None:
        """Keep the table of commands, name to module and short help, and add the global options."""
        super().__init__(name, **_with_global_options(settings))
        self.lazy = lazy or {}

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, or in which they were added."""
        return [*self.lazy, *self.commands]

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

    def short_helps(self) -> list[tuple[str, str]]:
        """Return every command with its short help."""
        lazy = [(name, short_help) for name, (_, short_help) in self.lazy.items()]
        return lazy + [(name, command.get_short_help_str(200)) for name, command in self.commands.items()]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then arguments and options."""
        with formatter.section("Commands"):
            formatter.write_dl(self.short_helps())
        _write_parameters(self, ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands from the table, and options."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=short_help)
            for name, short_help in self.short_helps()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)


def _write_parameters(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    parameters = command.get_params(ctx)
    shared = [parameter for parameter in parameters if isinstance(parameter, GlobalOption)]
    arguments = [parameter for parameter in parameters if isinstance(parameter, click.Argument)]
    own = [parameter for parameter in parameters if parameter not in [*shared, *arguments]]
    sections: list[tuple[str, Sequence[click.Parameter]]] = [("Arguments", arguments), ("Options", own)]
    if ctx.parent is None:
        sections.append(("Global options, before or after the command", shared))
    for title, members in sections:
        records = [record for member in members if (record := member.get_help_record(ctx))]
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
    if ctx.parent is not None:
        names = ", ".join("/".join((*option.opts, *option.secondary_opts)) for option in shared)
        with formatter.section("Global options"):
            formatter.write_text(f"{names}; explained by: {ctx.find_root().command_path} -h")
