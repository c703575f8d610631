"""Every screen of every sample host, as it was read and found right; `pytest --regen` writes them anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.fixtures import HOST_NAMES

if TYPE_CHECKING:
    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles

HOSTS = [*HOST_NAMES, "sample"]

SHOWN = [
    ("workstation", "0000:01:00.0"),
    ("workstation", "0000:02:00.0"),
    ("workstation", "0000:00:1f.3"),
    ("server", "0000:17:00.0"),
    ("server", "0000:17:01.1"),
    ("server", "0000:98:00.0"),
    ("nonroot", "0000:98:00.0"),
    ("laptop", "0000:00:02.0"),
    ("vmd", "10000:e1:00.0"),
    ("legacy", "0000:02:04.0"),
    ("mdev", "0000:00:02.0"),
    ("dead", "0000:01:00.1"),
    ("arm64", "0000:01:00.0"),
]


def test_every_sample_host_is_there() -> None:
    """An empty folder of hosts would make every test below pass."""
    assert len(HOSTS) >= 12


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("command", ["scan", "groups"])
def test_a_pipe_gets_plain_rows_and_json(command: str, host: str, ask: Ask, golden: GoldenFiles) -> None:
    """The same facts as text and as a document."""
    text, document = ask(command, host=host), ask(command, "--json", host=host)

    assert (text.code, document.code) == (0, 0)
    golden.check(f"{command}/{host}.txt", text.out)
    golden.check(f"{command}/{host}.json", document.out)
    assert json.loads(document.out)["kind"] == command


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("command", ["scan", "groups"])
def test_a_table_fits_its_terminal(
    command: str, host: str, width: int, ask: Ask, golden: GoldenFiles
) -> None:
    """No line is wider than the terminal, except commands, which are there to be copied."""
    screen = ask(command, "-o", "table", "--no-color", host=host, width=width)

    assert screen.code == 0
    too_wide = [line for line in screen.out.splitlines() if len(line) > width and " vfioctl " not in line]
    assert too_wide == []
    golden.check(f"{command}/{host}.{width}.txt", screen.out)


@pytest.mark.parametrize("host", ["workstation", "server", "vmd", "legacy"])
def test_the_tree_shows_what_is_behind_what(host: str, ask: Ask, golden: GoldenFiles) -> None:
    """Bridges with what is behind them."""
    golden.check(f"scan/{host}.tree.txt", ask("scan", "--tree", host=host).out)


@pytest.mark.parametrize(("host", "device"), SHOWN, ids=" ".join)
def test_one_device(host: str, device: str, ask: Ask, golden: GoldenFiles) -> None:
    """Everything about a device, the verdict first."""
    name = f"show/{host}-{device.replace(':', '.')}"

    golden.check(f"{name}.txt", ask("show", device, host=host).out)
    golden.check(f"{name}.json", ask("show", device, "--json", host=host).out)


def test_the_difference_of_two_hosts(ask: Ask, golden: GoldenFiles) -> None:
    """What root sees and an ordinary user does not."""
    hosts = str(ask.hosts / "server.txt"), str(ask.hosts / "nonroot.txt")

    golden.check("snapshot-diff/server-nonroot.txt", ask("snapshot", "diff", *hosts).out)
    golden.check("snapshot-diff/server-nonroot.json", ask("snapshot", "diff", *hosts, "--json").out)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["scan"],
        ["show"],
        ["groups"],
        ["bind"],
        ["unbind"],
        ["recover"],
        ["snapshot", "save"],
        ["snapshot", "diff"],
        ["libvirt-xml"],
        ["cdi", "generate"],
        ["cdi", "list"],
        ["cdi", "remove"],
        ["container-args"],
        ["kubevirt", "snippet"],
        ["kubevirt", "check"],
        ["pod-spec"],
    ],
)
def test_help(words: list[str], ask: Ask, golden: GoldenFiles) -> None:
    """What -h says on 100 columns."""
    golden.check(f"help/{'-'.join(words) or 'vfioctl'}.txt", ask(*words, "-h").out)
