"""Hosts composed by hand, one function each; `python -m tests.support.compose` writes their dumps."""

from __future__ import annotations
