"""What the files must say so that virtual functions and mediated devices are made again at boot.

The kernel keeps neither (K41). A unit of systemd makes them with the same commands as an administrator, once
udev has loaded the drivers of their parents, and before whatever could want them.
"""

from __future__ import annotations

from vfioctl.model.persisted import MEDIATED, SPLITS, UNIT, WANTED, Mediated, Split, card_of
from vfioctl.plan.persist import FileChange, card_values, place_of, toml_text
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.model.persisted import Persisted

_HEAD = "# Written by vfioctl with --persist; changed by vfioctl persist remove, not by hand.\n"
_COMMAND = "persist apply"
KUBELETS = (
    "kubelet.service", "k3s.service", "k3s-agent.service", "rke2-server.service", "rke2-agent.service",
    "k0scontroller.service", "k0sworker.service", "snap.microk8s.daemon-kubelite.service",
)  # fmt: skip
"""The services that kubelets are, or are part of."""
_BEFORE = (
    "network-pre.target", "libvirtd.service", "virtqemud.service", "virtnodedevd.service", *KUBELETS,
    "vfioctl-plugin.service", "shutdown.target",
)  # fmt: skip
"""What looks for these devices when it starts; and the network: splitting a NIC takes its link down."""
_UNIT = """\
[Unit]
Description=Virtual functions and mediated devices that vfioctl has stored
Documentation=man:vfioctl-persist(8)
# A service starts after sysinit.target unless it says otherwise, and a host that cloud-init sets up has its
# network before that. Each would wait for the other, and systemd would leave one out, maybe the network.
DefaultDependencies=no
Conflicts=shutdown.target
Wants=network-pre.target systemd-udev-trigger.service
After=local-fs.target systemd-udev-trigger.service systemd-modules-load.service
Before={before}

[Service]
Type=oneshot
RemainAfterExit=yes
# A command that is stuck must not keep the host from its network for ever.
TimeoutStartSec=10min
ExecStart={program} {command}
"""
_WANTED = "[Unit]\nWants=vfioctl-restore.service\n"


def splits_with(
    host: Host, persisted: Persisted, addresses: Iterable[PciAddress], number: int, *, bind: bool
) -> tuple[Split, ...]:
    """Return what is stored once these devices are to have so many virtual functions at every boot."""
    kept = {one.address: one for one in persisted.splits}
    for address in addresses:
        device = host.by_address[address]
        kept[address] = Split(address, number, bind, card_of(device), place_of(host, device))
    return tuple(kept[address] for address in sorted(kept))


def mediated_with(
    host: Host, persisted: Persisted, parent: PciAddress, type_id: str, uuids: Iterable[str]
) -> tuple[Mediated, ...]:
    """Return what is stored once these mediated devices are to be there at every boot."""
    device = host.by_address[parent]
    kept = {one.uuid: one for one in persisted.mediated}
    for uuid in uuids:
        kept[uuid] = Mediated(uuid, parent, type_id, card_of(device), place_of(host, device))
    return tuple(kept[uuid] for uuid in sorted(kept))


def made_changes(
    persisted: Persisted, splits: Sequence[Split], mediated: Sequence[Mediated], program: str
) -> tuple[FileChange, ...]:
    """Return the files that must change so that exactly these are made at boot, by a program called so."""
    now = {
        **{split_path(one.address): one for one in persisted.splits},
        **{mediated_path(one.uuid): one for one in persisted.mediated},
    }
    wanted: dict[str, Split | Mediated] = {
        **{split_path(one.address): one for one in splits},
        **{mediated_path(one.uuid): one for one in mediated},
    }
    changes = [FileChange(path, made_text(one)) for path, one in wanted.items() if now.get(path) != one]
    changes += [FileChange(path, None) for path in now if path not in wanted]
    for path, text, new in (
        (UNIT, persisted.unit, unit_text(program) if wanted else None),
        (WANTED, persisted.wanted, wanted_text() if wanted else None),
    ):
        if text != new:
            changes.append(FileChange(path, new))
    return tuple(changes)


def split_path(address: PciAddress) -> str:
    """Return the file of a device that is to have virtual functions."""
    return f"{SPLITS}/{address}.toml"


def mediated_path(uuid: str) -> str:
    """Return the file of a mediated device."""
    return f"{MEDIATED}/{uuid}.toml"


def made_text(one: Split | Mediated) -> str:
    """Return what the file says of what is to be made."""
    if isinstance(one, Split):
        own: dict[str, str | int] = {
            "address": str(one.address),
            "number": one.number,
            "bind": one.bind,
        }
    else:
        own = {"uuid": one.uuid, "parent": str(one.address), "type": one.type_id}
    return _HEAD + toml_text({**own, **card_values(one.card), "place": one.place})


def unit_text(program: str) -> str:
    """Return the unit; systemd puts in something else for a percent sign, and a dollar sign."""
    called = program.replace("%", "%%").replace("$", "$$")
    return _HEAD + _UNIT.format(before=" ".join(_BEFORE), program=called, command=_COMMAND)


def wanted_text() -> str:
    """Return what makes the unit a part of every boot."""
    return _HEAD + _WANTED


def program_in(unit: str | None) -> str | None:
    """Return how a unit calls vfioctl; None where there is none, or it does something else."""
    for line in (unit or "").splitlines():
        name, _, command = line.partition("=")
        if name == "ExecStart" and command.endswith(f" {_COMMAND}"):
            return command.removesuffix(f" {_COMMAND}").replace("$$", "$").replace("%%", "%")
    return None
