"""What the screens say about a machine typed in by hand."""

from __future__ import annotations

import pytest

from tests.golden_files import FOLDER
from tests.render.machines import address, bridge, device, foreign_member, host, laptop, workstation
from vfioctl.model.device import MdevType
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.render.device_text import Namer, state, use_summary
from vfioctl.render.difference import compare, difference_document, difference_lines, value_text
from vfioctl.render.groups import groups_lines, no_groups_lines
from vfioctl.render.scan import View, scan_lines
from vfioctl.render.show import show_lines
from vfioctl.render.styled import plain_text
from vfioctl.sysfs.names import Names

NAMES = Names((FOLDER / "pci.ids").read_bytes())


def scanned(view: View | None = None) -> list[str]:
    """Return the lines of the workstation's list."""
    machine = workstation()
    return plain_text(scan_lines(machine, machine.devices, NAMES, view or View())).splitlines()


def shown(text: str) -> str:
    """Return what is said about a device of the workstation."""
    machine = workstation()
    return plain_text(show_lines(machine, machine.by_address[address(text)], NAMES, width=100))


def test_the_list_says_who_uses_what() -> None:
    """A line per device."""
    lines = scanned()

    assert len(lines) == 14
    assert lines[4].split(maxsplit=5) == [
        *("0000:01:00.0", "gpu", "10de:2204", "nvidia", "0"),
        "console, open pid 812            GA102 [GeForce RTX 3090]",
    ]
    assert "does not answer" in lines[11]


def test_a_narrow_terminal_leaves_out_the_ids() -> None:
    """Names matter more to a person."""
    assert scanned(View(99))[0].split()[:3] == ["ADDRESS", "CLASS", "DRIVER"]
    assert scanned(View(100))[0].split()[:3] == ["ADDRESS", "CLASS", "ID"]


def test_wide_shortens_nothing_and_shows_more() -> None:
    """Vendor names included."""
    lines = scanned(View(80, wide=True))

    assert "…" not in "\n".join(lines)
    assert lines[0].split() == [
        *(
            "ADDRESS",
            "CLASS",
            "ID",
            "DRIVER",
            "GROUP",
            "NUMA",
            "SUBSYSTEM",
            "OVERRIDE",
            "SLOT",
            "USED",
            "FOR",
            "NAME",
        )
    ]
    assert lines[4].endswith("NVIDIA Corporation GA102 [GeForce RTX 3090]")
    assert " 1043:87d9 " in lines[4]


def test_verbose_gives_every_use_and_reason() -> None:
    """Below the device."""
    lines = scanned(View(verbose=True))

    assert "              console: it is the display the firmware started on (boot VGA)" in lines
    assert any(line.startswith("              cannot be passed through: it has 2 virtual") for line in lines)


def test_verbose_shows_an_override_that_has_not_taken_effect() -> None:
    """It will, at the next probe."""
    machine = host((device("01:00.0", driver="e1000e", driver_override="vfio-pci"),))

    lines = plain_text(scan_lines(machine, machine.devices, NAMES, View(verbose=True))).splitlines()

    assert lines[2] == "              driver_override: vfio-pci"


def test_the_tree_draws_bridges_with_what_is_behind_them() -> None:
    """One root bus after the other."""
    lines = [line[:19].rstrip() for line in scanned(View(tree=True))]

    assert lines[:7] == [
        "ADDRESS",
        "pci0000:00",
        "├─ 0000:00:01.0",
        "│  ├─ 0000:01:00.0",
        "│  └─ 0000:01:00.1",
        "├─ 0000:00:1f.0",
        "└─ 0000:00:1f.4",
    ]


def test_the_tree_of_a_selection_keeps_the_way_to_it() -> None:
    """The bridges above are shown as well."""
    machine = workstation()
    gpu = machine.by_address[address("01:00.0")]

    lines = plain_text(scan_lines(machine, (gpu,), NAMES, View(tree=True))).splitlines()

    assert [line.lstrip("│├└─ ").split()[0] for line in lines[1:]] == [
        "pci0000:00",
        "0000:00:01.0",
        "0000:01:00.0",
    ]


def test_bridges_in_a_circle_are_still_listed() -> None:
    """A malformed recording loses no device."""
    one, two = bridge("01:00.0", parent=address("02:00.0")), bridge("02:00.0", parent=address("01:00.0"))
    machine = host((one, two))

    lines = plain_text(scan_lines(machine, machine.devices, NAMES, View(tree=True))).splitlines()

    assert [line.split()[0] for line in lines[1:]] == ["0000:01:00.0", "0000:02:00.0"]


@pytest.mark.parametrize(
    ("usage", "summary"),
    [
        ([], ""),
        (
            [(UsageKind.MOUNT, "sda1"), (UsageKind.HOLDER, "sda"), (UsageKind.SWAP, "sda2")],
            "mount sda1, swap sda2",
        ),
        ([(UsageKind.INTERFACE, "e0"), (UsageKind.ADDRESS, "e0"), (UsageKind.ROUTE, "e0")], "route e0"),
        ([(UsageKind.MOUNT, f"sda{number}") for number in range(1, 5)], "mount sda1 sda2 +2"),
        ([(UsageKind.FRAMEBUFFER, "efifb"), (UsageKind.CONSOLE, "boot_vga")], "console"),
        ([(UsageKind.INTERFACE, "e0"), (UsageKind.VM, "pid 7")], "VM pid 7, up e0"),
        ([(UsageKind.MDEV, "4b20d080-1b54-4048-85b3-a6a62d165c01")], "mdev"),
    ],
)
def test_uses_are_summed_up_gravest_first(usage: list[tuple[UsageKind, str]], summary: str) -> None:
    """What a graver use implies is left out."""
    assert use_summary(tuple(Usage(kind, subject, "") for kind, subject in usage)) == summary


def test_every_kind_of_use_has_a_word() -> None:
    """None disappears from the list."""
    for kind in UsageKind:
        assert use_summary((Usage(kind, "x", ""),))


def test_trouble_is_said_before_use() -> None:
    """A device that does not answer, or whose unbind waits."""
    used = (Usage(UsageKind.VM, "pid 7", ""),)

    assert state(device("01:00.0", alive=False, usage=used)) == ("does not answer", "bad")
    assert state(device("01:00.0", unbinding=True, usage=used)) == ("unbind is waiting", "bad")


@pytest.mark.parametrize(
    ("database", "name"),
    [
        ("10de  NVIDIA\n\t2204  GA102\n", "GA102"),
        ("10de  NVIDIA\n", "NVIDIA device 2204"),
        ("C 02  Network controller\n", "Network controller"),
        ("", "-"),
    ],
)
def test_a_device_is_called_by_the_best_that_is_known(database: str, name: str) -> None:
    """An unknown number is an answer."""
    assert Namer(Names(database.encode())).name(device("01:00.0", "10de:2204")) == name


def test_groups_say_who_loses_what_and_what_to_type() -> None:
    """The GPU's group of the workstation."""
    machine = workstation()

    text = plain_text(groups_lines(machine, machine.groups[:1], NAMES, width=100))

    assert text.startswith("group 0  viable after bind  (DMA-FQ)\n")
    assert "\n  next        vfioctl bind 0000:01:00.0\n" in text
    assert "\n  it binds    0000:01:00.0 0000:01:00.1\n" in text
    assert "\n  host loses  0000:01:00.0: it is the display the firmware started on (boot VGA)\n" in text
    assert "\n  together    root port 0000:00:01.0 has no ACS" in text
    assert "reserved" not in text
    assert text.endswith("\n\n1 group: 1 viable after bind\n")


def test_reserved_regions_are_shown_when_they_matter_or_when_asked_for() -> None:
    """Every group has the MSI window."""
    machine = workstation()

    text = plain_text(groups_lines(machine, machine.groups[:1], NAMES, width=None, verbose=True))

    assert "\n  reserved    msi 0xfee00000-0xfeefffff\n" in text


def test_a_group_in_use_names_the_vm() -> None:
    """Viable, but taken."""
    machine = workstation()

    text = plain_text(groups_lines(machine, machine.groups[3:4], NAMES, width=100))

    assert "\n  in use      VM web1 (pid 4211) has /dev/vfio/3 open\n" in text


def test_a_group_in_use_names_the_vm_also_while_an_unbind_waits_for_it() -> None:
    """The device has no driver any more, and the VM has it all the same."""
    machine = workstation()
    group = machine.groups[3]
    waiting = tuple(
        one._replace(driver=None, unbinding=True) if one.address in group.members else one
        for one in machine.devices
    )

    text = plain_text(groups_lines(machine._replace(devices=waiting), [group], NAMES, width=100))

    assert "\n  in use      VM web1 (pid 4211) has /dev/vfio/3 open\n" in text


def test_members_that_are_not_pci_are_listed() -> None:
    """By their own name."""
    machine = foreign_member()

    text = plain_text(groups_lines(machine, machine.groups, NAMES, width=100))

    assert any(
        line.split() == ["non-PCI", "-", "some-driver", "blocks", "arm-smmu-3.auto"]
        for line in text.splitlines()
    )


def test_no_groups_are_no_empty_screen() -> None:
    """Without an IOMMU, and where it could not be read."""
    assert plain_text(no_groups_lines(laptop(), width=80)).startswith(
        "no IOMMU groups: nothing can be passed through"
    )
    unread = laptop()._replace(iommu=None)
    assert plain_text(no_groups_lines(unread, width=80)).startswith("IOMMU groups: unknown")


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("01:00.0", "yes, after binding its group"),
        ("02:00.0", "no"),
        ("02:10.0", "yes, and a VM has it now"),
        ("02:10.2", "yes, once it is bound"),
        ("04:00.0", "yes, it is ready"),
        ("05:00.0", "no"),
        ("00:01.0", "no"),
    ],
)
def test_the_verdict_comes_first(text: str, verdict: str) -> None:
    """Third line, before any fact."""
    assert shown(text).splitlines()[2] == f"can be passed through: {verdict}"


def test_everything_about_a_device_is_said() -> None:
    """What it is, where, who has it, what it can."""
    text = shown("02:00.0")

    for line in (
        "  slot        3",
        "  NUMA node   0",
        "  driver      ixgbe",
        "  IOMMU group 1, alone",
        "  network     enp2s0",
        "  used for    enp2s0 is up",
        "  SR-IOV      up to 63 virtual functions, 2 enabled",
        "              0000:02:10.0",
    ):
        assert f"{line}\n" in text
    assert (
        "  BARs        0: 16 MiB of memory at 0xf6000000\n              5: 128 bytes of io at 0xe000\n"
        in shown("01:00.0")
    )
    assert "  SR-IOV      virtual function number 0 of 0000:02:00.0\n" in shown("02:10.0")


def test_mediated_types_and_what_is_unknown_are_said() -> None:
    """Counts may be unknown as well."""
    gpu = device("00:02.0", mdev_types=(MdevType("i915-GVTg_V5_4", "GVT", "vfio-pci", None),), driver="i915")
    machine = host((gpu,))
    hidden = laptop()

    text = plain_text(show_lines(machine, machine.devices[0], NAMES, width=None))
    unread = plain_text(show_lines(hidden, hidden.devices[0], NAMES, width=None))

    assert "  mdev types  i915-GVTg_V5_4 (GVT): unknown available\n" in text
    assert unread.endswith("not known\n  express: permission denied\n")
    assert "because     this host has no IOMMU" in unread


def test_a_group_that_could_not_be_read_makes_the_verdict_unknown() -> None:
    """Not yes, and not no."""
    lost = host((device("01:00.0", driver="vfio-pci"),))
    lost = lost._replace(groups=())

    text = plain_text(show_lines(lost, lost.devices[0], NAMES, width=100))

    assert "can be passed through: unknown\n  because     its IOMMU group could not be read\n" in text


def test_a_difference_names_device_field_and_both_values() -> None:
    """Who came, who went, what changed."""
    old = workstation()
    moved = [device for device in old.devices if device.address != address("05:00.0")]
    moved[3] = moved[3]._replace(driver="vfio-pci", usage=())
    new = old._replace(devices=(*moved, device("08:00.0")), iommu=None)

    difference = compare(old, new, NAMES)
    text = plain_text(difference_lines(difference, width=200)).splitlines()

    assert text[0].startswith("- 0000:05:00.0  1b21:1142")
    assert text[1].startswith("+ 0000:08:00.0  8086:1234")
    assert text[2:5] == [
        "~ 0000:01:00.0",
        "    driver: nvidia -> vfio-pci",
        (
            "    usage: it is the display the firmware started on (boot VGA), "
            "Xorg (pid 812) has /dev/dri/card0 open -> -"
        ),
    ]
    assert text[-2:] == ["    iommu: yes -> -", "1 added, 1 removed, 1 changed"]
    assert difference_document(difference)["changed"][0] == {
        "address": "0000:01:00.0",
        "field": "driver",
        "old": "nvidia",
        "new": "vfio-pci",
    }


def test_a_difference_of_the_host_alone_says_so() -> None:
    """Another kernel on the same machine."""
    old = workstation()

    text = plain_text(difference_lines(compare(old, old._replace(lockdown="integrity"), NAMES), width=80))

    assert text == "~ host\n    lockdown: - -> integrity\nonly the host itself differs\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ([], "-"),
        (True, "yes"),
        (False, "no"),
        (7, "7"),
        (["flr", "bus"], "flr, bus"),
        ([{"kind": "mount", "detail": "sda is mounted on /"}], "sda is mounted on /"),
        ({"role": "virtual", "index": None}, "role virtual index -"),
    ],
)
def test_values_are_said_in_few_words(value: object, text: str) -> None:
    """Of every shape a document has."""
    assert value_text(value) == text
