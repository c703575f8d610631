"""A port that answers as the kernel does, and can be told to fail, to hang and to crash its caller.

For decisions of the executor only: that the real kernel answers so is shown in the lab.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, assert_never

from vfioctl.apply.port import (
    Answer,
    AwaitNodes,
    Batch,
    Command,
    Look,
    Modprobe,
    OpenToWrite,
    ReadLink,
    ReadOwner,
    ReadText,
    SetOwner,
    Settle,
    Single,
    Write,
)
from vfioctl.model.binding import Binding
from vfioctl.model.ids import is_vfio_driver
from vfioctl.sysfs import root

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

BOOT_ID: Final = "6a1f7c52-0d0c-4c43-9d0c-0c6a5f0f5b11"
EFFECTS: Final = (Write, Modprobe, SetOwner)
_LONGEST_OVERRIDE: Final = 4094
_NODE_OF_ROOT: Final = "0 0 0600"


class Crash(BaseException):
    """The caller is killed: nothing of its own may run any more."""


class PanicError(AssertionError):
    """The kernel would have crashed the machine."""


@dataclass
class Device:
    """A PCI function."""

    name: str
    group: int | None = 1
    matches: tuple[str, ...] = ("e1000e",)
    """Host drivers that take it, in the order of their registration (K12)."""
    driver: str | None = None
    override: str | None = None
    vendor: int = 0x8086
    device: int = 0x10D3
    bridge: bool = False
    virtual_functions: int = 0
    total_vfs: int | None = None
    """How many it could have; None: it is no physical function."""
    most_vfs: int | None = None
    """How many its driver makes at most, and calls fewer than asked for a success (K38)."""
    autoprobe: bool = True
    vfs_taken: bool = False
    """A driver of the host's has its virtual functions."""
    vf_held: bool = False
    """A program has one of its virtual functions open (K56)."""
    refused: dict[str, int] = field(default_factory=dict)
    """Driver to the errno its probe ends with."""
    deferred: dict[str, int] = field(default_factory=dict)
    """Driver to how many of its probes end with EAGAIN before one does not (K2)."""
    held: bool = False
    """A program has it open through VFIO (K33)."""
    vfio_id: bool = False
    """Somebody added its id to vfio-pci (K11)."""
    blocked: bool = False
    """Its unbind waits for the holder (K55)."""
    present: bool = True
    usb: bool = False
    """It is one of the functions of a USB 2 controller (K60)."""

    @property
    def binding(self) -> Binding:
        """Where it stands."""
        return Binding(self.driver, self.override)


@dataclass(frozen=True)
class Fault:
    """What happens to one command instead of an answer, or beside it."""

    errno: int | None = None
    hang: bool = False
    crash: bool = False
    happens: bool = False
    """Whether the command takes effect all the same."""


@dataclass
class FakeKernel:
    """Devices, drivers and modules, and what is done to them."""

    devices: dict[str, Device]
    registered: set[str]
    modules: dict[str, str] = field(default_factory=dict)
    """Module to driver, for modules that modprobe can find."""
    loaded: set[str] = field(default_factory=set)
    old: bool = False
    """6.1: reads of a blocked device hang too (K55)."""
    cdev: bool = False
    """Functions have nodes of their own beside the group's."""
    read_only: bool = False
    boot_id: str = BOOT_ID
    faults: dict[int, Fault] = field(default_factory=dict)
    """By the number of the command, counted over those that :attr:`counted` names, from 0."""
    refused_writes: dict[tuple[str, str], int] = field(default_factory=dict)
    """Writes, by path and text, that fail every time, with their errno."""
    counted: tuple[type, ...] = EFFECTS
    slowness: float = 0.0
    """Seconds after which an answer comes."""
    busy: bool = False
    """An answer is late only because its writer is not let run."""
    jumble: random.Random | None = None
    """Answers come in this random order, not at once."""
    commands: list[Single] = field(default_factory=list)
    """All that were started."""
    mdevs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Parent and type by UUID."""
    mdevs_left: int = 2
    """How many more can be made, of whatever type."""
    owners: dict[str, str] = field(default_factory=dict)
    """Owner and mode by node."""
    unsettled: bool = False
    """udev has yet to load the driver of virtual functions that were made (H48)."""
    most_lanes: int = 0
    clock: float = 1000.0

    def __post_init__(self) -> None:
        """Start with nothing under way."""
        self._ready: dict[int, tuple[float, Answer]] = {}
        self._hanging: dict[int, Command] = {}
        self._count = 0
        self.make_nodes()

    @property
    def writes(self) -> list[tuple[str, str]]:
        """Every write that was started: path and text."""
        return [(one.path, one.text) for one in self.commands if isinstance(one, Write)]

    @property
    def bindings(self) -> dict[str, Binding]:
        """Where every device stands."""
        return {name: device.binding for name, device in self.devices.items()}

    def again(self) -> FakeKernel:
        """Return the same machine for the next program: no faults, nothing under way."""
        self.faults = {}
        self._ready.clear()
        self._hanging.clear()
        self._count = 0
        self.commands.clear()
        return self

    def release(self, name: str) -> None:
        """Let the holder of a device go: what waits for it is done now (K34)."""
        device = self.devices[name]
        device.held = device.blocked = False
        self.make_nodes()

    def now(self) -> float:
        """Return the time of the test, which passes only where something waits."""
        return self.clock

    def start(self, lane: int, command: Command) -> None:
        """Carry the command out, or not, and keep the answer for later."""
        assert lane not in self._ready, "a command is under way on this lane"
        assert lane not in self._hanging, "a command is under way on this lane"
        answer = self._answer_to(command)
        if answer is None:
            self._hanging[lane] = command
        else:
            delay = self.jumble.uniform(0.0, 0.01) if self.jumble else self.slowness
            self._ready[lane] = (self.clock + delay, answer)
        self.most_lanes = max(self.most_lanes, len(self._ready) + len(self._hanging))

    def _answer_to(self, command: Command) -> Answer | None:
        """Carry out one command or several; None: it hangs."""
        if not isinstance(command, Batch):
            return self._answer_single(command)
        parts = []
        for single in command.commands:
            part = self._answer_single(single)
            if part is None:
                return None
            parts.append(part)
        return Answer(parts=tuple(parts))

    def _answer_single(self, command: Single) -> Answer | None:
        self.commands.append(command)
        fault = None
        if isinstance(command, self.counted):
            fault = self.faults.get(self._count)
            self._count += 1
        return self._answer(command, fault)

    def _answer(self, command: Single, fault: Fault | None) -> Answer | None:
        if fault is None:
            return self._perform(command)
        if fault.happens:
            self._perform(command)
        if fault.crash:
            raise Crash
        return None if fault.hang else Answer(fault.errno)

    def wait(self, timeout: float | None) -> list[tuple[int, Answer]]:
        """Return the next answer, or let the time pass."""
        due = min((time for time, _ in self._ready.values()), default=None)
        until = None if timeout is None else self.clock + max(timeout, 0.0)
        if due is None or (until is not None and due > until):
            assert until is not None, "this would wait for ever"
            self.clock = until
            return []
        self.clock = max(self.clock, due)
        lanes = [lane for lane, (time, _) in self._ready.items() if time <= self.clock]
        return [(lane, self._ready.pop(lane)[1]) for lane in lanes]

    def starves(self, lane: int) -> bool:
        """Tell whether it is the host that is slow, and not a device."""
        return self.busy and lane not in self._hanging

    def abandon(self, lane: int) -> None:
        """Leave a lane; what hangs there goes on."""
        self._ready.pop(lane, None)
        self._hanging.pop(lane, None)

    def close(self) -> None:
        """Let everything go."""
        self._ready.clear()
        self._hanging.clear()

    def _perform(self, command: Single) -> Answer | None:  # noqa: PLR0911 - one for each command
        match command:
            case Write(path, text):
                return self._write(path, text)
            case ReadLink(path) | ReadText(path):
                return self._read(path)
            case Look(path):
                return _found(self._stands(path))
            case OpenToWrite():
                return Answer(errno.EROFS) if self.read_only else Answer()
            case Modprobe(module):
                return self._modprobe(module)
            case AwaitNodes(group, members):
                nodes = [node for node in self._nodes() if node[0] == group and node[1] in (None, *members)]
                return Answer(text="\n".join(path for _, _, path in nodes)) if nodes else Answer(errno.ENOENT)
            case Settle():
                self.unsettled = False
                return Answer()
            case ReadOwner(path):
                return Answer(text=self.owners[path]) if path in self.owners else Answer(errno.ENOENT)
            case SetOwner():
                return self._set_owner(command)
            case _:
                assert_never(command)

    def _stands(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        if name.startswith("virtfn"):
            return int(name[6:]) < self.devices[folder.rpartition("/")[2]].virtual_functions
        return name in (self.mdevs if folder == root.MDEV_DEVICES else self.loaded)

    def _read(self, path: str) -> Answer | None:  # noqa: PLR0911 - one for each attribute
        if path == root.BOOT_ID:
            return Answer(text=self.boot_id)
        _, _, rest = path.partition(f"{root.PCI_DEVICES}/")
        name, _, attribute = rest.partition("/")
        device = self.devices.get(name)
        if device is None or not device.present:
            return Answer(errno.ENOENT)
        if attribute == "driver":
            return Answer(errno.ENOENT) if device.driver is None else Answer(text=device.driver)
        if attribute == "driver_override":
            if device.blocked and self.old:
                return None
            return Answer(text=device.override or "(null)")
        if attribute == "sriov_numvfs":
            return Answer(text=str(device.virtual_functions))
        if attribute == "sriov_drivers_autoprobe":
            return Answer(text=str(int(device.autoprobe)))
        return Answer(text=f"{getattr(device, attribute):#06x}")

    def _write(self, path: str, text: str) -> Answer | None:  # noqa: PLR0911 - one for each attribute
        if self.read_only:
            return Answer(errno.EROFS)
        if (path, text) in self.refused_writes:
            return Answer(self.refused_writes[path, text])
        if path == f"{root.PCI_BUS}/drivers_probe":
            return self._probe(text)
        folder, _, attribute = path.rpartition("/")
        name = folder.rpartition("/")[2]
        if attribute == "driver_override":
            return self._override(name, text)
        if "mdev" in path:
            return self._mediate(path, text)
        if attribute.startswith("sriov_"):
            return self._split(name, attribute, text)
        if name not in self.registered:
            return Answer(errno.ENOENT)
        device = self.devices.get(text)
        if device is None or not device.present:
            return Answer(errno.ENODEV)
        return self._unbind(name, device) if attribute == "unbind" else self._bind(name, device)

    def _override(self, name: str, text: str) -> Answer | None:
        device = self.devices.get(name)
        if device is None or not device.present:
            return Answer(errno.ENOENT)
        if device.blocked and self.old:
            return None
        if len(text) > _LONGEST_OVERRIDE:
            return Answer(errno.EINVAL)
        if text:  # nothing at all never reaches the kernel (K8)
            device.override = text.rstrip("\n\0") or None
        return Answer()

    def _mediate(self, path: str, text: str) -> Answer:
        parts = path.split("/")
        if parts[-1] == "remove":
            there = self.mdevs.pop(parts[-2], None) is not None
            self.mdevs_left += there
            return _found(there)
        if text in self.mdevs:
            return Answer(errno.EEXIST)
        if not self.mdevs_left:
            return Answer(errno.EUSERS)
        self.mdevs_left -= 1
        self.mdevs[text] = (parts[-4], parts[-2])
        return Answer()

    def _split(self, name: str, attribute: str, text: str) -> Answer | None:  # noqa: PLR0911 - as above
        device = self.devices.get(name)
        if device is None or device.total_vfs is None:
            return Answer(errno.ENOENT)
        if attribute == "sriov_drivers_autoprobe":
            device.autoprobe = text == "1"
            # The module that udev loads late takes what it finds, once it may.
            device.vfs_taken |= self.unsettled and device.autoprobe and device.virtual_functions > 0
            return Answer()
        number = int(text)
        if number > device.total_vfs:
            return Answer(errno.ERANGE)
        if number == device.virtual_functions:
            return Answer()  # even without a driver (K37)
        if device.driver is None or is_vfio_driver(device.driver):
            return Answer(errno.ENOENT)
        if number and device.virtual_functions:
            return Answer(errno.EBUSY)
        if device.vf_held:
            return None
        device.virtual_functions = min(number, number if device.most_vfs is None else device.most_vfs)
        device.vfs_taken, self.unsettled = device.autoprobe and number > 0, number > 0
        return Answer()

    def _unbind(self, name: str, device: Device) -> Answer | None:
        if device.driver != name:
            return Answer(errno.ENODEV)
        device.driver = None
        if device.held and is_vfio_driver(name):
            device.blocked = True
            return None
        self.make_nodes()
        return Answer()

    def _bind(self, name: str, device: Device) -> Answer | None:
        if device.blocked:
            return None
        if device.driver is not None:
            return Answer(errno.EBUSY)
        if name not in self._candidates(device):
            return Answer(errno.ENODEV)
        return Answer(self._attach(name, device))

    def _probe(self, text: str) -> Answer | None:
        device = self.devices.get(text)
        if device is None or not device.present:
            return Answer(errno.ENODEV)
        if device.blocked:
            return None
        if device.driver is None:
            for name in self._candidates(device):
                problem = self._attach(name, device)
                if problem is None:
                    break
                if problem == errno.EBUSY and not is_vfio_driver(name) and self._owned_by_user(device):
                    return Answer(errno.EINVAL)
        return Answer()  # whatever came of it (K4)

    def _candidates(self, device: Device) -> list[str]:
        if device.override is not None:
            return [device.override] if device.override in self.registered else []
        names = [name for name in device.matches if name in self.registered]
        return [*names, "vfio-pci"] if device.vfio_id else names

    def _attach(self, name: str, device: Device) -> int | None:
        """Let a driver probe a device; return its errno."""
        if device.deferred.get(name):
            device.deferred[name] -= 1
            return errno.EAGAIN
        if name in device.refused:
            return device.refused[name]
        if is_vfio_driver(name):
            if device.bridge or device.group is None:
                return errno.EINVAL
            if device.virtual_functions:
                return errno.EBUSY
        elif self._owned_by_user(device):
            return errno.EBUSY
        self._check_companions(name, device)
        device.driver = name
        self.make_nodes()
        return None

    def _owned_by_user(self, device: Device) -> bool:
        return any(one.held and one.group == device.group for one in self.devices.values())

    def _check_companions(self, name: str, device: Device) -> None:
        """Functions of one USB controller are all VFIO's or all the host's (K60)."""
        for other in self.devices.values():
            if not (device.usb and other.usb and other.group == device.group) or other.driver is None:
                continue
            if is_vfio_driver(other.driver) != is_vfio_driver(name):
                raise PanicError(f"{device.name} went to {name} while {other.name} was on {other.driver}")

    def _modprobe(self, module: str) -> Answer:
        driver = self.modules.get(module)
        if driver is None:
            return Answer(errno.EIO, f"modprobe: FATAL: Module {module} not found.")
        if module in self.loaded:
            return Answer()
        self.loaded.add(module)
        if driver:
            self.registered.add(driver)
        for device in self.devices.values():
            if device.driver is None and device.override == driver:
                self._attach(driver, device)
        return Answer()

    def _nodes(self) -> list[tuple[int, str | None, str]]:
        """Return the nodes there are: group, function, path (K27)."""
        nodes: list[tuple[int, str | None, str]] = []
        for number, device in enumerate(self.devices.values()):
            if device.group is None or not (is_vfio_driver(device.driver) or device.blocked):
                continue
            nodes.append((device.group, None, f"/dev/vfio/{device.group}"))
            if self.cdev:
                nodes.append((device.group, device.name, f"/dev/vfio/devices/vfio{number}"))
        return sorted(set(nodes), key=lambda node: node[2])

    def make_nodes(self) -> None:
        """Make and remove nodes, as devices come to VFIO and leave it."""
        paths = {path for _, _, path in self._nodes()}
        self.owners = {path: self.owners.get(path, _NODE_OF_ROOT) for path in sorted(paths)}

    def _set_owner(self, command: SetOwner) -> Answer:
        if command.path not in self.owners:
            return Answer(errno.ENOENT)
        uid, gid, mode = self.owners[command.path].split(" ")
        self.owners[command.path] = " ".join(
            (
                uid if command.uid is None else str(command.uid),
                gid if command.gid is None else str(command.gid),
                mode if command.mode is None else f"{command.mode:04o}",
            )
        )
        return Answer()


def machine(devices: Iterable[Device]) -> FakeKernel:
    """Return a machine with these devices and the drivers they are on or could be on, and vfio-pci."""
    found = {device.name: device for device in devices}
    drivers = {name for device in found.values() for name in (device.driver, *device.matches) if name}
    return FakeKernel(found, {"vfio-pci", *drivers})


def _found(there: bool) -> Answer:
    return Answer() if there else Answer(errno.ENOENT)
