"""pytest plugin of the guest: tells the outside how each scenario fares, and keeps its deadline."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import pytest

from tests.lab import recipe
from tests.lab.guest import channel, kernel_log
from tests.lab.topologies import TOPOLOGIES
from tests.lab.topology import guest_name

if TYPE_CHECKING:
    from collections.abc import Generator

GUESTS: Final = pytest.StashKey[dict[str, dict[str, list[int]]]]()
"""How many scenarios each file has for each guest, as far as that is known: to run, and left out."""
DEADLINE: Final = 90.0
"""Seconds a scenario may take, unless marked `deadline(seconds)`; generous: TCG on a busy machine."""


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks, and be the first to go when memory runs out: the supervisor must stay."""
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    listed = Path(config.getoption("--guests"))
    config.stash[GUESTS] = json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else {}
    config.addinivalue_line("markers", "deadline(seconds): how long this scenario may take")
    config.addinivalue_line(
        "markers",
        "topologies(name, ...): the machines this scenario is for; none: all but the one for libvirt",
    )
    config.addinivalue_line(
        "markers", "kernels(version, ...): the kernels this scenario is for; none: every kernel"
    )
    config.addinivalue_line(
        "markers", "once: others show the kernel's part in it; in a brief run one kernel is enough"
    )
    config.addinivalue_line(
        "markers",
        "boots(number, ...): in which boots of a machine that is restarted; none: in none of them",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files without a scenario for this guest: reading one there takes as long as a scenario."""
    counts = config.stash[GUESTS].get(collection_path.name)
    guest = guest_name(config.getoption("--topology"), config.getoption("--kernel"))
    return None if counts is None or counts[guest][0] else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the scenarios of other machines, of other kernels and of other boots."""
    listed, brief = Path(config.getoption("--guests")), config.getoption("--brief")
    if not listed.exists():
        listed.write_text(json.dumps(_guests(items, brief)), encoding="utf-8")
    topology, kernel = config.getoption("--topology"), config.getoption("--kernel")
    boots = [config.getoption("--boot")] if TOPOLOGIES[topology].restarts else []
    chosen: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        is_here = _is_for_guest(item, topology, kernel, brief=brief)
        fits = is_here and all(_is_for(item, "boots", boot) for boot in boots)
        (chosen if fits else others).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=others)


def _guests(items: list[pytest.Item], brief: bool) -> dict[str, dict[str, list[int]]]:
    """Count the scenarios that each file has for each guest: to run, and left out."""
    found: dict[str, dict[str, list[int]]] = {item.path.name: {} for item in items}
    for item, topology, kernel in itertools.product(items, TOPOLOGIES, recipe.KERNEL_SUITES):
        counts = found[item.path.name].setdefault(guest_name(topology, kernel), [0, 0])
        if _is_for_guest(item, topology, kernel, brief=False):
            counts[not _is_for_guest(item, topology, kernel, brief=brief)] += 1
    return found


def _is_for_guest(item: pytest.Item, topology: str, kernel: str, *, brief: bool) -> bool:
    """Tell whether a scenario is for this machine and kernel, in some boot."""
    named = item.get_closest_marker("topologies") or not TOPOLOGIES[topology].libvirt
    boots = item.get_closest_marker("boots") or not TOPOLOGIES[topology].restarts
    fits = _is_for(item, "topologies", topology) and _is_for(item, "kernels", kernel)
    spared = brief and item.get_closest_marker("once") and kernel != recipe.DEFAULT_KERNEL
    return bool(named and boots and fits and not spared)


def _is_for(item: pytest.Item, kind: str, name: object) -> bool:
    """Tell whether a scenario is for this machine, kernel or boot."""
    mark = item.get_closest_marker(kind)
    return name in mark.args if mark else kind != "boots"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that the outside passes."""
    parser.addoption("--topology", required=True, help="name of the machine this guest runs on")
    parser.addoption("--kernel", required=True, help="version of the kernel as the lab calls it")
    parser.addoption("--guests", required=True, help="file of what guests each file is for; made if absent")
    parser.addoption("--brief", action="store_true", help="leave out what one kernel is enough for")
    parser.addoption("--boot", type=int, default=1, help="how often this machine has been started by now")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tell the start, and interrupt the scenario at its deadline."""
    mark = item.get_closest_marker("deadline")
    deadline = float(mark.args[0]) if mark else DEADLINE
    name = scenario_name(item.nodeid)
    kernel_log.note(f"scenario {name} starts")
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
