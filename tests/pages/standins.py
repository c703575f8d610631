"""What stands in for the programs of others, and for what would change this machine, while pages are tried.

Lines are run by a shell as they stand. `vfioctl` is the program itself on the host of the pages; what would
change a host is run with the option that shows it instead, and that is noted. Each start of the stand-in for
`vfioctl` imports this module, which therefore imports as little as the program does.
"""

from __future__ import annotations

import os
import sys

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final

_PROJECT: Final = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))

CHANGES: Final = {
    ("bind",): "--dry-run",
    ("unbind",): "--dry-run",
    ("recover",): "--dry-run",
    ("sriov", "set"): "--dry-run",
    ("sriov", "off"): "--dry-run",
    ("mdev", "create"): "--dry-run",
    ("mdev", "remove"): "--dry-run",
    ("persist", "remove"): "--dry-run",
    ("persist", "apply"): "--dry-run",
    ("cdi", "generate"): "--dir=cdi",
    ("cdi", "remove"): "--dir=cdi",
    ("serve-plugin",): "--dry-run",
}
"""Commands that change a host, and what is added to them here. The lab runs them as they are."""

OF_THIS_HOST: Final = (
    ("cdi", "generate", "--watch"), ("plugin", "cordon"), ("plugin", "resync"),
    ("plugin", "status"), ("plugin", "uncordon"), ("recover",),
)  # fmt: skip
"""Commands that look at no other host than the one they run on; here at the machine of the tests."""

ENDLESS: Final = frozenset({"--watch", "--watch-errors"})
"""Options of commands that stay."""

LONG_ENOUGH: Final = 3.0
"""Seconds after which what stays is told to end; what ends by itself has as long as it likes."""

LOG: Final = "VFIOCTL_PAGES_LOG"
"""The variable that names the file in which is noted how the program was run."""

INTERRUPTED: Final = 130

_VFIOCTL: Final = f"""#!{sys.executable}
import sys
sys.path.insert(0, {_PROJECT!r})
from tests.pages.standins import run_vfioctl
sys.exit(run_vfioctl(sys.argv[1:]))
"""
_OTHERS: Final = {
    "sudo": 'exec "$@"',
    "tee": "cat >/dev/null",
    "virsh": '[ "$1" != dumpxml ] || cat domain.xml',
    "kubectl": """case "$*" in
        "get kubevirt "*) cat kubevirt.yaml ;;
        "get vmi "*) cat vmi.yaml ;;
        "exec "*) shift 5 && exec "$@" ;;
        *" -f -") cat >/dev/null ;;
    esac""",
}
_SILENT: Final = (
    "apt",
    "ln",
    "pip",
    "pipx",
    "python3",
    "docker",
    "podman",
    "systemctl",
    "journalctl",
    "kubelet",
    "ip",
    "cp",
)


def write_programs(folder: Path) -> None:
    """Write the stand-ins into a folder for PATH."""
    folder.mkdir()
    programs = {"vfioctl": _VFIOCTL, **{name: f"#!/bin/sh\n{text}\n" for name, text in _OTHERS.items()}}
    programs |= dict.fromkeys(_SILENT, "#!/bin/sh\n[ $# -gt 0 ]\n")
    for name, text in programs.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)


def added_to(words: list[str]) -> str:
    """Return the option that keeps a command from changing anything; nothing where it does not."""
    plain = tuple(word for word in words if not word.startswith("-"))
    if {"--print-unit", "--print", "--virsh"} & {*words}:
        return ""
    extra = next((extra for command, extra in CHANGES.items() if plain[: len(command)] == command), "")
    return "" if extra == "--dry-run" and {"-n", "--dry-run"} & {*words} else extra


def run_vfioctl(words: list[str]) -> int:
    """Run the program on the host of the pages, and note how."""
    extra = added_to(words)
    how = f"with {extra}" if extra else "as it is"
    if extra.startswith("--dir") and "--static" in words:
        words = [word for word in words if word != "--static"]
        how += " instead of --static"
    endless = bool(ENDLESS & {*words}) and not extra.startswith("--dry")
    if any(tuple(words[: len(start)]) == start for start in OF_THIS_HOST):
        del os.environ["VFIOCTL_ROOT"]
        how += ", on this machine"
    words = [*words, *([extra] if extra else [])]
    with open(os.environ[LOG], "a", encoding="utf-8") as log:
        log.write(f"{how}, ended with Ctrl-C\n" if endless else f"{how}\n")
    return _interrupted(words) if endless else _main(words)


def _interrupted(words: list[str]) -> int:
    """Run what stays in a process of its own, and end it; what ends otherwise fails."""
    import signal
    import subprocess
    from contextlib import suppress

    code = "import sys; from tests.pages.standins import _main; sys.exit(_main(sys.argv[1:]))"
    variables = {**os.environ, "PYTHONPATH": _PROJECT}
    with subprocess.Popen([sys.executable, "-c", code, *words], env=variables) as running:
        with suppress(subprocess.TimeoutExpired):
            running.wait(LONG_ENOUGH)
        running.send_signal(signal.SIGINT)
    return 0 if running.returncode == INTERRUPTED else running.returncode


def _main(words: list[str]) -> int:
    """Be the program, on a machine that has the users whom the pages name."""
    import grp
    import pwd

    user, group = pwd.getpwnam, grp.getgrnam
    pwd.getpwnam = lambda name: user("root" if name == "qemu" else name)
    grp.getgrnam = lambda name: group("root" if name in {"qemu", "kvm"} else name)
    sys.argv = ["vfioctl", *words]
    from vfioctl.cli.main import main

    return main()
