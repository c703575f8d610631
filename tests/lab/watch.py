"""A running guest watched: console and events read as they come, and the deadline that applies kept."""

from __future__ import annotations

import os
import selectors
import signal
import time
from typing import TYPE_CHECKING, Final

from tests.lab.guest.channel import DUMP
from tests.lab.protocol import Progress

if TYPE_CHECKING:
    import socket
    import subprocess

SILENCE_DEADLINE: Final = 75.0
"""Seconds without a word on the console after which a guest that is coming up has hung."""
SCENARIO_GRACE: Final = 15.0
"""Seconds beyond its deadline after which a scenario hangs: the guest could not interrupt it."""
DUMP_DEADLINE: Final = 20.0
"""Seconds a hanging guest gets to send its kernel log."""
END_DEADLINE: Final = 60.0
"""Seconds a guest gets between scenarios, and to end after the last one."""
COLLECT_DEADLINE: Final = 240.0
"""Seconds from its first word to its first scenario: pytest starts and reads them, which takes ten or so."""
LOOK: Final = 1.0
"""Seconds between two looks at a guest that says nothing."""
PANIC: Final = b"Kernel panic - not syncing"


class Watch:
    """Follows one QEMU: console, events and the deadline that applies now."""

    def __init__(self, qemu: subprocess.Popen[bytes], server: socket.socket) -> None:
        """Take a QEMU whose console is its stdout, and the socket it is about to connect its events to."""
        self.progress = Progress()
        self.console = b""
        self._last_word = time.monotonic()
        self._qemu = qemu
        self._events: socket.socket | None = None
        self._selector = selectors.DefaultSelector()
        self._server = server
        self._selector.register(server, selectors.EVENT_READ, self._accept)
        if qemu.stdout:
            os.set_blocking(qemu.stdout.fileno(), False)
            self._selector.register(qemu.stdout, selectors.EVENT_READ, self._read_console)

    def follow(self, ready_deadline: float) -> str:
        """Follow the guest to its end; give what went wrong, "" for nothing."""
        try:
            trouble = self._follow_until_end(ready_deadline)
        finally:
            self._selector.close()
            if self._events:
                self._events.close()
        return trouble

    def _follow_until_end(self, ready_deadline: float) -> str:
        deadline = time.monotonic() + ready_deadline
        while self._qemu.poll() is None:
            kinds = self._wait(deadline)
            if not self.progress.release and time.monotonic() > self._last_word + SILENCE_DEADLINE:
                return f"the guest fell silent for {SILENCE_DEADLINE:.0f} s while it was coming up"
            if "end" in kinds:
                return self._verdict()
            if kinds:
                deadline = time.monotonic() + self._allowance()
            elif time.monotonic() > deadline:
                return self._give_up(ready_deadline)
        self._drain()
        return self._verdict()

    def _allowance(self) -> float:
        if self.progress.running:
            return self.progress.deadline + SCENARIO_GRACE
        return END_DEADLINE if self.progress.cases else COLLECT_DEADLINE

    def _wait(self, deadline: float) -> list[str]:
        kinds: list[str] = []
        for key, _ in self._selector.select(min(LOOK, max(0.0, deadline - time.monotonic()))):
            kinds += key.data()
        return kinds

    def _drain(self) -> None:
        """Take what is still in the pipes of a QEMU that has ended."""
        for _ in range(1000):
            before = len(self.console)
            if not self._wait(time.monotonic()) and len(self.console) == before:
                return

    def _accept(self) -> list[str]:
        self._events, _ = self._server.accept()
        self._events.setblocking(False)
        self._selector.unregister(self._server)
        self._selector.register(self._events, selectors.EVENT_READ, self._read_events)
        return []

    def _read_events(self) -> list[str]:
        data = self._events.recv(1 << 16) if self._events else b""
        if not data and self._events:
            self._selector.unregister(self._events)
        return list(self.progress.feed(data))

    def _read_console(self) -> list[str]:
        data = self._qemu.stdout.read() if self._qemu.stdout else b""
        if not data and self._qemu.stdout:
            self._selector.unregister(self._qemu.stdout)
        self.console += data or b""
        self._last_word = time.monotonic()
        return []

    def _verdict(self) -> str:
        """Judge a guest that has ended by itself."""
        progress = self.progress
        if progress.exit_code in {0, 1}:
            return ""
        if PANIC in self.console:
            line = next(line for line in self.console.splitlines() if PANIC in line)
            reason = f"the guest's kernel panicked: {line.decode(errors='replace').strip()}"
        elif progress.exit_code is None:
            reason = f"QEMU ended (exit code {self._qemu.returncode}) before the guest told its result"
        elif progress.exit_code == -signal.SIGKILL and "Out of memory" in progress.log:
            reason = "the guest ran out of memory: its kernel killed pytest"
        else:
            reason = _exit_reason(progress.exit_code)
        progress.abandon(reason)
        return reason

    def _give_up(self, ready_deadline: float) -> str:
        """Ask a guest that hangs for its log, and say at which point it was."""
        progress = self.progress
        if not progress.release:
            return f"the guest did not come up within {ready_deadline:.0f} s"
        what = f"{progress.running} did not come back" if progress.running else "the guest did not come back"
        reason = f"the guest hangs: {what} within {self._allowance():.0f} s"
        self._ask_for_log()
        progress.abandon(reason)
        return reason

    def _ask_for_log(self) -> None:
        deadline = time.monotonic() + DUMP_DEADLINE
        try:
            if self._events:
                self._events.send(DUMP)
        except OSError:
            return
        while time.monotonic() < deadline and self._qemu.poll() is None:
            if "end" in self._wait(deadline):
                return


def _exit_reason(code: int) -> str:
    if code < 0:
        return f"pytest in the guest was ended by signal {-code}"
    meanings = {
        2: "was interrupted",
        3: "had an internal error",
        4: "was called wrongly",
        5: "found no scenario",
    }
    return f"pytest in the guest {meanings.get(code, 'failed')} (exit code {code})"
