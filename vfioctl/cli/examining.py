"""From what was asked for to what a checkup found: read the host, its files, what is stored; then judge."""

from __future__ import annotations

import time

from vfioctl.checkup.check import Drifted, Evidence, Kept, Patient, User, Wanted
from vfioctl.checkup.examine import concerned, examine
from vfioctl.errors import UsageError, VfioctlError
from vfioctl.model.persisted import MEDIATED, SPLITS
from vfioctl.model.value import NamedTuple
from vfioctl.sysfs.drivers import read_drivers
from vfioctl.sysfs.facts import read_facts
from vfioctl.sysfs.reader import read_host
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vfioctl.checkup.check import Check
    from vfioctl.checkup.topics import Topic
    from vfioctl.cli.session import Session
    from vfioctl.model.device import PciDevice
    from vfioctl.model.facts import Facts
    from vfioctl.model.host import Host
    from vfioctl.model.persisted import Persisted
    from vfioctl.model.selector import Selector
    from vfioctl.sysfs.root import HostRoot


class Asked(NamedTuple):
    """What was typed behind ``doctor``."""

    selectors: tuple[Selector, ...]
    topics: tuple[Topic, ...]
    memory: int | None = None
    user: str | None = None
    watch: float = 0.0
    """How many seconds error counters are watched."""


def checkup(session: Session, asked: Asked) -> tuple[Check, ...]:
    """Read a host and judge it.

    Raises:
        NotFoundError: no selector matches anything.
        UsageError: the root is no host, or there is no such user.

    """
    with session.opened() as root:
        host = read_host(root)
        named = _named(session, host, asked)
        user = _user(root, asked.user) if asked.user is not None else None
        # Which devices are meant for VFIO is in these files, and their own files are read after that.
        facts = read_facts(root, host)
        devices = named or concerned(host, facts)
        facts = _with_devices(root, host, facts, devices, asked.watch)
        wanted = Wanted(devices, bool(asked.selectors), asked.memory, user)
        patient = Patient(host, read_drivers(root), facts, wanted, _kept(root, host))
    if not devices and any(topic.of_devices for topic in asked.topics):
        session.note("no device is on a VFIO driver or meant for one: name devices to have them checked")
    if asked.watch and not root.live:
        session.note("a recorded host does not go on: its error counters are what they were")
    return examine(patient, asked.topics)


def _named(session: Session, host: Host, asked: Asked) -> tuple[PciDevice, ...]:
    if not asked.selectors:
        return ()
    from vfioctl.cli.selection import selected

    found = selected(session, host, asked.selectors)
    endpoints = tuple(device for device in found if not device.is_bridge)
    return endpoints or found


def _with_devices(
    root: HostRoot, host: Host, facts: Facts, devices: tuple[PciDevice, ...], watch: float
) -> Facts:
    pause: Callable[[], None] | None = (lambda: time.sleep(watch)) if watch and root.live else None
    return read_facts(root, host, devices, pause=pause) if devices else facts


def _user(root: HostRoot, name: str) -> User:
    """Look a user up on this machine; another machine's users are known by number only.

    Raises:
        UsageError: there is none of that name.

    """
    if not root.live:
        return User(name, int(name) if name.isdecimal() else (0 if name == "root" else None))
    import grp
    import os
    import pwd

    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise UsageError(
            f"there is no user {name} here", hint="libvirt runs VMs as libvirt-qemu (Debian) or qemu (Fedora)"
        ) from None
    gids = frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
    groups = frozenset(one.gr_name for one in grp.getgrall() if one.gr_gid in gids)
    return User(entry.pw_name, entry.pw_uid, groups, gids)


def _kept(root: HostRoot, host: Host) -> Kept:
    """Hold what is stored against the host."""
    from vfioctl.plan.drift import find_conflicts, find_drift
    from vfioctl.sysfs.persisted import read_persisted

    try:
        persisted = read_persisted(root)
    except VfioctlError as problem:
        return Kept(0, doubt=problem.message)

    def found() -> Iterator[Drifted]:
        for one in find_drift(host, persisted):
            # A snapshot has what is stored, and not what was generated from it.
            if root.live or one.kind != "files":
                yield Drifted(one.address, one.message, one.hint)
        for conflict in find_conflicts(host, persisted) if persisted.stored else ():
            remedy = f"take it out of {conflict.foreign.file}, or: vfioctl persist remove"
            yield Drifted(conflict.address, conflict.message, remedy, conflict.foreign.file)

    return Kept(len(persisted.stored), tuple(found()), made=tuple(_made(persisted)))


def _made(persisted: Persisted) -> Iterator[Evidence]:
    """Yield the folders of what is made at every boot."""
    for folder, names in (
        (SPLITS, [str(one.address) for one in persisted.splits]),
        (MEDIATED, [one.uuid for one in persisted.mediated]),
    ):
        if names:
            yield Evidence(folder, " ".join(f"{name}.toml" for name in names))
