"""Expected output as plain files beside the tests, written anew by `pytest --regen`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).parent / "golden"
"""Where expected output is kept."""


class GoldenFiles:
    """Compares text with the committed file of that name, or writes it where asked to."""

    def __init__(self, *, regenerate: bool) -> None:
        """Remember whether files are to be written."""
        self.regenerate = regenerate

    def check(self, name: str, text: str) -> None:
        """Fail with a diff where tests/golden/NAME does not hold exactly this text."""
        __tracebackhide__ = True
        path = FOLDER / name
        if self.regenerate:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.is_file():
            pytest.fail(f"tests/golden/{name} is missing; write it with: make regen", pytrace=False)
        expected = path.read_text(encoding="utf-8")
        if expected != text:
            lines = difflib.unified_diff(
                expected.splitlines(), text.splitlines(), f"tests/golden/{name}", "now", lineterm=""
            )
            diff = "\n".join(lines) or "only the end of the last line differs"
            pytest.fail(f"{diff}\nif that is meant: make regen, and read the diff", pytrace=False)
