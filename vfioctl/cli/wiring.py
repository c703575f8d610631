"""Click's side of a run: the command line goes in, an exit code or an error of ours comes out."""

from __future__ import annotations

import os
import sys

from vfioctl.cli.startup import load_click
from vfioctl.typed import TYPE_CHECKING

COMPLETION_VARIABLE = "_VFIOCTL_COMPLETE"
"""Set by the completion scripts."""

load_click(completing=COMPLETION_VARIABLE in os.environ)

import click  # noqa: E402 - with its stand-ins in place
from click.exceptions import Abort, Exit, NoArgsIsHelpError  # noqa: E402 - as above

from vfioctl.cli.session import Session, terminal_width  # noqa: E402 - as above
from vfioctl.cli.tree import root  # noqa: E402 - as above
from vfioctl.errors import UsageError  # noqa: E402 - as above

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "vfioctl"
"""The name shown in usage lines."""

_HELP_WIDTH = 100


def invoke(arguments: Sequence[str], session: Session) -> int:
    """Run one command line and return its exit code.

    Raises:
        UsageError: Click did not understand it; in our words.
        KeyboardInterrupt: the user broke it off.

    """
    try:
        return _run(list(arguments), session)
    except Exit as leaving:
        return leaving.exit_code
    except NoArgsIsHelpError as problem:
        sys.stderr.write(problem.format_message() + "\n")
        return UsageError.exit_code
    except Abort as problem:
        raise KeyboardInterrupt from problem
    except click.ClickException as problem:
        raise as_usage_error(problem) from problem


def _run(arguments: list[str], session: Session) -> int:
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(root, {"obj": session}, PROGRAM, COMPLETION_VARIABLE, instruction)
    width = min(terminal_width(), _HELP_WIDTH)
    with root.make_context(PROGRAM, arguments, obj=session, terminal_width=width) as context:
        result = root.invoke(context)
    return result if isinstance(result, int) else 0


def as_usage_error(problem: click.ClickException) -> UsageError:
    """Bring an error of Click's into our two parts."""
    message, hint = problem.format_message(), f"see: {PROGRAM} -h"
    if isinstance(problem, click.UsageError):
        command = problem.ctx.command_path if problem.ctx else PROGRAM
        hint = f"see: {command} -h"
        near = _near(problem)
        if near:
            message, hint = problem.message, f"did you mean {near}? {hint}"
        if isinstance(problem, click.BadParameter):
            message = problem.format_message()
    return UsageError(_sentence(message), hint=hint)


def _near(problem: click.UsageError) -> str | None:
    """Return the option or choice that was probably meant."""
    possibilities: list[str] | None = getattr(problem, "possibilities", None)
    if possibilities:
        return possibilities[0]
    if (
        isinstance(problem, click.BadParameter)
        and problem.param
        and isinstance(problem.param.type, click.Choice)
    ):
        from difflib import get_close_matches

        # Click says "'tablet' is not one of ..." and keeps the value nowhere else.
        given = problem.message.split("'")[1:2]
        return next(iter(get_close_matches("".join(given), list(problem.param.type.choices), n=1)), None)
    return None


def _sentence(message: str) -> str:
    """Bring a message of Click's into the form of the others: no capital, no full stop."""
    return (message[:1].lower() + message[1:]).removesuffix(".")
