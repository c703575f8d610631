"""The program with fixed names, so that expected output does not change with the machine's database."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from tests.golden_files import FOLDER
from tests.in_process import Ended
from vfioctl.cli.main import run
from vfioctl.cli.session import Session
from vfioctl.sysfs.names import Names

if TYPE_CHECKING:
    from pathlib import Path

    from vfioctl.model.host import Host

NAMES = FOLDER / "pci.ids"


_READ: dict[tuple[str, bool], Host] = {}


class FixedNames(Session):
    """A session that takes names from the database beside the golden files, and reads a sample host once."""

    def host(self, root: str | None = None, *, outline: bool = False) -> Host:
        """Read a host; dumps of the repository do not change while tests run."""
        path = root or self.root
        if not (path == "sample" or path.endswith(".txt")):
            return super().host(root, outline=outline)
        if (path, outline) not in _READ:
            _READ[path, outline] = super().host(root, outline=outline)
        return _READ[path, outline]

    def names(self) -> Names:
        """Open that database."""
        return Names(NAMES.read_bytes())


class Ask:
    """Call the program in this process: `ask("scan", host="server")`."""

    def __init__(self, hosts: Path) -> None:
        """Take sample hosts from a folder of dumps."""
        self.hosts = hosts

    def __call__(self, *arguments: str, host: str | None = None, width: int = 100) -> Ended:
        """Return exit code, stdout and stderr; nothing is a terminal."""
        root = ["--root", "sample" if host == "sample" else str(self.hosts / f"{host}.txt")] if host else []
        # Bytes that are not UTF-8 would fail to be written here as they would to a terminal.
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        columns = {"COLUMNS": str(width)}
        with patch.dict(os.environ, columns), redirect_stdout(out), redirect_stderr(err):
            code = run([*root, *arguments], FixedNames())
        return Ended(code, _text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@pytest.fixture
def ask() -> Ask:
    """Return the program."""
    return Ask(FOLDER.parent / "hosts")
