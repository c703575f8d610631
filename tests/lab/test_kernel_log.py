"""What the guest reads of its kernel: numbered, so that nothing is missed unseen."""

from __future__ import annotations

import pytest

from tests.lab.guest.kernel_log import BEFORE_THE_FIRST, Record, following, parsed

SAID = [Record(number, number / 2, f"message {number}") for number in range(5)]


def test_a_record_has_number_time_and_text() -> None:
    """As dmesg prints it, without what the kernel adds for udev."""
    record = parsed(
        b"6,339,5140900,-;vfio-pci 0000:06:00.0: busy; wait\n SUBSYSTEM=pci\n DEVICE=+pci:0000:06:00.0\n"
    )

    assert record == Record(339, 5.1409, "vfio-pci 0000:06:00.0: busy; wait")
    assert str(record) == "[    5.140900] vfio-pci 0000:06:00.0: busy; wait"


def test_what_was_said_since_is_what_has_a_higher_number() -> None:
    """Of all, of some, and of nothing."""
    assert following(iter(SAID), BEFORE_THE_FIRST) == SAID
    assert following(iter(SAID), 2) == SAID[3:]
    assert following(iter(SAID), 4) == []


@pytest.mark.parametrize("there", [SAID[2:], [*SAID[:2], *SAID[3:]]], ids=["the beginning", "in between"])
def test_what_was_overwritten_is_no_silence(there: list[Record]) -> None:
    """Else "the kernel said nothing of it" would be true of every log that is full."""
    with pytest.raises(LookupError, match="written over what it said after record 0"):
        following(iter(there), 0)
