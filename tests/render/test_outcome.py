"""What is said when a change is over."""

from __future__ import annotations

from tests.golden_files import FOLDER
from tests.render.changes import GPU, IDLE, SOUND, bind_plan, done, failed_at, unbind_plan
from tests.render.machines import workstation
from vfioctl.model.binding import Binding
from vfioctl.model.device import PhysicalFunction
from vfioctl.model.situation import NodeMode
from vfioctl.plan.outcome import DeviceState, Report, Result
from vfioctl.plan.plan import Plan, Unit
from vfioctl.plan.steps import SetVfs
from vfioctl.render.outcome import outcome_lines, standing
from vfioctl.render.problems import problem_findings, problem_text
from vfioctl.render.styled import plain_text
from vfioctl.sysfs.names import Names

NAMES = Names((FOLDER / "pci.ids").read_bytes())
NODE = NodeMode("/dev/vfio/0", 4_000_000_000, 4_000_000_001, 0o660)


def screen(report: Report, *nodes: NodeMode, verbose: bool = False) -> str:
    """Return what is shown of a report for the workstation."""
    return plain_text(outcome_lines(workstation(), report, nodes, NAMES, width=None, verbose=verbose))


def test_a_bind_ends_with_group_node_and_what_to_type_next() -> None:
    """All that the administrator of a VM needs."""
    shown = screen(done(bind_plan(), "vfio-pci", "vfio-pci"), NODE)

    assert "0000:01:00.0  gpu    nvidia         vfio-pci" in shown
    assert "0000:01:00.1  audio  snd_hda_intel  vfio-pci" in shown
    assert shown.endswith(
        "\nbound: 2 devices\n"
        "group 0     viable\n"
        "node        /dev/vfio/0: owner 4000000000:4000000001, mode 0660\n"
        "next        vfioctl libvirt-xml 0000:01:00.0 0000:01:00.1\n"
    )


def test_a_node_that_is_not_there_yet_is_not_called_fine() -> None:
    """The system makes it later than the driver says it is bound (K59)."""
    assert "/dev/vfio/0: not seen yet" in screen(done(bind_plan(), "vfio-pci", "vfio-pci"))


def test_a_group_that_is_not_viable_says_because_of_whom_and_leads_nowhere() -> None:
    """With --device-only, say."""
    plan = bind_plan()
    alone = plan._replace(scope=(GPU,), units=(plan.units[0]._replace(moves=plan.moves[:1]),))

    shown = screen(done(alone, "vfio-pci"), NODE)

    assert "group 0     not viable: 0000:01:00.1: snd_hda_intel uses it for the host\n" in shown
    assert "libvirt-xml" not in shown


def test_what_is_so_already_says_the_same() -> None:
    """An administrator who types it twice gets the same answer."""
    shown = screen(
        Report(Plan("bind", (IDLE,), (IDLE,)), (), Result.ALREADY), NodeMode("/dev/vfio/6", 0, 0, 384)
    )

    assert "vfio-pci  vfio-pci already" in shown
    assert "nothing to do: it was so already\n" in shown
    assert "node        /dev/vfio/6: owner root:root, mode 0600\n" in shown
    assert shown.endswith("next        vfioctl libvirt-xml 0000:04:00.0\n")


def test_verbose_shows_every_step_with_its_outcome() -> None:
    """As it could have been typed."""
    report = done(unbind_plan(), "nvme")

    assert "done      echo > /sys/bus/pci/devices/0000:04:00.0/driver_override\n" in screen(
        report, verbose=True
    )
    assert "echo" not in screen(report)


def test_an_unbind_says_who_has_it_now() -> None:
    """Whichever driver the kernel chose."""
    shown = screen(done(unbind_plan(), "nvme"))

    assert "0000:04:00.0  nvme   vfio-pci  nvme" in shown
    assert shown.endswith("\ngiven back: 1 device\n")


def test_a_device_that_no_driver_took_says_how_to_find_the_module() -> None:
    """The kernel's own words for it are in modalias."""
    shown = screen(done(unbind_plan(), None))

    assert "no driver   0000:04:00.0: no driver that is loaded takes it\n" in shown
    assert 'next        modprobe "$(cat /sys/bus/pci/devices/0000:04:00.0/modalias)"\n' in shown


def test_a_rollback_shows_what_is_there_again() -> None:
    """And says in the error that it is as before."""
    report = failed_at(bind_plan(), 5, Result.ROLLED_BACK, {})
    message, hint = problem_text(report, workstation(), workstation())

    shown = screen(report)

    assert "nvidia         nvidia" in shown
    assert "libvirt-xml" not in shown
    assert message.startswith("bind failed and was rolled back; everything is as it was before\n")
    assert "0000:01:00.0" in message
    assert hint


def test_what_could_not_be_rolled_back_is_shown_as_it_stands() -> None:
    """Driver and override of every device."""
    states = {GPU: DeviceState(GPU, Binding(None, "vfio-pci"))}
    report = failed_at(bind_plan(), 5, Result.PARTIAL, states)

    shown, (message, hint) = screen(report), problem_text(report, workstation(), workstation())

    assert "without a driver, driver_override vfio-pci" in shown
    assert "on snd_hda_intel, driver_override not set" in shown
    assert "could not be rolled back" in message
    assert "vfioctl recover" in hint


def test_what_is_stuck_names_who_holds_it() -> None:
    """As read when it is over, of the device or of a sibling."""
    before = workstation()
    report = failed_at(bind_plan(), 4, Result.STUCK, {GPU: DeviceState(GPU, None, stuck=True)})

    shown, (message, hint) = screen(report), problem_text(report, before, before)
    findings = problem_findings(report, before, before)

    assert "an unbind of it is still blocked" in shown
    assert "  Xorg (pid 812) has /dev/dri/card0 open" in message
    assert "vfioctl recover" in hint
    assert [(one.check, one.address) for one in findings] == [
        ("stuck", GPU),
        ("holder", GPU),
        ("state", GPU),
        ("state", SOUND),
    ]
    assert findings[1].message == "Xorg (pid 812) has /dev/dri/card0 open"


def test_who_holds_a_virtual_function_is_named_though_its_parent_has_lost_the_link() -> None:
    """Whose functions they were is known from before; who has one open, from afterwards (K56)."""
    host = workstation()
    parent = host.by_address[IDLE]._replace(sriov=PhysicalFunction(4, (GPU,)))
    before = host._replace(devices=tuple(parent if one.address == IDLE else one for one in host.devices))
    plan = Plan("sriov off", (IDLE,), (IDLE,), units=(Unit((), (SetVfs(IDLE, 0, 1),)),))
    report = failed_at(plan, 0, Result.STUCK, {})

    message, hint = problem_text(report, before, host)
    findings = problem_findings(report, before, host)

    assert "  a program has one of its virtual functions open" in message
    assert "  Xorg (pid 812) has /dev/dri/card0 open" in message
    assert "vfioctl recover" in hint
    assert [(one.check, one.address) for one in findings] == [("stuck", IDLE), ("holder", GPU)]


def test_an_interruption_is_called_one() -> None:
    """It is no failure."""
    report = failed_at(bind_plan(), 4, Result.ROLLED_BACK, {})._replace(interrupted=True)

    assert problem_text(report, workstation(), workstation())[0].startswith(
        "bind was interrupted and was rolled"
    )


def test_what_cannot_be_read_at_the_end_is_unknown_and_not_driverless() -> None:
    """While an unbind is blocked its driver link is gone (K55)."""
    host = standing(
        workstation(), [DeviceState(GPU, None, stuck=True), DeviceState(SOUND, Binding(None, None))]
    )

    assert host.by_address[GPU].unbinding
    assert (host.by_address[SOUND].driver, host.by_address[SOUND].unbinding) == (None, False)
