"""Which files change when what is stored is forgotten."""

from __future__ import annotations

from vfioctl.errors import NotFoundError
from vfioctl.model.address import PciAddress
from vfioctl.plan.persist import file_changes, stored_without
from vfioctl.plan.restore import made_changes, program_in
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.model.persisted import Persisted
    from vfioctl.plan.persist import FileChange


def forget(persisted: Persisted, names: Iterable[str | PciAddress] | None) -> tuple[FileChange, ...]:
    """Return the files that change when these addresses and UUIDs are forgotten; None: everything.

    Raises:
        NotFoundError: nothing is stored of one of them.

    """
    known: set[str | PciAddress] = {
        *(one.address for one in persisted.stored),
        *(one.address for one in persisted.splits),
        *(one.uuid for one in persisted.mediated),
    }
    gone = known if names is None else set(names)
    strange = [name for name in names or () if name not in known]
    if strange:
        raise NotFoundError(
            f"nothing is stored of {' '.join(map(str, strange))}", hint="see what is: vfioctl persist list"
        )
    program = program_in(persisted.unit) or "vfioctl"
    addresses = {name for name in gone if isinstance(name, PciAddress)}
    splits = tuple(one for one in persisted.splits if one.address not in addresses)
    mediated = tuple(one for one in persisted.mediated if one.uuid not in gone)
    return (
        *file_changes(persisted, stored_without(persisted, addresses)),
        *made_changes(persisted, splits, mediated, program),
    )
