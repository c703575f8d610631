"""Command line of the lab: `python -m tests.lab run|shell|prepare|check|record|measure|soak|selftest`."""

from __future__ import annotations

import argparse
import resource
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from tests.lab import ability, ingredients, machine, recipe, repeating, results, runner, soak_report, trials
from tests.lab.errors import LabUnavailableError
from tests.lab.topologies import HOTPLUG, SERVER, TOPOLOGIES
from vfioctl.sysfs.dump import format_dump, parse_dump

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED: Final = 130
CANNOT: Final = 3
"""Exit code of a machine that cannot run the lab."""
HOSTS: Final = ingredients.CHECKOUT / "tests/hosts"
RECORDING: Final = "tests/lab/recording/dump.py"
"""What a guest runs to be recorded; not a scenario."""
MEASURING: Final = "tests/lab/measuring/bind.py"
"""What a guest runs to be measured; not a scenario either: it takes minutes."""
SOAKING: Final = "tests/lab/soaking/soak.py"
"""What a guest runs for as long as it is told."""


def main() -> int:
    """Run one command of the lab and give its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(number, _interrupted)
    options = _parser().parse_args()
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except LabUnavailableError as error:
        say(f"lab: cannot run on this machine: {error}")
        return CANNOT
    except KeyboardInterrupt:
        say("lab: interrupted; every guest has been ended")
        return INTERRUPTED


def _interrupted(_signal: int, _frame: object) -> NoReturn:
    """Make SIGTERM end the guests as Ctrl-C does."""
    raise KeyboardInterrupt


def say(text: str) -> None:
    """Print a line at once: progress of a run that takes minutes."""
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        command = commands.add_parser(name, help=(function.__doc__ or "").partition(";")[0].rstrip("."))
        command.set_defaults(command=function)
        if name in {"run", "shell"}:
            command.add_argument("--topology", choices=TOPOLOGIES, help="only this machine")
        if name in {"run", "shell", "measure", "soak"}:
            command.add_argument("--kernel", choices=recipe.KERNEL_SUITES, help="only this kernel")
        if name == "measure":
            command.add_argument(
                "--instructions", action="store_true", help="count instructions, not seconds"
            )
        if name == "soak":
            command.add_argument("--minutes", type=float, default=30.0, help="how long to go on")
            command.add_argument("--seed", type=int, help="the one of a run that is to be had again")
        if name == "run":
            command.add_argument(
                "-k", dest="pattern", default="", help="only scenarios that match, as with pytest -k"
            )
            command.add_argument(
                "--brief", action="store_true", help="on one kernel only what one kernel is enough for"
            )
            command.add_argument(
                "--repeat",
                type=_times,
                metavar="N",
                help="run N times or until one fails, with a line each",
            )
    return parser


def _run(options: argparse.Namespace) -> int:
    """Run the scenarios on every machine and kernel; with --repeat, again and again until one run fails."""
    if options.repeat is None:
        return 0 if all(boot.passed for boot in _run_once(options).boots) else 1
    pattern = options.pattern.replace(" ", "_")
    choice = (options.topology or "all", options.kernel or "all", pattern, "brief" if options.brief else "")
    file = results.folder(ingredients.default_cache().folder) / repeating.FILE
    green = repeating.repeat(
        options.repeat,
        lambda: _run_once(options),
        lambda: (repeating.commit(), "/".join(filter(None, choice))),
        file,
        say,
    )
    return 0 if green else 1


def _run_once(options: argparse.Namespace) -> repeating.Finished:
    started, used_before = time.monotonic(), _processor_seconds()
    topologies = [TOPOLOGIES[options.topology]] if options.topology else list(TOPOLOGIES.values())
    kernels = [options.kernel] if options.kernel else list(recipe.KERNEL_SUITES)
    orders = [
        runner.Order(topology, kernel, pattern=options.pattern, brief=options.brief)
        for topology in topologies
        for kernel in reversed(kernels)  # what takes longest begins first: the newest has the most scenarios
    ]
    with runner.opened(kernels, say, brief=options.brief) as lab:
        shares = {order: runner.share_of(lab.checkout, order) for order in orders}
        boots = runner.run_all(lab, [order for order, share in shares.items() if share.to_run])
        results.write_junit(lab.results / "junit.xml", boots)
    say("")
    say(results.matrix(boots))
    for what in (*recipe.NOT_RUN, *results.brevity(share.left_out for share in shares.values())):
        say(f"not run: {what}")
    for failure in results.failures(boots):
        say(f"failed: {failure}")
    used = _processor_seconds() - used_before
    wall = time.monotonic() - started
    say(f"took {wall:.0f} s, {used:.0f} s of processor time")
    say(results.closing_line(boots))
    return repeating.Finished(tuple(boots), wall, used)


def _processor_seconds() -> float:
    """Give what every process that has ended here has used of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _times(text: str) -> int:
    """Give a number of runs, of which there is at least one."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def _shell(options: argparse.Namespace) -> int:
    """Open a shell in a guest that has vfioctl; Ctrl-A X ends it at once."""
    kernel = options.kernel or recipe.DEFAULT_KERNEL
    topology = TOPOLOGIES[options.topology or "workstation"]
    with runner.opened([kernel], say) as lab, tempfile.TemporaryDirectory(prefix="vfioctl-lab-") as folder:
        say(f"lab: {topology.name} with kernel {kernel}; Ctrl-D or Ctrl-A X ends it")
        plan = runner.plan_for(lab, runner.Order(topology, kernel), Path(folder), machine.SHELL)
        return machine.run_shell(plan, lab.cache)


def _prepare(_options: argparse.Namespace) -> int:
    """Fetch and unpack everything into the cache; a later run needs no network."""
    started = time.monotonic()
    with runner.opened(recipe.KERNEL_SUITES, say) as lab:
        archives = sum(path.stat().st_size for path in lab.cache.folder.glob("apt/archives/*.deb"))
        say(f"lab: ready in {lab.cache.folder} after {time.monotonic() - started:.0f} s, {lab.accelerator}")
        say(f"lab: {archives / 1e6:.0f} MB of distribution packages")
    return 0


def _check(_options: argparse.Namespace) -> int:
    """Tell whether this machine can run the lab; exit code 3 and the reasons if not."""
    if reasons := list(ability.obstacles(ingredients.default_cache().folder)):
        for reason in reasons:
            say(f"lab: cannot run on this machine: {reason}")
        return CANNOT
    say("lab: this machine can run it")
    return 0


def _record(_options: argparse.Namespace) -> int:
    """Write each machine as a sample host below tests/hosts; all of libvirt's is on the others too."""
    kernels = list(recipe.KERNEL_SUITES)
    machines = [one for one in TOPOLOGIES.values() if not one.restarts and not one.libvirt]
    orders = [runner.Order(topology, recipe.DEFAULT_KERNEL, RECORDING) for topology in machines]
    orders += [
        runner.Order(SERVER, kernel, RECORDING) for kernel in kernels if kernel != recipe.DEFAULT_KERNEL
    ]
    with runner.opened(kernels, say) as lab:
        boots = runner.run_all(lab, orders)
        for boot in boots:
            for dump in (lab.results / boot.name).glob("*.txt"):
                (HOSTS / dump.name).write_text(recorded(dump.read_text("utf-8"), boot), encoding="utf-8")
                say(f"lab: wrote {(HOSTS / dump.name).relative_to(ingredients.CHECKOUT)}")
    return 0 if all(boot.passed for boot in boots) else 1


def _measure(options: argparse.Namespace) -> int:
    """Measure vfioctl against other tools; one guest at a time, on a machine with nothing else to do."""
    kernels = [options.kernel] if options.kernel else [recipe.DEFAULT_KERNEL]
    with runner.opened(kernels, say) as opened:
        lab = opened._replace(accelerator=machine.INSTRUCTIONS) if options.instructions else opened
        boots = [runner.run_one(lab, runner.Order(HOTPLUG, kernel, MEASURING)) for kernel in kernels]
        for boot in boots:
            for figures in sorted((lab.results / boot.name).glob("bind-*.txt")):
                say(figures.read_text("utf-8"))
    return 0 if all(boot.passed for boot in boots) else 1


def _soak(options: argparse.Namespace) -> int:
    """Run serve-plugin for long, with everything happening at random; draw what it took."""
    kernel = options.kernel or recipe.DEFAULT_KERNEL
    seed = options.seed if options.seed is not None else secrets.randbelow(1 << 31)
    say(f"lab: soak for {options.minutes:g} minutes, seed {seed}")
    told = (f"--seed={seed}", f"--minutes={options.minutes}")
    with runner.opened([kernel], say) as lab:
        boot = runner.run_one(lab, runner.Order(HOTPLUG, kernel, SOAKING, options=told))
        record = lab.results / boot.name / "soak.json"
        if record.exists():
            say(soak_report.summary(record.read_text("utf-8")))
            say(soak_report.draw(record))
    return 0 if boot.passed else 1


def recorded(dump: str, boot: results.Boot) -> str:
    """Give a dump that says where it is from: recorded, of which machine, with which kernel."""
    found = parse_dump(dump)
    origin = (
        f"origin: recorded in a QEMU q35 guest, the lab's machine {boot.topology!r}, Linux {boot.release}",
        "written by python -m tests.lab record",
        *(comment for comment in found.comments if comment.startswith("redacted")),
    )
    return format_dump(found.entries, origin)


def _selftest(_options: argparse.Namespace) -> int:
    """Let guests fail on purpose, and see that each failure arrives."""
    with runner.opened([recipe.DEFAULT_KERNEL], say) as lab:
        wrong = trials.run(lab, recipe.DEFAULT_KERNEL)
    say(f"lab: selftest: {len(trials.TRIALS) - wrong} as they should be, {wrong} not")
    return 1 if wrong else 0


COMMANDS: Final = {
    "run": _run,
    "shell": _shell,
    "prepare": _prepare,
    "check": _check,
    "record": _record,
    "measure": _measure,
    "soak": _soak,
    "selftest": _selftest,
}

if __name__ == "__main__":
    sys.exit(main())
