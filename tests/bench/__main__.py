"""Print how fast vfioctl is beside the tools it stands next to: ``python -m tests.bench``."""

from __future__ import annotations

import argparse
import compileall
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import vfioctl
from tests.bench.measure import Command, Comparison, compare
from tests.bench.trees import make_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = (64, 1024, 4096)
OTHERS = ((["dpdk-devbind.py", "--status"], "dpdk"), (["driverctl", "list-devices"], "driverctl"))
SLOWEST_AT = 64
"""Devices beyond which driverctl, which starts several programs a device, is not waited for."""
PYTHON = sys.executable
VFIOCTL = str(Path(PYTHON).parent / "vfioctl")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="pairs of runs a row")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="devices of the hosts")
    options = parser.parse_args()
    # As installed: what is measured must not be compiled on the way.
    compileall.compile_dir(str(Path(vfioctl.__file__).parent), quiet=1)
    print(f"{'command':<34}{'median':>9}{'peak':>10}   {'beside':<34}{'median':>9}{'ratio':>8}")
    for row in start_up(options.runs):
        _print(row)
    with tempfile.TemporaryDirectory(prefix="vfioctl-bench-") as folder:
        for size in options.sizes:
            tree = make_tree(Path(folder) / str(size), size)
            for row in scans(tree, size, options.runs):
                _print(row)
            _print_limit(tree, size)


def start_up(runs: int) -> Iterator[Comparison]:
    """Compare starting up with starting the interpreter."""
    nothing = Command("python -c pass", [PYTHON, "-c", "pass"])
    yield compare(Command("--version", [VFIOCTL, "--version"]), nothing, runs * 2)
    yield compare(Command("-h", [VFIOCTL, "-h"]), nothing, runs * 2)
    words = {"_VFIOCTL_COMPLETE": "bash_complete", "COMP_WORDS": "vfioctl scan 0000:", "COMP_CWORD": "2"}
    yield compare(Command("TAB after 'scan 0000:'", [VFIOCTL], words), nothing, runs * 2)


def scans(tree: Path, size: int, runs: int) -> Iterator[Comparison]:
    """Compare scanning a host with the tools that list its devices."""
    root = ["--root", str(tree)]
    json = Command(f"scan --json ({size})", [VFIOCTL, *root, "scan", "--json"])
    plain = Command(f"scan -o plain ({size})", [VFIOCTL, *root, "scan", "-o", "plain"])
    table = Command(f"scan -o table ({size})", [VFIOCTL, *root, "scan", "-o", "table"])
    if lspci := shutil.which("lspci"):
        place = f"sysfs.path={tree}/sys/bus/pci"
        beside = Command("lspci -D -nnk", [lspci, "-D", "-nnk", "-A", "linux-sysfs", "-O", place])
        for ours in (json, plain, table):
            yield compare(ours, beside, runs)
    else:
        _missing("lspci", "pciutils")
    one = Command(f"libvirt-xml, one of {size}", [VFIOCTL, *root, "libvirt-xml", "0000:01:00.0"])
    yield compare(one, json, runs)
    if size > SIZES[0]:
        # Two buses are 512 functions, and 427 without the bridges among them.
        many = Command(
            f"libvirt-xml, 427 of {size}", [VFIOCTL, *root, "libvirt-xml", "0000:01:*", "0000:02:*"]
        )
        yield compare(many, json, runs)
    for words, package in OTHERS:
        if words[0] == "driverctl" and size > SLOWEST_AT:
            continue
        other = _in_place_of_sysfs(tree, words, package)
        if other is not None:
            yield compare(json, other, 3 if size > SIZES[0] else runs)


def _in_place_of_sysfs(tree: Path, words: list[str], package: str) -> Command | None:
    """Let a tool that knows only /sys see the tree there, in a mount namespace of its own."""
    program, unshare = shutil.which(words[0]), shutil.which("unshare")
    if program is None or unshare is None:
        _missing(words[0], package)
        return None
    script = 'mount --bind "$0/sys" /sys && exec "$@"'
    command = [unshare, "--mount", "--map-root-user", "sh", "-c", script, str(tree), program, *words[1:]]
    probe = ["unshare", "--mount", "--map-root-user", "mount", "--bind", f"{tree}/sys", "/sys"]
    if subprocess.run(probe, check=False, capture_output=True).returncode != 0:
        print(f"  left out: {words[0]} (this user may not make mount namespaces)")
        return None
    return Command(" ".join(words), command)


def _missing(program: str, package: str) -> None:
    print(f"  left out: {program} is not installed (package {package})")


def _print(row: Comparison) -> None:
    print(
        f"{row.title:<34}{row.seconds * 1000:>6.0f} ms{row.peak_mib:>6.0f} MiB   "
        f"{row.yardstick:<34}{row.yardstick_seconds * 1000:>6.0f} ms{row.ratio:>7.2f}x",
        flush=True,
    )


def _print_limit(tree: Path, size: int) -> None:
    """Print what the bare reads of a scan cost in one process."""
    raw = Path(__file__).with_name("raw.py")
    limit = subprocess.run([PYTHON, str(raw), str(tree)], check=True, capture_output=True, text=True)
    print(f"  the bare reads of {size} devices and groups: {float(limit.stdout) * 1000:.0f} ms", flush=True)


if __name__ == "__main__":
    main()
