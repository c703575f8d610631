"""A whole run: the checkout as an archive, guests side by side, results on disk and on the terminal."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.lab import ability, accelerator, cpio, ingredients, machine, outside, package, results
from tests.lab.errors import LabUnavailableError
from tests.lab.guest import disk
from tests.lab.ingredients import CHECKOUT, compile_python, compile_scenarios
from tests.lab.results import Boot
from tests.lab.topologies import BARE
from tests.lab.topology import guest_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.lab.ingredients import Cache
    from tests.lab.machine import Ending, Plan
    from tests.lab.topology import Topology

LANES: Final = (False, False, True)
"""Guests at a time, and whether a lane prefers those that wait for half of their time, while there are any.
More only make each other miss deadlines on two cores; fewer leave one idle."""
SCENARIOS: Final = "tests/lab/scenarios"
GUESTS: Final = "lab.guests"
"""The file of the checkout in which stands how many scenarios each guest has."""
LEFT_OUT: Final = (
    "cacheprovider", "debugging", "doctest", "junitxml", "legacypath", "pastebin", "setuponly", "setupplan",
    "stepwise", "subtests", "unittest",
)  # fmt: skip
"""Parts of pytest that no scenario needs, and that an emulated processor would have to load."""
NOT_SEEN: Final = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


class Order(NamedTuple):
    """What one guest is to run: machine, kernel, folder or file of scenarios, pattern as of `pytest -k`."""

    topology: Topology
    kernel: str
    scenarios: str = SCENARIOS
    pattern: str = ""
    boot: int = 1
    """Which one of the boots of a machine that is started several times."""
    disk: bytes = b""
    """What the boot before has left, as an archive."""
    options: tuple[str, ...] = ()
    """What these scenarios are told beside that."""
    brief: bool = False
    """Whether scenarios are left out that another kernel is enough for."""

    @property
    def machine(self) -> str:
        """The name of the machine, with the boot where it has several."""
        return f"{self.topology.name}-{self.boot}" if self.topology.restarts else self.topology.name

    @property
    def name(self) -> str:
        """The name of the guest's row and of its folder of results."""
        return f"{self.machine}-{self.kernel}"


class Lab(NamedTuple):
    """Everything that the guests of one run share."""

    cache: Cache
    accelerator: str
    checkout: Path
    """A copy; beside it, with the suffix .cpio, the archive made of it."""
    results: Path
    say: Callable[[str], None]


@contextmanager
def opened(kernels: Iterable[str], say: Callable[[str], None], *, brief: bool = False) -> Iterator[Lab]:
    """Prepare everything that guests with these kernels share; raise LabUnavailableError if it cannot be.

    In a brief lab a scenario that one kernel is enough for is left out with the others.
    """
    kernels = tuple(kernels)
    cache = ingredients.default_cache()
    if reasons := list(ability.obstacles(cache.folder)):
        raise LabUnavailableError("; ".join(reasons))
    ingredients.prepare(cache, kernels, say)
    kept = results.folder(cache.folder)
    with tempfile.TemporaryDirectory(prefix="vfioctl-lab-") as name:
        checkout = Path(name) / "checkout"
        copy_checkout(cache, checkout, brief=brief)
        pack_checkout(checkout, checkout.with_suffix(".cpio"))
        lab = Lab(cache, accelerator.TCG, checkout, kept, say)
        probe = plan_for(lab, Order(BARE, kernels[0]), Path(name), "nothing")
        yield lab._replace(accelerator=accelerator.choose(probe, cache))


def copy_checkout(cache: Cache, target: Path, *, brief: bool) -> None:
    """Copy tool and lab as they are now, precompiled for the guest: one run sees one state of them."""
    shutil.copytree(CHECKOUT / "vfioctl", target / "vfioctl", ignore=NOT_SEEN)
    for part in ("lab", "plugin/kubelet", "bench/plugin"):
        shutil.copytree(CHECKOUT / "tests" / part, target / "tests" / part, ignore=NOT_SEEN)
    compile_python(cache, target, "/checkout")
    compile_scenarios(cache, target, pytest_arguments(Order(BARE, "6.12", brief=brief), str(target)))


def pack_checkout(checkout: Path, target: Path) -> None:
    """Write a copy of the checkout, the guest's init and its `vfioctl` as an initramfs archive."""
    init = (checkout / "tests/lab/guest/init").read_bytes()
    own = [cpio.file_entry("init", init, 0o755), cpio.file_entry("usr/bin/vfioctl", COMMAND, 0o755)]
    with target.open("wb") as stream:
        cpio.write_archive(stream, [*own, *cpio.tree_entries(checkout, "checkout")])


COMMAND: Final = b"#!/usr/bin/python3\nfrom vfioctl.cli.main import main\nmain()\n"
"""The guest's `vfioctl`: the checkout, reached through PYTHONPATH."""


class Share(NamedTuple):
    """How many scenarios a guest has, and how many more it would have if the lab were not brief."""

    to_run: int
    left_out: int


def share_of(checkout: Path, order: Order) -> Share:
    """Count what a guest has of all scenarios, whatever the pattern.

    Where they could not be read outside, the guest is to say what is wrong with them.
    """
    try:
        files = json.loads((checkout / GUESTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Share(1, 0)
    guest = guest_name(order.topology.name, order.kernel)
    return Share(*(sum(counts[guest][place] for counts in files.values()) for place in range(2)))


def run_all(lab: Lab, orders: Iterable[Order]) -> list[Boot]:
    """Run the guests, three at a time, and give what came of them in the order asked for."""
    orders = list(orders)
    left = [*range(len(orders))]
    came: dict[int, list[Boot]] = {}
    choosing = threading.Lock()

    def work(waits: bool) -> None:
        while True:
            with choosing:
                if not left:
                    return
                number = min(left, key=lambda one: orders[one].topology.waits is not waits)
                left.remove(number)
            came[number] = list(run_boots(orders[number], partial(run_one, lab)))

    with ThreadPoolExecutor(len(LANES)) as pool:
        try:
            lanes = [pool.submit(work, waits) for waits in LANES]
            ended, _ = futures.wait(lanes, return_when=futures.FIRST_EXCEPTION)
            for lane in ended:
                lane.result()
        except BaseException:
            left.clear()
            machine.end_all()
            raise
    return [boot for number in sorted(came) for boot in came[number]]


def run_boots(order: Order, run: Callable[[Order], Boot]) -> Iterator[Boot]:
    """Run a guest, and again for each of its restarts, with the disk that the boot before has left."""
    left: bytes | None = b""
    for number, _ in enumerate(order.topology.boots, start=1):
        this = order._replace(boot=number, disk=left or b"")
        if left is None:
            yield Boot(this.machine, this.kernel, "", "", (), 0.0, UNSTARTED)
            return
        boot = run(this)
        yield boot
        if number == 1 and not boot.cases and not boot.trouble:
            return  # the pattern chose none, and what later boots look at is made in the first one
        left = boot.disk


def run_one(lab: Lab, order: Order) -> Boot:
    """Run one guest; a boot that never came up is started once more and says so, a scenario never is."""
    started = time.monotonic()
    remark = first = ""
    ending = _attempt(lab, order)
    if ending.trouble and not ending.progress.release and not machine.STOPPED.is_set():
        remark = f"started twice: first {ending.trouble}"
        lab.say(f"lab: {order.name}: {ending.trouble}; starting it once more")
        first, ending = ending.console, _attempt(lab, order)
    boot = _boot(lab, order, ending, remark)._replace(seconds=time.monotonic() - started)
    _keep_results(lab, boot, {"console.log": ending.console, "console-of-first-start.log": first}, ending)
    counts = f"{boot.count('passed')} passed, {boot.count('failed')} failed"
    lab.say(f"lab: {order.name}: {counts}, {boot.seconds:.0f} s")
    for line in results.failure_text(boot, ending.console):
        lab.say(line)
    return boot


def plan_for(lab: Lab, order: Order, folder: Path, task: str) -> Plan:
    """Give the plan of a guest; its pytest arguments travel in a small archive of their own."""
    arguments = folder / "arguments.cpio"
    with arguments.open("wb") as stream:
        text = "\n".join(pytest_arguments(order)) + "\n"
        cpio.write_archive(stream, [cpio.file_entry("checkout/lab.arguments", text.encode())])
    cache, packed = lab.cache, lab.checkout.with_suffix(".cpio")
    archives: tuple[Path, ...] = (cache.guest_archive, cache.modules_archive(order.kernel), packed, arguments)
    if order.topology.virtual_machines:
        archives += (cache.virtual_machine_archive,)
    if order.topology.libvirt:
        archives += (cache.libvirt_archive,)
    if order.topology.containers:
        archives += (cache.containers_archive,)
    if order.topology.services:
        archives += (cache.services_archive,)
    if order.topology.package:
        archives += (cache.package_tools_archive, package.archive(cache, folder))
    if order.disk:
        (folder / disk.NAME).write_bytes(order.disk)
        archives += (folder / disk.NAME,)
    image = cache.kernel_image(order.kernel)
    this = order.topology.boots[order.boot - 1]
    return machine.Plan(this, image, archives, lab.accelerator, task, order.boot)


def pytest_arguments(order: Order, checkout: str = "/checkout") -> list[str]:
    """Give what pytest is called with in the guest."""
    arguments = ["-p", "tests.lab.guest.plugin", "-c", "/dev/null", f"--rootdir={checkout}"]
    arguments += ["--disable-plugin-autoload"]
    arguments += [word for name in LEFT_OUT for word in ("-p", f"no:{name}")]
    arguments += [
        "-q",
        "--tb=short",
        "--color=no",
        "-vv",
        f"--guests={checkout}/{GUESTS}",
        f"--topology={order.topology.name}",
        f"--kernel={order.kernel}",
        f"--boot={order.boot}",
    ]
    arguments += ["--brief"] if order.brief else []
    arguments += ["-k", order.pattern] if order.pattern else []
    return [*arguments, *order.options, order.scenarios]


def _attempt(lab: Lab, order: Order) -> Ending:
    with tempfile.TemporaryDirectory(prefix="vfioctl-lab-") as name:
        return machine.run(plan_for(lab, order, Path(name), "scenarios"), lab.cache)


def _boot(lab: Lab, order: Order, ending: Ending, remark: str) -> Boot:
    progress = ending.progress
    cases = progress.cases
    trouble = ending.trouble
    if progress.exit_code == NO_SCENARIO:  # the pattern, or the machine, chose none
        trouble = ""
    elif not trouble:
        cases += outside.compare_snapshot(progress.files, lab.checkout)
    return Boot(
        topology=order.machine,
        kernel=order.kernel,
        accelerator=lab.accelerator,
        release=progress.release,
        cases=cases,
        seconds=ending.seconds,
        trouble=trouble,
        remark=remark,
        log=progress.log,
        disk=progress.files.get(disk.NAME),
        processor_seconds=ending.processor_seconds,
    )


UNSTARTED: Final = "not started: the boot before it has left no disk"
"""Why a boot is missing, which is a failure."""
NO_SCENARIO: Final = 5
"""pytest's exit code when nothing was collected."""


def _keep_results(lab: Lab, boot: Boot, consoles: dict[str, str], ending: Ending) -> None:
    folder = lab.results / boot.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in {**consoles, "kernel.log": boot.log}.items():
        if text:
            (folder / name).write_text(text, encoding="utf-8")
    for name, data in ending.progress.files.items():
        (folder / name).write_bytes(data)
