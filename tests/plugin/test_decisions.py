"""What is known and explained of a host under one configuration, and what outlives it."""

from __future__ import annotations

import pytest

from tests.plugin.factory import NIC, config, given, machine, seeing
from vfioctl.errors import NotFoundError
from vfioctl.plugin.decisions import Decisions, View
from vfioctl.plugin.explain import Verdict

CONFIG = config('select = ["class:nic"]')


def seen(decisions: Decisions) -> Decisions:
    """Look at a host with one card."""
    decisions.judge(View(machine(given(NIC, 2)), seeing()))
    return decisions


@pytest.mark.parametrize(
    ("subject", "name"),
    [(NIC, NIC), (NIC.removeprefix("0000:"), NIC), ("0000:7f:00.0", None), ("null#0", None), ("", None)],
)
def test_a_thing_is_known_by_any_of_its_spellings(subject: str, name: str | None) -> None:
    """The full name is what is kept of it."""
    assert seen(Decisions(CONFIG)).known(subject) == name


def test_what_is_cordoned_is_so_under_the_next_configuration() -> None:
    """A reload is no reason to put a broken card back into service."""
    before = seen(Decisions(CONFIG))
    before.cordoned = frozenset({NIC})

    offers, _ = Decisions(CONFIG, before).judge(View(machine(given(NIC, 2)), seeing()))

    assert [item.reason for offer in offers for item in offer.items] == ["cordoned"]


def test_an_explanation_has_the_health_that_was_published() -> None:
    """It may differ from what the host alone says: by what pods have, or what was seen before."""
    decisions = seen(Decisions(CONFIG))
    assert decisions.judged is not None
    (offer,) = decisions.judged.offers
    item = offer.items[0]._replace(reason="group-in-use")
    decisions.judged = decisions.judged._replace(offers=(offer._replace(items=(item,)),))

    (answer,) = decisions.explain(NIC)

    assert answer.verdict is Verdict.UNHEALTHY
    assert answer.why[0].startswith("group-in-use: ")


def test_nothing_is_said_of_a_host_that_was_not_seen() -> None:
    """At the very start."""
    with pytest.raises(NotFoundError, match="was not seen yet"):
        Decisions(CONFIG).known(NIC)
