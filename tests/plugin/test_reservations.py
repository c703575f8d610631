"""The file of claims: a line for each change, whole wherever it is cut off, and no longer than it need be."""

from __future__ import annotations

import json
import os
import resource
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.factory import at
from vfioctl.plugin.claimed import Claims
from vfioctl.plugin.claims import Claim, Ledger, Owner
from vfioctl.plugin.reservations import Reservations, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BOOT = "boot"
VM = Owner("ns", "vm", "compute")


def claim(number: int, **fields: object) -> Claim:
    """Return a claim on a device of this number."""
    address = at(f"0000:01:{number % 32:02x}.0")
    made = Claim("v.io/gpu", str(address), (number,), (address,), 5.0 + number)
    return made._replace(**fields)  # type: ignore[arg-type]


def ledger(*claims: Claim, renewed: float | None = None) -> Ledger:
    """Return a ledger of these claims."""
    return Ledger(1.0, Claims(claims), renewed=renewed)


def kept(path: Path, *ledgers: Ledger) -> Reservations:
    """Keep one ledger after the other."""
    file = Reservations(str(path), BOOT)
    for before, now in zip((Ledger(1.0), *ledgers), ledgers, strict=False):
        file.keep(before, now)
    return file


def told(path: Path) -> Ledger:
    """Return what the file tells, all of which can be read."""
    found = load(str(path), BOOT, 1.0)
    assert found.damage is None
    return found.ledger


LIVES: Sequence[Ledger] = (
    ledger(claim(1)),
    ledger(claim(1), claim(2, owner=VM)),
    ledger(claim(1, absent=9.0), claim(2, owner=VM, bound=(at("0000:01:02.0"),)), claim(3, former=VM)),
    ledger(claim(2, owner=VM), claim(3, former=VM), renewed=20.0),
    ledger(claim(3, former=VM), renewed=20.0),
)


def test_each_change_is_a_line_and_all_of_it_is_told(tmp_path: Path) -> None:
    """After every change the file tells the ledger; only what changed was written."""
    path = tmp_path / "claims"
    file = Reservations(str(path), BOOT)
    before, size = Ledger(1.0), []
    for now in LIVES:
        file.keep(before, now)
        assert told(path) == now
        before = now
        size.append(len(path.read_bytes().splitlines()))
    assert size == [2, 3, 6, 9, 10]


def test_a_file_that_is_cut_off_anywhere_tells_all_whole_lines(tmp_path: Path) -> None:
    """A plugin was killed while it wrote: what it has answered for is told, and that there was more."""
    path, cut = tmp_path / "claims", tmp_path / "cut"
    kept(path, *LIVES)
    data = path.read_bytes()
    ends = [place for place, byte in enumerate(data, 1) if byte == ord("\n")]
    for length in range(ends[0], len(data) + 1):
        cut.write_bytes(data[:length])
        found = load(str(cut), BOOT, 1.0)
        whole = max(end for end in ends if end <= length)
        cut.write_bytes(data[:whole])
        assert found.ledger == told(cut)
        assert found.damage == (None if length == whole else "the last line is torn")


def test_what_follows_a_line_that_cannot_be_read_is_not_believed(tmp_path: Path) -> None:
    """Somebody has been at the file."""
    path = tmp_path / "claims"
    kept(path, *LIVES[:2])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join((*lines[:2], b"nonsense\n", *lines[2:])))
    found = load(str(path), BOOT, 1.0)
    assert found.ledger == LIVES[0]
    assert found.damage is not None
    assert found.damage.startswith("line 3 cannot be read")


def test_a_next_plugin_mends_what_was_torn(tmp_path: Path) -> None:
    """It begins with a file of its own."""
    path = tmp_path / "claims"
    kept(path, *LIVES[:2])
    path.write_bytes(path.read_bytes()[:-7])
    began = load(str(path), BOOT, 1.0).ledger
    now = began._replace(claims=began.claims.replaced({claim(9).key: claim(9)}))
    Reservations(str(path), BOOT).keep(began, now)
    assert told(path) == now


def test_the_first_change_that_leaves_nothing_is_kept_too(tmp_path: Path) -> None:
    """Else the next plugin would believe what was there before."""
    path = tmp_path / "claims"
    kept(path, LIVES[0])
    Reservations(str(path), BOOT).keep(LIVES[0], ledger())
    assert told(path) == ledger()


@pytest.mark.parametrize("wrong", ["removed", "moved", "replaced", "written to"])
def test_a_file_that_somebody_took_is_made_again(tmp_path: Path, wrong: str) -> None:
    """A line that is added to it would be read by nobody."""
    path = tmp_path / "claims"
    file = kept(path, LIVES[0])
    match wrong:
        case "removed":
            path.unlink()
        case "moved":
            path.rename(tmp_path / "elsewhere")
        case "replaced":
            (tmp_path / "other").write_bytes(path.read_bytes())
            (tmp_path / "other").replace(path)
        case _:
            path.write_bytes(path.read_bytes() + b"{")
    file.keep(LIVES[0], LIVES[1])
    assert told(path) == LIVES[1]


def test_outdated_lines_do_not_pile_up(tmp_path: Path) -> None:
    """A plugin that lives for months allocates the same devices again and again."""
    path = tmp_path / "claims"
    file, before = Reservations(str(path), BOOT), Ledger(1.0)
    most = 0
    for number in range(2000):
        now = ledger(*(claim(one, since=float(number)) for one in range(4)))
        file.keep(before, now)
        before = now
        most = max(most, len(path.read_bytes().splitlines()))
    assert told(path) == before
    assert 256 < most < 300


def test_on_a_full_disk_the_file_keeps_what_it_had(tmp_path: Path) -> None:
    """Half a line is taken back; once there is room everything is there."""
    path = tmp_path / "claims"
    file = kept(path, *LIVES[:2])
    size = path.stat().st_size
    pid = os.fork()
    if pid == 0:
        # The kernel writes up to the limit and no further, as on a disk with little room.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, size + 20))
        status = 0
        try:
            file.keep(LIVES[1], LIVES[2])
        except OSError:
            status = 7
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert told(path) == LIVES[1]
    file.keep(LIVES[1], LIVES[2])
    assert told(path) == LIVES[2]


def test_what_is_only_begun_is_not_written(tmp_path: Path) -> None:
    """That something is being cleaned up is nothing to the next plugin, which begins it anew."""
    path = tmp_path / "claims"
    file = kept(path, LIVES[0])
    size = path.stat().st_size
    file.keep(LIVES[0], ledger(claim(1, cleaning=True)))
    assert path.stat().st_size == size
    assert json.loads(path.read_bytes().splitlines()[1])["claim"]["cleaning"] is False


_CLAIM = st.builds(
    lambda name, number, groups, since, owner: Claim(
        f"v.io/{name}", f"0000:01:00.{number}", groups, since=since, owner=owner
    ),
    st.sampled_from("ab"),
    st.integers(0, 7),
    st.lists(st.integers(0, 90), max_size=2, unique=True).map(tuple),
    st.sampled_from([0.0, 1.0, 2.0]),
    st.sampled_from([None, VM, Owner("ns", "other", "main")]),
)


@given(st.lists(st.lists(st.tuples(_CLAIM, st.booleans()), max_size=6), max_size=12))
@settings(max_examples=60, deadline=None)
def test_claims_are_found_as_in_a_walk_through_all(batches: list[list[tuple[Claim, bool]]]) -> None:
    """Whatever was changed, and in whatever order; what was there before is as it was."""
    claims, known = Claims(), dict[tuple[str, str], Claim]()
    for batch in batches:
        before, then = claims, list(claims)
        changes = {one.key: one if stays else None for one, stays in batch}
        claims = claims.replaced(changes)
        known = {key: one for key, one in (known | changes).items() if one is not None}
        everything = sorted(known.values(), key=lambda one: one.key)
        assert list(claims) == everything
        assert (list(before), len(claims), bool(claims)) == (then, len(everything), bool(everything))
        assert claims == Claims(everything)
        assert dict(claims.since(before)) == {
            key: known.get(key) for key in changes if known.get(key) != before.get(key)
        }
        for one in everything:
            assert claims.get(one.key) is one
            assert claims.on(one.id) == tuple(other for other in everything if other.id == one.id)
        for group in range(91):
            there = tuple(other for other in everything if group in other.groups)
            assert claims.in_group(group) == there
            assert ((group, there) in claims.shared_groups()) == (len(there) > 1)
        assert claims.of_pod(VM.of_pod) == tuple(one for one in everything if one.owner == VM)
        assert claims.of_call(("v.io/a", 2.0)) == tuple(
            one for one in everything if (one.resource, one.since) == ("v.io/a", 2.0)
        )
