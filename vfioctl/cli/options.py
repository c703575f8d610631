"""The options that every command takes, before and after its name."""

from __future__ import annotations

import click
from click.core import ParameterSource

from vfioctl import __version__
from vfioctl.cli.params import RootPath
from vfioctl.cli.session import OUTPUTS, ROOT_VARIABLE, Session
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

pass_session = click.make_pass_decorator(Session, ensure=True)
"""Hand a command's function the session as its first argument."""


class GlobalOption(click.Option):
    """An option that is accepted everywhere and listed apart in the help."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Click's own
        """Keep the value away from the command's function; the callback hands it to the `Session`."""
        super().__init__(*args, expose_value=False, **kwargs)


def _session(context: click.Context) -> Session:
    return context.ensure_object(Session)


def _set_root(context: click.Context, option: click.Parameter, value: str | None) -> None:
    session = _session(context)
    if value is None:
        return
    from_environment = context.get_parameter_source(option.name or "") is ParameterSource.ENVIRONMENT
    # A --root before the command's name outranks the environment, which is read again for the command.
    if not (from_environment and context.parent is not None):
        session.root = value


def _set_output(context: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value is not None:
        _session(context).output = value


def _set_json(context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        _session(context).output = "json"


def _set_color(context: click.Context, _option: click.Parameter, value: bool | None) -> None:
    if value is not None:
        _session(context).color = value


def _louder(context: click.Context, _option: click.Parameter, value: int) -> None:
    _session(context).verbosity += value


def _quieter(context: click.Context, _option: click.Parameter, value: int) -> None:
    _session(context).verbosity -= value


def _set_debug(context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        _session(context).debug = True


def _print_version(context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(f"vfioctl {__version__}")
        context.exit()


GLOBAL_OPTIONS = (
    GlobalOption(
        ["--root"],
        type=RootPath(),
        metavar="PATH",
        envvar=ROOT_VARIABLE,
        show_envvar=True,
        callback=_set_root,
        help="Look at this host instead: a folder, a snapshot, or the word sample.",
    ),
    GlobalOption(
        ["-o", "--output"],
        type=click.Choice(OUTPUTS),
        callback=_set_output,
        help="Form of the result; unless given: table on a terminal, plain in a pipe.",
    ),
    GlobalOption(["--json"], is_flag=True, callback=_set_json, help="Short for -o json."),
    GlobalOption(
        ["--color/--no-color"],
        default=None,
        callback=_set_color,
        help="Colours; unless given: on a terminal, if NO_COLOR is not set.",
    ),
    GlobalOption(["-v", "--verbose"], count=True, callback=_louder, help="Say more."),
    GlobalOption(["-q", "--quiet"], count=True, callback=_quieter, help="Say less: no notes, no progress."),
    GlobalOption(["--debug"], is_flag=True, callback=_set_debug, help="Show the traceback of an error."),
    GlobalOption(
        ["--version"], is_flag=True, is_eager=True, callback=_print_version, help="Show the version and exit."
    ),
)
"""Shared by all commands: they hold no state of their own."""
