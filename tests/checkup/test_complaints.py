"""What people complain about (H1-H58): each one's cause and remedy are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.checkup.rows import ELSEWHERE, ROWS, Elsewhere, Row, sample_path
from tests.support.ready import AUDIO, ready, settle, stamped

if TYPE_CHECKING:
    from tests.in_process import Ended, Program

PROJECT = Path(__file__).parents[2]


def asked(row: Row, folder: Path, runner: Program) -> Ended:
    """Type what the row says, on the host that it describes."""
    if row.host is not None:
        root = sample_path(row.host)
    else:
        root = str(folder / "host")
        tree = ready(root)
        if row.spoil is not None:
            row.spoil(tree)
        settle(tree, {**stamped(), **(row.stamps or {})})
    words = row.typed.split()
    if row.check is not None:
        words += ["--only", row.check, "--json"]
    return runner("--root", root, *words)


def told(document: Any, says: tuple[str, ...]) -> bool:  # noqa: ANN401 - whatever JSON holds
    """Tell whether one finding says all of it: its title, its evidence, what to do."""
    return any(all(text in said(check) for text in says) for check in document["checks"])


def said(check: dict[str, Any]) -> str:
    """Return a finding as one text."""
    seen = [f"{one['file']}: {one['value']}" for one in check["evidence"]]
    return "\n".join([check["title"], *seen, check["remedy"] or ""])


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.number}-{index}" for index, row in enumerate(ROWS)])
def test_its_cause_and_its_remedy_are_named(row: Row, tmp_path: Path, runner: Program) -> None:
    """One finding, or the refusal, says what is wrong and what to type."""
    ended = asked(row, tmp_path, runner)

    assert ended.code == row.code, ended.out + ended.err
    if row.check is not None:
        assert told(json.loads(ended.out), row.says), ended.out
    else:
        assert [text for text in row.says if text not in ended.out + ended.err] == []


def test_every_complaint_has_a_row() -> None:
    """Those that no recorded host can show say why."""
    numbers = {row.number for row in ROWS} | {row.number for row in ELSEWHERE}

    assert numbers == {f"H{number}" for number in range(1, 59)}
    assert {row.number for row in ROWS}.isdisjoint(row.number for row in ELSEWHERE)


@pytest.mark.parametrize("row", ELSEWHERE, ids=[row.number for row in ELSEWHERE])
def test_what_is_shown_elsewhere_is_shown_there(row: Elsewhere) -> None:
    """The test that is named exists."""
    file, _, name = row.test.partition("::")

    assert f"\ndef {name}(" in (PROJECT / file).read_text(encoding="utf-8")


def test_on_the_host_that_is_ready_nothing_is_wrong(tmp_path: Path, runner: Program) -> None:
    """Else the rows above would pass for the wrong reason; no row's finding is there without its cause."""
    settle(ready(tmp_path), stamped())

    ended = runner(
        "--root", str(tmp_path), "doctor", "--json", "--memory", "16G", "--user", "qemu", "--strict"
    )

    checks = json.loads(ended.out)["checks"]
    wrong = [check for check in checks if check["status"] != "ok"]
    # On a recording it is not known which number the user has.
    assert [(check["id"], check["address"]) for check in wrong] == [
        ("perm", "0000:01:00.0"),
        ("perm", AUDIO),
    ]
    assert ended.code == 0


def test_groups_that_changed_are_told_from_a_snapshot(tmp_path: Path, runner: Program) -> None:
    """H7: after an update of the kernel the audio function has another group."""
    ready(tmp_path / "before")
    after = ready(tmp_path / "after")
    after.remove(f"/sys/kernel/iommu_groups/1/devices/{AUDIO}").group(AUDIO, 7)

    ended = runner("snapshot", "diff", str(tmp_path / "before"), str(tmp_path / "after"))

    assert ended.code == 10
    assert AUDIO in ended.out
    assert "group" in ended.out


SPOILT = [row for row in ROWS if row.check is not None and (row.spoil is not None or row.stamps is not None)]


@pytest.mark.parametrize("row", SPOILT, ids=[f"{row.number}-{index}" for index, row in enumerate(SPOILT)])
def test_without_its_cause_nobody_speaks_of_it(row: Row, tmp_path: Path, runner: Program) -> None:
    """What a row expects is not said anyway."""
    sound = row._replace(spoil=None, stamps=None, typed=row.typed.replace(" 04:00.0", ""))

    ended = asked(sound, tmp_path, runner)

    assert not told(json.loads(ended.out), row.says)
