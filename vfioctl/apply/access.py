"""The way to the kernel is opened, and looked down before anything is written."""

from __future__ import annotations

from errno import EACCES, EPERM, EROFS

from vfioctl.apply.asking import TURN, ask_around, ask_each
from vfioctl.apply.port import OpenToWrite, ReadText
from vfioctl.errors import NotPermittedError, VfioctlError
from vfioctl.lean import contextmanager
from vfioctl.sysfs import root as paths
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.apply.asking import Answers
    from vfioctl.apply.port import Port

_PROBE = f"{paths.PCI_BUS}/drivers_probe"


@contextmanager
def opened(port: Port | None, state: str) -> Iterator[Port]:
    """Open the port to the running kernel, unless there is one already; it is closed in the end."""
    if port is None:
        from vfioctl.apply.crew import Crew

        port = Crew(state)
    try:
        yield port
    finally:
        port.close()


def check_writable(port: Port) -> None:
    """Make sure that sysfs can be written, by opening what every change could need.

    Raises:
        NotPermittedError: it cannot.

    """
    answers = ask_around(port, (OpenToWrite(_PROBE),))
    may = answers[0] if answers else None
    if may is not None and may.errno in {EACCES, EPERM, EROFS}:
        how = "is read-only, as in a container" if may.errno == EROFS else "may not be written"
        raise NotPermittedError(
            f"{_PROBE} {how}", hint="run it as root, on the host itself and not in a container"
        )


def read_boot_id(port: Port) -> str:
    """Read which boot this is.

    Raises:
        VfioctlError: it cannot be told; what a journal says could then be of any.

    """
    answers = ask_around(port, (ReadText(paths.BOOT_ID),))
    if answers is None:
        raise VfioctlError(
            f"cannot read {paths.BOOT_ID}: no answer in {TURN:g} s", hint="see what keeps the host busy: top"
        )
    boot_id = _text_of(answers)
    if not boot_id:
        raise VfioctlError(f"cannot read {paths.BOOT_ID}", hint="see whether /proc is mounted")
    return boot_id


def read_texts(port: Port, texts: Sequence[str]) -> list[str | None]:
    """Read attributes, in their order; None for what cannot be read."""
    answers = ask_each(port, [(ReadText(path),) for path in texts])
    return [_text_of(answer) for answer in answers]


def _text_of(answers: Answers) -> str | None:
    # What could not be read has a text too: the kernel's word for why.
    return None if answers is None or answers[0].errno is not None else answers[0].text
