"""The program with fixed names, so that expected output does not change with the machine's database."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from tests.golden_files import FOLDER
from tests.in_process import Ended
from vfioctl.cli.main import run
from vfioctl.cli.session import Session
from vfioctl.sysfs.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot

NAMES = FOLDER / "pci.ids"
HOSTS = FOLDER.parent / "hosts"


_READ: dict[tuple[str, bool], Host] = {}


class FixedNames(Session):
    """A session that takes names from the database beside the golden files.

    A sample host is unpacked once and read once: dumps of the repository do not change while tests run.
    """

    def __init__(self, root_of: Callable[[str], HostRoot]) -> None:
        """Take sample hosts, by name, from where they were unpacked."""
        super().__init__()
        self._root_of = root_of

    def host(self, root: str | None = None, *, outline: bool = False) -> Host:
        """Read a host, or give what was read of it before."""
        path = root or self.root
        if not _is_sample(path):
            return super().host(root, outline=outline)
        if (path, outline) not in _READ:
            _READ[path, outline] = super().host(root, outline=outline)
        return _READ[path, outline]

    @contextmanager
    def opened(self, root: str | None = None) -> Iterator[HostRoot]:
        """Open a host, or give the folder that it was unpacked into before."""
        path = root or self.root
        if _is_sample(path):
            yield self._root_of(os.path.basename(path).removesuffix(".txt"))
        else:
            with super().opened(root) as opened:
                yield opened

    def names(self) -> Names:
        """Open that database."""
        return Names(NAMES.read_bytes())


def _is_sample(path: str) -> bool:
    return path == "sample" or os.path.dirname(path) == str(HOSTS)


class Ask:
    """Call the program in this process: `ask("scan", host="server")`."""

    def __init__(self, hosts: Path, root_of: Callable[[str], HostRoot]) -> None:
        """Take sample hosts from a folder of dumps, or where they were unpacked."""
        self.hosts = hosts
        self._root_of = root_of

    def __call__(self, *arguments: str, host: str | None = None, width: int = 100) -> Ended:
        """Return exit code, stdout and stderr; nothing is a terminal."""
        root = ["--root", "sample" if host == "sample" else str(self.hosts / f"{host}.txt")] if host else []
        # Bytes that are not UTF-8 would fail to be written here as they would to a terminal.
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        columns = {"COLUMNS": str(width)}
        with patch.dict(os.environ, columns), redirect_stdout(out), redirect_stderr(err):
            code = run([*root, *arguments], FixedNames(self._root_of))
        return Ended(code, _text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@pytest.fixture
def ask(host_root: Callable[[str], HostRoot]) -> Ask:
    """Return the program."""
    return Ask(HOSTS, host_root)
