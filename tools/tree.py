"""The command tree as the generators and tests see it: every command with a live context."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Iterator


class Entry(NamedTuple):
    """One command of the tree, under the words that the user types."""

    words: tuple[str, ...]
    command: click.Command
    context: click.Context

    @property
    def typed(self) -> str:
        """What is typed: `vfioctl snapshot save`."""
        return " ".join(self.words)

    @property
    def page(self) -> str:
        """The name of its man page: `vfioctl-snapshot-save`."""
        return "-".join(self.words)

    @property
    def options(self) -> list[click.Option]:
        """Its visible options, -h included, in the order of --help."""
        parameters = self.command.get_params(self.context)
        return [one for one in parameters if isinstance(one, click.Option) and not one.hidden]

    @property
    def arguments(self) -> list[click.Argument]:
        """Its arguments in their order."""
        return [one for one in self.command.get_params(self.context) if isinstance(one, click.Argument)]

    @property
    def subcommands(self) -> list[Entry]:
        """Its visible subcommands in the order of --help."""
        if not isinstance(self.command, click.Group):
            return []
        found = [
            (name, self.command.get_command(self.context, name))
            for name in self.command.list_commands(self.context)
        ]
        return [
            Entry((*self.words, name), command, _context(command, name, self.context))
            for name, command in found
            if command is not None and not command.hidden
        ]

    @property
    def summary(self) -> str:
        """The one line that lists and NAME sections show, without a full stop."""
        return self.command.get_short_help_str(limit=200).rstrip(".")


def command_tree() -> Entry:
    """Return the root of the program's own tree."""
    from vfioctl.cli.tree import root

    return root_entry(root)


def root_entry(command: click.Command) -> Entry:
    """Return the entry of a root command."""
    name = "vfioctl"
    return Entry((name,), command, _context(command, name, None))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """Return a context as running the command would make it, without running anything."""
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def walk(entry: Entry) -> Iterator[Entry]:
    """Yield the entry and everything below it, parents first."""
    yield entry
    for below in entry.subcommands:
        yield from walk(below)


def shared_options(entry: Entry) -> frozenset[str]:
    """Return the spellings of the root's options, which a subcommand may repeat."""
    root = entry.context.find_root()
    return frozenset(
        spelling for one in Entry(("",), root.command, root).options for spelling in one.opts
    ) - {"-h", "--help"}
