from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfioctl.apply.journal import close_journal, read_unfinished, unfinished_from, write_journal
from vfioctl.apply.lock import locked
from vfioctl.apply.state import prepare
from vfioctl.errors import NotPermittedError, RefusedError, VfioctlError
from vfioctl.model.address import PciAddress
from vfioctl.model.binding import Binding, Move
from vfioctl.model.situation import NodeMode
from vfioctl.plan.plan import Plan, Unit
from vfioctl.plan.steps import LoadModule, OwnNode, SetOverride
from vfioctl.plan.unfinished import Unfinished

ADDRESS = PciAddress(0x10000, 0xE1, 0x1F, 7)
NIC = PciAddress(0, 1, 0, 0)
SAMPLE = Unfinished(
    command="bind",
    boot_id="6a1f7c52",
    pid=123,
    started="2026-08-01T12:00:00Z",
    units=(
        (Move(NIC, Binding("e1000e", None), Binding("vfio-pci", "vfio-pci")),),
        (Move(ADDRESS, Binding(None, "none"), Binding(None, None), kernel_decides=True),),
    ),
    nodes=(OwnNode(17, (NIC, ADDRESS), 1000, None, 0o660, (NodeMode("/dev/vfio/17", 0, 0, 0o600),)),),
    stuck=True,
)

addresses = st.builds(
    PciAddress, st.integers(0, 0xFFFFFFFF), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7)
)
names = st.none() | st.text(max_size=12)
bindings = st.builds(Binding, names, names)
moves = st.builds(Move, addresses, bindings, bindings, st.booleans())
numbers = st.none() | st.integers(0, 0xFFFFFFFF)
nodes = st.builds(
    OwnNode,
    st.integers(0, 999),
    st.lists(addresses, min_size=1, max_size=3).map(tuple),
    numbers,
    numbers,
    numbers,
)
journals = st.builds(
    Unfinished,
    st.sampled_from(["bind", "unbind"]),
    st.text(max_size=40),
    st.integers(1, 1 << 22),
    st.text(max_size=20),
    st.lists(st.lists(moves, max_size=4).map(tuple), max_size=4).map(tuple),
    st.lists(nodes, max_size=2).map(tuple),
    st.booleans(),
)


def test_without_a_journal_nothing_is_unfinished(state: str) -> None:
    """Nor without the folder."""
    assert read_unfinished(state) is None
    prepare(state)
    assert read_unfinished(state) is None


@given(unfinished=journals)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, unfinished: Unfinished) -> None:
    """Every field, whatever names drivers have."""
    state = str(tmp_path_factory.mktemp("state"))

    write_journal(state, unfinished)

    assert read_unfinished(state) == unfinished


def test_files_and_folder_are_private(state: str) -> None:
    """0700 and 0600, also where the surroundings would allow more."""
    before = os.umask(0)
    try:
        with locked(state, 0):
            write_journal(state, SAMPLE)
    finally:
        os.umask(before)

    assert stat.S_IMODE(os.stat(state).st_mode) == 0o700
    assert {stat.S_IMODE(os.stat(f"{state}/{name}").st_mode) for name in os.listdir(state)} == {0o600}


def test_a_closed_journal_is_gone(state: str) -> None:
    """And closing it twice does no harm."""
    prepare(state)
    write_journal(state, SAMPLE)

    close_journal(state)
    close_journal(state)

    assert read_unfinished(state) is None
    assert os.listdir(state) == []


def test_a_journal_torn_at_any_byte_is_never_taken_for_a_whole_one(state: str) -> None:
    """Its rename comes after its sync: this is another program's doing. It is said, and nothing is undone."""
    prepare(state)
    write_journal(state, SAMPLE)
    path = Path(state, "journal")
    whole = path.read_bytes()

    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        if whole[:end].strip() == whole.strip():
            assert read_unfinished(state) == SAMPLE
            continue
        with pytest.raises(RefusedError, match="damaged"):
            read_unfinished(state)


def test_a_draft_torn_at_any_byte_is_ignored(state: str) -> None:
    """What a crash can leave: the file that was to become the journal. The old one holds, or none."""
    prepare(state)
    write_journal(state, SAMPLE)
    whole = Path(state, "journal").read_bytes()
    close_journal(state)
    for end in range(len(whole) + 1):
        Path(state, "journal.new").write_bytes(whole[:end])
        assert read_unfinished(state) is None

    write_journal(state, SAMPLE._replace(stuck=False))

    assert read_unfinished(state) == SAMPLE._replace(stuck=False)
    assert os.listdir(state) == ["journal"]


@pytest.mark.parametrize(
    "damage",
    [
        {"schema": 2},
        {"units": [[{"address": "nowhere"}]]},
        {"units": 7},
        {"nodes": [{}]},
        {"nodes": None},
    ],
)
def test_a_journal_that_makes_no_sense_is_refused(state: str, damage: dict[str, object]) -> None:
    """Whatever is wrong with it."""
    prepare(state)
    write_journal(state, SAMPLE)
    path = Path(state, "journal")
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))

    with pytest.raises(RefusedError, match="damaged") as caught:
        read_unfinished(state)

    assert str(path) in caught.value.hint


def test_a_plan_becomes_a_journal() -> None:
    """With its units, and with the nodes it gives away."""
    node = SAMPLE.nodes[0]
    units = (Unit(SAMPLE.units[0], (SetOverride(NIC, "vfio-pci"), node)), Unit(SAMPLE.units[1], ()))
    plan = Plan("bind", (NIC,), (NIC, ADDRESS), (LoadModule("vfio_pci"),), units)

    made = unfinished_from(plan, "6a1f7c52")

    assert made == SAMPLE._replace(pid=os.getpid(), started=made.started, stuck=False)
    assert len(made.started) == len("2026-08-01T12:00:00Z")


def test_a_journal_that_may_not_be_read_is_no_missing_one(state: str) -> None:
    """It is said that one may not."""
    prepare(state)
    write_journal(state, SAMPLE)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    else:
        os.chmod(state, 0)
    try:
        with pytest.raises(NotPermittedError):
            read_unfinished(state)
    finally:
        os.seteuid(user)
        os.chmod(state, 0o700)


def test_a_full_disk_is_said_and_leaves_the_old_journal(state: str) -> None:
    """A folder stands where the draft should go: as good an error as a full disk."""
    prepare(state)
    write_journal(state, SAMPLE)
    os.mkdir(f"{state}/journal.new")

    with pytest.raises(VfioctlError, match="cannot write"):
        write_journal(state, SAMPLE._replace(stuck=False))

    assert read_unfinished(state) == SAMPLE
