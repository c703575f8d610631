"""pytest plugin of the guest: tells the outside how each scenario fares, and keeps its deadline."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import pytest

from tests.lab.guest import channel
from tests.lab.topologies import TOPOLOGIES

if TYPE_CHECKING:
    from collections.abc import Generator

MACHINES: Final = pytest.StashKey[dict[str, list[str]]]()
"""The machines that each file has scenarios for, as far as that is known."""
DEADLINE: Final = 90.0
"""Seconds a scenario may take, unless marked `deadline(seconds)`; generous: TCG on a busy machine."""


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks, and be the first to go when memory runs out: the supervisor must stay."""
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    listed = Path(config.getoption("--machines"))
    config.stash[MACHINES] = json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else {}
    config.addinivalue_line("markers", "deadline(seconds): how long this scenario may take")
    config.addinivalue_line(
        "markers",
        "topologies(name, ...): the machines this scenario is for; none: all but the one for libvirt",
    )
    config.addinivalue_line(
        "markers", "kernels(version, ...): the kernels this scenario is for; none: every kernel"
    )
    config.addinivalue_line(
        "markers",
        "boots(number, ...): in which boots of a machine that is restarted; none: in none of them",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files without a scenario for this machine: reading one there takes as long as a scenario."""
    others = config.stash[MACHINES].get(collection_path.name, TOPOLOGIES)
    return None if config.getoption("--topology") in others else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the scenarios of other machines, of other kernels and of other boots."""
    listed = Path(config.getoption("--machines"))
    if not listed.exists():
        listed.write_text(json.dumps(_machines(items)), encoding="utf-8")
    topology = config.getoption("--topology")
    here = {"kernels": config.getoption("--kernel")}
    if TOPOLOGIES[topology].restarts:
        here["boots"] = config.getoption("--boot")
    chosen: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        fits = _is_for_machine(item, topology) and all(_is_for(item, *one) for one in here.items())
        (chosen if fits else others).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=others)


def _machines(items: list[pytest.Item]) -> dict[str, list[str]]:
    """Give the names of the machines that each file has scenarios for."""
    found: dict[str, list[str]] = {item.path.name: [] for item in items}
    for item in items:
        names = found[item.path.name]
        names += [name for name in TOPOLOGIES if name not in names and _is_for_machine(item, name)]
    return found


def _is_for_machine(item: pytest.Item, name: str) -> bool:
    """Tell whether a scenario is for this machine, with some kernel and in some boot."""
    named = item.get_closest_marker("topologies") or not TOPOLOGIES[name].libvirt
    boots = item.get_closest_marker("boots") or not TOPOLOGIES[name].restarts
    return bool(named and boots) and _is_for(item, "topologies", name)


def _is_for(item: pytest.Item, kind: str, name: object) -> bool:
    """Tell whether a scenario is for this machine, kernel or boot."""
    mark = item.get_closest_marker(kind)
    return name in mark.args if mark else kind != "boots"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that the outside passes."""
    parser.addoption("--topology", required=True, help="name of the machine this guest runs on")
    parser.addoption("--kernel", required=True, help="version of the kernel as the lab calls it")
    parser.addoption(
        "--machines", required=True, help="file of what machines each file is for; made if absent"
    )
    parser.addoption("--boot", type=int, default=1, help="how often this machine has been started by now")


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
