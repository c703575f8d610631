"""H1-H58: on what host each complaint is reproduced, what is typed, and what must be said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from tests.support.fixtures import dump_path
from tests.support.ready import AUDIO, GPU, IMAGE, MODULE_LISTS, NIC, ROOT_ONLY, TWIN, VFIO_CONF

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.tree import HostTree
    from vfioctl.model.facts import Stamp


class Row(NamedTuple):
    """One complaint."""

    number: str
    typed: str
    """The command line; a row with a check looks at the result of that check only."""
    code: int
    says: tuple[str, ...]
    """What the output must name: the cause, and what to do."""
    spoil: Callable[[HostTree], object] | None = None
    """What makes the ready host into the one of the complaint."""
    host: str | None = None
    """A sample host instead."""
    check: str | None = None
    stamps: dict[str, Stamp] | None = None


class Elsewhere(NamedTuple):
    """A complaint that one recorded host cannot show, the test that shows it instead, and why there."""

    number: str
    test: str
    why: str


def _host(address: str, driver: str) -> Callable[[HostTree], object]:
    return lambda tree: tree.driver(address, driver).attributes(address, driver_override="(null)")


def _line(path: str, text: str) -> Callable[[HostTree], object]:
    return lambda tree: tree.file(path, f"{text}\n")


def _cmdline(words: str) -> Callable[[HostTree], object]:
    return _line("/proc/cmdline", f"BOOT_IMAGE=/vmlinuz {words}")


def _on(address: str, **values: str) -> Callable[[HostTree], object]:
    return lambda tree: tree.attributes(address, **values)


def _all(*steps: Callable[[HostTree], object]) -> Callable[[HostTree], object]:
    return lambda tree: [step(tree) for step in steps]


def _no_groups(tree: HostTree) -> None:
    for address in (GPU, AUDIO, NIC, TWIN, "0000:00:01.0", "0000:00:02.0", "0000:00:03.0"):
        tree.remove(f"{tree.path(address)}/iommu_group")
    for number in range(1, 6):
        tree.remove(f"/sys/kernel/iommu_groups/{number}")
    tree.remove("/sys/class/iommu/dmar0").folder("/sys/class/iommu")
    tree.remove("/sys/class/vfio").folder("/sys/class/vfio")


def _split_nic(tree: HostTree) -> None:
    """Put the second port of the NIC into its group, in use."""
    other = "0000:02:00.1"
    tree.device(other, "8086:1521", parent="0000:00:02.0", driver="igb", group=3).vfio(NIC, 2)
    tree.net("enp2s0f1", other).network({"enp2s0f1": ["192.0.2.7/24"]}, "enp2s0f1")


def _bonded(tree: HostTree) -> None:
    tree.net("enp2s0", NIC).net("bond0").enslave("enp2s0", "bond0")


def _pf_with_vf(tree: HostTree) -> None:
    vf = "0000:02:10.0"
    tree.device(vf, "8086:1520", parent="0000:00:02.0", group=3, virtual_function=True)
    tree.virtual_functions(NIC, 7, [vf]).vfio(vf, 2)


def _boot_disk(tree: HostTree) -> None:
    disk = "0000:01:00.2"
    tree.device(disk, "144d:a80a", 0x010802, parent="0000:00:01.0", driver="nvme", group=1)
    tree.block("nvme0n1", "259:0", f"{tree.path(disk)}/nvme/nvme0").mounts(
        ("259:0", "/", "/dev/nvme0n1", "ext4")
    )
    _host(GPU, "nvidia")(tree)


def _splittable(tree: HostTree) -> None:
    tree.virtual_functions(NIC, 7)


def _undriven(tree: HostTree) -> None:
    tree.virtual_functions(NIC, 7).remove(f"{tree.path(NIC)}/driver")


def _split_once(tree: HostTree) -> None:
    vf = "0000:02:10.0"
    tree.device(vf, "8086:1520", parent="0000:00:02.0", group=8, virtual_function=True)
    tree.virtual_functions(NIC, 7, [vf])


def _stored(text: str) -> Callable[[HostTree], object]:
    return _line(f"/etc/vfioctl/devices.d/{GPU}.toml", text)


_CARD = 'address = "0000:01:00.0"\ndriver = "vfio-pci"\nvendor = "{}"\ndevice = "{}"\nclass = "030000"'
_IDS = "options vfio-pci ids="
_TWINS = _all(
    _line(VFIO_CONF, f"{_IDS}10de:2204"),
    lambda tree: tree.device("0000:04:00.0", "10de:2204", 0x030000, group=9, driver="nvidia"),
)
_UUID = "11111111-1111-1111-1111-11111111111"
_HUNDRED = _on(GPU, aer_dev_correctable="TOTAL_ERR_COR 100")
_JOURNAL = '{"command": "bind", "started": "2026-01-01T00:00:00Z", "pid": 7}'
_MLX = _all(
    lambda tree: tree.device(NIC, "15b3:101e", parent="0000:00:02.0", group=3).vfio(NIC, 2),
    _line(f"{MODULE_LISTS}/modules.alias", "alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci"),
)
_OLD_INITRAMFS = {VFIO_CONF: ROOT_ONLY, IMAGE: ROOT_ONLY._replace(changed=1)}
_DISPLAY = "doctor 01:00.0"

ROWS = [
    Row(
        "H1",
        "doctor",
        1,
        ("0000:01:00.0: nvidia uses it for the host", "vfioctl bind"),
        _host(GPU, "nvidia"),
        check="viable",
    ),
    Row(
        "H2",
        "doctor",
        1,
        ("group 1 is not viable", "vfioctl bind 0000:01:00.1"),
        _host(GPU, "nvidia"),
        check="viable",
    ),
    Row(
        "H3",
        "doctor",
        1,
        ("0000:01:00.1: snd_hda_intel", "vfioctl bind 0000:01:00.0"),
        _host(AUDIO, "snd_hda_intel"),
        check="viable",
    ),
    Row(
        "H4",
        "doctor",
        1,
        ("0000:02:00.1: igb uses it for the host", "vfioctl bind 0000:02:00.0"),
        _split_nic,
        check="viable",
    ),
    Row("H4", "bind -n 02:00.0", 4, ("enp2s0f1", "--force net"), _split_nic),
    Row("H5", "doctor", 0, ("group 1 is viable", "0000:00:01.0 (pcieport)"), check="viable"),
    Row("H6", "bind -n 01:00.0", 4, ("nvme0n1 is mounted on /", "storage-root"), _boot_disk),
    Row(
        "H8",
        "persist list",
        0,
        ("0000:01:00.0  vfio-pci  10de:2204  as stored",),
        _all(
            lambda tree: tree.vfio(GPU, 41).remove(f"/sys/kernel/iommu_groups/1/devices/{GPU}"),
            _stored(_CARD.format("10de", "2204")),
        ),
    ),
    Row(
        "H9",
        "doctor",
        1,
        ("another card is there: 10de:2204:1043:87d9, was 10de:9999", "vfioctl persist remove"),
        _stored(_CARD.format("10de", "9999")),
        check="drift",
    ),
    Row(
        "H10",
        "doctor",
        1,
        ("nvidia has it", "softdep nvidia pre: vfio-pci"),
        _all(_line(VFIO_CONF, f"{_IDS}10de:1eb8")),
        check="boot-ids",
    ),
    Row(
        "H11",
        "doctor",
        1,
        ("intel_iommu=on is configured, but the kernel was started without", "update-grub"),
        _all(_cmdline("quiet"), _line("/boot/grub/grub.cfg", "\tlinux /vmlinuz quiet")),
        check="bootloader",
    ),
    Row(
        "H12",
        "doctor",
        1,
        ("vfio_virqfd", "since Linux 6.2", "update-initramfs -u"),
        _line("/etc/initramfs-tools/modules", "vfio_virqfd"),
        check="boot-modules",
    ),
    Row(
        "H13",
        "doctor --strict",
        1,
        ("vfio.conf is newer than the initramfs", "update-initramfs -u"),
        check="boot-initramfs",
        stamps=_OLD_INITRAMFS,
    ),
    Row(
        "H14",
        "doctor",
        1,
        ("'10de:1aef' is dropped", "without blanks"),
        _line(VFIO_CONF, f"{_IDS}10de:2204, 10de:1aef"),
        check="boot-syntax",
    ),
    Row(
        "H14",
        "doctor",
        1,
        ("'10de:1aef' is dropped", "/proc/cmdline"),
        _cmdline("intel_iommu=on vfio-pci.ids=10de:2204, 10de:1aef"),
        check="boot-syntax",
    ),
    Row(
        "H15",
        "doctor --strict",
        1,
        ("10de:2204 takes 2 devices", "vfioctl bind --persist"),
        _TWINS,
        check="ids",
    ),
    Row(
        "H16",
        "bind -n 04:00.0",
        0,
        ("echo vfio-pci > /sys/bus/pci/devices/0000:04:00.0/driver_override", "nothing is in the way"),
        _TWINS,
    ),
    Row("H17", "bind -n 02:00.0", 0, ("echo vfio-pci > /sys/bus/pci/devices/0000:02:00.0/driver_override",)),
    Row(
        "H19",
        "doctor",
        1,
        ("a bind of 2026-01-01T00:00:00Z (pid 7) did not end by itself", "vfioctl recover"),
        _line("/run/vfioctl/journal", _JOURNAL),
        check="journal",
    ),
    Row(
        "H19",
        "doctor --strict",
        1,
        ("meant for vfio-pci and has no driver", "vfioctl bind 0000:02:00.0", "vfioctl unbind 0000:02:00.0"),
        lambda tree: tree.remove(f"{tree.path(NIC)}/driver").attributes(NIC, driver_override="vfio-pci"),
        check="orphan",
    ),
    Row("H20", "bind -n 01:00.0", 4, ("gpu-busy", "pid "), host="workstation"),
    Row("H23", "bind -n 01:00.0", 4, ("pid ", "/dev/dri/card"), host="workstation"),
    Row(
        "H24",
        "doctor",
        1,
        ("there is no IOMMU group", "switch it on in the firmware"),
        _all(
            _no_groups,
            lambda tree: tree.remove("/sys/firmware/acpi/tables/DMAR"),
        ),
        check="iommu-groups",
    ),
    Row(
        "H24",
        "doctor",
        1,
        ("this kernel has no vfio_pci", "install"),
        lambda tree: tree.file("/proc/modules", "").file(
            f"{MODULE_LISTS}/modules.dep", "kernel/vfio_iommu_type1.ko:\n"
        ),
        check="modules",
    ),
    Row("H24", "show 09:00.0", 3, ("nothing here matches 09:00.0",)),
    Row("H25", "bind -n 02:00.0", 5, ("this host has no IOMMU enabled", "intel_iommu=on"), _no_groups),
    Row(
        "H26",
        "doctor",
        1,
        ("intel_iommu=on is missing", "/sys/firmware/acpi/tables: DMAR FACP"),
        _all(_no_groups, _cmdline("quiet")),
        check="iommu-cmdline",
    ),
    Row(
        "H26",
        "doctor",
        1,
        ("the kernel drives no IOMMU", "intel_iommu=on"),
        _all(_no_groups, _cmdline("quiet")),
        check="iommu-units",
    ),
    Row(
        "H26",
        "doctor",
        1,
        ("the firmware announces no IOMMU", "firmware setup"),
        _all(
            _no_groups,
            lambda tree: tree.remove("/sys/firmware/acpi/tables/DMAR"),
        ),
        check="iommu-firmware",
    ),
    Row(
        "H27",
        "doctor --strict",
        1,
        ("amd_iommu=on is no value", "take it off"),
        _cmdline("amd_iommu=on intel_iommu=on"),
        check="cmdline",
    ),
    Row(
        "H28",
        "doctor",
        1,
        ("interrupts are not remapped", "firmware"),
        _line("/proc/interrupts", " 24: 1 PCI-MSI 0-edge igb"),
        check="intremap",
    ),
    Row(
        "H28",
        "doctor",
        1,
        ("take intremap=off off", "/proc/cmdline"),
        _all(_line("/proc/interrupts", " 24: 1 PCI-MSI 0-edge igb"), _cmdline("intel_iommu=on intremap=off")),
        check="intremap",
    ),
    Row(
        "H28",
        "doctor --strict",
        1,
        ("a guest can forge", "allow_unsafe_interrupts: Y"),
        _all(
            _line("/proc/interrupts", " 24: 1 PCI-MSI 0-edge igb"),
            _line("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y"),
        ),
        check="intremap",
    ),
    Row(
        "H29",
        "doctor",
        1,
        ("fixed mapping for group 1 (RMRR)", "0x10000000-0x10ffffff direct", "firmware setup"),
        _line("/sys/kernel/iommu_groups/1/reserved_regions", "0x0000000010000000 0x0000000010ffffff direct"),
        check="rmrr",
    ),
    Row("H30", "bind -n 01:00.0", 4, ("BOOTFB", "[console]"), host="workstation"),
    Row("H31", "bind -n 01:00.0", 4, ("boot VGA", "[console]"), host="workstation"),
    Row(
        "H32",
        "doctor",
        1,
        ("it does not answer", "rescan", "config: reads all ones"),
        lambda tree: tree.dead(GPU),
        check="reset",
    ),
    Row(
        "H32",
        "doctor 04:00.0 --strict",
        1,
        ("known not to reset", "vendor-reset"),
        lambda tree: tree.device("0000:04:00.0", "1002:67df", 0x030000, group=9),
        check="reset",
    ),
    Row(
        "H33",
        "doctor",
        1,
        ("did not come back from sleep", "disable_idle_d3=1", "d3cold_allowed"),
        lambda tree: tree.dead(GPU).attributes(GPU, power_state="D3hot"),
        check="power",
    ),
    Row(
        "H34",
        "doctor --strict",
        1,
        ("no way to reset it", "0000:01:00.0, whose reset"),
        lambda tree: tree.remove(f"{tree.path(AUDIO)}/reset").remove(f"{tree.path(AUDIO)}/reset_method"),
        check="reset",
    ),
    Row(
        "H35",
        "doctor --strict",
        1,
        ("it has reported errors", "aer_dev_correctable: 100", "reseat"),
        _HUNDRED,
        check="aer",
    ),
    Row(
        "H36",
        "doctor --user 107",
        1,
        ("107 may not open /dev/vfio/1", "vfioctl bind --owner 107"),
        check="perm",
    ),
    Row(
        "H36",
        "doctor --strict",
        1,
        ("only some may open /dev/vfio/vfio", "systemd 254", "chmod 0666"),
        check="perm",
        stamps={"/dev/vfio/vfio": ROOT_ONLY},
    ),
    Row(
        "H38", "doctor", 0, ("device cgroup", "container-args"), _line("/run/.containerenv", ""), check="perm"
    ),
    Row(
        "H39",
        "doctor --memory 16G --user 107",
        1,
        ("17 GiB have to be locked", "107 - memlock 17825792"),
        check="memlock",
    ),
    Row(
        "H39",
        "doctor --memory 16G",
        1,
        ("virtqemud.service allows 8 MiB", "LimitMEMLOCK=infinity"),
        _line("/usr/lib/systemd/system/virtqemud.service", "LimitMEMLOCK=8M"),
        check="memlock",
    ),
    Row(
        "H40",
        "doctor --memory 16G --user 107",
        1,
        ("256 MiB of BARs, which iommufd counts",),
        lambda tree: tree.link("/sys/class/misc/iommu", "/sys/devices/virtual/misc/iommu").folder(
            "/sys/devices/virtual/misc/iommu"
        ),
        check="memlock",
    ),
    Row("H41", "bind -n net:enp4s0", 4, ("route", "--force net"), host="sample"),
    Row("H42", "bind -n 02:00.0", 4, ("bond0", "[net]", "--force net"), _bonded),
    Row("H43", "bind -n 03:00.0", 4, ("refused (exit code 4): nothing would be changed",), host="sample"),
    Row("H44", "bind -n 02:00.0", 0, ("enp2s0",), lambda tree: tree.net("enp2s0", NIC)),
    Row(
        "H45",
        "sriov set -n 02:00.0 4",
        0,
        ("echo 0 > /sys/bus/pci/devices/0000:02:00.0/sriov_numvfs", "echo 4 > "),
        _split_once,
    ),
    Row("H46", "sriov set -n 02:00.0 4", 5, ("it has no driver", "vfioctl unbind --driver"), _undriven),
    Row("H46", "sriov set -n 02:00.0 8", 5, ("7 virtual functions at most", "fewer"), _splittable),
    Row(
        "H48",
        "sriov set -n 02:00.0 4",
        0,
        ("echo 0 > /sys/bus/pci/devices/0000:02:00.0/sriov_drivers_autoprobe",),
        _all(_splittable, _on(NIC, sriov_drivers_autoprobe="1")),
    ),
    Row(
        "H49",
        "sriov set -n 02:00.0 4",
        5,
        ("it is on vfio-pci", "vfioctl unbind 0000:02:00.0"),
        _all(_splittable, lambda tree: tree.vfio(NIC, 3)),
    ),
    Row(
        "H50",
        "mdev create -n 00:02.0 i915-GVTg_V5_2",
        3,
        ("has no type i915-GVTg_V5_2", "its types are: i915-GVTg_V5_4"),
        host="mdev",
    ),
    Row(
        "H50",
        f"mdev create -n 00:02.0 i915-GVTg_V5_4 --uuid {_UUID}1 --uuid {_UUID}2",
        5,
        ("1 more of type i915-GVTg_V5_4 can be made", "vfioctl mdev types"),
        host="mdev",
    ),
    Row("H51", "doctor", 0, ("behind Intel VMD", "switch VMD off in the firmware"), host="vmd", check="vmd"),
    Row(
        "H52",
        "doctor --strict",
        1,
        ("mlx5_vfio_pci is made for this model, but is not installed", "install"),
        _MLX,
        check="variant",
    ),
    Row(
        "H52",
        "doctor --strict",
        1,
        ("though mlx5_vfio_pci is made for this model", "vfioctl bind --driver auto"),
        _all(_MLX, _line(f"{MODULE_LISTS}/modules.dep", "k/vfio-pci.ko:\nk/mlx5_vfio_pci.ko:")),
        check="variant",
    ),
    Row(
        "H53",
        "libvirt-xml 01:00 --guest-slot 05:00",
        0,
        ("function='0x0' multifunction='on'", "function='0x1'"),
        host="sample",
    ),
    Row("H55", "bind -n --driver vfio_pci 02:00.0", 0, ("echo vfio-pci >",)),
    Row(
        "H56",
        "doctor",
        1,
        ("0000:02:00.0: igb uses it for the host", "together because"),
        _pf_with_vf,
        check="viable",
    ),
    Row(
        "H57",
        "doctor",
        1,
        ("it is on nvidia, not on vfio-pci", "vfioctl bind 0000:01:00.0"),
        _all(_stored(_CARD.format("10de", "2204")), _host(GPU, "nvidia")),
        check="drift",
    ),
    Row("H58", "unbind -n 02:00.0", 4, ("VM ", "pid "), host="sample"),
]
"""Rows that doctor, groups, show or a refused command answers."""

ELSEWHERE = [
    Elsewhere(
        "H7",
        "tests/checkup/test_complaints.py::test_groups_that_changed_are_told_from_a_snapshot",
        "two hosts are compared, not one",
    ),
    Elsewhere(
        "H18",
        "tests/lab/scenarios/test_bind_round_trip.py::test_bound_and_given_back",
        "only a kernel ignores a zero-length write: after unbind its override is read back as none",
    ),
    Elsewhere(
        "H21",
        "tests/lab/scenarios/test_bind_held.py"
        "::test_a_holder_that_comes_in_between_is_named_and_the_tool_ends",
        "the hang is the kernel's, and ends with its holder; the cause, open nodes, is H20",
    ),
    Elsewhere(
        "H22",
        "tests/lab/scenarios/test_bind_held.py::test_while_another_unbind_is_stuck_every_command_still_answers",
        "amdgpu's own hang needs that hardware; any unbind that hangs is given up on in time",
    ),
    Elsewhere(
        "H37",
        "tests/lab/scenarios/test_bind_refusals.py::test_without_root_nothing_is_changed_but_a_plan_is_shown",
        "the refusal is of the running system, not of a recording",
    ),
    Elsewhere(
        "H47",
        "tests/plan/test_sriov.py::test_every_errno_has_a_sentence",
        "how many interrupts a card has shows only when its driver is asked; no card of QEMU's runs out",
    ),
    Elsewhere(
        "H54",
        "tests/plugin/test_resources.py::test_six_identical_cards_in_one_group_are_six_items",
        "the plugin's identity is the address",
    ),
]
"""Rows that need two hosts, a running kernel or another program. Only H22's own hardware is nowhere."""


def sample_path(name: str) -> str:
    """Return what ``--root`` takes for a sample host."""
    return "sample" if name == "sample" else os.fspath(dump_path(name))
