"""A tree of sysfs and procfs with hostile contents, through the commands that read it.

The first line is a command; each other line changes the tree: ``number=content`` a file, ``number>target`` a
link, ``number+name`` something new in a folder. Numbers count what the tree has, in order, and begin anew
where they are too large.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from tests.fuzz.stage import call, check_visible, quiet, small_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fuzz.target import Run

COMMANDS = (
    *(
        "scan --json",
        "scan -v",
        "scan --wide",
        "scan --tree",
        "show 01:00.0",
        "show 02:00.0 --json",
        "groups -v",
    ),
    *(
        "groups --json",
        "doctor",
        "doctor 01:00.0 02:00.0 --json",
        "bind -n 01:00.0",
        "unbind -n 02:00.0",
        "sriov list",
    ),
    *(
        "mdev types",
        "mdev list",
        "persist list",
        "persist verify",
        "libvirt-xml 02:00.0",
        "container-args 02:00.0",
    ),
    *("cdi generate --print", "serve-plugin --dry-run", "pod-spec 02:00.0", "bind -n net:enp1s0"),
)
SEEDS = (
    *(f"{command}\n" for command in COMMANDS),
    "scan -v\n3=\x00\xff\n9=-1\n20>../../../../../../etc/passwd\n4+0000:zz:00.0\n",
    "groups -v\n50=0x\n51=99999999999999999999999\n52=\n7+999999999999999999999\n",
    "doctor\n70=\x1b[2J\n71=(null)\n72=rw rw rw\n1+a b\n",
)
WORDS = (
    "=",
    ">",
    "+",
    "\n",
    "0x",
    "-1",
    "9" * 20,
    "\x1b[2J",
    "\u202e",
    "0000:01:00.0",
    "../",
    "(null)",
    "ff:1f.7",
)


class _Kept(NamedTuple):
    """A tree as it is when nothing was changed."""

    base: str
    files: tuple[str, ...]
    links: tuple[str, ...]
    folders: tuple[str, ...]

    def change(self, line: bytes) -> Iterator[tuple[str, bytes | str | None]]:
        """Change one thing; yield where, and what was there."""
        for sign, places in ((b"=", self.files), (b">", self.links), (b"+", self.folders)):
            number, found, value = line.partition(sign)
            if not (found and number.isdigit() and len(number) < 9):
                continue
            path = places[int(number) % len(places)]
            if sign == b"=":
                with open(path, "rb") as file:
                    yield path, file.read()
                with open(path, "wb") as file:
                    file.write(value)
            elif sign == b">" and value and b"\0" not in value:
                yield path, os.readlink(path)
                os.unlink(path)
                os.symlink(value, os.fsencode(path))
            elif sign == b"+" and value.strip(b"/.") and not {0, 47} & set(value) and len(value) < 250:
                made = os.path.join(path, os.fsdecode(value))
                if not os.path.lexists(made):
                    yield made, None
                    os.mkdir(made)
            return


def prepare(place: Path) -> Run:
    """Run a command on a tree, and put the tree back."""
    quiet()
    kept = _tree(place / "host")

    def run(data: bytes) -> None:
        command, *lines = data.split(b"\n")
        words = command.decode("utf-8", "replace").split()
        before = [was for line in lines[:40] for was in kept.change(line)]
        try:
            # Only commands of the list: others are another target's, and may write.
            known = " ".join(words) if " ".join(words) in COMMANDS else COMMANDS[len(data) % len(COMMANDS)]
            out, err = call(["--root", kept.base, *known.split()])
        finally:
            for path, content in reversed(before):
                _put(path, content)
        if "--json" not in known:
            check_visible(out)
        check_visible(err)

    return run


def _put(path: str, content: bytes | str | None) -> None:
    if content is None:
        shutil.rmtree(path)
    elif isinstance(content, str):
        os.unlink(path)
        os.symlink(content, path)
    else:
        with open(path, "wb") as file:
            file.write(content)


def _tree(base: Path) -> _Kept:
    small_host(base)
    files: list[str] = []
    links: list[str] = []
    folders: list[str] = []
    for folder, below, here in os.walk(base):
        folders.append(folder)
        for name in sorted((*below, *here)):
            path = os.path.join(folder, name)
            (links if os.path.islink(path) else files if os.path.isfile(path) else []).append(path)
    return _Kept(str(base), tuple(sorted(files)), tuple(sorted(links)), tuple(sorted(folders)))
