"""`vfioctl completion`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vfioctl.cli.shells import SHELLS, completion_script

if TYPE_CHECKING:
    from tests.cli.conftest import Ask


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_all_that_is_printed(shell: str, ask: Ask) -> None:
    """So that it can be sourced."""
    ended = ask("completion", shell)

    assert (ended.code, ended.out, ended.err) == (0, completion_script(shell), "")
