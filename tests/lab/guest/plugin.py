"""pytest plugin of the guest: tells the outside how each scenario fares, and keeps its deadline."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import pytest

from tests.lab.guest import channel

if TYPE_CHECKING:
    from collections.abc import Generator

DEADLINE: Final = 90.0
"""Seconds a scenario may take, unless marked `deadline(seconds)`; generous: TCG on a busy machine."""


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks, and be the first to go when memory runs out: the supervisor must stay."""
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    config.addinivalue_line("markers", "deadline(seconds): how long this scenario may take")
    config.addinivalue_line(
        "markers", "topologies(name, ...): the machines this scenario is for; none: every machine"
    )
    config.addinivalue_line(
        "markers", "kernels(version, ...): the kernels this scenario is for; none: every kernel"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the scenarios of other machines and of other kernels."""
    here = {"topologies": config.getoption("--topology"), "kernels": config.getoption("--kernel")}
    chosen: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        marks = [(mark, name) for kind, name in here.items() if (mark := item.get_closest_marker(kind))]
        (chosen if all(name in mark.args for mark, name in marks) else others).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=others)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that the outside passes."""
    parser.addoption("--topology", required=True, help="name of the machine this guest runs on")
    parser.addoption("--kernel", required=True, help="version of the kernel as the lab calls it")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tell the start, and interrupt the scenario at its deadline."""
    mark = item.get_closest_marker("deadline")
    deadline = float(mark.args[0]) if mark else DEADLINE
    name = scenario_name(item.nodeid)
    Path("/dev/kmsg").write_text(f"lab: scenario {name} starts\n", encoding="utf-8")
    channel.emit("start", name=name, deadline=deadline)
    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, deadline)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        channel.emit("finish", name=name)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell the outcome of each phase; the outside takes the worst."""
    name = scenario_name(report.nodeid)
    text = report.longreprtext
    if report.skipped and isinstance(report.longrepr, tuple):
        text = str(report.longrepr[2])
    if report.failed:
        text = "\n".join([text, *(f"---- {title}\n{said}" for title, said in report.sections)])
    channel.emit("report", name=name, outcome=report.outcome, seconds=report.duration, text=text)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Tell a file that cannot be collected as a failed scenario."""
    if report.failed:
        name = scenario_name(report.nodeid)
        channel.emit("report", name=name, outcome="failed", seconds=0.0, text=report.longreprtext)


def scenario_name(nodeid: str) -> str:
    """Give a node id without the folders of its file."""
    file, colons, rest = nodeid.partition("::")
    return Path(file).name + colons + rest


def _too_late(_signal: int, _frame: object) -> NoReturn:
    pytest.fail("the scenario did not finish within its deadline")
