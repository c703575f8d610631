"""Mediated devices on the command line: types, list, create, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.pretended import Pretended
from tests.support.fake_kernel import Crash, Fault
from vfioctl.apply.journal import read_unfinished
from vfioctl.model.address import PciAddress
from vfioctl.model.host import MdevInstance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles
    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot

GPU, TYPE = "0000:00:02.0", "i915-GVTg_V5_8"
THERE = "4b20d080-1b54-4048-85b3-a6a62d165c01"
NEW = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")


class Mediating(Pretended):
    """A host whose mediated devices are those that its kernel has."""

    def host(self, *root: object, **how: object) -> Host:
        """Read the host, with the mediated devices that the kernel has."""
        made = tuple(
            MdevInstance(uuid, PciAddress.parse(parent), kind, 70 + number)
            for number, (uuid, (parent, kind)) in enumerate(sorted(self.kernel.mdevs.items()))
        )
        return super().host(*root, **how)._replace(mdevs=made)


@pytest.fixture
def here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host_root: Callable[[str], HostRoot],
    sample_host: Callable[[str], Host],
) -> Mediating:
    """Return the host with mediated devices as the one that the program runs on."""
    pretended = Mediating(sample_host("mdev"), host_root("mdev"), tmp_path / "run")
    pretended.kernel.mdevs[THERE] = (GPU, "i915-GVTg_V5_4")
    pretended.install(monkeypatch)
    return pretended


def test_made_and_removed(here: Mediating, ask: Ask) -> None:
    """It says what was made and what to type next; twice is as once."""
    words = ("mdev", "create", "--uuid", NEW[0], "--uuid", NEW[1].upper(), GPU, TYPE)
    made, again = ask(*words), ask(*words)
    removed = ask("mdev", "remove", *NEW)

    assert (made.code, made.err) == (0, "")
    assert made.out.splitlines() == [
        f"made        {NEW[0]}, {TYPE} of {GPU}",
        f"made        {NEW[1]}, {TYPE} of {GPU}",
        f"next        vfioctl libvirt-xml mdev:{NEW[0]} mdev:{NEW[1]}",
    ]
    assert (again.code, again.out.splitlines()[0]) == (0, "nothing to do: it was so already")
    assert (removed.code, removed.out.splitlines()[0]) == (0, f"removed     {NEW[0]}, {TYPE} of {GPU}")
    assert list(here.kernel.mdevs) == [THERE]
    assert ask("mdev", "remove", *NEW).code == 3


def test_a_uuid_is_made_up(here: Mediating, ask: Ask) -> None:
    """A new one each time, and the same in the plan that was carried out and in what is said."""
    first, second = ask("mdev", "create", GPU, TYPE), ask("mdev", "create", "--json", GPU, TYPE)

    made = [uuid for uuid in here.kernel.mdevs if uuid != THERE]
    assert (first.code, second.code, len(made)) == (0, 0, 2)
    assert made[0] in first.out
    assert second.document["steps"][0]["value"] == made[1]


def test_all_of_it_or_nothing(here: Mediating, ask: Ask) -> None:
    """Somebody took the last one in between: the first is removed again."""
    here.kernel.mdevs_left = 1

    ended = ask("mdev", "create", "--uuid", NEW[0], "--uuid", NEW[1], GPU, TYPE)

    assert (ended.code, ended.out) == (7, "")
    assert "mdev create failed and was rolled back; everything is as it was before" in ended.err
    assert "no more of this type can be made" in ended.err
    assert list(here.kernel.mdevs) == [THERE]


@pytest.mark.parametrize("happens", [False, True])
def test_a_crash_leaves_a_journal_that_recover_puts_away(here: Mediating, ask: Ask, *, happens: bool) -> None:
    """There is nothing to undo: a mediated device is there, or it is not."""
    here.kernel.faults = {0: Fault(crash=True, happens=happens)}
    with pytest.raises(Crash):
        ask("mdev", "create", "--uuid", NEW[0], GPU, TYPE)
    here.kernel.again()
    assert read_unfinished(here.state) is not None

    refused, recovered = ask("mdev", "create", "--uuid", NEW[1], GPU, TYPE), ask("recover")

    assert (refused.code, recovered.code) == (4, 0)
    assert read_unfinished(here.state) is None
    assert (NEW[0] in here.kernel.mdevs) is happens


SCREENS = {
    "types": ("mdev", 0, ["types"]),
    "types-none": ("sample", 0, ["types"]),
    "list": ("mdev", 0, ["list"]),
    "list-none": ("sample", 0, ["list"]),
    "create": ("mdev", 0, ["create", "-n", "--uuid", NEW[0], GPU, TYPE]),
    "create-no-types": ("sample", 5, ["create", "-n", "--uuid", NEW[0], "01:00.0", "nvidia-223"]),
    "remove-held": ("mdev", 4, ["remove", "-n", THERE]),
}


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen(name: str, ask: Ask, golden: GoldenFiles) -> None:
    """The screen of 100 columns, and the document."""
    host, code, words = SCREENS[name]

    screen = ask("mdev", *words, "-o", "table", "--no-color", host=host)
    document = ask("mdev", *words, "--json", host=host)

    assert (screen.code, document.code) == (code, code)
    golden.check(f"mdev/{name}.txt", screen.out)
    golden.check(f"mdev/{name}.json", document.out)


def test_what_is_no_uuid_is_a_usage_error(ask: Ask) -> None:
    """It would become part of a path."""
    assert ask("mdev", "remove", "-n", "../../x", host="mdev").code == 2
    assert ask("mdev", "create", "-n", GPU, "x", host="mdev").code == 3
    assert ask("mdev", "create", GPU, TYPE, host="mdev").code == 2


@pytest.mark.parametrize(
    "words", [["mdev"], ["mdev", "types"], ["mdev", "list"], ["mdev", "create"], ["mdev", "remove"]]
)
def test_help(words: list[str], ask: Ask, golden: GoldenFiles) -> None:
    """What -h says on 100 columns."""
    golden.check(f"help/{'-'.join(words)}.txt", ask(*words, "-h").out)
