"""What can keep the lab from running at all."""

from __future__ import annotations


class LabUnavailableError(Exception):
    """This machine cannot run the lab; the message names what is missing."""
