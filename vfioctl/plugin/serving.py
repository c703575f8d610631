"""The way in: one process that serves every resource until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal

from vfioctl.model.value import NamedTuple
from vfioctl.plugin.binding import AtStart, Binding
from vfioctl.plugin.collecting import leave_alone
from vfioctl.plugin.cordons import FILE as CORDONS
from vfioctl.plugin.cordons import load_cordons
from vfioctl.plugin.decisions import Decisions
from vfioctl.plugin.keeper import Keeper
from vfioctl.plugin.lock import PATH, only_one
from vfioctl.plugin.manager import ServiceManager
from vfioctl.plugin.notify import Notifier
from vfioctl.plugin.ownership import part
from vfioctl.plugin.protocol import PATH as ADMIN
from vfioctl.plugin.reading import Reading
from vfioctl.plugin.release import Release
from vfioctl.plugin.reservations import FILE as CLAIMS
from vfioctl.plugin.reservations import boot_id
from vfioctl.plugin.surveying import OpenNodes, Survey
from vfioctl.plugin.trust import refuse_unsafe
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vfioctl.plugin.hands import Hands
    from vfioctl.plugin.naming import Names
    from vfioctl.plugin.news import Report
    from vfioctl.plugin.settings import Config
    from vfioctl.plugin.supervisor import Supervisor, Times

NODES = ("/dev/vfio", "/dev/vfio/devices")
"""Where VFIO's nodes come and go."""


class _Manner(NamedTuple):
    """How this host is served."""

    notifier: Notifier
    admin: str
    changes: Callable[[], AsyncIterator[Report]] | None
    times: Times | None
    drain: bool
    hands: Hands | None
    names: Names | None


def serve(  # noqa: PLR0913 - what cli hands in, by keyword
    scan: Callable[..., object],
    load: Callable[[], Config],
    changes: Callable[[], AsyncIterator[Report]] | None = None,
    *,
    manager: ServiceManager | None = None,
    lock: str = PATH,
    times: Times | None = None,
    drain: bool = False,
    admin: str = ADMIN,
    names: Names | None = None,
    hands: Hands | None = None,
) -> None:
    """Serve until SIGTERM; SIGHUP has the configuration read again.

    ``scan`` looks at the host, in another process: see `vfioctl.plugin.reading.Reading`; ``load`` reads the
    configuration; ``changes`` begins to listen for what the kernel reports; ``manager`` is told how it goes.
    With ``drain``
    kubelets are told in the end that nothing is offered any more. ``admin`` is where it answers questions;
    ``names`` has container runtimes know what is handed out by name; ``hands`` change drivers. What is
    allocated is kept beside the lock.

    Raises:
        LockedError: another one serves.
        UsageError: the configuration is wrong.
        NotPermittedError: this user may not.
        KeyboardInterrupt: it was ended from the terminal; all is closed.

    """
    manner = _Manner(
        Notifier(manager or ServiceManager({})), admin, changes, times, drain=drain, hands=hands, names=names
    )
    with only_one(lock):
        interrupted = _serve_alone(scan, load, manner, f"{os.path.dirname(lock)}/{CLAIMS}")  # noqa: PTH120 - of a text
    if interrupted:
        raise KeyboardInterrupt


def _serve_alone(scan: Callable[..., object], load: Callable[[], Config], manner: _Manner, kept: str) -> bool:
    config = refuse_unsafe(load())
    # Before gRPC is loaded, so that its start and the reader's overlap.
    reading = Reading(scan)
    try:
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        # No child of ours speaks gRPC, and what it does at a fork disturbs both sides.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
        keeper = Keeper(kept, boot_id())
        binding = Binding(keeper, manner.hands)
        decisions = Decisions(config, names=manner.names, keeper=keeper, binding=binding)
        return asyncio.run(_serve(reading, decisions, load, manner))
    finally:
        reading.close()


async def _serve(
    reading: Reading,
    decisions: Decisions,
    load: Callable[[], Config],
    manner: _Manner,
) -> bool:
    from vfioctl.plugin.admin import Admin
    from vfioctl.plugin.attendants import attended
    from vfioctl.plugin.minding import Minder
    from vfioctl.plugin.pages import keep_listening
    from vfioctl.plugin.steering import Steering
    from vfioctl.plugin.supervisor import Supervisor

    def load_after(before: object) -> Decisions:
        return Decisions(refuse_unsafe(load()), before if isinstance(before, Decisions) else decisions)

    def rules() -> Decisions:
        return rules_of(supervisor)

    cordons = f"{os.path.dirname(manner.admin)}/{CORDONS}"  # noqa: PTH120 - of a text
    decisions.cordoned = load_cordons(cordons)
    supervisor = Supervisor(
        Survey(reading, rules, manner.hands),
        decisions,
        load_after,
        manner.changes() if manner.changes is not None else None,
        manner.times,
        doors=NODES,
    )
    interrupted = _obey(supervisor, manner.notifier)
    keeper, nodes = decisions.keeper, OpenNodes()
    keeper.counts = supervisor.counts
    minder = Minder(keeper, supervisor, nodes.look, Release(keeper, lambda: rules().config, manner.hands))
    supervisor.troubles = minder.troubles
    steering = Steering(supervisor, cordons, [part(lambda: rules().book())])
    async with attended(
        metrics_and_health=keep_listening(supervisor),
        admin_socket=Admin(steering, manner.admin).run(),
        word_to_the_service_manager=manner.notifier.keep_telling(supervisor),
        minding_of_who_owns_what=minder.run(),
        binding_at_the_start=bind_at_start(supervisor, AtStart(manner.hands, supervisor.poke)),
        what_stays=_leave_alone(supervisor),
    ):
        await supervisor.run(drain=manner.drain)
    nodes.close()
    return interrupted.is_set()


async def _leave_alone(supervisor: Supervisor) -> None:
    await supervisor.until_seen()
    leave_alone()


def rules_of(supervisor: Supervisor) -> Decisions:
    """Return the rules that hold, which a reload replaces."""
    rules = supervisor.rules
    if not isinstance(rules, Decisions):
        raise TypeError(rules)
    return rules


async def bind_at_start(supervisor: Supervisor, starting: AtStart) -> None:
    """Bind what a look finds on another driver, if that is to be done at the start."""
    looks, rules = 0, supervisor.rules
    while True:
        await supervisor.changed.until(lambda: supervisor.look.count > looks)  # noqa: B023 - asked before it changes
        if supervisor.rules is not rules:
            rules = supervisor.rules
            starting.again()
        looks = supervisor.look.count
        decisions = rules_of(supervisor)
        await starting.consider(decisions.config, decisions.judged.offers if decisions.judged else ())


def _obey(supervisor: Supervisor, notifier: Notifier) -> asyncio.Event:
    """Let signals end or reload it; the event is set by SIGINT."""
    loop, interrupted = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        notifier.stopping()
        supervisor.stop()

    def interrupt() -> None:
        interrupted.set()
        end()

    def reload() -> None:
        notifier.reloading(supervisor)
        supervisor.reload()

    loop.add_signal_handler(signal.SIGTERM, end)
    loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGHUP, reload)
    return interrupted
