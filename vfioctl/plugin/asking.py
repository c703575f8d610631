"""Ask the plugin that runs on this host."""

from __future__ import annotations

import socket

from vfioctl.errors import NotFoundError, NotPermittedError, VfioctlError
from vfioctl.plugin.protocol import LARGEST_ANSWER, LONGEST_LOOK, PATH, decode_answer, encode_request
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.plugin.protocol import Request, Result

_CHUNK = 1 << 20


class NotRunningError(NotFoundError):
    """There is no plugin to be asked."""


def ask(request: Request, path: str = PATH, patience: float = LONGEST_LOOK) -> Result:
    """Return the plugin's answer.

    Raises:
        NotRunningError: nobody listens there.
        NotPermittedError: this user may not.
        VfioctlError: it does not answer, or answers with an error.

    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(patience)
            channel.connect(path)
            channel.sendall(encode_request(request))
            return decode_answer(_until_closed(channel))
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise NotRunningError(
            "no serve-plugin runs on this host",
            hint="start it: systemctl start vfioctl-plugin; in a pod, ask there: kubectl exec POD -- ...",
        ) from error
    except PermissionError as error:
        raise NotPermittedError(f"{path} is for root alone", hint="run it as root") from error
    except TimeoutError as error:
        raise VfioctlError(f"the plugin did not answer within {patience:g} s", hint="see its log") from error
    except OSError as error:
        raise VfioctlError(
            f"the plugin could not be asked at {path}: {error.strerror or error}", hint="see its log"
        ) from error


def _until_closed(channel: socket.socket) -> bytes:
    answer = bytearray()
    while len(answer) <= LARGEST_ANSWER:
        more = channel.recv(_CHUNK)
        if not more:
            break
        answer += more
    return bytes(answer)
