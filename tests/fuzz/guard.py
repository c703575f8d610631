"""One input after the other: each has a time, and whatever is not an error in words is kept."""

from __future__ import annotations

import hashlib
import mmap
import signal
import traceback
from typing import TYPE_CHECKING, NoReturn

from tests.fuzz.fence import fenced
from vfioctl.errors import VfioctlError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.target import Run

LONGEST = 10.0
"""Seconds of computing after which an input counts as hanging; nearly all take a hundredth of one."""
PATIENCE = 12.0
"""How many times longer it may wait, for a machine that is busy or for what never comes."""

_LARGEST = 1 << 20
_HEADER = 8


class HungError(BaseException):
    """An input took too long; of a kind that no handler of the program catches."""


class Guard:
    """Runs a target on inputs, counts them, and keeps what it stumbled over."""

    def __init__(self, run: Run, allowed: tuple[type[Exception], ...], place: Path, keep: Path) -> None:
        """Let the target write in ``place``; keep findings in the folder ``keep``."""
        self.inputs = 0
        self.crashes: dict[str, str] = {}
        """Where it was, and the file with the first input that led there."""
        self.hangs: dict[str, str] = {}
        self._run = run
        self._allowed = allowed
        self._place = place
        self._keep = keep
        keep.mkdir(parents=True, exist_ok=True)
        self._current = _Current(keep / "current")
        signal.signal(signal.SIGALRM, _too_long)
        signal.signal(signal.SIGPROF, _too_long)

    def __call__(self, data: bytes) -> None:
        """Try one input."""
        self.inputs += 1
        self._current.note(data)
        signal.setitimer(signal.ITIMER_PROF, LONGEST)
        signal.setitimer(signal.ITIMER_REAL, LONGEST * PATIENCE)
        try:
            with fenced(self._place):
                self._run(data)
        except VfioctlError as error:
            if not error.message or "report" in error.hint:
                # Words that only a fault of the program's own has.
                self.crashes.setdefault(where(error), self._kept(data))
        except self._allowed:
            pass
        except HungError as error:
            self.hangs.setdefault(where(error), self._kept(data))
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            self.crashes.setdefault(where(error), self._kept(data))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _kept(self, data: bytes) -> str:
        path = self._keep / hashlib.sha256(data).hexdigest()[:16]
        path.write_bytes(data)
        return str(path)


def where(error: BaseException) -> str:
    """Return what was raised and the innermost line of the program that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/vfioctl/" in frame.filename] or list(frames)
    place = f"{own[-1].filename.rpartition('/vfioctl/')[2]}:{own[-1].lineno}" if own else "nowhere"
    return f"{type(error).__name__} at {place}: {str(error)[:120]!r}"


def _too_long(*_: object) -> NoReturn:
    raise HungError


class _Current:
    """The input under way, in shared memory: it is still there when the process had to be killed."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_LARGEST + _HEADER))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def note(self, data: bytes) -> None:
        size = min(len(data), _LARGEST)
        self._memory[:_HEADER] = size.to_bytes(_HEADER, "little")
        self._memory[_HEADER : _HEADER + size] = data[:size]


def current(keep: Path) -> bytes:
    """Return the input that a process was at when it ended."""
    content = (keep / "current").read_bytes()
    return content[_HEADER : _HEADER + int.from_bytes(content[:_HEADER], "little")]
