"""Pods, as much of them as a device plugin can notice."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

_numbers = count(1)


@dataclass
class Container:
    """A container: what it asks for, and how its last start ended."""

    name: str
    limits: dict[str, int]
    init: bool = False
    waiting: str | None = None
    """``CreateContainerConfigError`` and why; None: it runs."""


@dataclass
class Pod:
    """A pod on this node."""

    name: str
    containers: list[Container]
    namespace: str = "default"
    uid: str = field(default_factory=lambda: f"uid-{next(_numbers)}")
    phase: str = "Pending"
    """``Pending``, ``Running``, ``Succeeded`` or ``Failed``."""
    reason: str | None = None
    message: str | None = None

    @property
    def active(self) -> bool:
        """Whether it still counts; ended pods keep their devices until somebody asks."""
        return self.phase in {"Pending", "Running"}

    @property
    def in_order(self) -> list[Container]:
        """Init containers come first."""
        return sorted(self.containers, key=lambda one: not one.init)


def pod(name: str, limits: dict[str, int], **more: dict[str, int]) -> Pod:
    """Make a pod of one container ``main``, and of others by name; ``init_...`` are init containers."""
    others = [Container(key, asked, init=key.startswith("init_")) for key, asked in more.items()]
    return Pod(name, [Container("main", limits), *others])
