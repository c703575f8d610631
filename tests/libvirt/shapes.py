"""Every shape of a host device that can be asked for, one option at a time, and any of them at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hypothesis import strategies as st

from vfioctl.libvirt.values import (
    UNASSIGNED,
    GuestAddress,
    Info,
    MdevHostdev,
    NvmeDisk,
    PciHostdev,
    Rom,
    UsbHostdev,
    VfInterface,
)
from vfioctl.model.address import PciAddress

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from vfioctl.libvirt.values import Device

GPU: Final = PciAddress(0, 0x65, 0, 0)
VF: Final = PciAddress(0, 7, 0x10, 2)
NVME: Final = PciAddress(0, 3, 0, 0)
UUID: Final = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"


class Case(NamedTuple):
    """One option of one shape, and the release that has it first (reference/libvirt.md, table 3.1)."""

    name: str
    device: Device
    since: tuple[int, int, int]


def _pci(name: str, since: tuple[int, int, int], **fields: object) -> Case:
    return Case(f"pci {name}", PciHostdev(GPU, managed=True)._replace(**fields), since)  # type: ignore[arg-type]


def _interface(name: str, since: tuple[int, int, int], **fields: object) -> Case:
    return Case(f"interface {name}", VfInterface(VF, managed=True)._replace(**fields), since)  # type: ignore[arg-type]


def _mdev(name: str, since: tuple[int, int, int], model: str = "vfio-pci", **fields: object) -> Case:
    return Case(f"mdev {name}", MdevHostdev(UUID, model)._replace(**fields), since)  # type: ignore[arg-type]


def _usb(name: str, since: tuple[int, int, int], **fields: object) -> Case:
    return Case(f"usb {name}", UsbHostdev(0x046D, 0xC52B)._replace(**fields), since)  # type: ignore[arg-type]


def _nvme(name: str, since: tuple[int, int, int], **fields: object) -> Case:
    return Case(f"nvme {name}", NvmeDisk(NVME, 1, "vda", managed=True)._replace(**fields), since)  # type: ignore[arg-type]


CASES: Final = (
    _pci("plain", (0, 6, 0)),
    _pci("unmanaged", (0, 6, 0), managed=False),
    _pci("managed not said", (0, 6, 0), managed=None),
    _pci("driver model", (10, 0, 0), driver_model="mlx5_vfio_pci"),
    _pci("iommufd", (12, 1, 0), iommufd=True),
    _pci("no iommufd", (12, 1, 0), iommufd=False),
    _pci("display", (10, 3, 0), display=True),
    _pci("ramfb", (10, 3, 0), display=True, ramfb=True),
    _pci("teaming", (7, 1, 0), teaming="ua-backup0"),
    _pci("boot", (0, 8, 8), info=Info(boot=1)),
    _pci("alias", (3, 9, 0), info=Info(alias="ua-gpu")),
    _pci("rom file", (0, 9, 10), info=Info(rom=Rom(file="/usr/share/vgabios/it's <a> card & more.rom"))),
    _pci("rom bar", (0, 9, 7), info=Info(rom=Rom(bar=False))),
    _pci("rom enabled", (4, 3, 0), info=Info(rom=Rom(enabled=False))),
    _pci("acpi index", (7, 3, 0), info=Info(acpi_index=7)),
    _pci("acpi nodeset", (11, 8, 0), info=Info(acpi_nodeset="1-3,5")),
    _pci("acpi both", (11, 8, 0), info=Info(acpi_index=7, acpi_nodeset="1")),
    _pci("guest address", (0, 6, 0), info=Info(guest=GuestAddress(5, 0))),
    _pci("multifunction", (0, 6, 0), info=Info(guest=GuestAddress(5, 0, 0, multifunction=True))),
    _pci("unassigned", (6, 0, 0), info=Info(guest=UNASSIGNED)),
    _interface("plain", (0, 9, 11)),
    _interface("mac", (0, 9, 11), mac="52:54:00:12:34:56"),
    _interface("vlan", (0, 10, 0), vlan=42),
    _interface("trust", (1, 2, 10), trust=True),
    _interface("teaming", (6, 1, 0), teaming="ua-backup0"),
    _interface("driver model", (10, 0, 0), driver_model="igbvf-vfio-pci"),
    _interface("iommufd", (12, 1, 0), iommufd=True),
    _interface("boot", (0, 9, 11), info=Info(boot=2)),
    _interface("alias", (3, 9, 0), info=Info(alias="ua-nic")),
    _interface("rom", (0, 9, 11), info=Info(rom=Rom(bar=False))),
    _interface("acpi index", (7, 3, 0), info=Info(acpi_index=3)),
    _interface("guest address", (0, 9, 11), info=Info(guest=GuestAddress(0x10, 0))),
    _mdev("plain", (3, 2, 0)),
    _mdev("ccw", (4, 4, 0), model="vfio-ccw"),
    _mdev("ap", (4, 9, 0), model="vfio-ap"),
    _mdev("display", (4, 6, 0), display=True),
    _mdev("ramfb", (5, 10, 0), display=True, ramfb=True),
    _mdev("alias", (3, 9, 0), info=Info(alias="ua-vgpu")),
    _mdev("guest address", (3, 2, 0), info=Info(guest=GuestAddress(6, 0))),
    _usb("id", (0, 4, 4)),
    _usb("id and address", (0, 4, 4), bus=1, device=4),
    _usb("address", (0, 4, 4), vendor_id=None, product_id=None, bus=1, device=127),
    _usb("port", (12, 0, 0), vendor_id=None, product_id=None, bus=1, port="1.2.5"),
    _usb("startup policy", (1, 0, 0), startup_policy="optional"),
    _usb("guest reset", (8, 6, 0), guest_reset="uninitialized"),
    _usb("boot", (1, 0, 1), info=Info(boot=3)),
    _usb("alias", (3, 9, 0), info=Info(alias="ua-stick")),
    _nvme("plain", (6, 0, 0)),
    _nvme("unmanaged", (6, 0, 0), managed=False),
    _nvme("namespace", (6, 0, 0), namespace=3),
    _nvme("boot", (6, 0, 0), info=Info(boot=1)),
    _nvme("alias", (6, 0, 0), info=Info(alias="ua-disk")),
)
"""Builder by option, with its release as the reference has it, apart from the program's own table."""

# What can stand in a file's name, awkward on purpose; controls and lone surrogates are refused by a rule.
_PATHS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"),
    min_size=1,
    max_size=20,
)
_FLAGS = st.none() | st.booleans()


def _made(kind: Callable[..., Any], **fields: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Make values of these fields; the others keep their defaults."""
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


_ALIASES = st.from_regex(r"ua-[a-zA-Z0-9_.-]{1,12}", fullmatch=True)
ADDRESSES = st.builds(
    PciAddress, st.integers(0, 0xFFFF), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7)
)
"""Any function that can be given away."""

_GUESTS = st.one_of(
    _made(GuestAddress, bus=st.integers(1, 255), slot=st.integers(0, 31), function=st.integers(0, 7)),
    _made(GuestAddress, bus=st.integers(1, 255), slot=st.integers(0, 31), multifunction=st.just(value=True)),
)
_ROMS = st.one_of(
    _made(Rom, file=_PATHS.map("/{}".format), bar=st.sampled_from([None, True])),
    _made(Rom, bar=st.booleans()),
    st.just(Rom(enabled=False)),
)


def _infos(
    *, boot: bool = True, rom: bool = True, guests: SearchStrategy[object] | None = None
) -> SearchStrategy[Info]:
    none = st.none()
    return _made(
        Info,
        boot=none | st.integers(1, 99) if boot else none,
        alias=none | _ALIASES,
        rom=none | _ROMS if rom else none,
        acpi_index=none | st.integers(1, 16383) if rom else none,
        acpi_nodeset=none,
        guest=none | guests if guests is not None else none,
    )


_MODELS = st.none() | st.from_regex(r"[a-zA-Z0-9_+-]{1,12}", fullmatch=True)
_TEAMS = st.none() | _ALIASES
_DISPLAYS = st.sampled_from([(None, None), (True, None), (True, True), (False, False), (True, False)])


def _display_of(device: Device, pair: tuple[bool | None, bool | None]) -> Device:
    assert isinstance(device, PciHostdev | MdevHostdev)
    return device._replace(display=pair[0], ramfb=pair[1])


_PCI = _made(
    PciHostdev,
    source=ADDRESSES,
    managed=_FLAGS,
    driver_model=_MODELS,
    iommufd=_FLAGS,
    display=st.none(),
    ramfb=st.none(),
    teaming=_TEAMS,
    info=_infos(guests=_GUESTS | st.just(UNASSIGNED)),
)
_INTERFACES = _made(
    VfInterface,
    source=ADDRESSES,
    managed=_FLAGS,
    mac=st.none() | st.from_regex(r"[0-9a-f][26ae](:[0-9a-f]{2}){5}", fullmatch=True),
    vlan=st.none() | st.integers(1, 4094),
    trust=_FLAGS,
    driver_model=_MODELS,
    iommufd=_FLAGS,
    teaming=_TEAMS,
    info=_infos(guests=_GUESTS),
)
_MDEVS = _made(
    MdevHostdev,
    uuid=st.uuids().map(str),
    model=st.just("vfio-pci"),
    display=st.none(),
    ramfb=st.none(),
    info=_infos(boot=False, rom=False, guests=_GUESTS),
)
_IDS = st.integers(0, 0xFFFF)
_PORTS = st.lists(st.integers(1, 255), min_size=1, max_size=4).map(lambda way: ".".join(map(str, way)))
_POLICIES = st.sampled_from([None, "mandatory", "requisite", "optional"])
_RESETS = st.sampled_from([None, "off", "uninitialized", "on"])
_USB_SETTINGS = {"startup_policy": _POLICIES, "guest_reset": _RESETS, "info": _infos(rom=False)}
_BUSES = st.integers(1, 255)
_USBS = st.one_of(
    _made(UsbHostdev, vendor_id=_IDS, product_id=_IDS, **_USB_SETTINGS),
    _made(
        UsbHostdev, vendor_id=_IDS, product_id=_IDS, bus=_BUSES, device=st.integers(1, 127), **_USB_SETTINGS
    ),
    _made(UsbHostdev, bus=_BUSES, port=_PORTS, **_USB_SETTINGS),
)
_DISKS = _made(
    NvmeDisk,
    source=ADDRESSES,
    namespace=st.integers(1, 0xFFFFFFFE),
    target=st.from_regex(r"vd[a-z]{1,3}", fullmatch=True),
    managed=_FLAGS,
    bus=st.just("virtio"),
    info=_infos(rom=False),
)


def devices() -> SearchStrategy[Device]:
    """Return any device that libvirt 12.8 accepts, with any settings."""
    shown: SearchStrategy[Device] = st.one_of(_PCI, _MDEVS)
    return st.one_of(st.builds(_display_of, shown, _DISPLAYS), _INTERFACES, _USBS, _DISKS)
