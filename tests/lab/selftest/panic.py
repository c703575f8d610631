"""A guest whose kernel panics."""

from __future__ import annotations

from pathlib import Path


def test_crashing_the_kernel() -> None:
    """SysRq c dereferences a null pointer."""
    Path("/proc/sys/kernel/sysrq").write_text("1")
    Path("/proc/sysrq-trigger").write_text("c")
