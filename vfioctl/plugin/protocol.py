"""The admin socket's language: one JSON object on one line each way, and the connection closes.

{"version": 1, "command": "cordon", "subject": "0000:65:00.0"}
{"version": 1, "result": {...}}    or    {"version": 1, "error": {"code", "message", "hint"}}
"""

from __future__ import annotations

import json

from vfioctl.errors import NotFoundError, NotPermittedError, UsageError, VfioctlError
from vfioctl.model.value import NamedTuple
from vfioctl.plugin.keys import shown
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Result: TypeAlias = "dict[str, Any]"

PATH = "/run/vfioctl/plugin.sock"
"""Where the plugin of this host answers."""
PATH_VARIABLE = "VFIOCTL_PLUGIN_SOCKET"
"""The environment variable that names another socket: for tests, and for a plugin in a container."""

VERSION = 1
"""Changed when an older program would misunderstand."""

COMMANDS = ("status", "explain", "cordon", "uncordon", "resync")
"""What can be asked for; `explain`, `cordon` and `uncordon` are about a subject."""

LARGEST_REQUEST = 4096
"""Bytes of a request: a word and an address."""
LARGEST_ANSWER = 64 << 20
"""Bytes of an answer: the status of ten thousand items is three million."""
LONGEST_LOOK = 120.0
"""Seconds within which any request is answered: a look under way, and one after it."""

_WITH_SUBJECT = COMMANDS[1:4]
_KINDS = {kind.code: kind for kind in (VfioctlError, UsageError, NotFoundError, NotPermittedError)}


class Request(NamedTuple):
    """What is asked for."""

    command: str
    subject: str = ""


def encode_request(request: Request) -> bytes:
    """Return a request as a line."""
    return _line(command=request.command, subject=request.subject)


def decode_request(line: bytes) -> Request:
    """Read a request.

    Raises:
        UsageError: it is none, or one of another version.

    """
    asked = _object(line)
    command, subject = asked.get("command"), asked.get("subject", "")
    if asked.get("version") != VERSION:
        raise UsageError(
            f"the plugin speaks version {VERSION} of its protocol, and not {shown(asked.get('version'))}",
            hint="use the vfioctl that the plugin runs with",
        )
    if not isinstance(command, str) or command not in COMMANDS or not isinstance(subject, str):
        raise UsageError(f"no such request: {shown(command)}", hint=f"one of {' '.join(COMMANDS)}")
    if (command in _WITH_SUBJECT) != bool(subject):
        raise UsageError(f"{command} is about a device, or about none", hint="name one: 0000:65:00.0")
    return Request(command, subject)


def encode_result(result: Result) -> bytes:
    """Return a result as a line; a long list in it is encoded piece by piece.

    Nothing else runs while one piece is encoded, whichever thread does it.
    """
    pairs = ", ".join(f"{json.dumps(key)}: {_pieces(value)}" for key, value in result.items())
    return f'{{"version": {VERSION}, "result": {{{pairs}}}}}\n'.encode()


def _pieces(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(json.dumps, value))}]"
    return json.dumps(value)


def encode_error(error: VfioctlError) -> bytes:
    """Return an error as a line."""
    return _line(error={"code": error.code, "message": error.message, "hint": error.hint})


def decode_answer(line: bytes) -> Result:
    """Read an answer.

    Raises:
        VfioctlError: it is an error, which is raised as what it was; or it is no answer.

    """
    answer = _object(line)
    error, result = answer.get("error"), answer.get("result")
    if isinstance(error, dict):
        kind = _KINDS.get(str(error.get("code")), VfioctlError)
        raise kind(str(error.get("message")), hint=str(error.get("hint")))
    if not isinstance(result, dict):
        raise VfioctlError(f"the plugin answered nonsense: {line[:80]!r}", hint="see its log")
    return result


def _line(**members: object) -> bytes:
    return json.dumps({"version": VERSION, **members}).encode() + b"\n"


def _object(line: bytes) -> dict[str, object]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageError(f"that is no JSON object on one line: {line[:80]!r}", hint="see: vfioctl plugin -h")
    return found
