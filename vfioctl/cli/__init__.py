"""The command line: wiring only. Importing it brings in Click, without what Click does not need here."""

from __future__ import annotations

from vfioctl.cli.startup import load_click

load_click()
