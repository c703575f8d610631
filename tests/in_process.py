"""Call the program as its console script does, inside this process, with stdout and stderr apart."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Mapping


class Ended(NamedTuple):
    """How a call ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        """The JSON document on stdout."""
        return json.loads(self.out)


class Program:
    """The program `vfioctl`, callable with its arguments."""

    def __call__(self, *arguments: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> Ended:
        """Run `vfioctl ARGUMENTS` on a pipe of 100 columns and return how it ended."""
        from vfioctl.cli.main import main

        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        argv = ["vfioctl", *(os.fspath(one) for one in arguments)]
        variables = {"COLUMNS": "100", **(env or {})}
        code: int | str | None
        with (
            patch.object(sys, "argv", argv),
            patch.dict(os.environ, variables),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                code = main()  # type: ignore[func-returns-value, unused-ignore]
            except SystemExit as stop:
                code = stop.code
        if isinstance(code, str):
            message = f"the program ended with a text for an exit code: {code}"
            raise TypeError(message)
        return Ended(code or 0, _text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    """Return everything that was written."""
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
