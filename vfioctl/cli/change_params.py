"""The values that changing commands take: drivers, checks, owners, modes and times."""

from __future__ import annotations

import math
import re

import click

from vfioctl.cli.params import Value
from vfioctl.errors import UsageError
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from click.shell_completion import CompletionItem

FORCEABLE = {
    "storage": "disks in use: mounts, LVM, md, LUKS, ZFS",
    "storage-root": "the disk of the host's root, boot files or swap",
    "net": "an interface that carries routes or is part of a bond or bridge",
    "ssh": "the interface this session comes in through",
    "console": "the display of the host's console",
    "gpu-busy": "a GPU that programs have open",
    "input": "the controller of the keyboard or mouse",
    "mdev": "the parent of mediated devices",
}
"""The checks that ``--force`` lifts, and what each looks at."""

_UNFORCEABLE = {
    "vm": "the kernel would take the device away from the running VM; shut the VM down first",
    "vfs": "vfio-pci refuses a device with virtual functions; remove those first",
    "host-cannot": "the kernel itself refuses it",
    "shpchp": "release the bridge with --release-shpchp, or bind with --device-only",
    "viability": "it is a warning already",
    "unknown": "it is a warning already",
    "journal": "finish or undo what was left: vfioctl recover",
}
_MODE = re.compile("[0-7]{3,4}")
_MODES = {"0600": "only the owner", "0660": "owner and group", "0666": "everybody"}
_DRIVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_LONGEST = 86400.0


class Owner(NamedTuple):
    """Who is to own a device node; None leaves as it is."""

    uid: int | None
    gid: int | None


class OwnerType(Value):
    """``USER``, ``USER:GROUP`` or ``:GROUP``, by name or number."""

    name = "owner"

    def convert(
        self, value: str | Owner, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> Owner:
        """Look user and group up; the UsageError it raises passes through to the boundary."""
        if isinstance(value, Owner):
            return value
        user, colon, group = value.partition(":")
        if not (user or group) or (colon and not group):
            raise UsageError(
                f"--owner {value!r} is malformed",
                hint="write USER, USER:GROUP or :GROUP, as names or numbers: --owner qemu:kvm",
            )
        return Owner(_user_id(user) if user else None, _group_id(group) if group else None)

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete users, and groups behind the colon."""
        import grp
        import pwd

        user, colon, group = incomplete.rpartition(":")
        if colon:
            names: Iterable[str] = (entry.gr_name for entry in grp.getgrall())
            return _items((f"{user}:{name}", "") for name in names if name.startswith(group))
        names = (entry.pw_name for entry in pwd.getpwall())
        return _items((name, "") for name in names if name.startswith(incomplete))


def _user_id(user: str) -> int:
    if user.isdecimal():
        return _id_in_range(user)
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise UsageError(
            f"there is no user {user!r}", hint="see: getent passwd; a number works too"
        ) from None


def _group_id(group: str) -> int:
    if group.isdecimal():
        return _id_in_range(group)
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise UsageError(
            f"there is no group {group!r}", hint="see: getent group; a number works too"
        ) from None


def _id_in_range(text: str) -> int:
    # -1, which is the last number of 32 bits, means "leave as it is" to chown.
    if int(text) >= 0xFFFFFFFF:  # noqa: PLR2004 - 32 bits
        raise UsageError(f"{text} is too large for a user or group", hint="ids end at 4294967294")
    return int(text)


class ModeType(Value):
    """The permission bits of a node, in octal digits."""

    name = "mode"

    def convert(self, value: str | int, _param: click.Parameter | None, _ctx: click.Context | None) -> int:
        """Read octal digits; the UsageError it raises passes through to the boundary."""
        if isinstance(value, int):
            return value
        bits = int(value, 8) if _MODE.fullmatch(value) else -1
        if not 0 <= bits <= 0o777:  # noqa: PLR2004 - permission bits
            raise UsageError(
                f"--mode {value!r} is not a mode", hint="write three octal digits, as chmod takes them: 0660"
            )
        return bits

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the usual ones."""
        return _items((mode, text) for mode, text in _MODES.items() if mode.startswith(incomplete))


class DriverType(Value):
    """A driver's or module's name, or ``auto``."""

    name = "driver"

    def convert(self, value: str, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        """Take any name that a driver can have: whether there is one shows when the host is read."""
        if not _DRIVER.fullmatch(value):
            raise UsageError(
                f"--driver {value!r} is no driver's name", hint="see those there are: ls /sys/bus/pci/drivers"
            )
        return value

    def shell_complete(
        self, ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete ``auto``, ``vfio-pci`` and the drivers of this host."""
        from vfioctl.cli.session import Session
        from vfioctl.errors import VfioctlError
        from vfioctl.sysfs.glance import glance_drivers

        offered = {"auto": "the best variant driver, else vfio-pci", "vfio-pci": "the general one"}
        session = ctx.find_object(Session) or Session()
        try:
            with session.opened() as root:
                offered |= {name: offered.get(name, "") for name in glance_drivers(root)}
        except VfioctlError:
            pass  # A TAB is no place for an error message.
        return _items((name, text) for name, text in offered.items() if name.startswith(incomplete))


class CheckType(Value):
    """A safety check that may be lifted."""

    name = "check"

    def convert(self, value: str, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        """Accept a check that may be lifted, and say of the others why not."""
        if value in FORCEABLE:
            return value
        if value in _UNFORCEABLE:
            raise UsageError(
                f"the check {value} cannot be forced: {_UNFORCEABLE[value]}",
                hint=f"checks that can be: {' '.join(FORCEABLE)}",
            )
        from difflib import get_close_matches

        near = get_close_matches(value, FORCEABLE, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"there is no check {value!r}", hint=f"{guess}checks that can be forced: {' '.join(FORCEABLE)}"
        )

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the checks with what they look at."""
        return _items((name, text) for name, text in FORCEABLE.items() if name.startswith(incomplete))


class Seconds(click.FloatRange):
    """A time to wait, in seconds."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - Click's own
        """Read a number of seconds that is one: neither nan nor endless."""
        seconds: float = super().convert(value, param, ctx)
        if not math.isfinite(seconds) or seconds > _LONGEST:
            self.fail(f"{value} is not a time of at most a day", param, ctx)
        return seconds


def _items(values: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(value, help=text) for value, text in dict(values).items()]
