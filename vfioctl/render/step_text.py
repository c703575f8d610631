"""A step as an administrator could type it."""

from __future__ import annotations

from vfioctl.plan.steps import (
    AwaitVfs,
    BindDriver,
    CreateMdev,
    LoadModule,
    OwnNode,
    ProbeDrivers,
    RemoveMdev,
    SetAutoprobe,
    SetOverride,
    SetVfs,
    UnbindDriver,
)
from vfioctl.typed import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.plan.steps import Step


def typed(step: Step) -> Iterator[str]:
    """Yield the shell commands that would do what a step does."""
    match step:
        case LoadModule(module=module):
            yield f"modprobe {_quoted(module)}"
        case SetOverride(override=None):
            # Nothing after echo: the line break alone is what clears it (K8).
            yield f"echo > {_quoted(step.path)}"
        case OwnNode():
            yield from _owning(step)
        case AwaitVfs():
            yield f"until test -e {_quoted(step.path)}; do sleep 0.1; done; udevadm settle"
        case (
            SetOverride()
            | UnbindDriver()
            | BindDriver()
            | ProbeDrivers()
            | SetAutoprobe()
            | SetVfs()
            | CreateMdev()
            | RemoveMdev()
        ):
            yield f"echo {_quoted(step.value)} > {_quoted(step.path)}"
        case _:
            assert_never(step)


def _owning(step: OwnNode) -> Iterator[str]:
    owner = ("" if step.uid is None else str(step.uid)) + ("" if step.gid is None else f":{step.gid}")
    if owner:
        yield f"chown {owner} {step.path}"
    if step.mode is not None:
        yield f"chmod {step.mode:04o} {step.path}"


def _quoted(word: str) -> str:
    """Quote what a shell would take apart: names of drivers may have blanks and brackets."""
    from shlex import quote

    return quote(word)
