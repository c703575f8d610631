"""Which resource names a kubelet registers."""

from __future__ import annotations

import re

_PREFIX_MOST = 253
_NAME_MOST = 63
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_PREFIX = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def is_extended(name: str) -> bool:
    """Tell whether a kubelet takes this name: an extended resource's that fits behind ``requests.``."""
    if "/" not in name or "kubernetes.io/" in name or name.startswith("requests."):
        return False
    prefix, _, rest = f"requests.{name}".partition("/")
    return (
        len(prefix) <= _PREFIX_MOST
        and len(rest) <= _NAME_MOST
        and _PREFIX.fullmatch(prefix) is not None
        and _NAME.fullmatch(rest) is not None
    )
