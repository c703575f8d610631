"""Every command, option and argument is documented wherever a user may look for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import pytest
from click.shell_completion import BashComplete

from tools import roff
from tools.man import SECTION
from tools.tree import Entry, command_tree, root_entry, shared_options, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT: Final = Path(__file__).parent.parent
SUMMARY_WIDTH: Final = 100
TREE: Final = {entry.typed: entry for entry in walk(command_tree())}


def without_help(entry: Entry) -> Iterator[str]:
    """Yield what --help would list without a word."""
    if not (entry.command.help or "").strip():
        yield f"{entry.typed} has no help"
    if not 0 < len(entry.summary) <= SUMMARY_WIDTH:
        yield f"{entry.typed} has a summary of {len(entry.summary)} characters"
    for option in entry.options:
        if not (option.help or "").strip():
            yield f"{entry.typed} {option.opts[-1]} has no help"
    for argument in entry.arguments:
        if not (getattr(argument, "help", None) or "").strip():
            yield f"{entry.typed} {argument.name} has no help"


def without_man(entry: Entry, folder: Path) -> Iterator[str]:
    """Yield what the man pages leave out."""
    path = folder / f"{entry.page}.{SECTION}"
    if not path.is_file():
        yield f"{entry.typed} has no man page"
        return
    text = path.read_text()
    elsewhere = shared_options(entry) if len(entry.words) > 1 else frozenset()
    for option in entry.options:
        for spelling in (*option.opts, *option.secondary_opts):
            if elsewhere.isdisjoint(option.opts) and roff.bold(spelling) not in text:
                yield f"{path.name} does not name {spelling}"
    for argument in entry.arguments:
        name = argument.human_readable_name.strip("[].")
        if roff.italic(name) not in text:
            yield f"{path.name} does not name {name}"


def without_completion(entry: Entry) -> Iterator[str]:
    """Yield the parameters that take a word and offer none: all but numbers, flags and free text."""
    parameters: list[click.Parameter] = [*entry.options, *entry.arguments]
    for one in parameters:
        takes_a_word = not (isinstance(one, click.Option) and (one.is_flag or one.count))
        number = isinstance(one.type, click.types.IntParamType | click.types.FloatParamType)
        own = type(one.type).shell_complete is not click.ParamType.shell_complete
        by_hand = one._custom_shell_complete is not None
        if takes_a_word and not number and not own and not by_hand:
            yield f"{entry.typed} {one.opts[-1]} completes to nothing"


def without_readme_line(entry: Entry, text: str) -> Iterator[str]:
    """Yield the command if the README's table leaves it out."""
    if not entry.subcommands and f"| `{entry.typed}" not in text:
        yield f"{entry.typed} is not in README.md"


@pytest.mark.parametrize("typed", TREE)
def test_every_command_and_parameter_has_help(typed: str) -> None:
    """`-h` explains everything it lists."""
    assert list(without_help(TREE[typed])) == []


@pytest.mark.parametrize("typed", TREE)
def test_every_command_has_a_man_page_that_names_its_parameters(typed: str) -> None:
    """A page per command, nested ones included."""
    assert list(without_man(TREE[typed], PROJECT / "man")) == []


@pytest.mark.parametrize("typed", TREE)
def test_every_value_completes(typed: str) -> None:
    """A parameter that takes a word says which ones."""
    assert list(without_completion(TREE[typed])) == []


@pytest.mark.parametrize("typed", TREE)
def test_every_command_stands_in_the_readme(typed: str) -> None:
    """The README's table is complete."""
    assert list(without_readme_line(TREE[typed], (PROJECT / "README.md").read_text())) == []


@pytest.mark.parametrize(
    "name",
    [
        "scan",
        "show",
        "groups",
        "doctor",
        "bind",
        "unbind",
        "persist list",
        "persist verify",
        "persist remove",
        "sriov list",
        "sriov set",
        "sriov off",
        "mdev types",
        "mdev list",
        "mdev create",
        "mdev remove",
        "recover",
        "cdi generate",
        "cdi list",
        "cdi remove",
        "container-args",
        "kubevirt snippet",
        "kubevirt check",
        "pod-spec",
        "snapshot save",
        "snapshot diff",
        "completion",
    ],
)
def test_the_promised_commands_exist(name: str) -> None:
    """The walk sees the whole tree."""
    assert f"vfioctl {name}" in TREE


def test_each_rule_can_fail(tmp_path: Path) -> None:
    """A command without anything is found out by every rule."""

    @click.command(help="")
    @click.option("--mute")
    @click.argument("what")
    def bare(mute: str, what: str) -> None:
        pass

    group = click.Group("vfioctl", {"bare": bare}, help="A group.")
    entry = next(one for one in walk(root_entry(group)) if one.typed == "vfioctl bare")
    page = tmp_path / "vfioctl-bare.8"

    assert len(list(without_help(entry))) == 4
    assert list(without_man(entry, tmp_path)) == ["vfioctl bare has no man page"]
    page.write_text(".TH X 8\n")
    assert len(list(without_man(entry, tmp_path))) == 3
    assert len(list(without_completion(entry))) == 2
    assert len(list(without_readme_line(entry, "nothing"))) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("show",),
        ("scan",),
        ("groups",),
        ("doctor",),
        ("bind",),
        ("unbind",),
        ("libvirt-xml",),
        ("container-args",),
        ("pod-spec",),
    ],
    ids=" ".join,
)
def test_selectors_complete_with_addresses_and_the_name_of_the_device(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a TAB offers are this host's devices."""
    monkeypatch.setenv("VFIOCTL_ROOT", "sample")
    shell = BashComplete(TREE["vfioctl"].command, {}, "vfioctl", "_VFIOCTL_COMPLETE")

    items = shell.get_completions(list(words), "0000:")

    assert items
    assert all(item.value.startswith("0000:") for item in items)
    assert all(item.help for item in items)
