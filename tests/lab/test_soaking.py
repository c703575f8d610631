"""The long run without a machine: what is drawn, what counts as growth, what is said of it."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from tests.lab import soak_report
from tests.lab.soaking.growth import growth
from tests.lab.soaking.samples import Sample
from tests.lab.soaking.schedule import WEIGHTS, Action, schedule

if TYPE_CHECKING:
    from pathlib import Path

CALM = Sample(60.0, "calm", "all offered", 1.0, 0.5, True, 2, 50.0, 80.0, 25, 10, 30, 4)


def lives(*memory: float) -> list[Sample]:
    """Give calm moments of the last life, after two of an earlier one that was far larger."""
    return [CALM._replace(life=1, rss_mib=500.0)] * 2 + [CALM._replace(rss_mib=one) for one in memory]


def test_the_same_seed_is_the_same_run() -> None:
    """And another is another."""
    first, again, other = (list(islice(schedule(seed), 200)) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert {action.name for action in first} == set(WEIGHTS)


def test_a_choice_is_among_what_is_there() -> None:
    """From the first to the last, and none of nothing."""
    action = Action("end", 0.999, holding=True, waiting=True)
    assert action.pick([1, 2, 3]) == 3
    assert action._replace(choice=0.0).pick([1, 2, 3]) == 1
    empty: list[int] = []
    assert action.pick(empty) is None


def test_memory_may_grow_by_a_twentieth_within_a_life() -> None:
    """The first moments, in which caches fill, and other lives are left out."""
    steady = growth(lives(30.0, 40.0, 50.0, 51.0, 52.0))
    assert not any(one.exceeded for one in steady)
    assert (steady[0].what, steady[0].first, steady[0].last) == ("rss_mib", 50.0, 52.0)
    (grown,) = [one for one in growth(lives(30.0, 40.0, 50.0, 51.0, 53.0)) if one.exceeded]
    assert grown.what == "rss_mib"


def test_a_descriptor_more_is_growth() -> None:
    """What is opened is closed."""
    samples = [*lives(50.0, 50.0, 50.0, 50.0), CALM._replace(descriptors=26)]
    assert [one.what for one in growth(samples) if one.exceeded] == ["descriptors"]


def test_an_interpreter_that_comes_and_goes_is_no_growth() -> None:
    """One that stays is."""
    passing = [
        *lives(50.0, 50.0),
        *(CALM._replace(family_mib=one) for one in (81.0, 120.0, 80.0, 120.0, 81.0, 110.0)),
    ]
    assert not any(one.exceeded for one in growth(passing))
    staying = [
        *lives(50.0, 50.0),
        *(CALM._replace(family_mib=one) for one in (81.0, 120.0, 80.0, 120.0, 110.0, 110.0)),
    ]
    assert [one.what for one in growth(staying) if one.exceeded] == ["family_mib"]


def test_too_few_moments_are_no_comparison() -> None:
    """A run that says nothing must not pass."""
    with pytest.raises(ValueError, match="too few"):
        growth(lives(50.0, 50.0))


def test_a_run_is_summed_up() -> None:
    """What was done how often; what there was nothing to do to is not counted."""
    samples = [
        CALM._replace(second=30.0, action="admit", outcome="admitted", took=0.25, converged=1.0),
        CALM._replace(second=60.0, action="admit", outcome="admitted", took=0.75, converged=None),
        CALM._replace(second=90.0, action="plug", outcome="nothing to do it to"),
        CALM._replace(second=120.0, converged=3.0),
    ]
    record = json.dumps({"seed": 7, "minutes": 2, "samples": [one._asdict() for one in samples]})
    first, second, third = soak_report.summary(record).splitlines()
    assert first == "soak: seed 7, 2.0 minutes, the plugin lived 2 times"
    assert second == "soak: 2 x admit, 1 x calm"
    assert "admission p50 0.50 s" in third


@pytest.mark.slow
def test_a_picture_is_drawn_where_that_is_possible(tmp_path: Path) -> None:
    """A PNG beside the record."""
    pytest.importorskip("matplotlib", reason="no picture without `pip install --group plots`")
    record = tmp_path / "soak.json"
    record.write_text(json.dumps({"samples": [CALM._asdict(), CALM._replace(second=90.0, life=3)._asdict()]}))
    assert soak_report.draw(record) == f"soak: drawn as {tmp_path / 'soak.png'}"
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
