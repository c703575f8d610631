"""What pods want, where the kubelet streams them: then a pod's own spec says whose an Allocate is.

An Allocate names no pod. But a kubelet admits one pod after the other, and one that does not get all it wants
is rejected. So a pod that has something, lives, and still wants some of a resource is in the middle of its
admission, and whoever asks for that resource now is it; one that wants no more of it is not who asks. What is
not told, or may be several pods', is left to the window of `vfioctl.plugin.claims.SETTLE`.
"""

from __future__ import annotations

from collections import Counter

from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from vfioctl.plugin.claims import Claim, Key

    PodName: TypeAlias = "tuple[str, str]"
    """Namespace and name, as in `vfioctl.plugin.claims.Owner.of_pod`."""

ADMISSION = 30.0
"""Seconds after which nobody waits for the rest of a pod's Allocate calls: others' may be slow, not stuck."""


class PodSpec(NamedTuple):
    """A pod that lives, and what it wants of each resource."""

    uid: str
    name: PodName
    wants: tuple[tuple[str, int], ...] = ()


class Given(NamedTuple):
    """Whose an Allocate was, before the kubelet lists it."""

    key: Key
    since: float
    pod: PodName


class Specs(NamedTuple):
    """All pods that live and want something, as far as the kubelet tells."""

    pods: tuple[PodSpec, ...] = ()
    given: tuple[Given, ...] = ()

    def noting(self, keys: Sequence[Key], claims: Iterable[Claim], now: float) -> Specs:
        """Return them with whose an Allocate of now was, where that is told; ``claims`` as before it."""
        if not self.pods or not keys:
            return self
        pod = Wants(self, claims, keys).asker(keys[0][0], len(keys))
        if pod is None:
            return self
        known = {(claim.key, claim.since) for claim in claims}
        kept = tuple(one for one in self.given if (one.key, one.since) in known and one.key not in keys)
        return self._replace(given=(*kept, *(Given(key, now, pod) for key in keys)))


class Wants:
    """What each pod has and wants still; made once for many questions."""

    def __init__(self, specs: Specs, claims: Iterable[Claim], asked: Iterable[Key] = ()) -> None:
        """Count what is claimed, but not what is being asked for now."""
        self._given = {(one.key, one.since): one.pod for one in specs.given}
        self._wants = {spec.name: dict(spec.wants) for spec in specs.pods}
        self._has: Counter[tuple[PodName, str]] = Counter()
        asked = frozenset(asked)
        for claim in claims if specs.pods else ():
            pod = self.pod_of(claim)
            if pod is not None and claim.absent is None and claim.key not in asked:
                self._has[pod, claim.resource] += 1

    def pod_of(self, claim: Claim) -> PodName | None:
        """Return whose a claim is: as the kubelet lists it, or as its Allocate told."""
        if claim.owner is not None:
            return claim.owner.of_pod
        return self._given.get((claim.key, claim.since))

    def awaits(self, claim: Claim, resource: str, now: float) -> bool | None:
        """Tell whether the pod of a claim is who asks for a resource now; None: only time can tell."""
        pod = self.pod_of(claim)
        if pod is None or pod not in self._wants:
            return None
        return self._lacks(pod, resource) > 0 and claim.absent is None and now < claim.since + ADMISSION

    def asker(self, resource: str, number: int) -> PodName | None:
        """Return the one pod that can have asked for so many of a resource; None: it may be several."""
        able = [pod for pod in self._wants if self._lacks(pod, resource) >= number]
        # Who has something already is in the middle of its admission: nobody else is admitted meanwhile.
        begun = {pod for pod, _ in self._has}
        able = [pod for pod in able if pod in begun] or able
        return able[0] if len(able) == 1 else None

    def _lacks(self, pod: PodName, resource: str) -> int:
        return self._wants[pod].get(resource, 0) - self._has[pod, resource]


UNTOLD = Specs()
"""Of a kubelet that does not stream its pods."""


def wanted(
    containers: Iterable[Counter[str]], inits: Iterable[tuple[Counter[str], bool]]
) -> tuple[tuple[str, int], ...]:
    """Return what a pod wants in all, given its init containers and whether each stays.

    What one has that does not stay is used again by those after it.
    """
    staying: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for asked, stays in inits:
        most |= staying + asked
        if stays:
            staying += asked
    for asked in containers:
        staying += asked
    return tuple(sorted((staying | most).items()))
