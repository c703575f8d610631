"""Names as they may be shown: nothing in them reaches a terminal as a command."""

from __future__ import annotations

from vfioctl.lean import cache


@cache
def _table(*, keep: str = "") -> dict[int, str]:
    """Return what is written instead of each character; made when the first of them is met."""
    # Bytes that were not UTF-8 arrive as lone surrogates and are shown as the bytes they were.
    table = {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}
    table |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}
    # C0, DEL and C1 steer a terminal; the other ones reorder or hide what stands around them.
    table |= {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
    hidden = (0x061C, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
    table |= {code: f"\\u{code:04x}" for code in hidden}
    return {code: text for code, text in table.items() if chr(code) not in keep}


def visible(text: str) -> str:
    r"""Return a text with control characters and invisible ones written as ``\xNN`` or ``\uNNNN``."""
    return text if text.isprintable() else text.translate(_table())


def visible_block(text: str) -> str:
    """Do the same, and keep the line breaks."""
    return text if text.isprintable() else text.translate(_table(keep="\n"))
