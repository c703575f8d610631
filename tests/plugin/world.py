"""A host, a kubelet and the plugin's pure core in simulated time: no sockets, a clock that is told."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from tests.plugin.factory import config, given, machine, seeing
from vfioctl.plugin.arbiter import arbitrate
from vfioctl.plugin.claims import HOLD_OFF, SETTLE, Owner, next_question
from vfioctl.plugin.decisions import Decisions, View
from vfioctl.plugin.farewells import follow_up
from vfioctl.plugin.keeper import Keeper
from vfioctl.plugin.ownership import State
from vfioctl.plugin.settings import SharedGroup
from vfioctl.plugin.specs import PodSpec, Wants
from vfioctl.plugin.values import Denied
from vfioctl.sysfs.openers import Opener

if TYPE_CHECKING:
    from random import Random

    from vfioctl.plugin.claims import Key, Ledger
    from vfioctl.plugin.values import Item, Offer

HOSTS = {
    "cards": {"01:00.0": 1, "01:00.1": 1, "02:00.0": 2, "02:00.1": 2},
    "one group": {f"0{bus}:00.0": 7 for bus in range(1, 7)},
    "mixed": {"01:00.0": 1, "01:00.1": 1, "02:00.0": 2, "03:00.0": 3, "03:00.1": 3, "03:00.2": 3},
}
"""Devices and their IOMMU groups."""


def configurations(devices: dict[str, int]) -> tuple[str, ...]:
    """Return the tables of each configuration that is switched between, for a host."""
    gpus = [f'"{name}"' for name in devices if name.endswith(".0")]
    others = [f'"{name}"' for name in devices if not name.endswith(".0")]
    half = len(gpus) // 2
    if not others:
        gpus, others = gpus[:half], gpus[half:]

    def tables(mode: str, unit: str = "device") -> str:
        each = ((("gpu"), gpus), ("audio", others))
        return "\n--\n".join(
            f'name = "v.io/{name}"\nselect = [{", ".join(names)}]\nshared_group = "{mode}"\nunit = "{unit}"'
            for name, names in each
        )

    return tables("same-pod"), tables("exclusive"), tables("refuse")


class Held(NamedTuple):
    """What a container was given, and when."""

    pod: str
    resource: str
    id: str
    group: int
    at: float


class World:
    """Everything outside the core, and the core."""

    def __init__(self, name: str, folder: str, random: Random, *, streams: bool = False) -> None:
        """Start a plugin on one of the hosts, with all its devices on vfio-pci.

        The kubelet may stream its pods, so that their specs are known before they ask.
        """
        self.streams = streams
        self.wants: dict[str, dict[str, int]] = {}
        self.random = random
        self.now = 1000.0
        self.groups = {f"0000:{address}": group for address, group in HOSTS[name].items()}
        self.configs = [config(*text.split("\n--\n")) for text in configurations(HOSTS[name])]
        self.chosen = 0
        self.views: dict[object, View] = {}
        self.absent: set[str] = set()
        self.with_host: set[str] = set()
        self.pods: dict[str, bool] = {}
        """Whether each pod lives; a pod that has ended goes when the kubelet is asked next."""
        self.held: list[Held] = []
        self.open: dict[int, tuple[str | None, int]] = {}
        """Who has a group open: a pod's process, or a stranger's, and its pid."""
        self.ended: float | None = None
        """When a process that had a group open ended."""
        self.amnesia = 0.0
        """Until when the kubelet does not know its pods."""
        self.names = (f"p{number}" for number in itertools.count())
        self.pids = itertools.count(100)
        self.path = f"{folder}/claims.json"
        self.published: dict[str, Offer] = {}
        self.view: dict[str, Offer] = {}
        """What the kubelet has received: later than what was published, or the same."""
        self.last_poll = 0.0
        self.last_told = 0.0
        """When the kubelet last told of its pods."""
        self.denied: list[str] = []
        self.start()

    # The plugin's life

    def start(self) -> None:
        """Start the plugin, as after SIGKILL: it has its file, and asks the kubelet at once."""
        keeper = Keeper(self.path, "boot", lambda: self.now)
        self.plugin = Decisions(self.configs[self.chosen], keeper=keeper)
        self.tell()
        self.look()
        self.deliver()

    def reload(self, chosen: int) -> None:
        """Take over another configuration."""
        self.chosen = chosen
        self.plugin = Decisions(self.configs[chosen], self.plugin)
        self.look()

    def look(self) -> None:
        """Look at the host twice, so that soft reasons count."""
        view = self._view()
        for _ in range(2):
            self.judged, unsettled = self.plugin.judge(view)
            if not unsettled:
                break
        self.publish()

    def _view(self) -> View:
        key = frozenset(self.absent), frozenset(self.with_host)
        if key not in self.views:
            devices = [
                given(name, group, driver="ahci" if name in self.with_host else "vfio-pci")
                for name, group in self.groups.items()
                if name not in self.absent
            ]
            self.views[key] = View(machine(*devices), seeing())
        return self.views[key]

    def publish(self) -> None:
        """Publish what follows now, which is what would follow if nothing had been decided before."""
        offers = self.plugin.arbitrate(self.judged)
        afresh = arbitrate(self.plugin.keeper.ledger, self.judged, self._modes(), self.now)
        assert (offers, self.plugin.again) == afresh, f"{offers} {self.plugin.again} not {afresh} {self.now}"
        self.published = {offer.resource: offer for offer in offers}

    def _modes(self) -> dict[str, SharedGroup]:
        return {one.name: one.shared_group for one in self.configs[self.chosen].resources}

    def poll(self) -> None:
        """Ask the kubelet and look for open nodes, as `vfioctl.plugin.minding` does."""
        keeper = self.plugin.keeper
        keeper.opened(tuple(Opener(group, pid, "qemu") for group, (_, pid) in self.open.items()), self.now)
        for _ in keeper.observing(self.listed(), self.now):
            pass
        for claim in keeper.due():
            keeper.end(claim)
        self.last_poll = self.now
        if self.now >= self.amnesia:
            self.last_told = self.now
        self.publish()

    # The kubelet's side

    def listed(self) -> dict[Key, Owner]:
        """Return what PodResources says, which also frees what ended pods had."""
        self.free()
        if self.now < self.amnesia:
            return {}
        return {(held.resource, held.id): Owner("ns", held.pod, "main") for held in self.held}

    def free(self) -> None:
        """Forget the pods that have ended."""
        self.held = [held for held in self.held if self.pods[held.pod]]

    def tell(self) -> None:
        """Stream the pods that live, where the kubelet does."""
        if self.streams:
            self.plugin.keeper.told(
                tuple(
                    PodSpec(f"uid-{pod}", ("ns", pod), tuple(sorted(self.wants[pod].items())))
                    for pod in self.living()
                )
            )
            if self.published:
                self.publish()

    def deliver(self) -> None:
        """Let the list arrive."""
        self.view = dict(self.published)

    def admit(self, wants: dict[str, int], pauses: list[float]) -> str | None:
        """Admit a pod: Allocate for each of its resources; return its name, or None where it was rejected."""
        self.free()
        pod = next(self.names)
        self.pods[pod] = True
        self.wants[pod] = wants
        self.tell()
        order = list(wants)
        self.random.shuffle(order)
        for resource, pause in zip(order, pauses, strict=False):
            if not self.allocate(pod, resource, wants[resource]):
                self.pods[pod] = False
                self.free()
                self.tell()
                return None
            self.pass_time(pause)
        return pod

    def allocate(self, pod: str, resource: str, count: int) -> bool:
        """Let the kubelet choose among what it takes for healthy and free, and ask."""
        offer = self.view.get(resource)
        taken = {(held.resource, held.id) for held in self.held}
        free = [
            item
            for item in (offer.items if offer else ())
            if item.reason is None and (resource, item.id) not in taken
        ]
        if len(free) < count:
            return False
        names = tuple(item.id for item in free)
        current = self.published.get(resource)
        if current is None:
            return False
        preferred = self.plugin.prefer(current, names, (), count)
        chosen = names[:count] if isinstance(preferred, Denied) else preferred
        self.now += 1e-6  # No two calls come in one instant.
        before = self.plugin.keeper.ledger
        answer = self.plugin.allocate(current, tuple(sorted(chosen)))
        if isinstance(answer, Denied):
            self.denied.append(answer.message)
            return False
        mode = self.configs[self.chosen].resource(resource)
        alone = mode is None or mode.shared_group is not SharedGroup.SAME_POD
        for one in chosen:
            self.held.append(Held(pod, resource, one, self.groups[one], self.now))
        self.publish()
        self.check_grant(pod, chosen, before, alone=alone)
        return True

    def check_grant(self, pod: str, ids: tuple[str, ...], before: Ledger, *, alone: bool) -> None:
        """Hold (a): a grant beside another pod's is one within the window, where no rule forbids it."""
        for one in ids:
            for other in self.others(pod, self.groups[one]):
                inside = self.now < other.at + SETTLE
                assert inside, (
                    f"{one} was given to {pod} beside {other}, {self.now - other.at:.1f} s later: {before}"
                )
                assert not alone, f"{one} was given to {pod} beside {other}"
                claim = before.claim((other.resource, other.id))
                told = claim is not None and Wants(before.specs, ()).pod_of(claim) == ("ns", other.pod)
                assert not (told and self.streams), f"{one} was given to {pod}, known not to be {other}"

    def others(self, pod: str, group: int) -> list[Held]:
        """Return what other living pods have of a group."""
        return [held for held in self.held if held.group == group and held.pod != pod and self.pods[held.pod]]

    def pass_time(self, seconds: float) -> None:
        """Let time pass; the plugin asks every few seconds while there is reason to."""
        end = self.now + seconds
        while self.now < end:
            question = self._next_question()
            moments = [when for when in (question, self.plugin.again) if when is not None]
            self.now = max(self.now, min([end, *moments]))
            if question is not None and self.now >= question:
                self.poll()
            self.publish()

    def _next_question(self) -> float | None:
        ledger = self.plugin.keeper.ledger
        reasons = (next_question(ledger, self.last_poll), follow_up(ledger, self.ended, self.last_poll))
        return min((when for when in reasons if when is not None), default=None)

    # What happens to pods and devices

    def open_group(self, pod: str | None, group: int) -> None:
        """Open a group, which the kernel gives to one process only (K28)."""
        if group not in self.open:
            self.open[group] = pod, next(self.pids)

    def close_group(self, group: int) -> None:
        """End the process that has a group open."""
        del self.open[group]
        self.ended = self.now

    def end(self, pod: str, *, leaking: bool) -> None:
        """End a pod; a process of it may outlive it."""
        self.pods[pod] = False
        self.tell()
        for group in [group for group, who in self.open.items() if who[0] == pod and not leaking]:
            self.close_group(group)

    def living(self) -> list[str]:
        """Return the pods that run."""
        return [pod for pod, lives in self.pods.items() if lives]

    def owned(self) -> set[tuple[str, str, State, str | None]]:
        """Return what somebody owns, and who."""
        rows = self.plugin.table()
        return {(row.resource, row.id, row.state, row.owner) for row in rows if row.state is not State.FREE}

    # What must hold

    def items(self) -> list[Item]:
        """Return every item that is published."""
        return [item for offer in self.published.values() for item in offer.items]

    def check(self) -> None:
        """Hold what must hold at every moment."""
        living = [held for held in self.held if self.pods[held.pod]]
        keys = {(held.resource, held.id) for held in living}
        ledger = self.plugin.keeper.ledger
        for item in self.items():
            if (item.resource, item.id) in keys:
                assert item.reason != "group-in-use", f"(d) {item.id} is a living pod's"
            elif item.reason is None and not ledger.quiet(self.now) and not self._lost_race(item):
                answer = self._would_allocate(item)
                assert not isinstance(answer, Denied), (
                    f"(b) {item.id} is healthy, and {answer.message}\n{ledger}\n{self.held} {self.now}"
                )
        self._check_conflicts(living)

    def _lost_race(self, item: Item) -> bool:
        """Tell whether a pod just ended that had it beside another pod, or while the kubelet cannot tell."""
        ledger = self.plugin.keeper.ledger
        returning = ledger.renewed is not None and self.now < ledger.renewed + HOLD_OFF
        if ledger.claim((item.resource, item.id)) is None:
            return False
        group = self.groups[item.id]
        holders = {
            claim.owner.of_pod if claim.owner else (claim.resource, claim.since)
            for claim in ledger.claims
            if group in claim.groups
        }
        return returning or len(holders) > 1

    def _would_allocate(self, item: Item) -> object:
        asked = Keeper(None, "", lambda: self.now)
        asked.ledger = self.plugin.keeper.ledger
        kept, self.plugin.keeper = self.plugin.keeper, asked
        try:
            return self.plugin.allocate(self.published[item.resource], (item.id,))
        finally:
            self.plugin.keeper = kept

    def _check_conflicts(self, living: list[Held]) -> None:
        """Hold (a): two pods in one group are reported, once the kubelet was asked."""
        reported = {row.note for row in self.plugin.table() if row.note}
        by_group: dict[int, set[str]] = {}
        for held in living:
            if held.at < self.last_told:
                by_group.setdefault(held.group, set()).add(held.pod)
        for group, pods in by_group.items():
            if len(pods) > 1 and self.plugin.keeper.ledger.answered:
                said = [note for note in reported if f"IOMMU group {group} is" in note]
                assert said, f"(a) {pods} have group {group}, and nobody says so: {reported}"

    def finish(self) -> None:
        """End everything, put everything back, and hold (c) and (e): all of it is offered and healthy."""
        self.pods = dict.fromkeys(self.pods, False)
        self.tell()
        self.open.clear()
        self.absent.clear()
        self.with_host.clear()
        self.look()
        self.pass_time(HOLD_OFF + 25.0)
        self.look()
        expected = 0 if self.chosen == 2 else len(self.groups)
        if self.chosen == 2:
            sizes = list(self.groups.values())
            expected = sum(sizes.count(group) == 1 for group in sizes)
        assert not self.plugin.keeper.ledger.claims, f"(c) {self.plugin.keeper.ledger.claims}"
        assert len(self.items()) == expected, f"(e) {self.items()}"
        assert all(item.reason is None for item in self.items()), f"(c) {self.items()}"
