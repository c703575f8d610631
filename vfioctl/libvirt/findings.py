"""What speaks against an XML: errors that libvirt or the kernel would raise later, and things to know."""

from __future__ import annotations

from vfioctl.errors import HostCannotError, UsageError
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from vfioctl.errors import VfioctlError

    Severity = Literal["refuse", "warn", "note"]


class Finding(NamedTuple):
    """One finding about a device, or about a whole domain (then the subject is None)."""

    check: str
    """The rule's number, ``X5``, or a word."""
    severity: Severity
    subject: str | None
    message: str
    hint: str = ""
    kind: type[VfioctlError] = UsageError
    """What it is as an error, where it refuses."""

    def __str__(self) -> str:
        """Say it as it is shown."""
        return f"{self.subject}: {self.message}" if self.subject else self.message


def wrong(check: str, subject: str | None, message: str, hint: str) -> Finding:
    """Refuse what was asked for."""
    return Finding(check, "refuse", subject, message, hint)


def impossible(check: str, subject: str | None, message: str, hint: str) -> Finding:
    """Refuse what this host or this device cannot do."""
    return Finding(check, "refuse", subject, message, hint, HostCannotError)


def warning(check: str, subject: str | None, message: str, hint: str = "") -> Finding:
    """Let it pass, and say what will happen."""
    return Finding(check, "warn", subject, message, hint)


def raise_refused(findings: Iterable[Finding]) -> None:
    """Raise the refusals among findings as one error: the kind and hint of the first, the text of all."""
    refused = [finding for finding in findings if finding.severity == "refuse"]
    if refused:
        message = "\n".join(dict.fromkeys(map(str, refused)))
        raise refused[0].kind(message, hint=refused[0].hint)
