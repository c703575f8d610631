"""The host is looked at by a process that can be left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from functools import partial
from operator import getitem, truediv
from typing import TYPE_CHECKING

import pytest

from vfioctl.errors import VfioctlError
from vfioctl.plugin import reading
from vfioctl.plugin.reading import BlockedError, Reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def ask(scan: Callable[[], object], times: int = 1, patience: float = 10.0) -> list[object]:
    """Look so many times."""

    async def run() -> list[object]:
        return [await eyes.read() for _ in range(times)]

    eyes = Reading(scan, patience)
    try:
        return asyncio.run(run())
    finally:
        eyes.close()


def test_what_does_not_change_is_the_same_object() -> None:
    """So an idle host costs its reader's time and nobody else's."""
    first, second = ask(partial(os.listdir, "/"), 2)

    assert first == os.listdir("/")
    assert first is second


def test_another_process_looks_and_stays() -> None:
    """The same one each time."""
    first, second = ask(os.getpid, 2)

    assert first == second != os.getpid()


def test_what_a_look_raises_is_raised_here() -> None:
    """In its words; the reader stays and is asked again."""
    with pytest.raises(VfioctlError, match="ZeroDivisionError: division by zero"):
        ask(partial(truediv, 1, 0))


def test_a_look_that_blocks_is_left_behind_and_the_next_goes_on(tmp_path: Path) -> None:
    """It never holds up the loop; the next look has a reader of its own."""
    pipe, aside = tmp_path / "pipe", tmp_path / "aside"
    os.mkfifo(pipe)

    async def run() -> None:
        eyes = Reading(partial(getitem, [0], 0), 0.2)
        blocked = Reading(partial(subprocess.check_output, ["cat", str(pipe)]), 0.2)
        try:
            began = time.monotonic()
            with pytest.raises(BlockedError, match=r"takes more than 0\.2 s"):
                await blocked.read()
            assert time.monotonic() - began < 1
            pipe.rename(aside)
            pipe.write_text("free")
            blocked._patience = 5.0
            assert await blocked.read() == b"free"
            assert await eyes.read() == 0
        finally:
            # The program that was left behind waits for a writer: let it end.
            os.close(os.open(aside, os.O_RDWR))
            blocked.close()
            eyes.close()

    asyncio.run(run())


def test_a_killed_reader_is_replaced() -> None:
    """Whoever killed it."""

    async def run() -> None:
        eyes = Reading(os.getpid, 5.0)
        try:
            first = await eyes.read()
            assert isinstance(first, int)
            os.kill(first, 9)
            with pytest.raises(BlockedError, match="was killed"):
                await eyes.read()
            assert await eyes.read() != first
        finally:
            eyes.close()

    asyncio.run(run())


def test_readers_that_hang_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a few are left behind: a host that blocks for a week would fill with them."""

    async def run() -> None:
        eyes = Reading(partial(time.sleep, 60), 0.01)
        try:
            monkeypatch.setattr(Reading, "_reap", lambda self: len(self._left))
            for _ in range(reading.MOST_LEFT):
                with pytest.raises(BlockedError, match="takes more"):
                    await eyes.read()
            with pytest.raises(BlockedError, match="3 processes hang"):
                await eyes.read()
        finally:
            monkeypatch.undo()
            eyes.close()

    asyncio.run(run())
