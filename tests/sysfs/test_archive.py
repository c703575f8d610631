"""Opening recorded hosts as roots, and refusing what is damaged or hostile."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.entry_tree import read_entries
from tests.support.strategies import entry_trees
from vfioctl.errors import NotPermittedError, UsageError, VfioctlError
from vfioctl.sysfs import entries as bounds
from vfioctl.sysfs.archive import open_root
from vfioctl.sysfs.entries import Denied, Entry, File, Link, Meta, complete
from vfioctl.sysfs.manifest import MANIFEST
from vfioctl.sysfs.pack import write_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SUFFIXES = [".tar.gz", ".tgz", ".tar.zst", ".tar", ".txt", ""]
ADDRESS = "0000:00:1f.2"

HOST = complete(
    [
        File(f"/sys/devices/pci0000:00/{ADDRESS}/vendor", b"0x8086\n"),
        File(f"/sys/devices/pci0000:00/{ADDRESS}/config", bytes(range(64))),
        Link(f"/sys/devices/pci0000:00/{ADDRESS}/driver", "../../../bus/pci/drivers/ahci"),
        Link(f"/sys/bus/pci/devices/{ADDRESS}", f"../../../devices/pci0000:00/{ADDRESS}"),
        Link("/proc/4242/fd/11", "../../../dev/vfio/5"),
        Denied("/proc/iomem", "EACCES"),
        Denied(f"/sys/devices/pci0000:00/{ADDRESS}/driver_override", "EBLOCKED"),
    ]
)
META = Meta(origin="a host of this test")


@pytest.fixture
def temporary_folder(tmp_path: Path) -> Path:
    """Return the folder below which unpacking happens in a test."""
    return tmp_path / "temporary"


def opened(path: Path | str) -> tuple[Entry, ...]:
    """Return what a root holds, the unreadable included."""
    with open_root(str(path)) as root:
        return read_entries(root.base, root.denied)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_written_is_read_back(tmp_path: Path, suffix: str) -> None:
    """In every form: files, links, empty folders, and what could not be read."""
    write_archive(HOST, str(tmp_path / f"host{suffix}"), META)
    assert opened(tmp_path / f"host{suffix}") == HOST


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=settings().max_examples // 2,
    deadline=None,
)
@given(tree=entry_trees(top="/sys"))
def test_every_tree_survives_every_form(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, tree: tuple[Entry, ...]
) -> None:
    """Odd names and any bytes included."""
    path = tmp_path_factory.mktemp("forms") / f"host{suffix}"
    write_archive(tree, str(path), META)
    assert opened(path) == tree


@pytest.mark.parametrize("suffix", SUFFIXES[:-1])
def test_the_same_host_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    """No clock, no owner and no order of arrival in it."""
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_archive(HOST, str(first), META)
    write_archive(reversed(HOST), str(second), META)
    assert first.read_bytes() == second.read_bytes()
    assert stat.S_IMODE(first.stat().st_mode) == 0o600


def test_the_kind_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    """An archive that was renamed is still an archive."""
    write_archive(HOST, str(tmp_path / "host.tar.gz"), META)
    os.rename(tmp_path / "host.tar.gz", tmp_path / "host.txt")
    assert opened(tmp_path / "host.txt") == HOST


def test_nothing_stays_behind(tmp_path: Path, temporary_folder: Path) -> None:
    """The private folder lives as long as the context, also when its user fails."""
    write_archive(HOST, str(tmp_path / "host.tar.gz"), META)
    with pytest.raises(ZeroDivisionError), open_root(str(tmp_path / "host.tar.gz")) as root:  # noqa: PT012
        assert stat.S_IMODE(os.stat(root.base).st_mode) == 0o700
        raise ZeroDivisionError
    assert not os.listdir(temporary_folder)


def test_the_host_itself_is_opened_in_place() -> None:
    """The root / is neither copied nor asked for a manifest."""
    with open_root("/") as root:
        assert (root.base, dict(root.denied)) == ("/", {})


def test_the_sample_host_is_inside_the_package() -> None:
    """The word sample is a root everywhere."""
    assert any(entry.path.startswith("/sys/bus/pci/devices/") for entry in opened("sample"))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A snapshot is replaced whole or not at all."""
    path = tmp_path / "host.tar.gz"
    write_archive(HOST, str(path), META)
    before = path.read_bytes()
    with pytest.raises(VfioctlError, match="cannot be recorded"):
        write_archive([*HOST, Link("/sys/x", "/etc/passwd")], str(path), META)
    assert path.read_bytes() == before
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".vfioctl-")]


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    """Neither is a file where a folder was asked for."""
    with pytest.raises(UsageError, match="exists already"):
        write_archive(HOST, str(tmp_path), META)


@pytest.mark.parametrize(
    ("name", "complaint"), [("host.zip", "suffix"), ("missing/host.txt", "no such folder")]
)
def test_a_place_that_cannot_be_written_says_why(tmp_path: Path, name: str, complaint: str) -> None:
    """An unknown suffix is not guessed at; folders are not made on the way."""
    with pytest.raises(UsageError, match=complaint):
        write_archive(HOST, str(tmp_path / name), META)


def test_without_zstandard_the_hint_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is optional; .tar.gz always works."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(UsageError, match="zstandard") as caught:
        write_archive(HOST, str(tmp_path / "host.tar.zst"), META)
    assert ".tar.gz" in caught.value.hint


# Recordings made by others


def test_a_foreign_recording_needs_no_manifest(tmp_path: Path) -> None:
    """A tar of /sys by any tool is a root: with ./ before the names, a hard link, no folder members."""

    def fill(archive: tarfile.TarFile) -> None:
        add(archive, "./sys/devices/vendor", b"0x8086\n")
        add(archive, "./sys/devices/copy", kind=tarfile.LNKTYPE, target="./sys/devices/vendor")
        add(archive, "./modes.json", b"{}")

    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = make_tar(tmp_path / "foreign.tar", fill, form)
        found = opened(path)
        assert File("/sys/devices/vendor", b"0x8086\n") in found
        assert File("/sys/devices/copy", b"0x8086\n") in found


def test_long_names_are_read_in_every_tar_dialect(tmp_path: Path) -> None:
    """Paths of nested bridges pass the 100 bytes of the oldest form."""
    deep = "sys/devices/" + "/".join(f"0000:{bus:02x}:00.0" for bus in range(30))

    def fill(archive: tarfile.TarFile) -> None:
        add(archive, f"{deep}/vendor", b"1")
        add(archive, f"{deep}/driver", kind=tarfile.SYMTYPE, target="../" * 31 + "b" * 120)

    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        found = opened(make_tar(tmp_path / "long.tar", fill, form))
        assert File(f"/{deep}/vendor", b"1") in found


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    """What this program does not know it does not guess."""
    for text in ('{"kind": "snapshot", "schema": 2, "denied": {}}', "{", "[]", '{"kind": "snapshot"}'):
        (tmp_path / "sys").mkdir(exist_ok=True)
        (tmp_path / MANIFEST).write_text(text)
        with pytest.raises(UsageError, match=MANIFEST):
            opened(tmp_path)


# What is no root


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With a hint on what a root can be."""
    with pytest.raises(UsageError, match="no such file or folder") as caught:
        opened(tmp_path / "missing.tar.gz")
    assert "sample" in caught.value.hint


def test_a_folder_without_sys_is_no_snapshot(tmp_path: Path) -> None:
    """Neither is an archive without one."""
    with pytest.raises(UsageError, match="not a snapshot: no sys folder in it"):
        opened(tmp_path)
    path = make_tar(tmp_path / "other.tar", lambda archive: add(archive, "etc/hostname", b"x"))
    with pytest.raises(UsageError, match="not a snapshot: no sys folder in it"):
        opened(path)
    path = make_tar(tmp_path / "flat.tar", lambda archive: add(archive, "sys", b"x"))
    with pytest.raises(UsageError, match="not a snapshot: no sys folder in it"):
        opened(path)


def test_any_other_file_is_no_snapshot(tmp_path: Path) -> None:
    """Text, an empty file, another archive's magic."""
    for content in (b"", b"hello\n", b"PK\x03\x04", b"\xfd7zXZ\x00", bytes(2048)):
        (tmp_path / "host").write_bytes(content)
        with pytest.raises(UsageError, match="neither an archive nor dump text"):
            opened(tmp_path / "host")


def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    """Opening one would wait for a writer that never comes."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="neither a folder nor a regular file"):
        opened(tmp_path / "fifo")


def test_a_dump_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """Dump text is UTF-8; a file saved as Latin-1 says where it breaks."""
    (tmp_path / "host.txt").write_bytes(b"# vfioctl host dump 1\n# Caf\xe9\nP: /sys\n")
    with pytest.raises(UsageError, match="not UTF-8, at byte 27"):
        opened(tmp_path / "host.txt")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with roots that only their owner could open, and be somebody else meanwhile."""
    (tmp_path / "host/sys").mkdir(parents=True)
    (tmp_path / "host/sys").chmod(0)
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "host.tar").touch(mode=0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield tmp_path
    if user == 0:
        os.seteuid(user)


@pytest.mark.parametrize("name", ["host.tar", "closed", "host"])
def test_an_unreadable_root_is_not_permitted(closed: Path, name: str) -> None:
    """A file or a folder of somebody else: exit 6, not a traceback, and not 'no such file'."""
    with pytest.raises(NotPermittedError):
        opened(closed / name)


def test_no_room_to_unpack_says_where_room_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder that cannot be made is no fault of the archive."""
    write_archive(HOST, str(tmp_path / "host.tar"), META)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(VfioctlError, match="no temporary folder") as caught:
        opened(tmp_path / "host.tar")
    assert "TMPDIR" in caught.value.hint


# Hostile and damaged archives


def add(
    archive: tarfile.TarFile,
    name: str,
    content: bytes = b"",
    kind: bytes = tarfile.REGTYPE,
    target: str = "",
) -> None:
    """Add one member of any kind."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, target, len(content)
    archive.addfile(member, io.BytesIO(content))


def make_tar(path: Path, fill: Callable[[tarfile.TarFile], None], form: int = tarfile.PAX_FORMAT) -> Path:
    """Write a tar with these members, and a good one before them."""
    with tarfile.open(path, "w", format=form) as archive:
        if path.name == "bad.tar":
            add(archive, "sys/good", b"good")
        fill(archive)
    return path


HOSTILE: dict[str, tuple[str, Callable[[tarfile.TarFile], None]]] = {
    "an absolute path": ("absolute path", lambda a: add(a, "/etc/evil", b"x")),
    "a path that climbs": ("not a plain path", lambda a: add(a, "sys/../../evil", b"x")),
    "a climbing folder": ("not a plain path", lambda a: add(a, "../evil", kind=tarfile.DIRTYPE)),
    "an absolute link": ("out of the tree", lambda a: add(a, "sys/l", kind=tarfile.SYMTYPE, target="/etc")),
    "a climbing link": ("out of the tree", lambda a: add(a, "sys/l", kind=tarfile.SYMTYPE, target="../../x")),
    "a link up through a name": (
        "out of the tree",
        lambda a: add(a, "sys/l", kind=tarfile.SYMTYPE, target="good/../../../x"),
    ),
    "a hard link to outside": (
        "hard link",
        lambda a: add(a, "sys/h", kind=tarfile.LNKTYPE, target="etc/passwd"),
    ),
    "an absolute hard link": (
        "absolute",
        lambda a: add(a, "sys/h", kind=tarfile.LNKTYPE, target="/etc/passwd"),
    ),
    "a character device": ("character device", lambda a: add(a, "sys/null", kind=tarfile.CHRTYPE)),
    "a block device": ("block device", lambda a: add(a, "sys/sda", kind=tarfile.BLKTYPE)),
    "a fifo": ("fifo", lambda a: add(a, "sys/fifo", kind=tarfile.FIFOTYPE)),
    "an unknown kind": ("odd kind", lambda a: add(a, "sys/odd", kind=b"Z")),
    "a file below a file": ("not a folder", lambda a: add(a, "sys/good/x", b"x")),
    "the same file twice": ("appears twice", lambda a: add(a, "sys/good", b"other")),
    "a folder over a file": ("appears twice", lambda a: add(a, "sys/good", kind=tarfile.DIRTYPE)),
    "a name of bytes": ("not UTF-8", lambda a: add(a, "sys/\udcff", b"x")),
    "a link target of bytes": ("not UTF-8", lambda a: add(a, "sys/l", kind=tarfile.SYMTYPE, target="\udcff")),
    "a name too long": ("too long", lambda a: add(a, "sys/" + "x" * 300, b"x")),
    "no name": ("not an absolute path", lambda a: add(a, "./", b"x")),
}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_member_is_refused(tmp_path: Path, temporary_folder: Path, name: str, form: int) -> None:
    """Exit 2, nothing left in the temporary folder, and nothing written beside it."""
    complaint, fill = HOSTILE[name]
    path = make_tar(tmp_path / "bad.tar", fill, form)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(UsageError, match=complaint) as caught:
        opened(path)
    assert caught.value.exit_code == 2
    assert not os.listdir(temporary_folder)
    assert sorted(os.listdir(tmp_path)) == before


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """A member below a link is refused, wherever the link leads."""

    def fill(archive: tarfile.TarFile) -> None:
        add(archive, "sys/class", kind=tarfile.SYMTYPE, target="../proc")
        add(archive, "sys/class/evil", b"x")

    with pytest.raises(UsageError, match=r"'/sys/class/evil' lies below '/sys/class', which is not a folder"):
        opened(make_tar(tmp_path / "bad.tar", fill))


def test_links_that_only_seem_to_stay_inside_are_refused(tmp_path: Path) -> None:
    """'up/../..' reads as one step below the top, but 'up' is the top itself."""

    def fill(archive: tarfile.TarFile) -> None:
        add(archive, "sys/a/b/up", kind=tarfile.SYMTYPE, target="../../..")
        add(archive, "escape", kind=tarfile.SYMTYPE, target="sys/a/b/up/../..")

    with pytest.raises(UsageError, match="out of the tree"):
        opened(make_tar(tmp_path / "bad.tar", fill))


def test_a_member_may_not_be_too_large(tmp_path: Path) -> None:
    """The bytes are counted as they come out of the decompressor."""

    def fill(archive: tarfile.TarFile) -> None:
        add(archive, "sys/big", bytes(bounds.MAX_FILE + 1))

    path = make_tar(tmp_path / "bad.tar", fill)
    (tmp_path / "bad.tar.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    with pytest.raises(UsageError, match="larger than 16 MiB"):
        opened(tmp_path / "bad.tar.gz")


@pytest.mark.slow
def test_an_archive_may_not_unpack_to_too_much(tmp_path: Path, temporary_folder: Path) -> None:
    """A bomb of 33 files of 16 MiB is a few MiB small; it is refused and nothing is left of it."""

    def fill(archive: tarfile.TarFile) -> None:
        for number in range(33):
            add(archive, f"sys/big{number}", bytes(bounds.MAX_FILE))

    with gzip.open(tmp_path / "bad.tar.gz", "wb", 1) as raw, tarfile.open(fileobj=raw, mode="w|") as archive:
        fill(archive)
    with pytest.raises(UsageError, match="more than 512 MiB when unpacked"):
        opened(tmp_path / "bad.tar.gz")
    assert not os.listdir(temporary_folder)


def test_an_archive_may_not_have_too_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted while streaming, the folders that a path implies too."""
    monkeypatch.setattr(bounds, "MAX_ENTRIES", 100)

    def fill(archive: tarfile.TarFile) -> None:
        for number in range(60):
            add(archive, f"sys/{number}/x", b"x")

    with pytest.raises(UsageError, match="more than 100 entries"):
        opened(make_tar(tmp_path / "bad.tar", fill))


@pytest.mark.slow
def test_a_million_members_are_refused_before_the_first_is_written(
    tmp_path: Path, temporary_folder: Path
) -> None:
    """Making files is what takes time, so headers are counted first: before the first one is even judged."""
    first = tarfile.TarInfo("/absolute").tobuf(tarfile.USTAR_FORMAT)
    block = tarfile.TarInfo("sys/x").tobuf(tarfile.USTAR_FORMAT)
    with gzip.open(tmp_path / "bad.tar.gz", "wb", 1) as raw:
        raw.write(first)
        for _ in range(1000):
            raw.write(block * 1000)
    with pytest.raises(UsageError, match="more than 400,000 entries"):
        opened(tmp_path / "bad.tar.gz")
    assert not os.listdir(temporary_folder)


def test_a_header_may_not_be_a_bomb(tmp_path: Path) -> None:
    """Extended headers and long names are read into memory by the library: they are bounded too."""

    def fill(archive: tarfile.TarFile) -> None:
        member = tarfile.TarInfo("sys/x")
        member.pax_headers = {"comment": "x" * (1 << 20)}
        archive.addfile(member)

    with pytest.raises(UsageError, match="a header of more than 256 KiB"):
        opened(make_tar(tmp_path / "bad.tar", fill))

    def fill_gnu(archive: tarfile.TarFile) -> None:
        add(archive, "x" * (1 << 20), b"x")

    with pytest.raises(UsageError, match="a header of more than 256 KiB"):
        opened(make_tar(tmp_path / "bad.tar", fill_gnu, tarfile.GNU_FORMAT))


def test_data_after_the_end_is_refused(tmp_path: Path) -> None:
    """A tar pads its end to a few KiB; megabytes behind it are no padding."""
    write_archive(HOST, str(tmp_path / "host.tar"), META)
    padded = (tmp_path / "host.tar").read_bytes() + bytes(8 << 20)
    (tmp_path / "bad.tar.gz").write_bytes(gzip.compress(padded))
    with pytest.raises(UsageError, match="more data after the archive's end"):
        opened(tmp_path / "bad.tar.gz")


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar", ".tar.zst"])
def test_a_truncated_archive_is_refused_wherever_it_breaks(
    tmp_path: Path, temporary_folder: Path, suffix: str
) -> None:
    """Also between two members, which the tar library alone would take for the end."""
    write_archive(HOST, str(tmp_path / f"host{suffix}"), META)
    whole = (tmp_path / f"host{suffix}").read_bytes()
    last = whole.rindex(b"0x8086") + 512 if suffix == ".tar" else len(whole) - 1
    bad = tmp_path / f"bad{suffix}"
    for size in [*range(1, last, max(1, last // 40)), last // 512 * 512, last]:
        bad.write_bytes(whole[:size])
        with pytest.raises(UsageError):
            opened(bad)
    assert not os.listdir(temporary_folder)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    """A flipped byte in a compressed archive never gives a host: the checksum tells."""
    write_archive(HOST, str(tmp_path / "host.tar.gz"), META)
    whole = bytearray((tmp_path / "host.tar.gz").read_bytes())
    for place in range(10, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        (tmp_path / "bad.tar.gz").write_bytes(damaged)
        with pytest.raises(UsageError):
            opened(tmp_path / "bad.tar.gz")


def test_a_broken_header_in_the_middle_is_not_the_end(tmp_path: Path) -> None:
    """Half a host would be read as a whole one."""
    write_archive(HOST, str(tmp_path / "host.tar"), META)
    damaged = bytearray((tmp_path / "host.tar").read_bytes())
    place = damaged.rindex(b"ustar")
    damaged[place + 20] ^= 0xFF
    (tmp_path / "bad.tar").write_bytes(damaged)
    with pytest.raises(UsageError, match="truncated or corrupt"):
        opened(tmp_path / "bad.tar")


@pytest.mark.slow
def test_bytes_are_counted_as_they_are_written(tmp_path: Path) -> None:
    """What no header announces is stopped as well: hard links are copies, and copies count."""

    def fill(archive: tarfile.TarFile) -> None:
        add(archive, "sys/big", bytes(bounds.MAX_FILE))
        for number in range(32):
            add(archive, f"sys/copy{number}", kind=tarfile.LNKTYPE, target="sys/big")

    with pytest.raises(UsageError, match="more than 512 MiB when unpacked"):
        opened(make_tar(tmp_path / "bad.tar", fill))
