"""KVM or software emulation: told by booting a kernel with KVM, not by a node that happens to exist."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab import machine

if TYPE_CHECKING:
    from tests.lab.ingredients import Cache
    from tests.lab.machine import Plan

PROBE_DEADLINE: Final = 40.0
"""Seconds in which a guest with working KVM is up many times over."""
KVM: Final = "kvm"
TCG: Final = "tcg"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def choose(plan: Plan, cache: Cache) -> str:
    """Give `kvm` if a guest came up with it on this boot of the machine, else `tcg`; the verdict is kept."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    verdict = cache.folder / "accelerator"
    boot_id = BOOT_ID.read_text(encoding="ascii").strip()
    if verdict.exists():
        known, _, accelerator = verdict.read_text(encoding="ascii").partition(" ")
        if known == boot_id:
            return accelerator
    ending = machine.run(plan._replace(accelerator=KVM), cache, ready_deadline=PROBE_DEADLINE)
    accelerator = KVM if ending.progress.release else TCG
    verdict.write_text(f"{boot_id} {accelerator}", encoding="ascii")
    return accelerator
