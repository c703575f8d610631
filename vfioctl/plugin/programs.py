"""Programs of the administrator that run on a release: root's own, in a clean environment, for a while."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

from vfioctl.plugin.hands import Outcome
from vfioctl.plugin.trust import problem
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}
_SHOWN = 500


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
