from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sysfs.reading import attributes_of, root_of
from vfioctl.sysfs.attribute import Files, printable, resolve
from vfioctl.sysfs.denied import BLOCKED, BLOCKED_REASON, denied_error, reason_of

if TYPE_CHECKING:
    from tests.support.tree import HostTree

NUMBER = "/sys/number"


def test_an_attribute_is_its_text_without_the_newline(tree: HostTree) -> None:
    """The kernel ends every attribute with a newline, which is no part of the value."""
    attributes = attributes_of(tree.file(NUMBER, "17\n"))
    assert (attributes.text(NUMBER), attributes.integer(NUMBER), attributes.unread) == ("17", 17, {})


def test_what_is_missing_is_none_and_not_unknown(tree: HostTree) -> None:
    """Most attributes exist on some devices only: their absence is no news."""
    attributes = attributes_of(tree)
    assert attributes.text("/sys/no/such") is None
    assert attributes.integer("/sys/no/such") is None
    assert attributes.lines("/sys/no/such") == []
    assert attributes.names("/sys/no/such") == []
    assert attributes.target("/sys/no/such") is None
    assert attributes.link_name("/sys/no/such") is None
    assert attributes.unread == {}


def test_what_may_not_be_read_is_noted_with_its_reason(tree: HostTree) -> None:
    """Unknown is not absent."""
    tree.deny("/sys/a").deny("/sys/b", "EPERM").deny("/sys/c", "EIO").deny("/sys/d", BLOCKED)
    attributes = attributes_of(tree)
    assert attributes.text("/sys/a") is None
    assert attributes.names("/sys/b") == []
    assert attributes.target("/sys/c") is None
    assert attributes.integer("/sys/d") is None
    assert attributes.unread == {
        "/sys/a": "permission denied",
        "/sys/b": "operation not permitted",
        "/sys/c": "input/output error",
        "/sys/d": BLOCKED_REASON,
    }


@pytest.mark.parametrize("content", ["", "x", "0x", "1 2", "--1", "\x00"])
def test_what_is_no_number_is_malformed(tree: HostTree, content: str) -> None:
    """A malformed attribute is unknown, and the note shows what was there."""
    attributes = attributes_of(tree.file(NUMBER, content))
    assert attributes.integer(NUMBER) is None
    assert attributes.unread[NUMBER].startswith("malformed: ")


def test_a_number_may_be_hexadecimal(tree: HostTree) -> None:
    """With and without the prefix, as sysfs prints flags and ids."""
    attributes = attributes_of(tree.file(NUMBER, "0x1003\n"))
    assert attributes.integer(NUMBER, 16) == 0x1003


def test_bytes_that_are_not_utf8_are_shown_as_numbers(tree: HostTree) -> None:
    """An attribute in a wrong encoding neither fails nor reaches the terminal raw."""
    attributes = attributes_of(tree.file("/sys/name", b"caf\xe9 \xff\n"))
    assert attributes.text("/sys/name") == "caf\\xe9 \\xff"


@given(st.binary(max_size=64))
def test_any_bytes_become_text(content: bytes) -> None:
    """No content of an attribute is an error, and all that becomes of it can be encoded again."""
    printable(content).encode()


def test_a_fifo_in_place_of_a_file_does_not_hang(tree: HostTree) -> None:
    """A snapshot from a stranger may hold one; opening it without care would wait for a writer."""
    fifo = root_of(tree).local(NUMBER)
    os.makedirs(os.path.dirname(fifo), exist_ok=True)
    os.mkfifo(fifo)
    attributes = attributes_of(tree)
    assert attributes.text(NUMBER) == ""
    assert attributes.integer(NUMBER) is None


def test_a_folder_in_place_of_a_file_is_unknown(tree: HostTree) -> None:
    """What it says cannot be told, but there is something."""
    attributes = attributes_of(tree.folder(NUMBER))
    assert attributes.text(NUMBER) is None
    assert attributes.unread == {NUMBER: "is a directory"}


def test_a_file_in_place_of_a_folder_is_no_folder(tree: HostTree) -> None:
    """Nothing can be below a file."""
    attributes = attributes_of(tree.file(NUMBER, "1"))
    assert attributes.names(NUMBER) == []
    assert attributes.unread == {}


@pytest.mark.parametrize("path", ["/proc/large", "/sys/large"])
def test_a_long_file_is_read_to_its_end(tree: HostTree, path: str) -> None:
    """A page at a time is what procfs gives, and a table may have thousands of lines."""
    content = "".join(f"line {number}\n" for number in range(20_000))
    attributes = attributes_of(tree.file(path, content))
    assert len(attributes.lines(path)) == 20_000


def test_only_a_newline_ends_a_line(tree: HostTree) -> None:
    """A mount point may contain what Python's splitlines takes for the end of a line."""
    attributes = attributes_of(tree.file("/proc/table", "a\x0bb\u2028c\x85d\ne\n"))
    assert attributes.lines("/proc/table") == ["a\x0bb\u2028c\x85d", "e"]


def test_a_listing_is_sorted_and_may_be_filtered(tree: HostTree) -> None:
    """A kernel lists in any order; equal hosts must read as equal values."""
    for name in ("b", "a", "10", "9"):
        tree.file(f"/sys/folder/{name}", "")
    attributes = attributes_of(tree)
    assert attributes.names("/sys/folder") == ["10", "9", "a", "b"]
    assert attributes.names("/sys/folder", str.isdecimal) == ["10", "9"]


def test_a_link_is_followed_by_one_step_and_named_by_its_end(tree: HostTree) -> None:
    """Drivers and groups are named by where a link leads; whether that exists does not matter."""
    tree.link("/sys/devices/a/driver", "/sys/bus/pci/drivers/e1000e")
    attributes = attributes_of(tree)
    assert attributes.target("/sys/devices/a/driver") == "/sys/bus/pci/drivers/e1000e"
    assert attributes.link_name("/sys/devices/a/driver") == "e1000e"


def test_a_folder_in_place_of_a_link_stands_for_itself(tree: HostTree) -> None:
    """Some recordings copied what a link led to."""
    attributes = attributes_of(tree.folder("/sys/class/net/eth0"))
    assert attributes.target("/sys/class/net/eth0") == "/sys/class/net/eth0"


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("../../devices/x", "/sys/devices/x"),
        ("x", "/sys/class/net/x"),
        ("/absolute/./x", "/absolute/x"),
        ("../../../../../../etc", "/etc"),
        ("..", "/sys/class"),
        ("a/../b", "/sys/class/net/b"),
        ("./a", "/sys/class/net/a"),
    ],
)
def test_a_link_never_leads_above_the_root(target: str, place: str) -> None:
    """Targets are resolved as text below the root, whatever they say."""
    assert resolve("/sys/class/net/eth0", target) == place


@given(st.text("abc./", max_size=24))
def test_resolving_agrees_with_posix(target: str) -> None:
    """The short way for the kernel's own links gives what the long way gives."""
    path = "/sys/class/net/eth0"
    assert resolve(path, target) == os.path.normpath(os.path.join(os.path.dirname(path), target))


def test_files_say_what_the_kernel_says(tree: HostTree) -> None:
    """Below the typed reads, errors are the operating system's."""
    files = Files(root_of(tree.deny("/sys/x")))
    for call in (files.read, files.link, files.names, files.folder):
        with pytest.raises(PermissionError):
            call("/sys/x")
        with pytest.raises(FileNotFoundError):
            call("/sys/y")
    assert files.drain() == []


def test_an_unknown_name_of_an_error_is_an_input_error() -> None:
    """A manifest from another system may name errors that this one does not have."""
    assert denied_error("ENOSUCHTHING", "/x").errno == errno.EIO
    assert denied_error(BLOCKED, "/x").errno == errno.ETIMEDOUT


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EOPNOTSUPP, errno.ENOTDIR])
def test_some_errors_mean_that_there_is_nothing(number: int) -> None:
    """An attribute that is not supported is as good as not there."""
    assert reason_of(OSError(number, "")) is None


def test_an_error_without_words_still_has_a_reason() -> None:
    """Nothing unknown goes without saying why."""
    assert reason_of(OSError(errno.EIO, "")) == f"[errno {errno.EIO}] "
