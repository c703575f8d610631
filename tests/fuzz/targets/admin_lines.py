"""The admin socket's language: a request's line, and an answer's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.fuzz.stage import quiet
from tests.plugin.scene import Eyes, Table, offer
from vfioctl.plugin.protocol import decode_answer, decode_request, encode_result
from vfioctl.plugin.steering import Steering
from vfioctl.plugin.supervisor import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.target import Run

SEEDS = (
    '{"version": 1, "command": "status"}\n',
    '{"version": 1, "command": "explain", "subject": "a"}\n',
    '{"version": 1, "command": "cordon", "subject": "0000:65:00.0"}\n',
    '{"version": 1, "command": "uncordon", "subject": "a"}\n',
    '{"version": 1, "result": {"items": []}}\n',
    '{"version": 1, "error": {"code": "usage", "message": "no", "hint": "do"}}\n',
)
WORDS = (
    '"version": 1',
    '"command"',
    '"subject"',
    "null",
    "1e999",
    "[" * 90,
    '"\\ud800"',
    "NaN",
    "status",
    "\n",
)
_SOON = 5.0


class _Still(Supervisor):
    """A plugin that does not run: whoever awaits a look is told that there were some."""

    def poke(self) -> None:
        """Look at nothing."""
        self.look.tries += 2


def prepare(place: Path) -> Run:
    """Steer a plugin that has two items and looks at nothing."""
    quiet()
    loop = asyncio.new_event_loop()
    rules = Table(str(place))
    rules.judge((offer("a.io/b", "a", "0000:65:00.0"),))
    steering = Steering(_Still(Eyes(), rules, lambda held: held), str(place / "cordons"))

    def run(data: bytes) -> None:
        decode_answer(data) if b'"command"' not in data else loop.run_until_complete(_answered(data))

    async def _answered(data: bytes) -> None:
        request = decode_request(data)
        async with asyncio.timeout(_SOON):
            encode_result(await steering.answer(request))

    return run
