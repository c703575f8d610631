"""The command lines that are understood without Click: as Click would have understood them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfioctl.cli.changing import Asked
from vfioctl.cli.express import understood
from vfioctl.cli.libvirt_modes import no_options
from vfioctl.cli.main import run
from vfioctl.cli.session import Session
from vfioctl.errors import UsageError
from vfioctl.model.selector import Selector

if TYPE_CHECKING:
    from tests.cli.conftest import Ask

WORDS = [
    "scan",
    "show",
    "--json",
    "-o",
    "json",
    "plain",
    "table",
    "xml",
    "--root",
    "sample",
    "-v",
    "--wide",
    "libvirt-xml",
    "bind",
    "unbind",
    "--all",
    "65:00.0",
    "class:gpu",
]

EXPRESS = [
    ["scan"],
    ["scan", "--json"],
    ["--json", "scan"],
    ["scan", "-o", "plain"],
    ["--output", "table", "scan"],
    ["--root", "HOST", "scan"],
    ["scan", "--root", "HOST", "--json"],
    ["libvirt-xml", "17:00.0"],
    ["--root", "HOST", "libvirt-xml", "class:gpu", "--json"],
    ["libvirt-xml", "--root", "HOST", "-o", "plain", "99:00.0"],
    ["libvirt-xml", "no selector"],
    ["--root", "HOST", "bind", "17:00.0"],
    ["unbind", "17:00.0", "18:00.0", "--json"],
    ["bind", "no selector"],
]

LEFT_TO_CLICK = [
    [],
    ["groups"],
    ["--json"],
    ["scan", "65:00.0"],
    ["scan", "scan"],
    ["scan", "-h"],
    ["scan", "-v"],
    ["scan", "-o"],
    ["scan", "-o", "xml"],
    ["scan", "--root"],
    ["scan", "--root", "--json"],
    ["scan", "--json", "-o", "plain"],
    ["scan", "--"],
    ["libvirt-xml"],
    ["bind"],
    ["unbind", "--json"],
    ["bind", "-n", "65:00.0"],
    ["bind", "--", "65:00.0"],
    ["libvirt-xml", "--group", "65:00.0"],
    ["libvirt-xml", "--check", "vm.xml"],
    ["65:00.0", "libvirt-xml"],
    ["scan", "libvirt-xml", "65:00.0"],
]


@pytest.mark.parametrize("arguments", EXPRESS, ids=" ".join)
def test_both_ways_give_the_same_result(arguments: list[str], ask: Ask) -> None:
    """Exit code, stdout and stderr."""
    words = [str(ask.hosts / "laptop.txt") if word == "HOST" else word for word in arguments]
    environment = {"VFIOCTL_ROOT": str(ask.hosts / "server.txt"), "COLUMNS": "100"}

    with patch.dict(os.environ, environment):
        assert understood(words, os.environ) is not None
        # A session that is handed in goes through Click.
        assert _run(words, None) == _run(words, Session())


@pytest.mark.parametrize("arguments", LEFT_TO_CLICK, ids=" ".join)
def test_everything_else_is_left_to_click(arguments: list[str]) -> None:
    """Right or wrong."""
    assert understood(arguments, {}) is None


def test_a_completion_is_left_to_click() -> None:
    """Whatever the words are."""
    assert understood(["scan"], {"_VFIOCTL_COMPLETE": "bash_complete"}) is None


@given(st.lists(st.sampled_from(WORDS), max_size=5))
def test_what_is_understood_is_what_click_understands(words: list[str]) -> None:
    """No command line means one thing here and another there."""
    from vfioctl.cli.tree import root

    asked = understood(words, {})
    if asked is None:
        return
    by_click = Session()
    with root.make_context("vfioctl", list(words), obj=by_click) as context:
        name, found, rest = root.resolve_command(context, context._protected_args + context.args)
        assert found is not None
        assert name == asked.command
        try:
            options = found.make_context(name, rest, parent=context).params
        except UsageError:
            with pytest.raises(UsageError):
                assert [Selector.parse(text) for text in asked.selectors] == []
            return

    assert vars(asked.session) == vars(by_click)
    assert tuple(one.text for one in options.pop("selectors")) == asked.selectors
    if name == "libvirt-xml":
        assert options == no_options()
    elif name != "scan":
        unasked = Asked(asked.command, ())._asdict()
        assert options == {option: unasked[option] for option in options}


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["scan", "--json"], "vfioctl.render.device_document"),
        (["libvirt-xml", "00:02.0"], "vfioctl.libvirt.schema"),
        (["bind", "00:02.0"], "vfioctl.cli.changing"),
    ],
)
def test_it_imports_neither_click_nor_what_only_others_need(words: list[str], needed: str, ask: Ask) -> None:
    """That is what it is there for."""
    code = """if True:
        import sys
        from vfioctl.cli.main import run
        run(sys.argv[1:])
        print(*sys.modules, file=sys.stderr)
    """
    ended = subprocess.run(
        [sys.executable, "-c", code, "--root", str(ask.hosts / "laptop.txt"), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(ended.stderr.splitlines()[-1].split())

    assert needed in loaded
    assert {"click", "rich", "dataclasses", "inspect", "difflib", "typing", "gzip"} & loaded == set()


def _run(words: list[str], session: Session | None) -> tuple[int, str, str]:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = run(words, session)
    return code, out.getvalue(), err.getvalue()
