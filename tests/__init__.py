"""The tests of vfioctl; the folders mirror the package."""

from __future__ import annotations
