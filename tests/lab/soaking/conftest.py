"""The options of the long run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the outside passes."""
    parser.addoption("--seed", type=int, required=True, help="what the choices are drawn from")
    parser.addoption("--minutes", type=float, required=True, help="how long to go on")
