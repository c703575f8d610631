"""The start: Click without what it never uses here."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.tree import command_tree, walk
from vfioctl.cli.startup import cleandoc
from vfioctl.cli.tree import COMMANDS


def python(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_the_start_loads_none_of_the_modules_it_stands_in_for() -> None:
    """That is what the stand-ins are there for."""
    loaded = python("""
        import sys
        import vfioctl.cli.wiring
        print(*{"inspect", "uuid", "datetime", "gettext", "ast", "dis", "platform"}.intersection(sys.modules))
    """)

    assert loaded == ""


def test_everybody_else_gets_the_real_modules() -> None:
    """Importing them afterwards is as if nothing had been."""
    answer = python("""
        import vfioctl.cli.wiring
        import uuid, datetime, gettext, inspect
        print(uuid.UUID(int=1).hex[-1], datetime.date(2026, 1, 2).isoformat(), gettext.gettext("a"),
              inspect.signature(lambda x, *, y: 0))
    """)

    assert answer == "1 2026-01-02 a (x, *, y)"


def test_what_click_keeps_of_inspect_loads_the_real_one() -> None:
    """Click asks for isfunction when it shows a default."""
    answer = python("""
        import vfioctl.cli.wiring, click, sys
        print("inspect" in sys.modules, click.core.inspect.isfunction(print), "inspect" in sys.modules)
    """)

    assert answer == "False False True"


def test_a_module_that_is_loaded_already_is_not_replaced() -> None:
    """A program that uses this one as a library keeps what it has."""
    answer = python("""
        import uuid, inspect
        import vfioctl.cli.wiring, click, sys
        print(click.types.uuid is uuid, click.core.inspect is inspect)
    """)

    assert answer == "True True"


def test_no_parameter_uses_a_type_that_the_stand_ins_break() -> None:
    """Click's DateTime and UUID see placeholder classes."""
    types = {type(one.type).__name__ for entry in walk(command_tree()) for one in entry.command.params}

    assert types & {"DateTime", "UUIDParameterType"} == set()


@given(st.text(alphabet=" ab\t\n", max_size=40))
def test_help_texts_are_cleaned_as_inspect_does_it(text: str) -> None:
    """The stand-in's only function of its own gives what the real one gives."""
    assert cleandoc(text) == inspect.cleandoc(text)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_kept_with_the_entry_is_the_commands_own(name: str) -> None:
    """What the list of commands says is what the command says."""
    command = next(entry.command for entry in walk(command_tree()) if entry.words[1:] == (name,))

    assert command.short_help == COMMANDS[name][1]
    assert command.name == name


def test_completing_a_command_imports_none() -> None:
    """Names and helps come from the table."""
    answer = python("""
        import sys
        from vfioctl.cli.tree import root
        from click.shell_completion import BashComplete
        items = BashComplete(root, {}, "vfioctl", "_X").get_completions([], "sh")
        print(*(item.value for item in items), "vfioctl.cli.scan" in sys.modules)
    """)

    assert answer == "show False"
