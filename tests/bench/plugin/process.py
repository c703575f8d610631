"""What a process costs, as the kernel counts it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Footprint(NamedTuple):
    """A process at one moment."""

    rss_mib: float
    peak_mib: float
    descriptors: int
    threads: int


def footprint(pid: int) -> Footprint:
    """Return what a process takes now."""
    pairs = (line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    status = {name: value.split() for name, value in pairs}
    return Footprint(
        rss_mib=int(status["VmRSS"][0]) / 1024,
        peak_mib=int(status["VmHWM"][0]) / 1024,
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        threads=int(status["Threads"][0]),
    )


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for one in found:
        # Any of them may end meanwhile.
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{one}/task"):
                with suppress(OSError):
                    found += map(int, Path(f"/proc/{one}/task/{thread}/children").read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """Return the time that a process and its children have had, those that have ended included."""
    return sum(_own_seconds(one) for one in family(pid))


def _own_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0.0
    # utime, stime, cutime and cstime, the 14th to 17th field of which two are cut off.
    return sum(map(int, fields[11:15])) / _TICKS
