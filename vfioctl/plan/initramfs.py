"""What to put into the initramfs for devices that a driver in it would take first (K54).

Only said, never done: an initramfs that does not start is not for a program to make.
"""

from __future__ import annotations

from vfioctl.model.persisted import MODULES, RULES
from vfioctl.model.value import NamedTuple
from vfioctl.plan.persist import modules_of
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.model.persisted import Stored

_EARLY = ("01", "02", "03", "0c03")
"""Classes whose drivers an initramfs may hold: disks, NICs (for a root on the network), displays, USB."""

TOOLS = ("initramfs-tools", "dracut", "mkinitcpio")
"""The programs that distributions make an initramfs with."""

_HOOK = """#!/bin/sh
[ "$1" = prereqs ] && {{ echo udev; exit 0; }}
. /usr/share/initramfs-tools/hook-functions
{modules}
mkdir -p "$DESTDIR/etc/udev/rules.d"
cp {rules} "$DESTDIR/etc/udev/rules.d/"
"""


class Instruction(NamedTuple):
    """What to do with one of the programs: write this file, then run that."""

    tool: str
    file: str
    text: str
    mode: int
    commands: tuple[str, ...]


def early(stored: Iterable[Stored]) -> tuple[Stored, ...]:
    """Return the devices of which a driver in the initramfs could take hold before any rule is read."""
    return tuple(one for one in stored if f"{one.class_code:06x}".startswith(_EARLY))


def instructions(stored: Iterable[Stored], tools: Iterable[str]) -> tuple[Instruction, ...]:
    """Return what to do with these programs, or with every one where none is known.

    Nothing, where no device is early.
    """
    stored = tuple(stored)
    if not early(stored):
        return ()
    modules = modules_of(stored)
    return tuple(_for_tool(tool, modules) for tool in tuple(tools) or TOOLS)


def after_removal(left: Iterable[Stored], tools: Iterable[str]) -> tuple[str, ...]:
    """Return the commands that take what was removed out of the initramfs, where something is left in it."""
    found = [_for_tool(tool, ()) for tool in tuple(tools) or TOOLS]
    if early(left):
        return tuple(one.commands[-1] for one in found)
    return tuple(f"rm -f {one.file} && {one.commands[-1]}" for one in found)


def _for_tool(tool: str, modules: tuple[str, ...]) -> Instruction:
    words = " ".join(modules)
    if tool == "dracut":
        file = "/etc/dracut.conf.d/vfioctl.conf"
        files = f"{RULES} {MODULES}" if modules else RULES
        text = f'force_drivers+=" {words} "\ninstall_items+=" {files} "\n'
        return Instruction(tool, file, text, 0o644, ("dracut --force --regenerate-all",))
    if tool == "mkinitcpio":
        file = "/etc/mkinitcpio.conf.d/vfioctl.conf"
        text = f"MODULES+=({words})\nFILES+=({RULES})\n"
        return Instruction(tool, file, text, 0o644, ("mkinitcpio -P",))
    file = "/etc/initramfs-tools/hooks/vfioctl"
    # One call for each: what stands behind a module's name are its parameters.
    loads = "\n".join(f"force_load {module}" for module in modules)
    text = _HOOK.format(modules=loads, rules=RULES)
    return Instruction(tool, file, text, 0o755, (f"chmod 0755 {file}", "update-initramfs -u -k all"))
