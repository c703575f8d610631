"""The command line: any words, a line each, on a recorded host; nothing of it may end in a traceback.

Behind the fence nothing is changed. What stays (``--watch``) is left out, and so is the running system as a
root.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.fuzz.stage import call, check_visible, quiet, small_host, words
from tests.fuzz.targets.attributes import COMMANDS
from vfioctl.cli.tree import COMMANDS as TREE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.target import Run

_MORE = (
    *("bind 02:00.0 --dry-run --owner nobody:nogroup --mode 660 --driver auto", "doctor --only iommu -v"),
    *(
        "libvirt-xml 02:00.0 --group --libvirt-version 9.0 --boot 1",
        "pod-spec class:nic --json",
        "snapshot save x.txt",
    ),
    *(
        "snapshot diff a.tar.gz",
        "kubevirt snippet",
        "kubevirt check x.yaml",
        "plugin explain 02:00.0",
        "plugin lint",
    ),
    *(
        "plugin status",
        "plugin cordon 02:00.0",
        "recover --dry-run",
        "sriov set 02:00.0 2 -n",
        "mdev create x 02:00.0 -n",
    ),
    *(
        "persist remove 02:00.0 -n",
        "persist apply",
        "cdi list",
        "cdi remove",
        "completion bash",
        "--version",
        "-h",
    ),
    *(
        "libvirt-xml --check vm.xml",
        "libvirt-xml 02:00.0 --domain vm.xml",
        "cdi generate 02:00.0",
        "-o json scan",
    ),
)
SEEDS = tuple(line.replace(" ", "\n") for line in (*COMMANDS, *_MORE))
_WORDS = (
    *TREE,
    *(
        "--json",
        "-n",
        "-v",
        "-q",
        "-h",
        "--root",
        "sample",
        "-o",
        "table",
        "plain",
        "--debug",
        "--color",
        "--all",
    ),
    *(
        "--driver",
        "--force",
        "--timeout",
        "--owner",
        "--mode",
        "--persist",
        "--config",
        "--",
        "-",
        "",
        "=",
        "%s",
    ),
    *(
        "02:00.0",
        "class:gpu",
        "net:enp1s0",
        "-1",
        "1e999",
        "nan",
        "9" * 30,
        "\udcff",
        "vm.xml",
        "../../x",
        "\x1b[2J",
    ),
)
WORDS = tuple(f"\n{word}".encode("utf-8", "surrogateescape") for word in _WORDS)
_STAYING = ("--watch", "--interval", "--count")


def prepare(place: Path) -> Run:
    """Read one recorded host, unpacked once."""
    quiet()
    host = place / "host"
    small_host(host)
    os.environ.update(VFIOCTL_ROOT=str(host), COLUMNS="100", HOME=str(place), TMPDIR=str(place))
    for name, text in {"vm.xml": "<domain/>", "x.yaml": "kind: KubeVirt", "a.tar.gz": "\x1f\x8b"}.items():
        (place / name).write_text(text)
    os.chdir(place)

    def run(data: bytes) -> None:
        arguments = words(data)
        if any(word.startswith(_STAYING) for word in arguments) or _is_live(arguments):
            return
        out, err = call(arguments)
        if "json" not in "".join(arguments) and "-ojson" not in arguments:
            check_visible(out)
        check_visible(err)

    return run


def _is_live(arguments: list[str]) -> bool:
    """Tell whether a root is named that is, or may become, the running system."""
    given = [word for flag, word in zip(arguments, [*arguments[1:], ""], strict=True) if flag == "--root"]
    given += [word.partition("=")[2] for word in arguments if word.startswith("--root=")]
    given += arguments if "diff" in arguments else []
    return any(os.path.isdir(word) and os.path.realpath(word).count("/") <= 1 for word in given)
