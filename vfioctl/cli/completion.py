"""``vfioctl completion``: the completion scripts."""

from __future__ import annotations

import click

from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.params import Argument
from vfioctl.cli.shells import SHELLS, completion_script
from vfioctl.cli.tree import COMMANDS


@click.command(
    "completion",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["completion"][1],
    help="""Print the completion script of a shell. Completion offers commands and options, and the addresses,
drivers, groups and interfaces of this host.

A package usually installs the script where the shell finds it by itself.""",
    epilog="""\b
Examples:
  source <(vfioctl completion bash)                          in this shell
  vfioctl completion fish > ~/.config/fish/completions/vfioctl.fish
  vfioctl completion zsh > "${fpath[1]}/_vfioctl"
""",
)
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL", cls=Argument, help="bash, zsh or fish.")
def command(shell: str) -> None:
    """Print a completion script."""
    click.echo(completion_script(shell), nl=False)
