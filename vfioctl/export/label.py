"""Names as Kubernetes takes them."""

from __future__ import annotations

LONGEST = 63


def label(text: str, suffix: str = "") -> str:
    """Return a text as a DNS label: lower-case letters, digits and dashes; empty where nothing is left.

    The suffix stands at its end whatever is cut.
    """
    letters = (letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower())
    return "".join(letters).lstrip("-")[: LONGEST - len(suffix)].rstrip("-") + suffix
