"""Real runs on a host that is only pretended: what is done, what is said, what the exit code is."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.cli.pretended import Pretended
from tests.support.fake_kernel import Crash, Fault
from vfioctl.apply import transaction
from vfioctl.apply.journal import write_journal
from vfioctl.apply.lock import locked
from vfioctl.apply.port import Write
from vfioctl.errors import LockedError, NotPermittedError
from vfioctl.model.binding import Binding
from vfioctl.model.situation import ExclusiveDisk
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.plan.unfinished import Unfinished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ask
    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot

NIC, GPU, SOUND, VF = "0000:05:00.1", "0000:01:00.0", "0000:01:00.1", "0000:05:02.2"
VFIO = Binding("vfio-pci", "vfio-pci")


@pytest.fixture
def here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host_root: Callable[[str], HostRoot],
    sample_host: Callable[[str], Host],
) -> Pretended:
    """Return the sample host as the one that the program runs on."""
    pretended = Pretended(sample_host("sample"), host_root("sample"), tmp_path / "run")
    pretended.install(monkeypatch)
    return pretended


def test_bind_and_unbind_are_a_round_trip(here: Pretended, ask: Ask) -> None:
    """The driver it had is the driver it gets, and the override is gone (K8)."""
    before = here.kernel.bindings

    bound = ask("bind", NIC)
    between = here.kernel.bindings
    given_back = ask("unbind", NIC)

    assert (bound.code, bound.err) == (0, "")
    assert between == before | {NIC: VFIO}
    assert bound.out.splitlines()[1].split()[:4] == [NIC, "nic", "i40e", "vfio-pci"]
    assert bound.out.endswith(
        "\nbound: 1 device\n"
        "group 12    viable\n"
        "node        /dev/vfio/12: owner root:root, mode 0600\n"
        f"next        vfioctl libvirt-xml {NIC}\n"
    )
    assert (given_back.code, given_back.err) == (0, "")
    assert given_back.out.endswith("\ngiven back: 1 device\n")
    assert here.kernel.bindings == before


def test_twice_is_as_once(here: Pretended, ask: Ask) -> None:
    """Nothing is written the second time, and the node is said again."""
    ask("bind", NIC)
    here.kernel.again()

    again = ask("bind", NIC)
    document = ask("bind", "--json", NIC).document

    assert again.code == 0
    assert here.kernel.writes == []
    assert "nothing to do: it was so already\n" in again.out
    assert "node        /dev/vfio/12: " in again.out
    assert (document["result"], document["exit_code"], document["steps"]) == ("already", 0, [])


def test_the_node_gets_the_owner_and_mode_that_were_asked_for(here: Pretended, ask: Ask) -> None:
    """And the summary says what stands there, not what was asked for."""
    ended = ask("bind", "--owner", "4000000000:4000000001", "--mode", "0660", NIC)

    assert ended.code == 0
    assert here.kernel.owners["/dev/vfio/12"] == "4000000000 4000000001 0660"
    assert "node        /dev/vfio/12: owner 4000000000:4000000001, mode 0660\n" in ended.out


@pytest.mark.parametrize(
    "words", [["bind", NIC], ["bind", "--force", "console", GPU], ["unbind", VF]], ids=" ".join
)
def test_what_is_done_is_what_the_dry_run_said(words: list[str], here: Pretended, ask: Ask) -> None:
    """Step by step, value by value; and the dry run itself writes nothing."""
    planned = ask(*words, "-n", "--json")
    assert here.kernel.commands == []

    done = ask(*words, "--json")

    def steps(text: str) -> list[dict[str, str]]:
        return [{**step, "outcome": ""} for step in json.loads(text)["steps"]]

    assert (planned.code, done.code) == (0, 0)
    assert steps(planned.out) == steps(done.out)
    written = [(step["path"], step["value"]) for step in steps(done.out) if step["path"].startswith("/sys")]
    assert written == here.kernel.writes
    assert {step["outcome"] for step in done.document["steps"]} == {"done"}
    assert (done.document["dry_run"], done.document["result"]) == (False, "done")


def test_a_refusal_writes_nothing_and_says_who_would_lose_what(here: Pretended, ask: Ask) -> None:
    """On stderr, since nothing came of it; no lock is taken for it."""
    ended = ask("bind", "03:00.0")

    assert (ended.code, ended.out) == (4, "")
    assert ended.err.startswith("error: bind refused, nothing was changed\n")
    assert "nvme0n1p2 is mounted on / [storage-root]" in ended.err
    assert here.kernel.commands == []


def test_what_was_forced_is_done_and_warned_of(here: Pretended, ask: Ask) -> None:
    """Also with -q: it is the administrator's last chance to notice."""
    ended = ask("bind", "-q", "--force", "console", GPU)

    assert ended.code == 0
    assert ended.err.startswith(
        f"warning: {GPU}: it is the display the firmware started on (boot VGA) [console]"
    )
    assert here.kernel.bindings[SOUND] == VFIO


@pytest.mark.parametrize("number", range(6))
def test_a_failure_is_rolled_back_and_explained(number: int, here: Pretended, ask: Ask) -> None:
    """Whichever step it is: exit code 7, everything as before, the reason and what to do."""
    before = here.kernel.bindings
    here.kernel.counted = (Write,)
    here.kernel.faults = {number: Fault(errno.EINVAL)}

    ended = ask("bind", "--force", "console", GPU)

    assert ended.code == 7
    assert here.kernel.bindings == before
    assert "error: bind failed and was rolled back; everything is as it was before\n" in ended.err
    assert "(EINVAL)" in ended.err
    assert "\nhint: " in ended.err
    assert "libvirt-xml" not in ended.out


def test_a_failure_as_a_document(here: Pretended, ask: Ask) -> None:
    """One document, with the reason among the findings and the rollback among the steps."""
    here.kernel.devices[NIC].refused["vfio-pci"] = errno.EBUSY

    ended = ask("bind", "--json", NIC)
    document = json.loads(ended.out)

    assert (ended.code, document["result"], document["exit_code"]) == (7, "rolled-back", 7)
    failed = [step for step in document["steps"] if step["outcome"] == "failed"]
    assert [(step["step"], step["address"]) for step in failed] == [("bind", NIC)]
    assert document["steps"][-1]["path"] == "/sys/bus/pci/drivers/i40e/bind"
    (explained,) = (finding for finding in document["findings"] if finding["check"] == "failed")
    assert "(EBUSY)" in explained["message"]
    assert explained["hint"]


def test_what_cannot_be_rolled_back_is_shown_as_it_stands(here: Pretended, ask: Ask) -> None:
    """Exit code 8, every device's state, and that recover is next; until then nothing else is done."""
    device = here.kernel.devices[NIC]
    device.refused = {"vfio-pci": errno.EINVAL, "i40e": errno.EIO}

    ended = ask("bind", NIC)
    other = ask("bind", "05:02.3")

    assert ended.code == 8
    assert "without a driver, driver_override" in ended.out
    assert "vfioctl recover" in ended.err
    assert other.code == 4
    assert "vfioctl recover" in other.err

    device.refused = {}
    here.kernel.again()
    dry, recovered, nothing = ask("recover", "-n"), ask("recover"), ask("recover")

    assert (dry.code, recovered.code, nothing.code) == (0, 0, 0)
    assert f"echo {NIC} > /sys/bus/pci/drivers/i40e/bind" in dry.out
    assert "recovered: 1 device" in recovered.out
    assert nothing.out == "nothing to recover: nothing was left half done\n"
    assert here.kernel.bindings[NIC] == Binding("i40e", None)


def test_an_unbind_that_blocks_names_who_holds_it(
    here: Pretended, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder came in between: it is not in the plan, and named all the same (K33, K57)."""
    here.kernel.devices[VF].held = True
    holder = Usage(UsageKind.VM, "pid 77", "VM late (pid 77) has /dev/vfio/18 open")
    real = here.kernel.start

    def start(lane: int, command: object) -> None:
        here.joined[VF] = (holder,)
        real(lane, command)  # type: ignore[arg-type]

    here.kernel.start = start  # type: ignore[method-assign]
    ended = ask("unbind", "--timeout", "3", VF)

    assert ended.code == 8
    assert "an unbind of it is still blocked" in ended.out
    assert "VM late (pid 77) has /dev/vfio/18 open" in ended.err
    assert "vfioctl recover" in ended.err

    # The writing process of before is no process of this test.
    under_way = (f"/sys/bus/pci/drivers/vfio-pci/unbind {VF}",)
    monkeypatch.setattr("vfioctl.apply.recovery.await_end", lambda *_: under_way)
    screen, document = ask("recover"), ask("recover", "--json").document

    assert (screen.code, document["result"], document["exit_code"]) == (8, "stuck", 8)
    assert f"{VF}  nic    -    an unbind of it is still blocked" in screen.out
    assert "VM late (pid 77) has /dev/vfio/18 open" in screen.err
    assert {"holder", "state"} <= {finding["check"] for finding in document["findings"]}

    monkeypatch.setattr("vfioctl.apply.recovery.await_end", lambda *_: None)
    here.joined.clear()
    here.kernel.again()
    here.kernel.release(VF)

    assert ask("recover").code == 0
    assert ask("recover").out.startswith("nothing to recover")


def test_a_crash_is_undone_or_finished_by_recover(here: Pretended, ask: Ask) -> None:
    """Killed after the unbind: back to the driver it had, or on to vfio-pci."""
    for words, driver in ((["recover"], "i40e"), (["recover", "--finish"], "vfio-pci")):
        here.kernel.again().faults = {3: Fault(crash=True)}
        with pytest.raises(Crash):
            ask("bind", NIC)
        assert here.kernel.bindings[NIC].driver is None
        here.kernel.again()

        ended = ask(*words)

        assert ended.code == 0
        assert here.kernel.bindings[NIC].driver == driver
        assert ask("recover").out.startswith("nothing to recover")


def test_a_node_that_stood_before_gets_back_what_it_had(here: Pretended, ask: Ask) -> None:
    """Killed after its owner was changed: what it had, or with --finish what was asked for."""
    ask("bind", NIC)
    for words, owner in ((["recover"], "0 0 0600"), (["recover", "--finish"], "107 0 0660")):
        here.kernel.again().faults = {0: Fault(crash=True, happens=True)}
        with pytest.raises(Crash):
            ask("bind", "--owner", "107", "--mode", "0660", NIC)
        assert here.kernel.owners["/dev/vfio/12"] == "107 0 0660"
        here.kernel.again()

        ended = ask(*words)

        assert (ended.code, here.kernel.owners["/dev/vfio/12"]) == (0, owner)
        assert here.kernel.bindings[NIC] == VFIO
        assert ask("recover").out.startswith("nothing to recover")


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_what_can_go_neither_back_nor_on_is_left_where_it_is(
    words: list[str], here: Pretended, ask: Ask
) -> None:
    """A broken device must not keep all others from being changed for ever."""
    here.kernel.devices[NIC].refused = {"vfio-pci": errno.EINVAL, "i40e": errno.EIO}
    ask("bind", NIC)
    here.kernel.again()

    tried, forgotten, after = ask("recover"), ask("recover", "--forget", *words), ask("bind", "05:02.3")

    assert tried.code == 8
    assert "vfioctl recover --forget" in tried.err
    assert forgotten.code == 0
    assert "forgotten: a bind of " in forgotten.out
    assert after.code == 0
    assert here.kernel.bindings[NIC].driver is None
    assert ask("recover", "--forget").out.startswith("nothing to recover")


@pytest.mark.parametrize("other", ["--finish", "-n"])
def test_to_forget_is_neither_to_finish_nor_to_look(other: str, here: Pretended, ask: Ask) -> None:
    """Whoever types both means one of them."""
    assert ask("recover", "--forget", other).code == 2
    assert here.kernel.commands == []


def test_nothing_to_recover_is_a_document_as_well(here: Pretended, ask: Ask) -> None:
    """An empty plan that is so already."""
    for words in ([], ["-n"]):
        document = ask("recover", "--json", *words).document

        assert (document["kind"], document["result"], document["steps"]) == ("plan", "already", [])
        assert document["dry_run"] is bool(words)
    assert here.kernel.commands == []


def test_another_vfioctl_at_work_is_an_error_document(
    here: Pretended, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no result to tell of: exit code 9."""

    def locked(*_: object, **__: object) -> None:
        raise LockedError("another vfioctl is at work", hint="wait for it")

    monkeypatch.setattr("vfioctl.apply.transaction.carry_out", locked)

    document = ask("bind", "--json", NIC).document

    assert (document["kind"], document["exit_code"]) == ("error", 9)
    assert here.kernel.commands == []


def test_verbose_lists_what_was_done(here: Pretended, ask: Ask) -> None:
    """Each step as it could have been typed."""
    assert f"done      echo {NIC} > /sys/bus/pci/drivers/i40e/unbind\n" in ask("bind", "-v", NIC).out
    assert here.kernel.bindings[NIC] == VFIO


def test_a_device_that_no_driver_takes_says_how_to_find_the_module(here: Pretended, ask: Ask) -> None:
    """It was on vfio-pci before anybody recorded where it came from."""
    ended = ask("unbind", VF)

    assert here.kernel.bindings[VF] == Binding(None, None)
    assert ended.code == 0
    assert "given back: 0 of 1 device\n" in ended.out
    assert f"no driver   {VF}: no driver that is loaded takes it\n" in ended.out
    assert f'modprobe "$(cat /sys/bus/pci/devices/{VF}/modalias)"' in ended.out


def test_a_device_that_jumps_back_to_vfio_says_why(here: Pretended, ask: Ask) -> None:
    """Its id was given to vfio-pci (K11): the way out is remove_id."""
    here.kernel.devices[VF].vfio_id = True

    ended = ask("unbind", VF)

    assert ended.code == 7
    assert "new_id" in ended.err
    assert "echo 8086 154c > /sys/bus/pci/drivers/vfio-pci/remove_id" in ended.err


@pytest.mark.parametrize("words", [["-n"], []])
def test_a_disk_that_something_unseen_has_open_is_refused(
    words: list[str], here: Pretended, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disks of every device in the plan are tried, once it is known which those are."""
    tried: list[tuple[PciAddress, ...]] = []

    def exclusive(
        _host: Host, devices: tuple[PciAddress, ...]
    ) -> tuple[tuple[ExclusiveDisk, ...], tuple[str, ...]]:
        tried.append(devices)
        return (ExclusiveDisk(devices[0], "sdx"),), ("sdy could not be tried",)

    monkeypatch.setattr("vfioctl.sysfs.exclusive.read_exclusive", exclusive)

    ended = ask("bind", "--force", "console", GPU, *words, "--json")

    assert {str(address) for devices in tried for address in devices} == {GPU, SOUND}
    assert ended.code == 4
    assert {"storage", "unknown"} <= {finding["check"] for finding in ended.document["findings"]}
    assert here.kernel.commands == []


def test_a_dry_run_meets_the_journal_that_the_real_run_would_meet(here: Pretended, ask: Ask) -> None:
    """The same refusal, and the same exit code."""
    here.kernel.faults = {3: Fault(crash=True)}
    with pytest.raises(Crash):
        ask("bind", NIC)
    here.kernel.again()

    dry, real = ask("bind", "-n", "05:02.3"), ask("bind", "05:02.3")

    assert (dry.code, real.code) == (4, 4)
    assert "did not end by itself [journal]" in dry.out
    assert "vfioctl recover" in dry.out
    assert "vfioctl recover" in real.err


def test_a_dry_run_takes_one_at_work_for_what_it_is(here: Pretended, ask: Ask) -> None:
    """Its journal has not been left: nothing is to be recovered, and nobody waits."""
    with locked(transaction.STATE, 0):
        write_journal(transaction.STATE, Unfinished("bind", "boot", 1, "now", ()))

        dry = ask("bind", "-n", NIC)

    assert (dry.code, here.kernel.commands) == (0, [])
    assert f"another vfioctl is at work (pid {os.getpid()}: " in dry.out
    assert "recover" not in dry.out


def test_who_may_not_see_the_records_is_told_that_they_are_unknown(
    here: Pretended, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run works for everybody; where a device came from is not "nowhere" then."""

    def hidden(*_: object) -> None:
        raise NotPermittedError("/run/vfioctl/drivers.json may be read by root only", hint="")

    monkeypatch.setattr("vfioctl.apply.records.read_records", hidden)
    monkeypatch.setattr("vfioctl.apply.journal.read_unfinished", hidden)
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    ended = ask("unbind", "-n", VF)

    assert ended.code == 0
    assert "may be read by root only [unknown]" in ended.out
    assert here.kernel.commands == []
