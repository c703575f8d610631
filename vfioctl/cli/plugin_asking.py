"""Asking the plugin that runs on this host."""

from __future__ import annotations

import os
from contextlib import contextmanager

from vfioctl.errors import UsageError, VfioctlError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.cli.session import Session
    from vfioctl.plugin.explain import Answer
    from vfioctl.plugin.protocol import Result


def asked(session: Session, command: str, subject: str = "") -> Result:
    """Return what the plugin answers; raises as `vfioctl.plugin.asking.ask` does.

    Raises:
        UsageError: a snapshot was named, and none runs there.

    """
    from vfioctl.plugin import protocol
    from vfioctl.plugin.asking import ask

    if session.root != "/":
        raise UsageError(
            f"no plugin runs in {session.root}",
            hint="see what one would offer: vfioctl --root ROOT serve-plugin --dry-run",
        )
    path = os.environ.get(protocol.PATH_VARIABLE, protocol.PATH)
    return ask(protocol.Request(command, subject), path)


@contextmanager
def understanding() -> Iterator[None]:
    """Read an answer: the plugin may be of another release, in a container, or somebody else.

    Raises:
        VfioctlError: it says something else than this program knows.

    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise VfioctlError(
            f"the plugin answered what this vfioctl does not understand ({type(error).__name__}: {error})",
            hint="use the vfioctl that the plugin runs with, in its container: kubectl exec POD -- ...",
        ) from error


def running_answers(session: Session, subject: str) -> tuple[str | None, tuple[Answer, ...]] | None:
    """Return the configuration's file and the answers of a plugin that runs and may be asked; else None."""
    from vfioctl.errors import NotPermittedError
    from vfioctl.plugin.asking import NotRunningError
    from vfioctl.plugin.explain import Answer, Verdict

    try:
        told = asked(session, "explain", subject)
    except NotRunningError:
        return None
    except NotPermittedError:
        session.note("the plugin that runs may be asked by root only; this is what its configuration says")
        return None
    with understanding():
        answers = (
            Answer(one["resource"], Verdict(one["verdict"]), one["item"], tuple(one["why"]))
            for one in told["answers"]
        )
        return told["config"], tuple(answers)
