"""What the kernel has said: records have numbers, so that what was overwritten is not taken for silence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICE: Final = Path("/dev/kmsg")
BEFORE_THE_FIRST: Final = -1
_LONGEST: Final = 8192
"""Bytes of a record; a read that has room for less of it fails."""
_LONGEST_LINE: Final = 900
"""Characters that the kernel takes, and a little less."""


class Record(NamedTuple):
    """One message, with its number since the boot and when it was said, in seconds since then."""

    number: int
    seconds: float
    text: str

    def __str__(self) -> str:
        """Give it as dmesg does."""
        return f"[{self.seconds:12.6f}] {self.text}"


def note(text: str) -> None:
    """Have a line in the kernel's log, which is kept with the results."""
    DEVICE.write_text(f"lab: {text}\n"[:_LONGEST_LINE], encoding="utf-8")


def said(after: int = BEFORE_THE_FIRST) -> str:
    """Give all that was said after the record of that number, else since the boot, a line each.

    Raise LookupError where the kernel has written over some of it.
    """
    return "\n".join(str(record) for record in following(_records(), after))


def last() -> int:
    """Give the number of what was said last."""
    return max((record.number for record in _records()), default=BEFORE_THE_FIRST)


def following(records: Iterator[Record], after: int) -> list[Record]:
    """Give the records behind one; raise LookupError where any is missing."""
    found = [record for record in records if record.number > after]
    numbers = [record.number for record in found]
    if numbers != [*range(after + 1, after + 1 + len(numbers))]:
        raise LookupError(f"the kernel has written over what it said after record {after}")
    return found


def parsed(record: bytes) -> Record:
    """Read a record of /dev/kmsg, as Documentation/ABI/testing/dev-kmsg has it.

    The lines behind its message, which say of which device it is, are left out.
    """
    prefix, _, rest = record.decode(errors="replace").partition(";")
    _, number, microseconds, *_ = prefix.split(",")
    return Record(int(number), int(microseconds) / 1e6, rest.partition("\n")[0])


def _records() -> Iterator[Record]:
    """Give what is still there. What is overwritten while this reads, which EPIPE tells, is missing in it."""
    descriptor = os.open(DEVICE, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            try:
                yield parsed(os.read(descriptor, _LONGEST))
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue
    finally:
        os.close(descriptor)
