"""The text form of a recorded host: exact both ways, printable, and strict about what it takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import entry_trees
from vfioctl.errors import UsageError
from vfioctl.sysfs.dump import HEADER, escape, format_dump, parse_dump, unescape
from vfioctl.sysfs.entries import Denied, Directory, Entry, File, Link, complete

DEVICE = "/sys/devices/pci0000:00/0000:00:1f.2"

EXAMPLE = rf"""{HEADER}
# origin: an example

P: {DEVICE}
H: config=8680228c070010020200010600000000
L: driver=../../../bus/pci/drivers/ahci
D: rom=EACCES
A: vendor=0x8086\n
"""


def test_a_dump_reads_as_the_entries_it_spells() -> None:
    """Every kind of line gives its kind of entry, and parents need no line of their own."""
    dump = parse_dump(EXAMPLE)
    assert dump.comments == ("origin: an example",)
    assert dump.entries == complete(
        [
            File(f"{DEVICE}/config", bytes.fromhex("8680228c070010020200010600000000")),
            Link(f"{DEVICE}/driver", "../../../bus/pci/drivers/ahci"),
            Denied(f"{DEVICE}/rom", "EACCES"),
            File(f"{DEVICE}/vendor", b"0x8086\n"),
        ]
    )
    assert Directory("/sys/devices/pci0000:00") in dump.entries


def test_writing_what_was_read_gives_the_same_text() -> None:
    """A committed dump does not change by being read and written again."""
    dump = parse_dump(EXAMPLE)
    assert format_dump(dump.entries, dump.comments) == EXAMPLE


@given(entry_trees(), st.lists(st.text()))
def test_entries_survive_the_text_form(entries: tuple[Entry, ...], comments: list[str]) -> None:
    """Whatever the tree holds (any bytes, any names), it is read back exactly, comments too."""
    dump = parse_dump(format_dump(entries, comments))
    assert dump.entries == entries
    assert [type(entry) for entry in dump.entries] == [type(entry) for entry in entries]
    assert dump.comments == tuple(comments)


@given(entry_trees(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(entries: tuple[Entry, ...], random: object) -> None:
    """The same entries give the same text, in whatever order they were found."""
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert format_dump(shuffled) == format_dump(entries)


@given(entry_trees())
def test_every_line_is_printable(entries: tuple[Entry, ...]) -> None:
    """No control character, no line separator and no trailing blank reaches the file."""
    text = format_dump(entries)
    assert all(line.isprintable() and line == line.rstrip() for line in text.split("\n"))
    assert text.encode().decode() == text


@given(st.binary())
def test_bytes_survive_escaping(raw: bytes) -> None:
    """Any bytes at all come back from their escaped spelling."""
    assert unescape(escape(raw)) == raw


def test_text_stays_readable_and_binary_becomes_hex() -> None:
    """A command line with zeros in it is text; a config space is hex, its empty rows counted."""
    command, config = b"qemu-system-x86_64\0-name\0guest=web\0", bytes.fromhex("8680") + bytes(4094)
    text = format_dump([File("/proc/7/cmdline", command), File("/sys/config", config)])
    assert r"A: cmdline=qemu-system-x86_64\x00-name\x00guest=web\x00" in text.splitlines()
    assert f"H: config=8680{'00' * 30}" in text.splitlines()
    assert "H+ 00*4064" in text.splitlines()
    assert File("/sys/config", config) in parse_dump(text).entries


@pytest.mark.parametrize(
    ("body", "line", "complaint"),
    [
        ("A: vendor=0x8086", 2, "before the first 'P:'"),
        ("P: /sys\nA: vendor", 3, "not a line of a dump"),
        ("P: /sys\nX: vendor=1", 3, "not a line of a dump"),
        ("P: sys/bus", 2, "not an absolute path"),
        ("P: /sys/../etc", 2, "not a plain path"),
        ("P: /sys//bus", 2, "not a plain path"),
        ("P: /sys\nA: ..=x", 3, "not a plain path"),
        ("P: /sys\nA: a/b=x", 3, "a slash in the name"),
        ("P: /sys\nA: a=1\nA: a=2", 4, "appears twice"),
        ("P: /sys\nA: a=1\nP: /sys/a", 4, "appears twice"),
        ("P: /sys\nA: a=1\nP: /sys/a/b", 4, "not a folder"),
        ("P: /sys\nL: a=/etc", 3, "leads out of the tree"),
        ("P: /sys\nL: a=../../etc", 3, "leads out of the tree"),
        ("P: /sys\nL: a=b/../../etc", 3, "leads out of the tree"),
        ("P: /sys\nL: a=", 3, "leads out of the tree"),
        ("P: /sys\nL: a=bus\nP: /sys/a/b", 4, "not a folder"),
        ("P: /sys\nH: config=867", 3, "hex digits"),
        ("P: /sys\nH: config=00*99999999", 3, "more than 16 MiB"),
        ("P: /sys\nH: config=" + "\nH+ ".join(["00*9000000"] * 2), 4, "larger than 16 MiB"),
        ("P: /sys\nH+ 00", 3, "without an 'H:' line"),
        ("P: /sys\nA: a=1\nH+ 00", 4, "without an 'H:' line"),
        ("P: /sys\nD: rom=because", 3, "not the name of an error"),
        (r"P: /sys" + "\nA: a=\\q", 3, "unknown escape"),
        (r"P: /sys/\xff", 2, "not UTF-8"),
        (r"P: /sys/a\x00b", 2, "zero byte"),
        ("P: /sys\r", 2, "control character"),
        ("P: /sys\nA: label=\x1b[31mred", 3, "control character"),
        ("P: /" + "a" * 256, 2, "too long"),
        ("P: " + "/aaaaaaa" * 600, 2, "too long"),
    ],
)
def test_a_damaged_dump_names_the_line(body: str, line: int, complaint: str) -> None:
    """What is wrong and where, with the name of the dump."""
    with pytest.raises(UsageError) as caught:
        parse_dump(f"{HEADER}\n{body}\n", "host.txt")
    assert caught.value.message.startswith(f"host.txt, line {line}: ")
    assert complaint in caught.value.message
    assert caught.value.hint


def test_another_version_of_the_form_is_refused() -> None:
    """A dump of a later form is not guessed at."""
    with pytest.raises(UsageError, match="line 1: the first line is not"):
        parse_dump("# vfioctl host dump 2\nP: /sys\n")


def test_repetitions_cannot_fill_the_memory() -> None:
    """Short lines that stand for many bytes are counted as the bytes they stand for."""
    files = "\n".join(f"H: f{number}=00*16000000" for number in range(5))
    with pytest.raises(UsageError, match="more than 64 MiB when unpacked"):
        parse_dump(f"{HEADER}\nP: /sys\n{files}\n")
