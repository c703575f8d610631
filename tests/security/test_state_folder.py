"""Attacks on what root keeps in /run/vfioctl and /etc: links, FIFOs, folders of others."""

from __future__ import annotations

import errno
import os
import stat
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from vfioctl.apply.files import change_files
from vfioctl.apply.inflight import InFlight, is_under_way
from vfioctl.apply.journal import read_unfinished
from vfioctl.apply.kernel import Kernel
from vfioctl.apply.lock import at_work, locked
from vfioctl.apply.port import SetOwner
from vfioctl.apply.records import write_records
from vfioctl.apply.settings import Settings
from vfioctl.apply.state import prepare, read_file, replace_file
from vfioctl.errors import NotPermittedError, UsageError, VfioctlError
from vfioctl.export.cdi import Access, CdiDevice, CdiNode
from vfioctl.export.cdi_files import FILE_NAME, read_stored, store
from vfioctl.model.address import PciAddress
from vfioctl.plan.persist import FileChange
from vfioctl.plugin.claims import Ledger
from vfioctl.plugin.cordons import save_cordons
from vfioctl.plugin.lock import only_one
from vfioctl.plugin.reservations import Reservations
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOBODY = 65534
SECRET = "another's\n"  # noqa: S105 - a file's content
DEVICE = CdiDevice(PciAddress(0, 1, 0, 0), (CdiNode("/dev/vfio/1", Access()),))


def _entered(context: object) -> None:
    with context:  # type: ignore[attr-defined]
        pass


def _store(state: str) -> None:
    change = FileChange("/etc/udev/rules.d/40-vfioctl.rules", "# ours\n")
    change_files(lambda: (change,), Settings(state=f"{state}/run"), HostRoot(state))


def _claim(state: str) -> None:
    Reservations(f"{state}/claims", "b").keep(Ledger(1.0), Ledger(2.0))


WRITERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "journal": ("journal.new", lambda state: replace_file(f"{state}/journal", "ours\n")),
    "records": ("drivers.json.new", lambda state: write_records(state, "b", ())),
    "cordons": ("cordons.new", lambda state: save_cordons(f"{state}/cordons", ["x"])),
    "claims": ("claims.new", _claim),
    "lock": ("lock", lambda state: _entered(locked(state, 0.0))),
    "plugin-lock": ("serve-plugin.lock", lambda state: _entered(only_one(f"{state}/serve-plugin.lock"))),
    "writers": ("writers", lambda state: InFlight(state, 0, os.getppid()).close()),
    "stored": ("etc/udev/rules.d/40-vfioctl.rules.new", _store),
    "cdi": (FILE_NAME, lambda state: store(state, [DEVICE])),
}
"""What is written: under which name somebody could lay something in its way, and the writing."""


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Have another umask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a folder of root's own."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_in_the_way_is_never_written_through(
    name: str, dangling: bool, state: Path, tmp_path: Path
) -> None:
    """What it points to is as it was, or is not made: the link is replaced, or the write refused."""
    laid, write = WRITERS[name]
    target = tmp_path / "target"
    if not dangling:
        target.write_text(SECRET)
    (state / laid).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(target, state / laid)

    with suppress(VfioctlError, OSError):
        write(str(state))

    assert target.exists() is not dangling
    assert dangling or target.read_text() == SECRET


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in {"lock", "plugin-lock", "writers"}])
def test_another_name_of_a_file_is_not_written_to(name: str, state: Path, tmp_path: Path) -> None:
    """A hard link to somebody's file at a draft's name; the kernel forbids to make most of them, not all."""
    laid, write = WRITERS[name]
    target = tmp_path / "target"
    target.write_text(SECRET)
    (state / laid).parent.mkdir(parents=True, exist_ok=True)
    os.link(target, state / laid)

    write(str(state))

    assert target.read_text() == SECRET


@pytest.mark.parametrize("name", ["journal", "drivers.json", "lock", "writers"])
def test_a_fifo_keeps_nobody_waiting(name: str, state: Path) -> None:
    """Its open would wait for the other end, which never comes."""
    os.mkfifo(state / name, 0o600)

    with pytest.raises(VfioctlError, match="regular file"):
        read_file(f"{state}/{name}")
    at_work(str(state))
    is_under_way(str(state))


def test_a_fifo_among_specifications_keeps_nobody_waiting(state: Path) -> None:
    """/run/cdi may be shared with other programs."""
    os.mkfifo(state / FILE_NAME)

    stored = read_stored(str(state))

    assert stored is not None
    assert stored.problem == "it could not be read: it is no regular file"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused(mode: int, state: Path) -> None:
    """Whoever can put something into it could have root undo what never was."""
    state.chmod(mode)

    with pytest.raises(NotPermittedError, match="only its owner"):
        _entered(locked(str(state), 0.0))
    with pytest.raises(UsageError, match="only root may write"):
        _entered(only_one(f"{state}/serve-plugin.lock"))
    assert list(state.iterdir()) == []


def test_a_link_for_a_folder_is_refused(state: Path, tmp_path: Path) -> None:
    """Whoever made it says where it points to next."""
    os.symlink(state, tmp_path / "link")

    with pytest.raises(NotPermittedError):
        prepare(f"{tmp_path}/link")
    with pytest.raises(UsageError):
        _entered(only_one(f"{tmp_path}/link/x"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what is another's")
def test_a_folder_of_another_user_is_refused(state: Path) -> None:
    """He may do in it what he likes, whatever its mode."""
    os.chown(state, NOBODY, NOBODY)

    with pytest.raises(NotPermittedError):
        prepare(str(state))
    with pytest.raises(UsageError):
        _entered(only_one(f"{state}/x"))


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_modes_are_the_same_under_every_umask(mask: int, tmp_path: Path) -> None:
    """What is root's alone is 0600; what udev, systemd and runtimes read is 0644, in folders of 0755."""
    with umask(mask):
        for name, (_, write) in WRITERS.items():
            folder = tmp_path / name
            folder.mkdir(mode=0o700)
            write(str(folder))

    modes = {
        path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*")
        if path.parent != tmp_path and path.parent.name not in {"home", "cache", "temporary"}
    }
    assert modes == {
        "journal/journal": 0o600,
        "records/drivers.json": 0o600,
        "cordons/cordons": 0o600,
        "claims/claims": 0o600,
        "lock/lock": 0o600,
        "plugin-lock/serve-plugin.lock": 0o600,
        "writers/writers": 0o600,
        "stored/run": 0o700,
        "stored/run/lock": 0o600,
        "stored/etc": 0o755,
        "stored/etc/udev": 0o755,
        "stored/etc/udev/rules.d": 0o755,
        "stored/etc/udev/rules.d/40-vfioctl.rules": 0o644,
        f"cdi/{FILE_NAME}": 0o644,
    }


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_a_folder_for_specifications_is_for_all_to_read(mask: int, tmp_path: Path) -> None:
    """And for root alone to write."""
    with umask(mask):
        store(f"{tmp_path}/cdi", [DEVICE])

    assert stat.S_IMODE((tmp_path / "cdi").stat().st_mode) == 0o755


@pytest.mark.slow
def test_a_link_that_comes_and_goes_meanwhile_is_never_written_through(state: Path, tmp_path: Path) -> None:
    """Somebody swaps the draft for a link, over and over, while it is written five hundred times."""
    target = tmp_path / "target"
    target.write_text(SECRET)
    draft, ended = state / "journal.new", threading.Event()

    def swap() -> None:
        while not ended.is_set():
            with suppress(OSError):
                os.symlink(target, draft)
            with suppress(OSError):
                os.unlink(draft)

    swapping = threading.Thread(target=swap)
    swapping.start()
    lost = 0
    try:
        for number in range(500):
            try:
                replace_file(f"{state}/journal", f"{number}\n")
            except VfioctlError as error:
                # It was there again before the file could be made, or what was made was taken away.
                lost += isinstance(error.__cause__, OSError)
    finally:
        ended.set()
        swapping.join()

    assert target.read_text() == SECRET
    assert lost < 500


def test_a_node_that_is_a_link_keeps_its_target_s_owner(tmp_path: Path) -> None:
    """Owner and mode are those of what is at the path itself."""
    target = tmp_path / "target"
    target.touch(mode=0o600)
    (tmp_path / "dev").mkdir()
    os.symlink(target, tmp_path / "dev" / "node")

    answer = Kernel(HostRoot(str(tmp_path))).perform(SetOwner("/dev/node", os.geteuid(), None, 0o666))

    assert answer.errno == errno.ELOOP
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_journal_through_a_link_is_not_believed(state: Path, tmp_path: Path) -> None:
    """Nor are records: they say where to devices go."""
    (tmp_path / "forged").write_text("{}")
    os.symlink(tmp_path / "forged", state / "journal")

    with pytest.raises(VfioctlError, match="cannot read"):
        read_unfinished(str(state))
