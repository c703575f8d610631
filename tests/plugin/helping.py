"""Hands that write down what they did: functions of a module, called in another interpreter."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vfioctl.plugin.hands import Hands, Outcome

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress
    from vfioctl.plugin.hands import Wish

Addresses = tuple["PciAddress", ...]


def hands(folder: str) -> Hands:
    """Return hands that work in a folder: ``refuse`` in it has words for what they refuse."""
    return Hands(
        partial(survey, folder), partial(bind, folder), partial(give_back, folder), partial(reset, folder)
    )


def did(folder: str) -> list[list[str]]:
    """Return what was done, in order: the word, then the addresses."""
    path = Path(folder) / "did"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _do(folder: str, what: str, addresses: Addresses) -> Outcome:
    refusal = Path(folder) / f"refuse-{what}"
    with open(f"{folder}/did", "a", encoding="utf-8") as file:
        file.write(json.dumps([what, *map(str, addresses)]) + "\n")
    if refusal.exists():
        return Outcome(done=False, text=refusal.read_text())
    gate = f"{folder}/gate-{what}"
    if os.path.exists(gate):
        # A FIFO: opening it waits until the test opens it too.
        with open(gate, encoding="utf-8") as file:
            file.read()
    return Outcome(done=True, moved=addresses)


def survey(folder: str, asked: tuple[Wish, ...]) -> tuple[str | None, ...]:
    """Say that everything can be spared but what the file names."""
    spared = Path(folder) / "needed"
    needed = spared.read_text().split() if spared.exists() else []
    return tuple(
        next((f"{one} has the root disk" for one in map(str, wish.addresses) if one in needed), None)
        for wish in asked
    )


def bind(folder: str, wish: Wish) -> Outcome:
    """Write it down."""
    return _do(folder, "bind, bridges too" if wish.release_shpchp else "bind", wish.addresses)


def give_back(folder: str, addresses: Addresses) -> Outcome:
    """Write it down."""
    return _do(folder, "give-back", addresses)


def reset(folder: str, addresses: Addresses) -> Outcome:
    """Write it down."""
    return _do(folder, "reset", addresses)
