from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import pytest

from vfioctl.cli import container_targets

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles


@pytest.mark.parametrize(
    ("name", "host", "words"),
    [
        ("bound", "sample", ["02:00", "--for", "qemu"]),
        ("unbound", "sample", ["01:00.0", "--runtime", "podman", "--rootless"]),
        ("broad", "sample", ["class:nic", "--for", "dpdk"]),
        ("cdev", "lab-6.12-cdev", ["01:00.0", "03:00.0"]),
        ("cdi", "sample", ["05:02.2", "--cdi", "--runtime", "podman"]),
    ],
)
def test_a_line_for_the_shell_and_the_same_as_a_document(
    name: str, host: str, words: list[str], ask: Ask, golden: GoldenFiles
) -> None:
    """The line is what the document lists; findings are on stderr and in the document."""
    line = ask("container-args", *words, host=host)
    document = ask("container-args", *words, "--json", host=host)

    assert (line.code, document.code) == (0, 0)
    assert shlex.split(line.out) == document.document["arguments"]
    assert line.out.count("\n") == 1
    assert line.err == document.err
    golden.check(f"container-args/{name}.txt", line.out + line.err)
    golden.check(f"container-args/{name}.json", document.out)


def test_an_unbound_device_is_warned_of_even_when_quiet(ask: Ask) -> None:
    """The container would not start."""
    ended = ask("-q", "container-args", "01:00.0", host="sample")

    assert ended.code == 0
    assert "warning: 0000:01:00.0: not on a vfio driver yet" in ended.err
    assert "vfioctl bind 0000:01:00.0" in ended.err


def test_a_group_that_is_not_viable_is_warned_of(ask: Ask) -> None:
    """The node is there, and opening it fails."""
    ended = ask("container-args", "0000:02:04.0", host="legacy")
    group = ask("groups", "0000:02:04.0", "--json", host="legacy").document["groups"][0]

    assert ended.code == 0
    assert (group["viable"] is True) == ("viable" not in ended.err)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["00:01.0"], 5, "it is a bridge"),
        (["class:bridge"], 5, "part of the board"),
        (["99:00.0"], 3, "nothing here matches"),
        (["02:00.0", "--backend", "iommufd"], 5, "no nodes for --backend iommufd"),
        (["02:00.0", "--rootless"], 2, "--rootless is for podman"),
        (["02:00.0", "--cdi", "--backend", "legacy"], 2, "--backend chooses nodes"),
        ([], 2, "missing argument"),
    ],
)
def test_what_is_refused(words: list[str], code: int, text: str, ask: Ask) -> None:
    """Nothing on stdout that a shell would hand on."""
    ended = ask("container-args", *words, host="sample")

    assert (ended.code, ended.out) == (code, "")
    assert text in ended.err


def test_groups_are_those_that_may_open_a_node(tmp_path: Path) -> None:
    """Not root's, not those that may not write; a node that is gone has none."""
    modes = {"shared": 0o660, "private": 0o600, "everybody": 0o666}
    for name, mode in modes.items():
        (tmp_path / name).touch()
        os.chmod(tmp_path / name, mode)
    gid = os.stat(tmp_path / "shared").st_gid

    found = container_targets._groups_of([*(str(tmp_path / name) for name in modes), str(tmp_path / "gone")])

    assert found == ((gid,) if gid else ())
