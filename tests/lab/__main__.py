"""Command line of the lab: `python -m tests.lab run|shell|prepare|check|record|selftest`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab import accelerator, ingredients, machine, results, runner
from tests.lab.errors import LabUnavailableError
from tests.lab.topologies import TOPOLOGIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANNOT: Final = 3
"""Exit code of a machine that cannot run the lab."""
DEFAULT_KERNEL: Final = "6.12"


def main() -> int:
    """Run one command of the lab and give its exit code."""
    options = _parser().parse_args()
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except LabUnavailableError as error:
        say(f"lab: cannot run on this machine: {error}")
        return CANNOT


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
            command.add_argument("--kernel", choices=ingredients.KERNEL_SUITES, help="only this kernel")
        if name == "run":
            command.add_argument("-k", dest="pattern", default="", help="only scenarios that match, as with pytest -k")
    return parser


def _run(options: argparse.Namespace) -> int:
    """Run the scenarios on every machine and kernel."""
    topologies = [TOPOLOGIES[options.topology]] if options.topology else list(TOPOLOGIES.values())
    kernels = [options.kernel] if options.kernel else list(ingredients.KERNEL_SUITES)
    orders = [runner.Order(topology, kernel, pattern=options.pattern) for kernel in kernels for topology in topologies]
    with runner.opened(kernels, say) as lab:
        boots = runner.run_all(lab, orders)
        results.write_junit(lab.results / "junit.xml", boots)
    say("")
    say(results.matrix(boots))
    say(results.closing_line(boots))
    return 0 if all(boot.passed for boot in boots) else 1


COMMANDS: Final = {"run": _run}

if __name__ == "__main__":
    sys.exit(main())
