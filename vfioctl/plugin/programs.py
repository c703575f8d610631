"""Programs of the administrator that run on a release: root's own, in a clean environment, for a while."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from contextlib import suppress

from vfioctl.errors import UsageError
from vfioctl.plugin.hands import Outcome
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vfioctl.plugin.settings import Config

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_SHOWN = 500


def problem(path: str, owner: int = 0) -> str | None:
    """Say why a program must not be run as root, or return None.

    Whoever can write it, or put something else in its place, would be root.
    """
    if not path.startswith("/"):
        return "its path is not absolute"
    try:
        real = os.path.realpath(path, strict=True)
        status = os.stat(real)  # noqa: PTH116 - one call
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IXUSR:
            return "it is no program"
        return next(filter(None, (_too_open(place, owner) for place in _way_to(real))), None)
    except OSError as error:
        return (error.strerror or str(error)).lower()


def _way_to(path: str) -> Iterator[str]:
    """Yield a path and every folder above it."""
    yield path
    while path != "/":
        path = os.path.dirname(path)  # noqa: PTH120 - of a text
        yield path


def _too_open(path: str, owner: int) -> str | None:
    status = os.stat(path)  # noqa: PTH116 - one call
    if status.st_uid not in {0, owner}:
        return f"{path} is not root's"
    # In a sticky folder nobody can replace what is another's.
    if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
        return f"{path} can be written by others than root"
    return None


def refuse_unsafe(config: Config) -> Config:
    """Return a configuration of which every program may be run.

    Raises:
        UsageError: one must not be run as root.

    """
    for resource in config.resources:
        for action in resource.on_release:
            if action.startswith("/") and (why := problem(action)):
                raise UsageError(
                    f"{config.file}: {resource.name}: on_release: {action} must not be run: {why}",
                    hint="it and every folder above it must be root's, and nobody else may write there",
                )
    return config


async def run(path: str, variables: Mapping[str, str], deadline: float, owner: int = 0) -> Outcome:
    """Run a program to its end, and kill it and its children where that takes too long."""
    # Looked at again: it may be another one since the configuration was read.
    if why := problem(path, owner):
        return Outcome(done=False, text=f"{path} must not be run: {why}")
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd="/",
            env={**_ENVIRONMENT, **variables},
            start_new_session=True,
        )
    except OSError as error:
        return Outcome(done=False, text=f"{path}: {error.strerror}")
    return await _ended(process, path, deadline)


async def _ended(process: asyncio.subprocess.Process, path: str, deadline: float) -> Outcome:
    try:
        said, _ = await asyncio.wait_for(process.communicate(), deadline)
    except TimeoutError:
        return Outcome(done=False, text=f"{path} took longer than {deadline:g} s and was killed")
    finally:
        # Its children too: it leads a session of its own.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode == 0:
        return Outcome(done=True)
    words = said.decode("utf-8", "backslashreplace").strip()[-_SHOWN:]
    how = f"ended with exit code {process.returncode}"
    if process.returncode is not None and process.returncode < 0:
        how = f"was ended by signal {-process.returncode}"
    return Outcome(done=False, text=f"{path} {how}" + (f": {words}" if words else ""))
