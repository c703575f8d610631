"""What several tests need: machines in a few lines, generated machines, and lspci to compare with."""

from __future__ import annotations
