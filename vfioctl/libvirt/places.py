"""What only one device of a domain can have."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple


class Place(NamedTuple):
    """Something that only one device of a domain can have."""

    kind: str
    """``boot order``, ``alias``, ``guest address`` or ``target``."""
    value: str
    device: str
    """Who has it: a device of the host by name, another one by its tag, line and place."""
