"""What is about to be done, on disk before the first step of it.

The journal holds where each device was and where it is to go, and no marks of progress: after a crash the
devices themselves say how far it came, and a write that was under way makes no mark.
"""

from __future__ import annotations

import os
import time

from vfioctl.apply.state import read_file, remove_file, replace_file
from vfioctl.errors import RefusedError
from vfioctl.model.address import PciAddress
from vfioctl.model.binding import Binding, Move
from vfioctl.model.json_text import encode
from vfioctl.model.situation import NodeMode
from vfioctl.plan.steps import OwnNode, SetAutoprobe
from vfioctl.plan.unfinished import Unfinished
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from vfioctl.plan.plan import Plan

_NAME = "journal"
_SCHEMA = 1


def journal_stands(state: str) -> bool:
    """Tell whether there is a journal, readable or not."""
    return os.path.lexists(_path(state))


def read_unfinished(state: str) -> Unfinished | None:
    """Read the journal of a run that did not end by itself; None when there is none.

    Raises:
        NotPermittedError: it is not readable for this user.
        RefusedError: it is damaged.

    """
    text = read_file(_path(state))
    if text is None:
        return None
    import json

    try:
        return _decode(json.loads(text))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RefusedError(
            f"the journal {_path(state)} is damaged: what it was to undo is not known",
            hint=f"see with 'vfioctl scan' where the devices stand, then remove {_path(state)}",
        ) from error


def unfinished_from(plan: Plan, boot_id: str) -> Unfinished:
    """Return what the journal says of a plan that is about to be carried out."""
    return Unfinished(
        command=plan.command,
        boot_id=boot_id,
        pid=os.getpid(),
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        units=tuple(unit.moves for unit in plan.units),
        nodes=tuple(step for step in plan.steps if isinstance(step, OwnNode)),
        probing=tuple(
            SetAutoprobe(step.address, on=step.before, before=step.on)
            for step in plan.steps
            if isinstance(step, SetAutoprobe) and step.before and not step.on
        ),
    )


def write_journal(state: str, unfinished: Unfinished) -> None:
    """Write the journal, synced before it returns.

    Raises:
        NotPermittedError: the place is read-only.
        VfioctlError: it cannot be written.

    """
    replace_file(_path(state), encode(_encode(unfinished)) + "\n")


def close_journal(state: str) -> None:
    """Remove the journal: nothing is left half done.

    Raises:
        NotPermittedError: the place is read-only.
        VfioctlError: it cannot be removed.

    """
    remove_file(_path(state))


def _path(state: str) -> str:
    return f"{state}/{_NAME}"


def _encode(unfinished: Unfinished) -> dict[str, Any]:
    return {
        "schema": _SCHEMA,
        "command": unfinished.command,
        "boot_id": unfinished.boot_id,
        "pid": unfinished.pid,
        "started": unfinished.started,
        "stuck": unfinished.stuck,
        "units": [[_encode_move(move) for move in moves] for moves in unfinished.units],
        "nodes": [
            {
                "group": node.group,
                "members": [str(member) for member in node.members],
                "uid": node.uid,
                "gid": node.gid,
                "mode": node.mode,
                "before": [one._asdict() for one in node.before],
            }
            for node in unfinished.nodes
        ],
        "probing": [str(step.address) for step in unfinished.probing],
    }


def _encode_move(move: Move) -> dict[str, Any]:
    return {
        "address": str(move.address),
        "before": move.before._asdict(),
        "goal": move.goal._asdict(),
        "kernel_decides": move.kernel_decides,
    }


def _decode(document: dict[str, Any]) -> Unfinished:
    if document["schema"] != _SCHEMA:
        raise ValueError(document["schema"])
    return Unfinished(
        command=document["command"],
        boot_id=document["boot_id"],
        pid=document["pid"],
        started=document["started"],
        units=tuple(tuple(map(_decode_move, moves)) for moves in document["units"]),
        nodes=tuple(map(_decode_node, document["nodes"])),
        probing=tuple(
            SetAutoprobe(decode_address(text), on=True, before=False) for text in document.get("probing", ())
        ),
        stuck=document["stuck"],
    )


def _decode_move(move: dict[str, Any]) -> Move:
    return Move(
        decode_address(move["address"]),
        decode_binding(move["before"]),
        decode_binding(move["goal"]),
        kernel_decides=move["kernel_decides"],
    )


def _decode_node(node: dict[str, Any]) -> OwnNode:
    members = tuple(map(decode_address, node["members"]))
    before = tuple(
        NodeMode(one["path"], one["uid"], one["gid"], one["mode"]) for one in node.get("before", ())
    )
    return OwnNode(node["group"], members, node["uid"], node["gid"], node["mode"], before)


def decode_binding(binding: dict[str, Any]) -> Binding:
    """Read a binding as it was written.

    Raises:
        LookupError: a part is missing.

    """
    return Binding(binding["driver"], binding["override"])


def decode_address(text: str) -> PciAddress:
    """Read an address as it was written.

    Raises:
        ValueError: it is none.

    """
    address = PciAddress.from_name(text)
    if address is None:
        raise ValueError(text)
    return address
