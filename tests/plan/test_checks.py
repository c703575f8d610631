"""Every check: what it refuses, what it only says, what lifts it, and what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.model.factory import MODERN, OLD, at, make_device, make_group, make_host, make_port
from tests.plan.hosts import CATALOG, NOWHERE, VM
from vfioctl.model.binding import Binding, Record
from vfioctl.model.device import Header, PhysicalFunction, VirtualFunction
from vfioctl.model.group import ReservedRegion
from vfioctl.model.host import Unread
from vfioctl.model.situation import ExclusiveDisk, SshSession
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.plan.bind import plan_bind
from vfioctl.plan.plan import Finding, Request, Severity
from vfioctl.plan.unbind import plan_unbind

if TYPE_CHECKING:
    from vfioctl.model.kernel import KernelRelease
    from vfioctl.plan.plan import Plan

DEVICE = at("65:00.0")
ASKED = Request((DEVICE,))
REFUSE, WARN, NOTE = Severity.REFUSE, Severity.WARN, Severity.NOTE
PROCESS = Usage(UsageKind.PROCESS, "pid 77", "dpdk-testpmd (pid 77) has /dev/vfio/1 open")


class Rule(NamedTuple):
    """A use of a device, and what is to come of it."""

    usage: Usage
    check: str
    severity: Severity
    hint: str


RULES = [
    Rule(
        Usage(UsageKind.MOUNT, "nvme0n1p3", "nvme0n1p3 is mounted on /srv, /home"),
        "storage",
        REFUSE,
        "umount /srv /home",
    ),
    Rule(
        Usage(UsageKind.MOUNT, "dm-1", "nvme0n1p3 (through vg-data) is mounted on /srv, /a, /b and 2 more"),
        "storage",
        REFUSE,
        "umount /srv /a /b",
    ),
    Rule(
        Usage(UsageKind.MOUNT, "nvme0n1p2", "nvme0n1p2 is mounted on /", critical=True),
        "storage-root",
        REFUSE,
        "choose another device",
    ),
    Rule(
        Usage(UsageKind.SWAP, "nvme0n1p3", "nvme0n1p3 is swap space", critical=True),
        "storage-root",
        REFUSE,
        "swapoff /dev/nvme0n1p3",
    ),
    Rule(
        Usage(UsageKind.HOLDER, "sda", "sda is held by md0"),
        "storage",
        REFUSE,
        "lsblk /dev/sda",
    ),
    Rule(
        Usage(UsageKind.MEMBER, "sda", "sda is part of the ZFS pool tank"),
        "storage",
        REFUSE,
        "zpool export tank",
    ),
    Rule(
        Usage(UsageKind.MEMBER, "sda", "sda is part of the ZFS pool rpool", critical=True),
        "storage-root",
        REFUSE,
        "choose another device",
    ),
    Rule(
        Usage(UsageKind.MEMBER, "sdb", "sdb is part of a mounted btrfs file system"),
        "storage",
        REFUSE,
        "findmnt --source /dev/sdb",
    ),
    Rule(
        Usage(UsageKind.ROUTE, "eth0", "the default route (IPv4) leaves through eth0"),
        "net",
        REFUSE,
        "ip route show dev eth0",
    ),
    Rule(
        Usage(UsageKind.MASTER, "eth0", "eth0 is a port of bond0"), "net", REFUSE, "ip link set eth0 nomaster"
    ),
    Rule(
        Usage(UsageKind.ADDRESS, "eth0", "eth0 has the address 192.0.2.1"), "net", WARN, "ip addr show eth0"
    ),
    Rule(Usage(UsageKind.UPPER, "eth0", "eth0.7 is built on eth0"), "net", WARN, "ip addr show eth0"),
    Rule(Usage(UsageKind.INTERFACE, "eth0", "eth0 is up"), "net", NOTE, "ip link show eth0"),
    Rule(Usage(UsageKind.CONSOLE, "boot_vga", "it is the boot VGA"), "console", REFUSE, "another display"),
    Rule(Usage(UsageKind.FRAMEBUFFER, "efifb", "efifb is on it"), "console", REFUSE, "another display"),
    Rule(
        Usage(UsageKind.GPU, "pid 812", "Xorg (pid 812) has /dev/dri/card0 open"),
        "gpu-busy",
        REFUSE,
        "systemctl isolate multi-user.target",
    ),
    Rule(
        Usage(UsageKind.GPU, "pid 9", "nvidia-persiste (pid 9) has /dev/nvidia0 open"),
        "gpu-busy",
        REFUSE,
        "systemctl stop nvidia-persistenced",
    ),
    Rule(
        Usage(UsageKind.GPU, "pid 4", "python3 (pid 4) has /dev/nvidia0 open"), "gpu-busy", REFUSE, "kill 4"
    ),
    Rule(Usage(UsageKind.INPUT, "keyboard", "the keyboard AT is behind it"), "input", WARN, "plug it in"),
    Rule(
        Usage(UsageKind.MDEV, "83b8", "it is the parent of 83b8"), "mdev", REFUSE, "mdev/devices/83b8/remove"
    ),
    Rule(VM, "vm", REFUSE, "virsh shutdown win11"),
    Rule(PROCESS, "vm", REFUSE, "kill 77"),
]
IDS = [f"{rule.usage.kind.value}-{rule.check}-{index}" for index, rule in enumerate(RULES)]


def plan_for(
    *fields: dict[str, Any], request: Request = ASKED, kernel: KernelRelease | None = MODERN
) -> Plan:
    """Plan to bind the first of these devices, all of group 1."""
    devices = [make_device(f"65:00.{number}", **facts) for number, facts in enumerate(fields)]
    return plan_bind(make_host(*devices, kernel=kernel), CATALOG, NOWHERE, request)


def of_check(plan: Plan, check: str) -> list[Finding]:
    """Return the findings of a check."""
    return [finding for finding in plan.findings if finding.check == check]


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_a_use_comes_to_a_finding(rule: Rule) -> None:
    """With the sentence of the use, the device, and what to type next."""
    (finding,) = plan_for({"driver": "nvme", "usage": (rule.usage,)}).findings

    assert finding[:3] == (rule.check, rule.severity, DEVICE)
    assert finding.message == rule.usage.detail
    assert rule.hint in finding.hint


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_force_lifts_its_own_check_only(rule: Rule) -> None:
    """What it lifts is still said; a VM's device cannot be forced away."""
    device = {"driver": "nvme", "usage": (rule.usage,)}
    every = {one.check for one in RULES}

    own = plan_for(device, request=ASKED._replace(force=frozenset({rule.check})))
    others = plan_for(device, request=ASKED._replace(force=frozenset(every - {rule.check})))

    lifted = rule.severity is REFUSE and rule.check != "vm"
    assert own.findings[0].severity is (WARN if lifted else rule.severity)
    assert own.findings[0].message == rule.usage.detail
    assert others.findings[0].severity is rule.severity
    assert own.exit_code == (4 if rule.check == "vm" else 0)
    assert plan_for(device).exit_code == (4 if rule.severity is REFUSE else 0)


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_what_is_there_already_is_not_refused(rule: Rule) -> None:
    """A device on VFIO stays where it is, whoever has it."""
    plan = plan_for({"driver": "vfio-pci", "usage": (rule.usage,)})

    assert (plan.steps, plan.findings, plan.exit_code) == ((), (), 0)


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_what_goes_back_to_the_host_costs_the_host_nothing(rule: Rule) -> None:
    """Only who holds it matters then: a boot VGA is one also while it is away."""
    host = make_host(make_device(driver="vfio-pci", usage=(rule.usage,)))

    plan = plan_unbind(host, CATALOG, NOWHERE, ASKED)

    assert [one.check for one in plan.findings] == (["vm"] if rule.check == "vm" else [])


def test_a_command_that_forces_keeps_what_was_typed() -> None:
    """It can be copied and does the same but for the check."""
    request = Request((DEVICE,), "vfio-pci", device_only=True, gid=5, mode=0o660, force=frozenset({"ssh"}))
    plan = plan_for({"driver": "igb", "usage": (RULES[9].usage,)}, request=request)

    hint = of_check(plan, "net")[0].hint

    options = "--device-only --driver vfio-pci --owner :5 --mode 0660 --force ssh --force net"
    command = f"vfioctl bind {options} 0000:65:00.0"
    assert hint.endswith(f"; if you mean it: {command}")


def test_a_display_without_a_driver_can_be_the_console() -> None:
    """The firmware's framebuffer needs no driver (K47)."""
    plan = plan_for({"usage": (Usage(UsageKind.FRAMEBUFFER, "BOOTFB", "BOOTFB is in its memory"),)})

    assert [one.check for one in plan.refusals] == ["console"]


@pytest.mark.parametrize(("framebuffer", "severity"), [("fb0", REFUSE), ("fb1", WARN), ("fb12", WARN)])
def test_only_the_first_framebuffer_is_the_console(framebuffer: str, severity: Severity) -> None:
    """DRM makes one for every card it drives; a second GPU is what people give away."""
    use = Usage(UsageKind.FRAMEBUFFER, framebuffer, f"the framebuffer {framebuffer} is on it")
    plan = plan_for({"driver": "bochs-drm", "usage": (use,)})

    assert [one.severity for one in of_check(plan, "console")] == [severity]


def test_a_disk_that_something_unknown_has_open_is_refused() -> None:
    """In another mount namespace, say: only an exclusive open tells."""
    host = make_host(make_device(driver="nvme"))
    around = NOWHERE._replace(
        exclusive=(ExclusiveDisk(DEVICE, "nvme0n1"), ExclusiveDisk(at("66:00.0"), "sdz"))
    )

    (finding,) = plan_bind(host, CATALOG, around, ASKED).findings

    assert finding[:3] == ("storage", REFUSE, DEVICE)
    assert "nvme0n1" in finding.message
    assert "lsblk /dev/nvme0n1" in finding.hint


def test_the_session_that_gives_the_command_is_not_cut() -> None:
    """Through a bond each of its ports carries it."""
    host = make_host(make_device(driver="igb"), make_device("65:00.1", driver="igb", iommu_group=2))
    around = NOWHERE._replace(sessions=(SshSession("192.0.2.9", "bond0", (DEVICE, at("65:00.1"))),))

    (finding,) = plan_bind(host, CATALOG, around, ASKED).findings

    assert finding[:3] == ("ssh", REFUSE, DEVICE)
    assert "192.0.2.9" in finding.message
    assert "bond0" in finding.message


@pytest.mark.parametrize("planner", [plan_bind, plan_unbind])
def test_a_sibling_in_a_vm_keeps_the_group_as_it_is(planner: type) -> None:
    """A host driver beside it would be refused by the kernel, and taken from the VM by QEMU (K21, K57)."""
    held = make_device("65:00.1", driver="vfio-pci", usage=(VM,))
    moving = make_device(driver="nvme" if planner is plan_bind else "vfio-pci")

    plan = planner(make_host(moving, held), CATALOG, NOWHERE, ASKED._replace(device_only=True))

    (refusal,) = plan.refusals
    assert (refusal.check, refusal.address) == ("vm", DEVICE)
    assert VM.detail in refusal.message
    assert "0000:65:00.1" in refusal.message
    assert plan.exit_code == 4


@pytest.mark.parametrize("planner", [plan_bind, plan_unbind])
def test_a_blocked_unbind_names_who_holds_it(planner: type) -> None:
    """Whatever is written to the device would hang as well (K55), so there are no steps for it."""
    host = make_host(make_device(unbinding=True, driver_override="vfio-pci", usage=(VM,)))

    plan = planner(host, CATALOG, NOWHERE, ASKED)

    (refusal,) = plan.refusals
    assert (refusal.check, refusal.address) == ("vm", DEVICE)
    assert "an unbind of it is blocked" in refusal.message
    assert VM.detail in refusal.message
    assert "virsh shutdown win11" in refusal.hint
    assert plan.steps == ()


def test_a_sibling_whose_unbind_is_blocked_is_in_the_way_too() -> None:
    """It is of the group that is to be given back."""
    host = make_host(make_device(driver="vfio-pci"), make_device("65:00.1", unbinding=True))

    plan = plan_unbind(host, CATALOG, NOWHERE, ASKED)

    assert [(one.check, one.address) for one in plan.refusals] == [("vm", at("65:00.1"))]
    assert [move.address for move in plan.moves] == [DEVICE]


def test_a_blocked_unbind_by_an_unknown_holder_is_refused_all_the_same() -> None:
    """Without root nobody's open files are known."""
    plan = plan_for({"unbinding": True, "driver_override": "vfio-pci"})

    assert "by whom is not known" in plan.refusals[0].message
    assert "lsof" in plan.refusals[0].hint


IMPOSSIBLE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "bridge": ({"header": Header.BRIDGE}, {}, "host-cannot"),
    "host bridge": ({"class_code": 0x060000}, {}, "host-cannot"),
    "SMBus": ({"class_code": 0x0C0500}, {}, "host-cannot"),
    "dead": ({"alive": False}, {}, "host-cannot"),
    "denylist": ({"device_id": 0x37C8}, {}, "host-cannot"),
    "no group": ({"iommu_group": None}, {}, "host-cannot"),
    "no IOMMU": ({"iommu_group": None}, {"iommu": False, "groups": ()}, "host-cannot"),
    "VFs": ({"sriov": PhysicalFunction(4, (at("65:02.0"),))}, {}, "vfs"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_the_host_cannot_do_has_no_steps_and_no_force(case: str) -> None:
    """Exit code 5, with a hint of its own."""
    fields, facts, check = IMPOSSIBLE[case]
    host = make_host(make_device(driver="igb", **fields), **facts)
    every = frozenset({*(rule.check for rule in RULES), "vfs", "host-cannot"})

    for force in (frozenset[str](), every):
        plan = plan_bind(host, CATALOG, NOWHERE, ASKED._replace(force=force))

        assert plan.exit_code == 5
        assert {one.check for one in plan.refusals} == {check}
        assert all(one.hint for one in plan.refusals)
        assert plan.steps == ()


def test_a_fixed_mapping_of_the_firmware_is_refused() -> None:
    """RMRR: readable before binding (K24)."""
    device = make_device(driver="igb")
    region = ReservedRegion(0x1000, 0x1FFF, "direct")
    host = make_host(device, groups=(make_group(1, [device], reserved_regions=(region,)),))

    plan = plan_bind(host, CATALOG, NOWHERE, ASKED)

    assert plan.exit_code == 5
    assert "reserved_regions" in plan.refusals[0].hint


def test_virtual_functions_must_go_before_their_parent_leaves_vfio() -> None:
    """The driver would take them with it, and block while one is held (K39, K56)."""
    host = make_host(make_device(driver="vfio-pci", sriov=PhysicalFunction(4, (at("65:02.0"),))))

    plan = plan_unbind(host, CATALOG, NOWHERE, ASKED)

    assert (plan.exit_code, plan.steps) == (5, ())
    assert [one.check for one in plan.refusals] == ["vfs"]
    assert "vfioctl sriov off 0000:65:00.0" in plan.refusals[0].hint


def test_a_virtual_function_of_a_parent_on_vfio_needs_a_token() -> None:
    """Which is no reason against it (K39)."""
    parent = make_device("64:00.0", driver="vfio-pci", iommu_group=2)
    function = make_device(driver=None, sriov=VirtualFunction(parent.address, 0))

    (finding,) = plan_bind(make_host(parent, function), CATALOG, NOWHERE, ASKED).findings
    usual = plan_bind(make_host(parent._replace(driver="igb"), function), CATALOG, NOWHERE, ASKED)

    assert usual.findings == ()
    assert finding[:3] == ("vfs", NOTE, DEVICE)
    assert "vf-token" in finding.hint


SHPCHP: dict[str, Any] = {"driver": "shpchp", "header": Header.BRIDGE, "class_code": 0x060400}


@pytest.mark.parametrize(
    ("kernel", "request_", "exit_code", "checks"),
    [
        (MODERN, ASKED, 4, [("shpchp", REFUSE)]),
        (MODERN, ASKED._replace(release_shpchp=True), 0, []),
        (MODERN, ASKED._replace(device_only=True), 0, [("viability", WARN)]),
        (OLD, ASKED, 0, []),
        (OLD, ASKED._replace(release_shpchp=True), 0, []),
        (None, ASKED, 0, [("viability", WARN)]),
        (None, ASKED._replace(release_shpchp=True), 0, []),
    ],
)
def test_a_bridge_on_shpchp_is_released_only_where_it_matters(
    kernel: KernelRelease | None, request_: Request, exit_code: int, checks: list[tuple[str, Severity]]
) -> None:
    """It keeps the group from VFIO since 5.19 (K19)."""
    plan = plan_for({"driver": "igb"}, SHPCHP, request=request_, kernel=kernel)

    assert plan.exit_code == exit_code
    assert [(one.check, one.severity) for one in plan.findings] == checks
    bridge = [move for move in plan.moves if move.before.driver == "shpchp"]
    assert len(bridge) == (request_.release_shpchp and kernel is not OLD)
    assert all(move.goal == Binding(None, None) for move in bridge)
    if exit_code == 4:
        assert plan.refusals[0].hint.endswith("vfioctl bind --release-shpchp 0000:65:00.0")


def test_a_released_bridge_goes_back_to_its_driver() -> None:
    """By its record; without one it is nobody's business."""
    device = make_device(driver="vfio-pci")
    bridge = make_port("00:01.0", driver=None, iommu_group=1)
    record = Record(bridge.address, bridge.vendor_id, bridge.device_id, Binding("shpchp", None))
    host = make_host(device, bridge)

    known, unknown = (
        plan_unbind(host, CATALOG, NOWHERE._replace(records=records), ASKED) for records in ((record,), ())
    )

    assert [move.address for move in known.moves] == [bridge.address, DEVICE]
    assert known.moves[0].goal == Binding("shpchp", None)
    assert [move.address for move in unknown.moves] == [DEVICE]


@pytest.mark.parametrize(
    ("sibling", "kernel", "viable"),
    [
        ({"driver": "i801_smbus", "class_code": 0x0C0500}, MODERN, False),
        ({"driver": "i801_smbus", "class_code": 0x0C0500}, OLD, False),
        ({"driver": None, "class_code": 0x0C0500}, MODERN, True),
        ({"driver": "pcieport", "header": Header.BRIDGE}, MODERN, True),
        ({"driver": "yenta_cardbus", "header": Header.CARDBUS}, MODERN, False),
        ({"driver": "yenta_cardbus", "header": Header.CARDBUS}, OLD, True),
        ({"driver": "igb", "sriov": PhysicalFunction(2, (at("65:02.0"),))}, MODERN, False),
    ],
)
def test_a_group_that_cannot_become_viable_is_refused(
    sibling: dict[str, Any], kernel: KernelRelease, *, viable: bool
) -> None:
    """On both sides of 5.19; with --device-only it is said and done (K18, K20)."""
    whole = plan_for({"driver": "igb"}, sibling, kernel=kernel)
    alone = plan_for({"driver": "igb"}, sibling, kernel=kernel, request=ASKED._replace(device_only=True))

    assert whole.exit_code == (0 if viable else 5)
    assert alone.exit_code == 0
    assert [one.check for one in alone.findings] == ([] if viable else ["viability"])
    if not viable:
        assert "0000:65:00.1" in whole.refusals[0].message
        assert "--device-only" in whole.refusals[0].hint


def test_half_a_group_given_back_leaves_the_other_half_useless() -> None:
    """Which is said, with the command that gives it back too."""
    host = make_host(make_device(driver="vfio-pci"), make_device("65:00.1", driver="vfio-pci"))

    alone = plan_unbind(host, CATALOG, NOWHERE, ASKED._replace(device_only=True))
    whole = plan_unbind(host, CATALOG, NOWHERE, ASKED)

    (finding,) = alone.findings
    assert finding[:3] == ("viability", WARN, DEVICE)
    assert finding.hint.endswith("vfioctl unbind 0000:65:00.0 0000:65:00.1")
    assert whole.findings == ()


def test_another_driver_asks_nothing_of_the_iommu() -> None:
    """Only what was asked for goes, and no group is looked at."""
    devices = make_device(driver="igb", iommu_group=None), make_device("65:00.1", driver="igb")
    host = make_host(*devices, iommu=False, groups=())

    plan = plan_bind(host, CATALOG, NOWHERE, ASKED._replace(driver="pci-stub"))
    bridge = plan_bind(make_host(make_port("65:00.0")), CATALOG, NOWHERE, ASKED._replace(driver="pci-stub"))

    assert plan.findings == ()
    assert [move.goal for move in plan.moves] == [Binding("pci-stub", "pci-stub")]
    assert (bridge.exit_code, bridge.steps) == (5, ())


def test_what_could_not_be_read_is_said_where_it_matters() -> None:
    """Of the devices that would move, and of the host; not of others, and not where nothing is done."""
    host = make_host(
        make_device(driver="igb"),
        unread=(
            Unread("/proc/*/fd", "permission denied"),
            Unread("/sys/x/driver_override", "blocked", DEVICE, "driver_override"),
            Unread("/sys/y/driver", "blocked", at("66:00.0"), "driver"),
        ),
    )
    around = NOWHERE._replace(unknown=("which session this is could not be found out",))

    plan = plan_bind(host, CATALOG, around, ASKED)
    done = plan_unbind(host, CATALOG, around, ASKED)

    assert [(one.severity, one.address) for one in plan.findings] == [
        (WARN, None),
        (WARN, None),
        (WARN, DEVICE),
    ]
    assert {one.check for one in plan.findings} == {"unknown"}
    assert done.findings == ()


def test_refusals_come_first() -> None:
    """What stands in the way is read first."""
    usage = (RULES[10].usage, RULES[12].usage, RULES[8].usage)
    plan = plan_for({"driver": "igb", "usage": usage})

    assert [one.severity for one in plan.findings] == [REFUSE, WARN, NOTE]
