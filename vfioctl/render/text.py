"""Names as they may be shown: nothing in them reaches a terminal as a command."""

from __future__ import annotations

# C0, DEL and C1 steer a terminal; the other ones reorder or hide what stands around them. Bytes that were
# not UTF-8 arrive as lone surrogates and are shown as the bytes they were.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_HIDDEN = {
    code: f"\\u{code:04x}"
    for code in (0x061C, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
}
_BYTES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}
_SURROGATES = {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}
_TABLE = _SURROGATES | _CONTROLS | _HIDDEN | _BYTES
_TABLE_OF_BLOCKS = {code: text for code, text in _TABLE.items() if code != ord("\n")}


def visible(text: str) -> str:
    r"""Return a text with control characters and invisible ones written as ``\xNN`` or ``\uNNNN``."""
    return text if text.isprintable() else text.translate(_TABLE)


def visible_block(text: str) -> str:
    """Do the same, and keep the line breaks."""
    return text if text.isprintable() else text.translate(_TABLE_OF_BLOCKS)
