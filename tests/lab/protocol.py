"""The guest's events as they arrive, turned into cases. Pure: no clock, no process."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from tests.lab.results import Case

if TYPE_CHECKING:
    from collections.abc import Iterator

WORST: tuple[str, ...] = ("passed", "skipped", "failed")


class Progress:
    """How far a guest has come: fed with bytes of its events port, asked for cases, files and deadlines."""

    def __init__(self) -> None:
        """Start with a guest that has said nothing."""
        self.release = ""
        self.running = ""
        self.deadline = 0.0
        self.exit_code: int | None = None
        self.log = ""
        self.files: dict[str, bytes] = {}
        self.noise: list[str] = []
        self._cases: dict[str, Case] = {}
        self._pending = b""

    @property
    def cases(self) -> tuple[Case, ...]:
        """All scenarios that have reported, in order."""
        return tuple(self._cases.values())

    def feed(self, data: bytes) -> Iterator[str]:
        """Take bytes in and give the kind of each complete event, after it has taken effect."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
                getattr(self, f"_on_{event.pop('event')}")(**event)
            except (ValueError, TypeError, AttributeError, KeyError):
                self.noise.append(line[:200].decode(errors="replace"))
            else:
                yield json.loads(line)["event"]

    def abandon(self, reason: str) -> None:
        """Close the running scenario as failed for a reason that the guest could not tell."""
        if self.running:
            self._on_report(self.running, "failed", 0.0, reason)
            self.running = ""

    def _on_ready(self, kernel: str) -> None:
        self.release = kernel

    def _on_start(self, name: str, deadline: float) -> None:
        self.running, self.deadline = name, deadline

    def _on_report(self, name: str, outcome: str, seconds: float, text: str) -> None:
        """Merge one phase into its case: the worst outcome, all the time, the texts."""
        before = self._cases.get(name, Case(name, "passed", 0.0))
        worst = max(before.outcome, outcome, key=WORST.index)
        texts = [part for part in (before.text, text) if part]
        self._cases[name] = Case(name, worst, before.seconds + seconds, "\n".join(texts))

    def _on_finish(self, name: str) -> None:
        self.running = ""
        self._cases.setdefault(name, Case(name, "failed", 0.0, "the scenario ended without a report"))

    def _on_file(self, name: str, data: str) -> None:
        self.files[name.rpartition("/")[2]] = base64.b64decode(data)

    def _on_log(self, text: str) -> None:
        self.log = text

    def _on_end(self, exit: int, log: str) -> None:  # noqa: A002 (a key of the protocol)
        self.exit_code, self.log = exit, log
