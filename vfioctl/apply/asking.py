"""Reads of many devices, a few round trips for all of them, none of which can hang the program."""

from __future__ import annotations

from vfioctl.apply.lanes import OverdueError, Within, run_scripts
from vfioctl.apply.port import Batch
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfioctl.apply.lanes import Script
    from vfioctl.apply.port import Answer, Port, Single

    Question = tuple[Single, ...]
    Answers = tuple[Answer, ...] | None

PATIENCE = 2.0
"""Seconds that a read may take, which on some kernels waits for a blocked unbind (K55)."""

_OF_MANY = 0.5
"""How much of that goes by before those that were asked together are asked one by one."""

_TOGETHER = 32

TURN = 30.0
"""Seconds for what waits for no device, and for what waits only for its turn: fifty commands at once on one
emulated processor were seen to need several."""


def ask_each(port: Port, questions: Sequence[Question]) -> list[Answers]:
    """Ask a few things about each of many devices; None for those that do not answer in time.

    Many are asked together; where one of them blocks, they are asked again one by one.
    """
    if len(questions) == 1:
        return run_scripts(port, [_ask(questions[0], PATIENCE)])
    parts = [tuple(questions[at : at + _TOGETHER]) for at in range(0, len(questions), _TOGETHER)]
    together = [_ask(tuple(single for one in part for single in one), _OF_MANY) for part in parts]
    found: list[Answers] = []
    for part, answers in zip(parts, run_scripts(port, together), strict=True):
        if answers is None:
            found += run_scripts(port, [_ask(question, PATIENCE - _OF_MANY) for question in part])
        else:
            parted = iter(answers)
            found += (tuple(next(parted) for _ in question) for question in part)
    return found


def ask_around(port: Port, question: Question) -> Answers:
    """Ask what no device has a part in, so that there is no hurry; None where even then nobody answers."""
    return run_scripts(port, [_ask(question, TURN)])[0]


def _ask(question: Question, patience: float) -> Script[Answers]:
    """Ask all of it in one go."""
    yield Within(patience, grace=TURN - patience)
    try:
        answer = yield Batch(question)
    except OverdueError:
        return None
    # Of a process that was ended from outside there is one answer for all; and so there is to one.
    return answer.parts or (answer,) * len(question)
