"""The generators of committed files, each with --check, and the runner of `make test`."""

from __future__ import annotations
